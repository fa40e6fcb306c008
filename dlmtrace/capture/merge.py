"""Packets of several files in one time order, by columns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.inputs import Bytes
from dlmtrace.capture.packets import RECORD, TAIL
from dlmtrace.capture.reader import Records

SMALLEST_SHARE = 1 << 18  # bytes of a window when many files overlap


class Feed(Protocol):
    """A file whose packets are merged; ``start`` is the time of its first packet in ns."""

    start: int

    def read(self, window: int) -> tuple[Bytes, Records] | None:
        """Buffer and records (at least one) of about the next ``window`` bytes; None at the end."""


class _Part(NamedTuple):
    buffer: Bytes
    records: Records
    keys: npt.NDArray[np.int64]


class _Front:
    """The packets in hand of one file.

    They are ordered by the latest time so far in their file, so that the file's own order stands even where its clock
    steps back.
    """

    def __init__(self, feed: Feed) -> None:
        self.start = feed.start
        self.latest = np.iinfo(np.int64).min
        self._feed = feed
        self._part = _Part(np.empty(0, np.uint8), np.empty(0, RECORD), np.empty(0, np.int64))

    def fill(self, window: int) -> bool:
        """Have packets in hand; False at the end of the file."""
        if len(self._part.records):
            return True
        got = self._feed.read(window)
        if got is None:
            return False
        buffer, records = got
        keys = np.maximum(np.maximum.accumulate(records["time"]), self.latest)
        self._part = _Part(buffer, records, keys)
        self.latest = int(keys[-1])
        return True

    def take(self, horizon: int) -> _Part:
        """Those in hand up to ``horizon`` (ns)."""
        buffer, records, keys = self._part
        count = int(np.searchsorted(keys, horizon, "right"))
        self._part = _Part(buffer, records[count:], keys[count:])
        return _Part(buffer, records[:count], keys[:count])


def merged(feeds: Sequence[Feed], window: int) -> Iterator[tuple[Bytes, Records]]:
    """Buffers and records of ``feeds``, which are in order of their ``start``, by time; equal times in order of files.

    A file is read when its time has come, so of a ring of files one or two are open at a time.
    """
    waiting = deque(_Front(feed) for feed in feeds)
    active: list[_Front] = []
    while waiting or active:
        active = [front for front in active if front.fill(_share(window, len(active)))]
        # All files that may have packets before the end of what is in hand take part.
        while waiting and (not active or waiting[0].start <= min(front.latest for front in active)):
            front = waiting.popleft()
            if front.fill(_share(window, len(active) + 1)):
                active.append(front)
        if active:
            horizon = min(front.latest for front in active)
            yield _join([part for front in active if len((part := front.take(horizon)).records)])


def _share(window: int, files: int) -> int:
    """Bytes to read at once of each of ``files`` that overlap, so that all together stay about a window."""
    return max(window // files, min(window, SMALLEST_SHARE))


def _join(parts: list[_Part]) -> tuple[Bytes, Records]:
    """The packets of ``parts`` by key, in one buffer."""
    if len(parts) == 1:
        return parts[0].buffer, parts[0].records
    spans = [
        (int(part.records["offset"][0]), int(part.records["offset"][-1] + part.records["captured"][-1]))
        for part in parts
    ]
    buffer = np.zeros(sum(end - begin for begin, end in spans) + TAIL, np.uint8)
    records = np.concatenate([part.records for part in parts])
    place = row = 0
    for part, (begin, end) in zip(parts, spans, strict=True):
        buffer[place : place + end - begin] = part.buffer[begin:end]
        records["offset"][row : row + len(part.records)] += place - begin
        place += end - begin
        row += len(part.records)
    order = np.argsort(np.concatenate([part.keys for part in parts]), kind="stable")
    return buffer, records[order]
