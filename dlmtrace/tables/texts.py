"""Record batches as text: CSV and JSON lines, a column at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dlmtrace.tables.arrow import Arrow

_encode = json.JSONEncoder(separators=(",", ":"), default=str, ensure_ascii=False).encode
_HEXADECIMAL = np.frombuffer(bytes(range(256)).hex().encode(), "V2")


def csv_text(batch: Arrow) -> str:
    """Rows as RFC 4180 has them, but with line feeds; absent values are empty.

    Bytes are hexadecimal, nested values JSON.  A text that a spreadsheet would take for a formula gets an apostrophe
    in front.
    """
    if not batch.num_rows:
        return ""
    columns = [pc.fill_null(_cells(array, texts), "") for array, texts in _texts(batch)]
    lines: list[str] = pc.binary_join_element_wise(*columns, ",").to_pylist()
    return "\n".join([*lines, ""])


def csv_titles(names: Sequence[str]) -> str:
    """The names of the columns as a line of CSV."""
    return csv_text(pa.record_batch([pa.array([name]) for name in names], names=list(names)))


def json_lines(batch: Arrow) -> str:
    """One object a line, all keys in each.

    Bytes are hexadecimal, times ISO 8601, unsigned numbers of 64 bits strings, because many readers round them.
    """
    if not batch.num_rows:
        return ""
    pieces: list[Any] = []
    for name, (array, texts) in zip(batch.schema.names, _texts(batch), strict=True):
        pieces += [f"{',' if pieces else '{'}{_encode(name)}:", pc.fill_null(_json(array, texts), "null")]
    lines: list[str] = pc.binary_join_element_wise(*pieces, "}", "").to_pylist()
    return "\n".join([*lines, ""])


def plain_rows(batch: Arrow) -> list[list[str]]:
    """The cells of every row as people read them; absent values are empty."""
    columns = [texts.fill_null("").to_pylist() for _, texts in _texts(batch)]
    return [list(row) for row in zip(*columns, strict=True)]


def _texts(batch: Arrow) -> Sequence[tuple[Arrow, Arrow]]:
    """Each column, and its values as text, null where they are absent."""
    return [(array, _text(array)) for array in batch.columns]


def _text(array: Arrow) -> Arrow:
    kind = array.type
    if pa.types.is_binary(kind):
        return _hexadecimal(array)
    if pa.types.is_timestamp(kind):
        zone = "" if kind.tz else "Z"
        texts = pc.replace_substring(array.cast(pa.string()), " ", "T")
        return pc.binary_join_element_wise(texts, zone, "")
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else _encode(value) for value in array.to_pylist()], pa.string())
    try:
        return array.cast(pa.string())
    except pa.ArrowNotImplementedError:  # spans of time and other rare kinds
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())


def _json(array: Arrow, texts: Arrow) -> Arrow:
    kind = array.type
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_finite(array), texts, None)
    plain = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind)
    if pa.types.is_nested(kind) or (plain and kind != pa.uint64()):
        return texts
    different = texts.dictionary_encode()
    quoted = pa.array([_encode(text) for text in different.dictionary.to_pylist()], pa.string())
    return quoted.take(different.indices)


def _cells(array: Arrow, texts: Arrow) -> Arrow:
    if not pa.types.is_string(array.type) and not pa.types.is_nested(array.type):
        return texts
    inert = pc.replace_substring_regex(texts, "^([=+@-])", r"'\1")
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(inert, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(inert, '[",\r\n]'), quoted, inert)


def _hexadecimal(array: Arrow) -> Arrow:
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(array.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    present = np.packbits(array.is_valid().to_numpy(zero_copy_only=False), bitorder="little")
    buffers = [present, (offsets - offsets[0]) * 2, _HEXADECIMAL[data]]
    return pa.Array.from_buffers(pa.string(), len(array), [pa.py_buffer(buffer) for buffer in buffers])
