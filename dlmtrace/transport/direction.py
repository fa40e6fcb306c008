"""One direction of a connection: what of its stream has come, what waits behind a gap, when a gap is a hole.

A gap is declared a hole only when it is certain: the other side acknowledged past it and capture time has gone on since
(an acknowledgement may be captured before its data), too much waits behind it, or the connection ended.  Bytes that the
snaplen cut off are a hole at once, unless another copy of them was captured.

Packets may be out of order at the capture's start, too: a stream that was under way then begins with its first segment,
or with those captured within GRACE behind it that lead up to it without a gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dlmtrace.transport.connections import Connection, Direction
from dlmtrace.transport.reorder import Arrivals, Ranges, Sorted, sort_out
from dlmtrace.transport.serial import signed

Int = npt.NDArray[np.int64]

WAITING_LIMIT = 1 << 20
"""Bytes that may wait behind a gap before it is declared a hole (design page, Bounds)."""

WAITING_SEGMENTS = 8192
"""Segments that may wait behind a gap, and ranges of cut bytes."""

WAITING_IN_ALL = 32 << 20
"""Bytes that may wait in all directions together."""

GRACE = 200_000_000
"""ns of capture time by which packets may be captured out of order."""

REMEMBERED_HOLES = 64

_NOTHING = np.empty(0, np.int64)
_NOWHERE = -(1 << 62)
NO_CUTS = Ranges(_NOTHING, _NOTHING)


class Delivery:
    """Pieces of one direction in stream order with what is missing before each."""

    __slots__ = ("arrivals", "cut", "hole")

    def __init__(self, arrivals: Arrivals, hole: Int, cut: Int) -> None:
        self.arrivals, self.hole, self.cut = arrivals, hole, cut


class Receiver:
    """What the capture knows of one direction's stream.

    ``expected`` is the position that would come next; ``sequence`` the transport's number of that position (TCP:
    sequence number; SCTP: TSN, where a position counts chunks).  All before ``expected`` is delivered, cut or a hole;
    the last byte delivered ends at ``data_end``.
    """

    __slots__ = (
        "_acknowledged_at",
        "_noted",
        "_noted_at",
        "_proved",
        "acknowledged",
        "connection",
        "cuts",
        "data_end",
        "expected",
        "finish_position",
        "holes",
        "known",
        "limit",
        "sequence",
        "side",
        "start_open_until",
        "statistics",
        "waiting",
    )

    def __init__(self, connection: Connection, side: int, waiting: Arrivals, limit: int = WAITING_LIMIT) -> None:
        self.connection = connection
        self.side = side
        self.limit = limit
        self.statistics: Direction = connection.directions[side]
        self.known = False  # does `sequence` mean anything yet?
        self.sequence = 0
        self.expected = 0
        self.data_end = 0
        self.start_open_until: int | None = None  # ns; None: position 0 is where the stream starts for good
        self.acknowledged = _NOWHERE  # position up to which the other side acknowledged
        self.waiting = waiting
        self.cuts = NO_CUTS  # from data_end on
        self.holes: list[tuple[int, int]] = []  # the last ones
        self.finish_position: int | None = None
        self._acknowledged_at = _NOWHERE  # ns, of the last change
        self._noted, self._noted_at = _NOWHERE, _NOWHERE  # what `acknowledged` was at a time (ns)
        self._proved = _NOWHERE  # what it was GRACE ago, or longer

    @property
    def plain(self) -> bool:
        """Does a segment at ``expected`` simply continue the stream?"""
        return self.known and self.start_open_until is None and not self.waits

    @property
    def waits(self) -> bool:
        """Is there anything behind a gap?"""
        return bool(len(self.waiting) or len(self.cuts.low))

    @property
    def waiting_bytes(self) -> int:
        """Captured bytes that wait."""
        return int(self.waiting.length.sum())

    @property
    def reached(self) -> int | None:
        """Sequence number up to which the stream is known, if only from acknowledgements; None when it is not."""
        if not self.known and self.acknowledged == _NOWHERE:
            return None
        return self.sequence if self.known else self.sequence + self.acknowledged & 0xFFFFFFFF

    @property
    def lowest(self) -> int:
        """Nothing below this position is taken."""
        return self.expected if self.start_open_until is None else _NOWHERE

    def begin(self, sequence: int) -> None:
        """The stream's position 0 has this sequence number."""
        self.known, self.sequence, self.acknowledged = True, sequence, _NOWHERE

    def begin_under_way(self, sequence: int, time: int) -> None:
        """So has the first segment captured, at ``time`` (ns), of a stream that had begun before."""
        if self.acknowledged != _NOWHERE:  # relative to the number that was taken for that of position 0 so far
            self.acknowledged += int(signed(self.sequence - sequence))
        self.known, self.sequence, self.start_open_until = True, sequence, time + GRACE

    def acknowledge(self, position: int, time: int) -> None:
        """The other side has all before ``position``, which may be one past the end: that of a FIN.  It said so at
        ``time`` (ns) at the latest."""
        if self.finish_position is not None:
            position = min(position, self.finish_position)
        if position > self.acknowledged:
            self.acknowledged, self._acknowledged_at = position, time

    def continue_plainly(self, arrivals: Arrivals, length: int) -> Delivery:
        """Segments that follow each other from ``expected`` on, over ``length`` positions."""
        self._advance(self.expected + length)
        self.data_end = self.expected
        self._count_plainly(length)
        nothing = np.zeros(len(arrivals), np.int64)
        return Delivery(arrivals, nothing, nothing)

    def receive(self, arrivals: Arrivals, cuts: Ranges) -> tuple[Sorted, list[Delivery]]:
        """Segments in any order; also gives what was kept and which of ``arrivals`` came again, for a closer look."""
        already = len(self.waiting)
        result = sort_out(Arrivals.concatenate([self.waiting, arrivals]) if already else arrivals, self.lowest)
        result.repeated -= already
        self.waiting = result.kept
        if len(cuts.low):
            self.cuts = _union(self.cuts, cuts.above(self.lowest))
        deliveries = [self._settle_before(self.expected)] if self.start_open_until is None else []
        if self._overfull:
            deliveries += self.give_up(self.limit, WAITING_SEGMENTS)
        return result, deliveries

    def fix_start(self) -> list[Delivery]:
        """What leads up to the first segment has come: the stream starts there."""
        if self.start_open_until is None:
            return []
        self.start_open_until = None
        low, _ = self._present.around(0)
        before = int(np.searchsorted(self.waiting.position, low))
        dropped, self.waiting = self.waiting.between(0, before), Arrivals(self.waiting.table[:, before:].copy())
        self.waiting.position[:] -= low
        cuts = self.cuts.above(low)
        self.cuts = Ranges(cuts.low - low, cuts.high - low)
        self.sequence = self.sequence + low & 0xFFFFFFFF
        self.acknowledged -= low
        self._noted = self._proved = _NOWHERE
        if self.finish_position is not None:
            self.finish_position -= low
        self._count_start(low, dropped)
        return [self._settle_before(0)]

    def settle(self, now: int) -> list[Delivery]:
        """Declare gaps holes that the other side's acknowledgements have proved long enough."""
        deliveries = []
        if self.start_open_until is not None and now > self.start_open_until:
            deliveries = self.fix_start()
        if now - self._acknowledged_at >= GRACE:
            self._proved = self.acknowledged
        elif now - self._noted_at >= GRACE:
            self._proved, self._noted, self._noted_at = self._noted, self.acknowledged, now
        proved = max(min(self._proved, self._last_start), min(self.acknowledged, self._last_seen_before(now - GRACE)))
        if proved > self.expected and self.waits and self.start_open_until is None:
            deliveries.append(self._settle_before(proved))
        return deliveries

    def is_fresh(self, now: int) -> bool:
        """Has something that waits come only lately, so that the gap before it may prove to be a hole any moment?"""
        return len(self.waiting) > 0 and int(self.waiting.time.max()) > now - GRACE

    def give_up(self, limit: int, segments: int = 0) -> list[Delivery]:
        """Declare gaps holes until at most ``limit`` bytes in ``segments`` segments wait."""
        deliveries = self.fix_start()
        left = np.cumsum(self.waiting.length[::-1])[::-1]
        left_segments = np.arange(len(left), 0, -1)
        fitting = np.flatnonzero((left <= limit) & (left_segments <= segments))
        position = int(self.waiting.position[fitting[0]]) if len(fitting) else self._last_start
        if len(self.cuts.low) > segments:
            position = max(position, int(self.cuts.low[-segments - 1]))
        deliveries.append(self._settle_before(position))
        return deliveries

    def finish(self) -> tuple[list[Delivery], int, int]:
        """Nothing more comes: every gap is a hole.  Also gives the bytes missing at the end, and the cut of these."""
        deliveries = self.give_up(0)
        end = self.expected
        # An acknowledgement one past the data may be that of a FIN which was not captured.
        if self.finish_position is not None:
            end = max(end, self.finish_position)
        elif self.known and self.acknowledged > end + 1:
            end = self.acknowledged
        hole, cut = end - self.data_end, int(self.cuts.count_below(np.array([end]))[0])
        self._remember([(self.data_end, end)])
        self._advance(end)
        self.data_end, self.cuts = end, NO_CUTS
        self._count_tail(hole, cut)
        return deliveries, hole, cut

    def late_bytes(self, position: int, end: int) -> int:
        """Bytes of ``position`` … ``end`` that lie in a hole."""
        return sum(max(0, min(end, high) - max(position, low)) for low, high in self._all_holes)

    @property
    def _all_holes(self) -> list[tuple[int, int]]:
        return [*self.holes, (self.data_end, self.expected)]

    @property
    def _present(self) -> Ranges:
        """Where there are bytes that were captured or cut."""
        rows = Ranges(self.waiting.position, self.waiting.position + self.waiting.length)
        return _union(rows, self.cuts)

    @property
    def _last_start(self) -> int:
        """The last place from which on something is there."""
        starts: list[int] = [self.expected, *self.waiting.position[-1:].tolist(), *self.cuts.low[-1:].tolist()]
        return max(starts)

    def _last_seen_before(self, time: int) -> int:
        """Position of the last segment in a row of those that wait which came before ``time`` (ns)."""
        fresh = np.flatnonzero(self.waiting.time > time)
        old = int(fresh[0]) if len(fresh) else len(self.waiting)
        return int(self.waiting.position[old - 1]) if old else _NOWHERE

    @property
    def _overfull(self) -> bool:
        if len(self.waiting) > WAITING_SEGMENTS or len(self.cuts.low) > WAITING_SEGMENTS:
            return True
        return int(self.waiting.length.sum()) > self.limit

    def _advance(self, position: int) -> None:
        self.sequence = self.sequence + position - self.expected & 0xFFFFFFFF
        self.expected = position

    def _settle_before(self, position: int) -> Delivery:
        """All before ``position`` is settled: what is there is delivered, what is not is a hole.  So is what follows
        from there on without a gap."""
        rows = self.waiting
        if not self.waits:
            self._advance(max(position, self.expected))
            return self._count(Delivery(rows, _NOTHING, _NOTHING))
        _, reach = self._present.around(max(position, self.expected))
        count = int(np.searchsorted(rows.position, reach))
        rows, self.waiting = rows.between(0, count), rows.between(count, None)
        hole = cut = _NOTHING
        if count:
            end = rows.position + rows.length
            before = np.concatenate(([self.data_end], end[:-1]))
            hole = rows.position - before
            if len(self.cuts.low):
                cut = self.cuts.count_below(rows.position) - self.cuts.count_below(before)
            else:
                cut = np.zeros(count, np.int64)
            gaps = np.flatnonzero(hole)[-REMEMBERED_HOLES:]
            self._remember(list(zip(before[gaps].tolist(), rows.position[gaps].tolist(), strict=True)))
            self.data_end = int(end[-1])
            self.waiting = Arrivals(self.waiting.table.copy())
        self._advance(reach)
        self.cuts = self.cuts.above(self.data_end)
        return self._count(Delivery(rows, hole, cut))

    def _remember(self, holes: list[tuple[int, int]]) -> None:
        if holes:
            self.holes = [*self.holes, *holes][-REMEMBERED_HOLES:]

    def _count_start(self, low: int, dropped: Arrivals) -> None:
        """Position ``low`` became 0; ``dropped``: segments from before."""
        self.statistics.sent -= low
        self.statistics.acknowledged = max(-1, self.acknowledged)
        self.statistics.late_bytes += int(dropped.length.sum())

    def _count_plainly(self, length: int) -> None:
        """No more than that came."""
        statistics = self.statistics
        statistics.bytes += length
        if statistics.sent < self.expected:
            statistics.sent = self.expected

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


def relieve(receivers: Sequence[Receiver]) -> Iterator[tuple[int, list[Delivery]]]:
    """Declare holes where most waits until no more than WAITING_IN_ALL does: index of a receiver, what it delivers."""
    waiting = [receiver.waiting_bytes for receiver in receivers]
    total = sum(waiting)
    for index in sorted(range(len(waiting)), key=lambda each: -waiting[each]):
        if total <= WAITING_IN_ALL:
            break
        total -= waiting[index]
        yield index, receivers[index].give_up(0)


def _union(first: Ranges, second: Ranges) -> Ranges:
    if not len(second.low):
        return Ranges.union(first.low, first.high)
    return Ranges.union(np.concatenate((first.low, second.low)), np.concatenate((first.high, second.high)))
