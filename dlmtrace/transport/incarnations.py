"""Which connection a TCP segment belongs to: a 4-tuple may be used again by one connection after the other.

A SYN with another initial sequence number begins a new one.  Without its SYN a new one shows where the one before is
over and data comes that it cannot have sent, or where the 4-tuple was silent for long and data lies far behind.  One
that a RST ended goes on where a segment fits its numbers, however long the silence was: the RST was forged, came out of
turn or got lost, or it reached one end and the other has not noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import ACK, RST, SYN, Segments
from dlmtrace.transport.connections import Connection, ConnectionEvent
from dlmtrace.transport.direction import Receiver
from dlmtrace.transport.ending import Ending
from dlmtrace.transport.flows import FlowTable
from dlmtrace.transport.reorder import Arrivals
from dlmtrace.transport.serial import signed

Int = npt.NDArray[np.int64]

REUSE_DISTANCE = 1 << 24
"""Data further than this behind what its stream has reached is no retransmission."""

SILENCE = 60_000_000_000
"""ns after which such data is taken for another connection's (its SYN was not captured)."""

REACH = 65_535
"""A segment further ahead than this of where its stream left off does not fit: a Linux host that uses a 4-tuple again
begins behind that (tcp_ipv4.c, tcp_twsk_unique)."""

_MASK = (1 << 32) - 1


@dataclass(slots=True)
class Incarnation:
    """One connection and the places where the table keeps it."""

    connection: Connection
    pair: int
    flip: int  # the flow 2·pair carries what this side sends
    receivers: tuple[Receiver, Receiver]
    first_ordinal: int
    ending: Ending
    initial: list[int | None]  # initial sequence numbers, once known
    syn_seen: list[bool]
    replaced: bool = False  # by a successor
    ended: bool = False


@dataclass(frozen=True, slots=True)
class _Rows:
    """What ``assign`` was given."""

    batch: PacketBatch
    segments: Segments
    flow: Int
    events: list[ConnectionEvent]


