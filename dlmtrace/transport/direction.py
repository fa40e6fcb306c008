"""One direction of a connection: what of its stream has come, what waits behind a gap, when a gap is a hole.

A gap is declared a hole only when it is certain: the other side acknowledged past it and capture time has gone on since
(an acknowledgement may be captured before its data), more than WAITING_LIMIT bytes wait behind it, or the connection
ended.  Bytes that the snaplen cut off are a hole at once, unless another copy of them was captured.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dlmtrace.transport.connections import Connection, Direction
from dlmtrace.transport.reorder import Arrivals, Cuts, Sorted, sort_out

Int = npt.NDArray[np.int64]

WAITING_LIMIT = 1 << 20
"""Bytes that may wait behind a gap before it is declared a hole (design page, Bounds)."""

GRACE = 200_000_000
"""ns of capture time between the acknowledgement of a gap and its declaration as a hole."""

REMEMBERED_HOLES = 64

_NOTHING = np.empty(0, np.int64)
NO_CUTS = Cuts(_NOTHING, _NOTHING)


def no_arrivals() -> Arrivals:
    """Not a single segment."""
    return Arrivals(np.empty((7, 0), np.int64))


class Delivery:
    """Pieces of one direction in stream order with what is missing before each."""

    __slots__ = ("arrivals", "cut", "hole")

    def __init__(self, arrivals: Arrivals, hole: Int, cut: Int) -> None:
        self.arrivals, self.hole, self.cut = arrivals, hole, cut


class Receiver:
    """What the capture knows of one direction's stream.

    ``expected`` is the position that would come next; ``sequence`` the transport's number of that position (TCP:
    sequence number; SCTP: TSN, where a position counts chunks).  All before ``expected`` is delivered or a hole.
    """

    __slots__ = (
        "acknowledged",
        "acknowledged_gap",
        "connection",
        "cut_at_end",
        "cuts",
        "data_end",
        "expected",
        "finish_position",
        "holes",
        "known",
        "limit",
        "sequence",
        "side",
        "statistics",
        "waiting",
    )

    def __init__(self, connection: Connection, side: int, limit: int = WAITING_LIMIT) -> None:
        self.connection = connection
        self.side = side
        self.limit = limit
        self.statistics: Direction = connection.directions[side]
        self.known = False  # does `sequence` mean anything yet?
        self.sequence = 0
        self.expected = 0
        self.acknowledged = -1  # position up to which the other side acknowledged
        self.data_end = 0  # position behind the last byte delivered
        self.cut_at_end = 0  # bytes between data_end and expected that were cut off
        self.waiting = no_arrivals()
        self.cuts = NO_CUTS
        self.holes: list[tuple[int, int]] = []  # the last ones declared
        self.acknowledged_gap: tuple[int, int] | None = None  # (expected, time when seen acknowledged)
        self.finish_position: int | None = None

    @property
    def plain(self) -> bool:
        """Does a segment at ``expected`` simply continue the stream?"""
        return self.known and not len(self.waiting) and not len(self.cuts.low)

    def begin(self, sequence: int) -> None:
        """The stream's position 0 has this sequence number."""
        self.known, self.sequence = True, sequence

    def advance(self, position: int) -> None:
        """Move ``expected`` to ``position``."""
        self.sequence = self.sequence + position - self.expected & 0xFFFFFFFF
        self.expected = position

    def acknowledge(self, position: int) -> None:
        """The other side has all before ``position``, which may be one past the end: that of a FIN."""
        if self.finish_position is not None:
            position = min(position, self.finish_position)
        self.acknowledged = max(self.acknowledged, position)

    def continue_plainly(self, arrivals: Arrivals, length: int) -> Delivery:
        """Segments that follow each other from ``expected`` on, ``length`` bytes in all."""
        hole = np.zeros(len(arrivals), np.int64)
        cut = np.zeros(len(arrivals), np.int64)
        if len(arrivals):
            hole[0], cut[0] = self.expected - self.data_end, self.cut_at_end
            self.cut_at_end = 0
            self.advance(self.expected + length)
            self.data_end = self.expected
        return self._count(Delivery(arrivals, hole, cut))

    def receive(self, arrivals: Arrivals, cuts: Cuts) -> tuple[Sorted, list[Delivery]]:
        """Segments in any order; also gives what was kept and which of ``arrivals`` came again, for a closer look."""
        already = len(self.waiting)
        result = sort_out(Arrivals.concatenate([self.waiting, arrivals]) if already else arrivals, self.expected)
        result.repeated -= already
        self.waiting = result.kept
        if len(cuts.low):
            self.cuts = Cuts.union(
                np.concatenate((self.cuts.low, cuts.low)), np.concatenate((self.cuts.high, cuts.high))
            )
        deliveries = [self._deliver()]
        while int(self.waiting.length.sum()) > self.limit:
            deliveries.append(self._declare_hole())
        return result, deliveries

    def settle(self, now: int) -> list[Delivery]:
        """Declare the gap a hole if the other side's acknowledgement has proved it long enough."""
        deliveries = []
        while len(self.waiting) and self.acknowledged > self.expected:
            if self.acknowledged_gap is None or self.acknowledged_gap[0] != self.expected:
                self.acknowledged_gap = (self.expected, now)
            if now - self.acknowledged_gap[1] < GRACE:
                break
            since = self.acknowledged_gap[1]
            deliveries.append(self._declare_hole())
            self.acknowledged_gap = (self.expected, since)
        return deliveries

    def finish(self) -> tuple[list[Delivery], int, int]:
        """Nothing more comes: every gap is a hole.  Also gives the bytes missing at the end, and the cut of these."""
        deliveries = []
        while len(self.waiting):
            deliveries.append(self._declare_hole())
        end = self.expected
        # An acknowledgement one past the data may be that of a FIN which was not captured.
        if self.finish_position is not None:
            end = max(end, self.finish_position)
        elif self.known and self.acknowledged > end + 1:
            end = self.acknowledged
        hole, cut = end - self.data_end, self.cut_at_end
        self.advance(end)
        self.data_end, self.cut_at_end = end, 0
        self._count_tail(hole, cut)
        return deliveries, hole, cut

    def late_bytes(self, position: int, end: int) -> int:
        """Bytes of ``position`` … ``end`` that lie in a hole already declared."""
        return sum(max(0, min(end, high) - max(position, low)) for low, high in self.holes)

    def _declare_hole(self) -> Delivery:
        low, high = self.expected, int(self.waiting.position[0])
        self.holes = [*self.holes[1 - REMEMBERED_HOLES :], (low, high)]
        below = self.cuts.bytes_below(np.array([low, high]))
        self.cut_at_end += int(below[1] - below[0])
        self.advance(high)
        return self._deliver()

    def _deliver(self) -> Delivery:
        """What of ``waiting`` can be delivered now."""
        rows = self.waiting
        if not len(rows):
            count = 0
        else:
            end = rows.position + rows.length
            before = np.concatenate(([self.expected], end[:-1]))
            gap = rows.position - before
            if len(self.cuts.low):
                cut = self.cuts.bytes_below(rows.position) - self.cuts.bytes_below(before)
            else:
                cut = np.zeros(len(rows), np.int64)
            unexplained = np.flatnonzero(gap > cut)
            count = int(unexplained[0]) if len(unexplained) else len(rows)
        if count:
            hole, cut = gap[:count], cut[:count]
            hole[0] += self.expected - self.data_end
            cut[0] += self.cut_at_end
            self.data_end = int(end[count - 1])
            self.cut_at_end = 0
            self.advance(self.data_end)
        else:
            hole = cut = _NOTHING
        reach = self.cuts.end_of_cut_at(self.expected)
        self.cut_at_end += reach - self.expected
        self.advance(reach)
        self.cuts = self.cuts.above(reach)
        self.waiting = rows.between(count, None)
        return self._count(Delivery(rows.between(0, count), hole, cut))

    def _count(self, delivery: Delivery) -> Delivery:
        statistics = self.statistics
        statistics.bytes += int(delivery.arrivals.length.sum())
        statistics.sent = max(statistics.sent, self.expected)
        if delivery.hole.any():
            statistics.hole_bytes += int(delivery.hole.sum())
            statistics.cut_bytes += int(delivery.cut.sum())
            statistics.holes += int((delivery.hole > delivery.cut).sum())
        return delivery

    def _count_tail(self, hole: int, cut: int) -> None:
        self.statistics.sent = max(self.statistics.sent, self.expected)
        self.statistics.hole_bytes += hole
        self.statistics.cut_bytes += cut
        self.statistics.holes += hole > cut
