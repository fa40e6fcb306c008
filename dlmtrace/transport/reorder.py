"""Segments of one direction that do not simply follow each other: sorted, each byte once, the first copy kept.

Positions are stream positions (bytes, unwrapped from sequence numbers by the caller), so nothing here knows about
wrap-around.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.int64]


@dataclass(slots=True)
class Arrivals:
    """Captured payload of one direction, an array element a segment, all ``length`` ≥ 1."""

    position: Int  # stream position of the first byte
    length: Int  # bytes captured
    buffer: Int  # number of the buffer that holds them
    offset: Int  # in that buffer
    ordinal: Int  # capture order
    packet: Int
    time: Int

    def take(self, index: Int | npt.NDArray[np.bool_] | slice) -> Arrivals:
        """These rows."""
        return Arrivals(*(getattr(self, field.name)[index] for field in fields(self)))

    @staticmethod
    def concatenate(parts: list[Arrivals]) -> Arrivals:
        """All rows of all parts."""
        return Arrivals(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Arrivals)))

    def slice(self, front: Int, length: Int) -> Arrivals:
        """Of each row ``length`` bytes from its byte ``front`` on."""
        return Arrivals(
            self.position + front, length, self.buffer, self.offset + front, self.ordinal, self.packet, self.time
        )

    def __len__(self) -> int:
        return len(self.position)


@dataclass(slots=True)
class Sorted:
    """``kept``: rows in stream order, disjoint.  ``repeated``: the whole rows with a byte that an earlier one had."""

    kept: Arrivals
    repeated: Arrivals


def sort_out(rows: Arrivals, start: int) -> Sorted:
    """Stream order with each byte once from ``start`` on: of several copies of a byte the first to arrive stays.

    ``rows`` come in any order; arrival is told by their ordinals.
    """
    if not len(rows):
        return Sorted(rows, rows)
    rows = rows.take(np.lexsort((rows.ordinal, rows.position)))
    end = rows.position + rows.length
    highest = np.maximum.accumulate(end)
    covered = np.maximum(np.concatenate(([start], highest[:-1])), start)  # end of what lies before each row
    front = np.maximum(covered - rows.position, 0)
    repeated = front > 0
    # Cutting off the front is right where the row that covers it arrived before: look at the row that set `covered`.
    index = np.arange(len(end))
    setter = np.maximum.accumulate(np.where(np.concatenate(([True], highest[1:] > highest[:-1])), index, 0))
    before = np.concatenate(([0], setter[:-1]))
    by_a_row = repeated & (index > 0) & (covered > start)
    if (rows.ordinal[by_a_row] >= rows.ordinal[before[by_a_row]]).all():
        fresh = end > covered
        return Sorted(
            rows.take(fresh).slice(front[fresh], (end - covered.clip(rows.position))[fresh]), rows.take(repeated)
        )
    return _lay_down(rows, start)


def _lay_down(rows: Arrivals, start: int) -> Sorted:
    """The general case, row by row in order of arrival: each takes the places that are still free."""
    taken: list[tuple[int, int, int]] = []  # position, end, row; disjoint and sorted
    repeated = np.zeros(len(rows), bool)
    for row in np.argsort(rows.ordinal, kind="stable").tolist():
        at = int(rows.position[row])
        end = at + int(rows.length[row])
        repeated[row] = at < start
        at = max(at, start)
        index = bisect_right(taken, (at, end, len(rows)))
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
    position, ends, row_of = (
        (np.array(column, np.int64) for column in zip(*taken, strict=True))
        if taken
        else (
            np.empty(0, np.int64),
            np.empty(0, np.int64),
            np.empty(0, np.int64),
        )
    )
    chosen = rows.take(row_of)
    return Sorted(chosen.slice(position - chosen.position, ends - position), rows.take(repeated))


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