class IncarnationTable:
    """Slots with connections; every row of a batch is assigned to one."""

    def __init__(self, ports: frozenset[int], numbers: Iterator[int]) -> None:
        self.ports = ports
        self.flows = FlowTable()
        self.slots: dict[int, Incarnation] = {}
        self.closing: set[int] = set()  # slots whose connection was closed, reset or replaced, and has not ended
        self.gone: set[int] = set()  # slots that ended and have a successor
        self.reset: dict[int, int] = {}  # pair -> slot, of those that a RST ended, without a successor: they may go on
        self.flip: Int = np.zeros(64, np.int64)  # of each slot
        self._numbers = numbers
        self._free: list[int] = []
        self._ended: npt.NDArray[np.bool_] = np.zeros(64, bool)  # of each slot
        self._current: Int = np.full(64, -1, np.int64)  # slot of each pair's present incarnation
        self._seen: Int = np.zeros(64, np.int64)  # ns, when each pair's last row came

    def assign(
        self, batch: PacketBatch, segments: Segments, flow: Int, clock: Int, events: list[ConnectionEvent]
    ) -> Int:
        """Slot of each row; connections begin here.  ``flow`` by ``flows``; ``clock``: highest time (ns) so far."""
        pair = flow >> 1
        self._grow()
        present = self._current[pair]
        known = present >= 0
        special = (segments.flags & SYN != 0) | (known & self._ended[present] & (segments.length > 0))
        special |= known & (clock - self._seen[pair] >= SILENCE)
        self._seen[pair] = clock
        unknown = np.flatnonzero(~known)
        special[unknown[np.unique(pair[unknown], return_index=True)[1]]] = True
        rows = _Rows(batch, segments, flow, events)
        begun: dict[int, list[tuple[int, int]]] = {}  # pair: row and slot of each incarnation that begins here
        for row in np.flatnonzero(special).tolist():
            its_pair = int(pair[row])
            slot = begun[its_pair][-1][1] if its_pair in begun else int(self._current[its_pair])
            if slot < 0:
                self._current[its_pair] = self._open(rows, row)
            elif self._is_new(slot, rows, row):
                begun.setdefault(its_pair, []).append((row, self._open(rows, row)))
                self._replace(slot, int(clock[row]))
            else:
                self._learn(slot, rows, row)
        slots: Int = self._current[pair]
        if begun:
            self._place(begun, pair, slots)
        return slots

    def ending_of(self, pair: int, now: int) -> Ending:
        """That of the pair's present incarnation, a copy; a new one when there is none."""
        slot = int(self._current[pair]) if pair < len(self._current) else -1
        return self.slots[slot].ending.copy() if slot >= 0 else Ending([now, now])

    def end(self, slot: int) -> None:
        """Nothing more is expected of this one."""
        incarnation = self.slots[slot]
        incarnation.ended = True
        self._ended[slot] = True
        self.closing.discard(slot)
        if incarnation.replaced:
            self.gone.add(slot)
        elif incarnation.ending.was_reset and not all(incarnation.ending.finished):
            self.reset[incarnation.pair] = slot

    def goes_on(self, segments: Segments, flow: Int, row: int) -> bool:
        """Does this row go on with a connection that a RST had ended?"""
        slot = self.reset.get(int(flow[row]) >> 1)
        return slot is not None and self._fits(self.slots[slot], segments, row, int(flow[row]))

    def next_going_on(self, segments: Segments, flow: Int, start: int, stop: int) -> int:
        """The first of the rows start … stop that does; ``stop`` if there is none."""
        if not self.reset:
            return stop
        rows = np.flatnonzero(np.isin(flow[start:stop] >> 1, list(self.reset))) + start
        return next((row for row in rows.tolist() if self.goes_on(segments, flow, row)), stop)

    def go_on(self, pair: int) -> Incarnation:
        """The pair's present incarnation was not over."""
        slot = self.reset.pop(pair)
        incarnation = self.slots[slot]
        incarnation.ended, incarnation.connection.ended_by = False, "open"
        self._ended[slot] = False
        self.closing.add(slot)
        return incarnation

    def drop(self, slots: list[int]) -> None:
        """Forget these, and the endpoints of those that are the present ones of theirs."""
        pairs = []
        for slot in slots:
            pair = self.slots.pop(slot).pair
            if self.reset.get(pair) == slot:
                del self.reset[pair]
            if self._current[pair] == slot:
                self._current[pair] = -1
                pairs.append(pair)
        self._free.extend(slots)
        if pairs:
            self.flows.forget(pairs)

    def _place(self, begun: dict[int, list[tuple[int, int]]], pair: Int, slots: Int) -> None:
        """Write the incarnations that begin inside a batch over the rows from their first one on."""
        rows = np.flatnonzero(np.isin(pair, np.array(list(begun))))
        table = [(its_pair, row, slot) for its_pair, begins in begun.items() for row, slot in begins]
        begin = np.array(sorted(table), np.int64)
        size = len(pair)
        at = np.searchsorted(begin[:, 0] * size + begin[:, 1], pair[rows] * size + rows, "right") - 1
        of_one = (at >= 0) & (begin[at, 0] == pair[rows])
        slots[rows[of_one]] = begin[at[of_one], 2]
        for its_pair, begins in begun.items():
            self._current[its_pair] = begins[-1][1]

    def _replace(self, slot: int, now: int) -> None:
        incarnation = self.slots[slot]
        incarnation.replaced = True
        if incarnation.ended:
            self.gone.add(slot)
            self.reset.pop(incarnation.pair, None)
        else:
            incarnation.ending.close(now)
            self.closing.add(slot)

    def _is_new(self, slot: int, rows: _Rows, row: int) -> bool:
        """Does this row begin another connection between the same endpoints?"""
        incarnation, segments = self.slots[slot], rows.segments
        side = int(rows.flow[row]) & 1 ^ incarnation.flip
        sequence, length = int(segments.sequence[row]), int(segments.length[row])
        if segments.flags[row] & SYN:
            mine, other = (self._start(incarnation, each, rows, row) for each in (side, 1 - side))
            if segments.flags[row] & ACK and other is not None:  # an answer to the SYN that this connection knows?
                return other != int(segments.acknowledgement[row])
            if mine is not None:
                return mine != sequence + 1 & _MASK
            return other is not None or incarnation.ended
        if not length:
            return False
        receiver = incarnation.receivers[side]
        if not receiver.known:
            return incarnation.ended
        end = int(signed(sequence + length - receiver.sequence))
        return end < -REUSE_DISTANCE or (incarnation.ended and end > 0)

    def _fits(self, incarnation: Incarnation, segments: Segments, row: int, flow: int) -> bool:
        """Is this segment where its stream left off, or one sent again, and does it acknowledge what was sent?"""
        flags = int(segments.flags[row])
        side = flow & 1 ^ incarnation.flip
        mine, other = incarnation.receivers[side].reached, incarnation.receivers[1 - side].reached
        if flags & (SYN | RST) or not flags & ACK or mine is None:
            return False
        if not -REUSE_DISTANCE <= int(signed(int(segments.sequence[row]) - mine)) <= REACH:
            return False
        return other is None or -REUSE_DISTANCE <= int(signed(int(segments.acknowledgement[row]) - other)) <= 1  # a FIN

    def _start(self, incarnation: Incarnation, side: int, rows: _Rows, row: int) -> int | None:
        """Sequence number of the first byte known of a side's stream, as far as what came before ``row`` tells."""
        initial, receiver = incarnation.initial[side], incarnation.receivers[side]
        if initial is not None:
            return initial + 1 & _MASK
        if receiver.known:
            return receiver.sequence - receiver.expected & _MASK
        first = int(np.searchsorted(rows.segments.row, incarnation.first_ordinal - rows.batch.first))
        its_flow = 2 * incarnation.pair + (side ^ incarnation.flip)
        mine = (rows.flow[first:row] == its_flow) & (rows.segments.length[first:row] > 0)
        return int(rows.segments.sequence[first + int(mine.argmax())]) if mine.any() else None

    def _open(self, rows: _Rows, row: int) -> int:
        flow, flags = int(rows.flow[row]), int(rows.segments.flags[row])
        source, destination = self.flows.endpoints(flow)
        if flags & SYN:
            from_client = not flags & ACK
        elif (source.port in self.ports) != (destination.port in self.ports):
            from_client = destination.port in self.ports
        else:
            from_client = source.port > destination.port
        record = rows.batch.records[rows.segments.row[row]]
        client, server = (source, destination) if from_client else (destination, source)
        packet, time = int(record["packet"]), int(record["time"])
        ordinal = rows.batch.first + int(rows.segments.row[row])
        connection = Connection(next(self._numbers), "tcp", client, server, packet, time, packet, time)
        side = 0 if from_client else 1
        slot = self._free.pop() if self._free else len(self.slots)
        if slot >= len(self.flip):
            self.flip = np.concatenate((self.flip, np.zeros(len(self.flip), np.int64)))
            self._ended = np.concatenate((self._ended, np.zeros(len(self._ended), bool)))
        self.slots[slot] = Incarnation(
            connection,
            flow >> 1,
            flow & 1 ^ side,
            (Receiver(connection, 0, Arrivals.none()), Receiver(connection, 1, Arrivals.none())),
            ordinal,
            Ending([time, time]),
            [None, None],
            [False, False],
        )
        self.flip[slot], self._ended[slot] = flow & 1 ^ side, False
        rows.events.append(ConnectionEvent("open", connection, side, ordinal, packet, time))
        self._learn(slot, rows, row)
        return slot

    def _learn(self, slot: int, rows: _Rows, row: int) -> None:
        """The initial sequence numbers that a SYN tells."""
        segments = rows.segments
        if not segments.flags[row] & SYN:
            return
        incarnation = self.slots[slot]
        side = int(rows.flow[row]) & 1 ^ incarnation.flip
        initial = [(side, int(segments.sequence[row]))]
        incarnation.syn_seen[side] = True
        if segments.flags[row] & ACK:
            initial.append((1 - side, int(segments.acknowledgement[row]) - 1 & _MASK))
        for of_side, sequence in initial:
            if incarnation.initial[of_side] is None:
                incarnation.initial[of_side] = sequence
                if not incarnation.receivers[of_side].known:
                    incarnation.receivers[of_side].begin(sequence + 1 & _MASK)
                    incarnation.connection.directions[of_side].begin_seen = True
        incarnation.connection.handshake_seen = all(incarnation.syn_seen)

    def _grow(self) -> None:
        more = 2 * self.flows.pairs - len(self._current)
        if self.flows.pairs > len(self._current):
            self._current = np.concatenate((self._current, np.full(more, -1, np.int64)))
            self._seen = np.concatenate((self._seen, np.zeros(more, np.int64)))
