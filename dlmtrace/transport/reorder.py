"""Segments of one direction that do not simply follow each other: sorted, each byte once, the first copy kept.

Positions are stream positions (unwrapped from sequence numbers by the caller), so nothing here knows about wrap-around.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.int64]


class Arrivals:
    """Captured payload of one direction: a table (int64) with a column a segment and seven rows or more.

    position: stream position of the first byte; length: bytes captured, ≥ 1; buffer: number of the buffer that holds
    them; offset: where in it; ordinal: capture order; packet: identity; time: ns.  Further rows go along.
    """

    __slots__ = ("table",)

    def __init__(self, table: Int) -> None:
        self.table = table

    @staticmethod
    def of(
        position: Int, length: Int, buffer: int, offset: Int, ordinal: Int, packet: Int, time: Int, *further: Int
    ) -> Arrivals:
        """From columns; all are in one buffer."""
        columns: tuple[Int | int, ...] = (position, length, buffer, offset, ordinal, packet, time, *further)
        table = np.empty((len(columns), len(position)), np.int64)
        for row, column in enumerate(columns):
            table[row] = column
        return Arrivals(table)

    @staticmethod
    def none(further: int = 0) -> Arrivals:
        """Not a single segment; ``further``: rows beyond the seven."""
        return Arrivals(np.empty((7 + further, 0), np.int64))

    @property
    def position(self) -> Int:
        return self._row(0)

    @property
    def length(self) -> Int:
        return self._row(1)

    @property
    def buffer(self) -> Int:
        return self._row(2)

    @property
    def offset(self) -> Int:
        return self._row(3)

    @property
    def ordinal(self) -> Int:
        return self._row(4)

    @property
    def packet(self) -> Int:
        return self._row(5)

    @property
    def time(self) -> Int:
        return self._row(6)

    def _row(self, index: int) -> Int:
        row: Int = self.table[index]
        return row

    def take(self, index: Int | npt.NDArray[np.bool_]) -> Arrivals:
        """A copy of these segments."""
        if index.dtype == np.bool_:
            return Arrivals(self.table.compress(index, axis=1))
        return Arrivals(self.table.take(index, axis=1))

    def between(self, start: int, stop: int | None) -> Arrivals:
        """Segments start … stop, as a view."""
        return Arrivals(self.table[:, start:stop])

    @staticmethod
    def concatenate(parts: list[Arrivals]) -> Arrivals:
        """All segments of all parts."""
        return Arrivals(np.concatenate([part.table for part in parts], axis=1))

    def cut_out(self, front: Int, length: Int) -> Arrivals:
        """Of each segment ``length`` bytes from its byte ``front`` on."""
        table = self.table.copy()
        table[0] += front
        table[1] = length
        table[3] += front
        return Arrivals(table)

    def __len__(self) -> int:
        return int(self.table.shape[1])


@dataclass(slots=True)
class Sorted:
    """``kept``: segments in stream order, disjoint.  ``repeated``: index (into what was given) of the segments with a
    byte that an earlier one had, or that lies before the start."""

    kept: Arrivals
    repeated: Int


def sort_out(segments: Arrivals, start: int) -> Sorted:
    """Stream order with each byte once from ``start`` on: of several copies of a byte the first to arrive stays.

    ``segments`` come in order of arrival where their positions are equal; else the ordinals tell it.
    """
    order = np.argsort(segments.position, kind="stable")
    rows = segments.take(order)
    end = rows.position + rows.length
    highest = np.maximum.accumulate(end)
    covered = np.maximum(np.concatenate(([start], highest[:-1])), start) if len(rows) else end  # end of all before each
    front = covered - rows.position
    overlapping = np.flatnonzero(front > 0)
    if not len(overlapping):
        return Sorted(rows, overlapping)
    # Cutting off the front is right where the row that covers it arrived before: look at the row that set `covered`.
    index = np.arange(len(end))
    setter = np.maximum.accumulate(np.where(np.concatenate(([True], highest[1:] > highest[:-1])), index, 0))
    by_a_row = overlapping[covered[overlapping] > start]
    if (rows.ordinal[by_a_row] < rows.ordinal[setter[by_a_row - 1]]).any():
        return _lay_down(segments, start)
    front = np.maximum(front, 0)
    length = rows.length - front
    kept = rows.cut_out(front, length)
    return Sorted(kept.take(length > 0), np.sort(order[overlapping]))


def _lay_down(segments: Arrivals, start: int) -> Sorted:
    """The general case, segment by segment in order of arrival: each takes the places that are still free."""
    low: list[int] = []  # of the places that are taken: sorted, disjoint, not even touching, so that few are looked at
    high: list[int] = []
    pieces: list[tuple[int, int, int]] = []  # position, end, segment
    repeated = np.zeros(len(segments), bool)
    begins, ends = segments.position.tolist(), (segments.position + segments.length).tolist()
    for row in np.argsort(segments.ordinal, kind="stable").tolist():
        at, end = max(begins[row], start), ends[row]
        again = begins[row] < start
        if at < end:
            first, behind = bisect_left(high, at), bisect_right(low, end)
            free = at
            for taken in range(first, behind):
                if free < low[taken]:
                    pieces.append((free, low[taken], row))
                again = again or (low[taken] < end and at < high[taken])
                free = high[taken]
            if free < end:
                pieces.append((free, end, row))
            if first < behind:
                at, end = min(at, low[first]), max(end, high[behind - 1])
            low[first:behind], high[first:behind] = [at], [end]
        repeated[row] = again
    table = np.array(sorted(pieces), np.int64).reshape(-1, 3)
    chosen = segments.take(table[:, 2])
    return Sorted(chosen.cut_out(table[:, 0] - chosen.position, table[:, 1] - table[:, 0]), np.flatnonzero(repeated))


@dataclass(slots=True)
class Ranges:
    """A set of stream positions as ranges low … high, sorted and disjoint."""

    low: Int
    high: Int

    @staticmethod
    def union(low: Int, high: Int) -> Ranges:
        """The union of ranges given in any order."""
        if not len(low):
            return Ranges(low, high)
        order = np.argsort(low, kind="stable")
        low, high = low[order], np.maximum.accumulate(high[order])
        first = np.concatenate(([True], low[1:] > high[:-1]))
        last = np.concatenate((first[1:], [True]))
        return Ranges(low[first], high[last])

    def count_below(self, position: Int) -> Int:
        """How many of its positions lie below each ``position``."""
        if not len(self.low):
            return np.zeros(len(position), np.int64)
        total = np.concatenate(([0], np.cumsum(self.high - self.low)))
        at = np.searchsorted(self.low, position, "right") - 1
        inside = np.minimum(position, self.high[at]) - self.low[at]
        return np.where(at >= 0, total[np.maximum(at, 0)] + inside, 0)

    def around(self, position: int) -> tuple[int, int]:
        """Low and high of the range that holds ``position`` or ends there; ``position`` twice when there is none."""
        at = int(np.searchsorted(self.low, position, "right")) - 1
        if at < 0 or self.high[at] < position:
            return position, position
        return int(self.low[at]), int(self.high[at])

    def above(self, position: int) -> Ranges:
        """What lies above ``position``."""
        keep = self.high > position
        return Ranges(np.maximum(self.low[keep], position), self.high[keep])
