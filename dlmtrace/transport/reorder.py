"""Segments of one direction that do not simply follow each other: sorted, each byte once, the first copy kept.

Positions are stream positions (bytes, unwrapped from sequence numbers by the caller), so nothing here knows about
wrap-around.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.int64]


class Arrivals:
    """Captured payload of one direction: a table (int64) with a column a segment and seven rows.

    position: stream position of the first byte; length: bytes captured, ≥ 1; buffer: number of the buffer that holds
    them; offset: where in it; ordinal: capture order; packet: identity; time: ns.
    """

    __slots__ = ("table",)

    def __init__(self, table: Int) -> None:
        self.table = table

    @staticmethod
    def of(position: Int, length: Int, buffer: int, offset: Int, ordinal: Int, packet: Int, time: Int) -> Arrivals:
        """From columns; all are in one buffer."""
        table = np.empty((7, len(position)), np.int64)
        table[2] = buffer
        for row, column in ((0, position), (1, length), (3, offset), (4, ordinal), (5, packet), (6, time)):
            table[row] = column
        return Arrivals(table)

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
        return Arrivals(self.table[:, index])

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
    taken: list[tuple[int, int, int]] = []  # position, end, segment; disjoint and sorted
    repeated = np.zeros(len(segments), bool)
    for row in np.argsort(segments.ordinal, kind="stable").tolist():
        at = int(segments.position[row])
        end = at + int(segments.length[row])
        repeated[row] = at < start
        at = max(at, start)
        index = bisect_right(taken, (at, end, len(segments)))
        if index and taken[index - 1][1] > at:
            index -= 1
        free: list[tuple[int, int, int]] = []
        while at < end and index < len(taken) and taken[index][0] < end:
            if at < taken[index][0]:
                free.append((at, taken[index][0], row))
            repeated[row] = True
            at = max(at, taken[index][1])
            index += 1
        if at < end:
            free.append((at, end, row))
        for piece in free:
            insort(taken, piece)
    table = np.array(taken, np.int64).reshape(-1, 3)
    chosen = segments.take(table[:, 2])
    return Sorted(chosen.cut_out(table[:, 0] - chosen.position, table[:, 1] - table[:, 0]), np.flatnonzero(repeated))


@dataclass(slots=True)
class Cuts:
    """Places that the snaplen cut away: the union of intervals, sorted and disjoint."""

    low: Int
    high: Int

    @staticmethod
    def union(low: Int, high: Int) -> Cuts:
        """The union of intervals given in any order."""
        order = np.argsort(low, kind="stable")
        low, high = low[order], np.maximum.accumulate(high[order]) if len(low) else high
        first = np.concatenate(([True], low[1:] > high[:-1])) if len(low) else np.empty(0, bool)
        last = np.concatenate((first[1:], [True])) if len(low) else first
        return Cuts(low[first], high[last])

    def bytes_below(self, position: Int) -> Int:
        """How many cut bytes lie below each position."""
        if not len(self.low):
            return np.zeros(len(position), np.int64)
        total = np.concatenate(([0], np.cumsum(self.high - self.low)))
        at = np.searchsorted(self.low, position, "right") - 1
        inside = np.minimum(position, self.high[at]) - self.low[at]
        return np.where(at >= 0, total[np.maximum(at, 0)] + inside, 0)

    def end_of_cut_at(self, position: int) -> int:
        """End of the cut that begins at or before ``position`` and reaches over it; ``position`` when there is none."""
        at = int(np.searchsorted(self.low, position, "right")) - 1
        return max(position, int(self.high[at])) if at >= 0 else position

    def above(self, position: int) -> Cuts:
        """What lies above ``position``."""
        keep = self.high > position
        return Cuts(np.maximum(self.low[keep], position), self.high[keep])
