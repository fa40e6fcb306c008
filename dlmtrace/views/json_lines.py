"""Lines of JSON made column by column: a matrix of characters for all lines at once.

A column is as wide as its longest text.  What a line does not need of that is NUL, which no JSON holds; it goes when
the matrix becomes text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.views.times import SECOND

Characters = npt.NDArray[np.uint8]
"""Text of many lines: a row each, of ASCII and NUL."""

_CHUNK = 10_000
"""Numbers become text four digits at a time."""


def _chunks() -> npt.NDArray[np.uint32]:
    """Four characters by number: as people write it, with zeros in front behind that, and last no digit at all."""
    digits = np.arange(_CHUNK)[:, None] // (1000, 100, 10, 1) % 10 + ord("0")
    padded = digits.astype(np.uint8)
    plain = padded.copy()
    plain[:, :3][np.arange(_CHUNK)[:, None] < (1000, 100, 10)] = 0
    return np.concatenate((plain, padded, np.zeros((1, 4), np.uint8))).view(np.uint32).ravel()


_CHARACTERS = _chunks()
_ZEROS_IN_FRONT = _CHUNK
_NOTHING = 2 * _CHUNK
_HEXADECIMAL = np.frombuffer(bytes(range(256)).hex().encode(), np.uint16)
NULL = np.frombuffer(b"null", np.uint8)
"""What JSON has for nothing."""


def decimal(values: npt.NDArray[np.integer[Any]]) -> Characters:
    """Integers of any width and byte order as decimal digits, those below zero with a sign."""
    negative = values < 0
    signed = bool(negative.any())
    rest: npt.NDArray[Any] = values.astype(np.uint64 if signed or values.dtype.itemsize > 4 else np.uint32)
    if signed:
        rest[negative] = -rest[negative]  # modulo 2^64: below zero it is the magnitude
    chunks: list[npt.NDArray[np.uint32]] = []
    while not chunks or rest.any():
        higher = rest // _CHUNK
        chunk = rest - higher * _CHUNK
        chunk[higher > 0] += rest.dtype.type(_ZEROS_IN_FRONT)
        if chunks:
            chunk[rest == 0] = _NOTHING
        chunks.append(_CHARACTERS[chunk])
        rest = higher
    digits = np.stack(chunks[::-1], axis=1).view(np.uint8)
    if not signed:
        return digits
    return side_by_side(len(digits), [np.where(negative, ord("-"), 0)[:, None].astype(np.uint8), digits])


def hexadecimal(buffer: Characters, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]) -> Characters:
    """The bytes from ``start`` to ``stop`` of ``buffer`` as JSON: two digits each in quotes, null for none."""
    length = stop - start
    width = max(int(length.max()), 2)
    places = np.arange(width)
    inside = places < length[:, None]
    text = np.zeros((len(start), 2 * width + 2), np.uint8)
    pairs = _HEXADECIMAL[buffer[np.where(inside, start[:, None] + places, 0)]]
    text[:, 1:-1] = np.where(inside, pairs, 0).view(np.uint8)
    some = length > 0
    text[some, 0] = text[some, -1] = ord('"')
    text[~some, 1:5] = NULL
    return text


def moments(times: npt.NDArray[np.int64]) -> Characters:
    """Times (ns since 1970) in UTC as JSON: ISO 8601 with nanoseconds, in quotes."""
    seconds, place = np.unique(times // SECOND, return_inverse=True)
    days = padded(np.datetime_as_string(seconds.astype("M8[s]")).tolist())
    digits = decimal(times % SECOND + SECOND)[:, -9:]  # a digit more, so that there are zeros in front
    return side_by_side(len(times), ['"', days[place], ".", digits, 'Z"'])


def padded(texts: Sequence[str]) -> Characters:
    """Texts of ASCII, one for each line."""
    rows = np.array(texts, "S")
    return rows.view(np.uint8).reshape(len(texts), rows.itemsize)


def side_by_side(count: int, pieces: Sequence[str | Characters]) -> Characters:
    """``count`` lines of pieces: a text is the same in all lines."""
    columns = [np.frombuffer(piece.encode("ascii"), np.uint8) if isinstance(piece, str) else piece for piece in pieces]
    lines = np.empty((count, sum(piece.shape[-1] for piece in columns)), np.uint8)
    end = 0
    for piece in columns:
        start, end = end, end + piece.shape[-1]
        lines[:, start:end] = piece
    return lines


def text(lines: Characters) -> str:
    """All lines, one behind the other."""
    return lines.tobytes().translate(None, b"\0").decode("ascii")


class JsonLines:
    """The text of ``count`` lines, one or more, or of a part of them, with the same keys in all of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pieces: list[str | Characters] = []

    def literal(self, text: str) -> None:
        """Text that every line has."""
        if self._pieces and isinstance(last := self._pieces[-1], str):
            self._pieces[-1] = last + text
        else:
            self._pieces.append(text)

    def column(self, key: str, values: Characters) -> None:
        """A key whose values are JSON already."""
        self.literal(f'"{key}":')
        self._pieces.append(values)
        self.literal(",")

    def choices(self, key: str, texts: Sequence[str], numbers: npt.NDArray[np.integer[Any]]) -> None:
        """A key whose values are JSON, one of ``texts`` by number."""
        if (numbers == numbers[0]).all():
            self.literal(f'"{key}":{texts[numbers[0]]},')
        else:
            self.column(key, padded(texts)[numbers])

    def pieces(self, texts: Sequence[str], numbers: npt.NDArray[np.integer[Any]]) -> None:
        """Several keys with their values, one of ``texts`` by number: JSON that ends with a comma."""
        self._pieces.append(padded(texts)[numbers])

    def integers(self, key: str, values: npt.NDArray[Any], absent: int | None = None) -> None:
        """A key with numbers, null for the number ``absent``.

        Unsigned ones of 64 bits are strings, because many readers of JSON round beyond 2^53.
        """
        quote = '"' if values.dtype == np.uint64 else ""
        if (values == values[0]).all():
            number = int(values[0])
            self.literal(f'"{key}":null,' if number == absent else f'"{key}":{quote}{number}{quote},')
            return
        self.literal(f'"{key}":{quote}')
        digits = decimal(values)  # four characters at least
        if absent is not None:
            none = values == absent
            digits[none] = 0
            digits[none, : len(NULL)] = NULL
        self._pieces.append(digits)
        self.literal(f"{quote},")

    def moments(self, key: str, times: npt.NDArray[np.int64]) -> None:
        """A key with times (ns since 1970): UTC as ISO 8601 with nanoseconds."""
        self.column(key, moments(times))

    def hexadecimal(
        self, key: str, buffer: Characters, start: npt.NDArray[np.int64], stop: npt.NDArray[np.int64]
    ) -> None:
        """A key with the bytes of ``buffer`` (uint8) from ``start`` to ``stop``: hexadecimal, null for none."""
        self.column(key, hexadecimal(buffer, start, stop))

    def record(self, records: npt.NDArray[Any]) -> None:
        """The fields of structured records, under their own names."""
        for field in records.dtype.names or ():
            width = records.dtype[field].itemsize
            if records.dtype[field].kind == "V":
                data = np.frombuffer(np.ascontiguousarray(records[field]).tobytes(), np.uint8)
                start = np.arange(0, len(data), width)
                self.hexadecimal(field, data, start, start + width)
            else:
                self.integers(field, records[field])

    def close(self) -> None:
        """The end of the object that was opened last."""
        last = self._pieces[-1]
        assert isinstance(last, str)
        self._pieces[-1] = last.removesuffix(",") + "},"

    def characters(self) -> Characters:
        """The lines."""
        return side_by_side(self._count, self._pieces)
