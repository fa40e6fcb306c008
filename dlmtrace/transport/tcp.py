"""TCP: segments of all connections, in batches, to ordered payload per connection direction (RFC 9293).

A batch's rows are grouped by direction.  A group whose segments simply follow each other goes by columns; only a group
with reordering, repetition, a gap or a cut is sorted out (``direction``).  Rows that begin a connection (SYN, unknown
addresses) or end one (FIN, RST) are few and looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import ACK, FIN, RST, SYN, Segments
from dlmtrace.transport.assembly import Assembly
from dlmtrace.transport.connections import Connection, ConnectionEvent, EndedBy
from dlmtrace.transport.direction import NO_CUTS, Receiver
from dlmtrace.transport.flows import FlowTable
from dlmtrace.transport.pieces import Pieces
from dlmtrace.transport.reorder import Arrivals, Cuts
from dlmtrace.transport.repeats import Repeats
from dlmtrace.transport.serial import signed

Int = npt.NDArray[np.int64]

LINGER = 1_000_000_000
"""ns of capture time that a closed connection is kept open for packets that were captured late."""

REUSE_DISTANCE = 1 << 24
"""Data further than this from the stream of a connection that ended belongs to a new one (its SYN was not captured)."""

CONNECTION_LIMIT = 8192
"""Connections remembered; beyond that those that ended are forgotten, then those that were silent longest."""

_MASK = (1 << 32) - 1


@dataclass(slots=True)
class Incarnation:
    """One connection and the places where the table keeps it."""

    connection: Connection
    pair: int
    flip: int  # the flow 2·pair carries what this side sends
    receivers: tuple[Receiver, Receiver]
    initial: list[int | None]  # initial sequence numbers, once known
    syn_seen: list[bool]
    alive: list[int]  # ns, time of each side's last packet that is no RST
    closing: int | None = None  # ns, when both FINs or an RST were seen
    reset: bool = False
    ended: bool = False


class TcpTransport:
    """Feed it batches in capture order; it gives ordered payload.  ``numbers`` gives each connection its index."""

    def __init__(self, ports: frozenset[int], numbers: Iterator[int]) -> None:
        self.ports = ports
        self._numbers = numbers
        self._flows = FlowTable()
        self._repeats = Repeats()
        self._buffers: dict[int, npt.NDArray[np.uint8]] = {}
        self._serial = 0
        self._slots: dict[int, Incarnation] = {}
        self._free: list[int] = []
        self._current: Int = np.full(64, -1, np.int64)  # slot of each pair's present incarnation
        self._flip: Int = np.zeros(64, np.int64)  # of each slot
        self._ended: npt.NDArray[np.bool_] = np.zeros(64, bool)  # of each slot
        self._closing: set[int] = set()  # slots
        self._waiting: set[int] = set()  # 2·slot+side of receivers with something behind a gap
        self._clock = 0  # ns, highest packet time so far
        self._last_ordinal = 0

    def feed(self, batch: PacketBatch, segments: Segments) -> Pieces:
        """Ordered payload that this batch completes."""
        self._serial += 1
        self._buffers[self._serial] = segments.buffer
        out = Assembly(self._buffers, self._serial)
        if len(batch.records):
            self._clock = max(self._clock, int(batch.records["time"].max()))
            self._last_ordinal = batch.first + len(batch.records) - 1
        if len(segments.row):
            self._take(batch, segments, out)
        for slot in list(self._closing):
            self._settle(slot, out)
        for key in list(self._waiting):
            receiver = self._slots[key >> 1].receivers[key & 1]
            out.add(receiver, receiver.settle(self._clock))
            if not len(receiver.waiting):
                self._waiting.discard(key)
        self._forget(out)
        pieces = out.pieces()
        if len(segments.row):
            self._repeats.remember(batch, segments, pieces)
        needed = {self._serial}
        for key in self._waiting:
            needed.update(np.unique(self._slots[key >> 1].receivers[key & 1].waiting.buffer).tolist())
        self._buffers = {serial: buffer for serial, buffer in self._buffers.items() if serial in needed}
        return pieces

    def finish(self) -> Pieces:
        """The capture is over: what waits behind gaps, and the end of every connection."""
        out = Assembly(self._buffers, self._serial)
        for slot in list(self._slots):
            if not self._slots[slot].ended:
                self._end(slot, out)
        return out.pieces()

    def _take(self, batch: PacketBatch, segments: Segments, out: Assembly) -> None:
        slot, flow = self._assign(batch, segments, out)
        key = 2 * slot + (flow & 1 ^ self._flip[slot])
        order = np.argsort(key, kind="stable")
        key = key[order]
        length = segments.length[order]
        flags = segments.flags[order]
        sequence = segments.sequence[order] + (flags & SYN != 0) & _MASK  # SYN takes one number
        acknowledged = np.where(flags & (ACK | RST) == ACK, segments.acknowledgement[order], -1)
        record = segments.row[order]
        arrivals = Arrivals.of(
            sequence,
            segments.captured[order],
            out.serial,
            segments.data[order],
            record + batch.first,
            batch.records["packet"][record],
            batch.records["time"][record],
        )
        starts = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
        stops = np.append(starts[1:], len(key))
        follows = np.ones(len(key), bool)
        follows[1:] = sequence[1:] == (sequence[:-1] + length[:-1] & _MASK)
        follows[starts] = True
        follows &= arrivals.length == length
        odd = np.concatenate(([0], np.cumsum(~follows)))
        total = np.concatenate(([0], np.cumsum(length)))
        loaded = np.flatnonzero(length > 0)
        loaded_at = np.searchsorted(loaded, np.append(starts, len(key)))
        payload = arrivals.take(loaded)
        before = total[loaded]
        groups = zip(
            key[starts].tolist(),
            starts.tolist(),
            stops.tolist(),
            loaded_at[:-1].tolist(),
            loaded_at[1:].tolist(),
            (odd[stops] == odd[starts]).tolist(),
            strict=True,
        )
        for group, low, high, first, last, in_order in groups:
            incarnation = self._slots[group >> 1]
            receiver = incarnation.receivers[group & 1]
            receiver.statistics.packets += high - low
            receiver.statistics.segments += last - first
            if in_order and receiver.plain and int(sequence[low]) == receiver.sequence:
                if first == last:
                    continue
                rows = payload.between(first, last)
                rows.position[:] = before[first:last] + (receiver.expected - int(total[low]))
                out.add(receiver, [receiver.continue_plainly(rows, int(total[high] - total[low]))])
            elif first < last or receiver.known:
                rows = arrivals.between(low, high)
                self._sort_out(group, rows, length[low:high], batch, segments, out)
        for row in np.flatnonzero(flags & (FIN | RST)).tolist():
            end = int(sequence[row] + length[row]) & _MASK
            self._close(int(key[row]), int(flags[row]), end, arrivals.between(row, row + 1), out)
        for group, low, high in zip(key[starts].tolist(), starts.tolist(), stops.tolist(), strict=True):
            self._acknowledge(self._slots[group >> 1].receivers[1 - (group & 1)], acknowledged[low:high])
        self._touch(key, starts, stops, flags, arrivals)

    def _sort_out(
        self, key: int, arrivals: Arrivals, length: Int, batch: PacketBatch, segments: Segments, out: Assembly
    ) -> None:
        """A group that does not simply continue its stream; positions of ``arrivals`` are sequence numbers."""
        incarnation = self._slots[key >> 1]
        receiver = incarnation.receivers[key & 1]
        statistics = receiver.statistics
        if not receiver.known:
            receiver.begin(_first_sequence(arrivals.position, length))
        start = receiver.expected
        position = start + signed(arrivals.position - receiver.sequence)
        statistics.keep_alives += int(((length == 0) & (position == start - 1)).sum())
        loaded = length > 0
        if incarnation.ended:
            statistics.late_bytes += int(length[loaded].sum())
            return
        if not loaded.any():
            return
        rows, length = arrivals.take(loaded), length[loaded]
        rows.position[:] = position[loaded]
        end = rows.position + length
        cut = rows.length < length
        cuts = Cuts.union((rows.position + rows.length)[cut], end[cut]).above(start) if cut.any() else NO_CUTS
        highest = np.maximum.accumulate(np.concatenate(([statistics.sent], end)))[:-1]
        statistics.sent = max(statistics.sent, int(end.max()))
        present = np.flatnonzero(rows.length)
        if len(present) < len(rows):
            rows, highest = rows.take(present), highest[present]
        result, deliveries = receiver.receive(rows, cuts)
        repeated = result.repeated
        behind = np.flatnonzero((rows.position < highest) & (rows.position >= start))
        statistics.out_of_order += len(behind) - len(np.intersect1d(behind, repeated, assume_unique=True))
        if len(repeated):
            self._repeats.examine(receiver, rows.take(repeated), result.kept, out.buffers, batch, segments)
        out.add(receiver, deliveries)
        if len(receiver.waiting):
            self._waiting.add(key)

    def _acknowledge(self, receiver: Receiver, acknowledged: Int) -> None:
        """The highest acknowledgement of the other side's rows; -1 marks rows without one."""
        if not receiver.known:
            return
        acknowledged = acknowledged[acknowledged >= 0]
        if len(acknowledged):
            receiver.acknowledge(receiver.expected + int(signed(acknowledged - receiver.sequence).max()))
            receiver.statistics.acknowledged = receiver.acknowledged

    def _close(self, key: int, flags: int, end: int, row: Arrivals, out: Assembly) -> None:
        """A FIN or RST.  ``end`` is the sequence number behind the segment's payload."""
        slot, side = key >> 1, key & 1
        incarnation = self._slots[slot]
        receiver, statistics = incarnation.receivers[side], incarnation.receivers[side].statistics
        packet, time = int(row.packet[0]), int(row.time[0])
        if flags & RST:
            if statistics.reset_packet is not None or incarnation.ended:
                return
            statistics.reset_packet, incarnation.reset = packet, True
            if incarnation.closing is None:
                incarnation.closing = time
            self._closing.add(slot)
        else:
            if statistics.fin_packet is not None or incarnation.ended:
                return
            statistics.fin_packet = packet
            if receiver.known:
                receiver.finish_position = receiver.expected + int(signed(end - receiver.sequence))
            if all(direction.fin_packet is not None for direction in incarnation.connection.directions):
                incarnation.closing = incarnation.closing or time
                self._closing.add(slot)
        kind: Any = "rst" if flags & RST else "fin"
        out.events.append(ConnectionEvent(kind, incarnation.connection, side, int(row.ordinal[0]), packet, time))

    def _touch(self, key: Int, starts: Int, stops: Int, flags: Int, arrivals: Arrivals) -> None:
        """Last packet and time of every connection with rows in the batch."""
        for group, low, high in zip(key[starts].tolist(), starts.tolist(), stops.tolist(), strict=True):
            incarnation = self._slots[group >> 1]
            connection = incarnation.connection
            time = int(arrivals.time[high - 1])
            if time >= connection.closed:
                connection.closed, connection.last_packet = time, int(arrivals.packet[high - 1])
            alive = arrivals.time[low:high][flags[low:high] & RST == 0]
            if len(alive):
                incarnation.alive[group & 1] = max(incarnation.alive[group & 1], int(alive[-1]))

    # Which connection a row belongs to.

    def _assign(self, batch: PacketBatch, segments: Segments, out: Assembly) -> tuple[Int, Int]:
        """Slot and flow of each row; connections begin here."""
        flow = self._flows.lookup(segments)
        pair = flow >> 1
        if self._flows.pairs > len(self._current):
            grown = np.full(2 * self._flows.pairs, -1, np.int64)
            grown[: len(self._current)] = self._current
            self._current = grown
        present = self._current[pair]
        special = (segments.flags & SYN != 0) | (present >= 0) & self._ended[present] & (segments.length > 0)
        unknown = np.flatnonzero(present < 0)
        special[unknown[np.unique(pair[unknown], return_index=True)[1]]] = True
        splits: list[tuple[int, int, int]] = []  # pair, row, slot from that row on
        for row in np.flatnonzero(special).tolist():
            slot = int(self._current[pair[row]])
            for split_pair, _, split_slot in reversed(splits):
                if split_pair == pair[row]:
                    slot = split_slot
                    break
            if slot < 0:
                self._current[pair[row]] = self._open(row, int(flow[row]), batch, segments, out)
            elif self._is_new(slot, row, int(flow[row]), segments):
                splits.append((int(pair[row]), row, self._open(row, int(flow[row]), batch, segments, out)))
                if not self._slots[slot].ended:
                    self._closing.add(slot)
                    self._slots[slot].closing = self._slots[slot].closing or int(self._clock)
            else:
                self._learn(slot, row, int(flow[row]), segments)
        slots = self._current[pair]
        for split_pair, row, slot in splits:
            slots[row:][pair[row:] == split_pair] = slot
            self._current[split_pair] = slot
        return slots, flow

    def _is_new(self, slot: int, row: int, flow: int, segments: Segments) -> bool:
        """Does this row begin another connection between the same endpoints?"""
        incarnation = self._slots[slot]
        side = flow & 1 ^ incarnation.flip
        sequence, flags = int(segments.sequence[row]), int(segments.flags[row])
        if flags & SYN:
            if flags & ACK:  # an answer to the SYN that this connection knows?
                initial = incarnation.initial[1 - side]
                return initial is not None and initial != int(segments.acknowledgement[row]) - 1 & _MASK
            initial = incarnation.initial[side]
            return initial != sequence if initial is not None else incarnation.receivers[side].known
        receiver = incarnation.receivers[side]
        return incarnation.ended and abs(signed(sequence - receiver.sequence)) > REUSE_DISTANCE

    def _open(self, row: int, flow: int, batch: PacketBatch, segments: Segments, out: Assembly) -> int:
        source, destination = self._flows.endpoints(flow)
        flags = int(segments.flags[row])
        if flags & SYN:
            from_client = not flags & ACK
        elif (source.port in self.ports) != (destination.port in self.ports):
            from_client = destination.port in self.ports
        else:
            from_client = source.port > destination.port
        record = batch.records[segments.row[row]]
        client, server = (source, destination) if from_client else (destination, source)
        first_packet, opened = int(record["packet"]), int(record["time"])
        connection = Connection(next(self._numbers), "tcp", client, server, first_packet, opened, first_packet, opened)
        side = 0 if from_client else 1
        slot = self._free.pop() if self._free else len(self._slots)
        if slot >= len(self._flip):
            self._flip = np.concatenate((self._flip, np.zeros(len(self._flip), np.int64)))
            self._ended = np.concatenate((self._ended, np.zeros(len(self._ended), bool)))
        self._slots[slot] = Incarnation(
            connection,
            flow >> 1,
            flow & 1 ^ side,
            (Receiver(connection, 0), Receiver(connection, 1)),
            [None, None],
            [False, False],
            [opened, opened],
        )
        self._flip[slot], self._ended[slot] = flow & 1 ^ side, False
        ordinal = batch.first + int(segments.row[row])
        out.events.append(
            ConnectionEvent("open", connection, side, ordinal, connection.first_packet, connection.opened)
        )
        if flags & SYN:
            self._learn(slot, row, flow, segments)
        return slot

    def _learn(self, slot: int, row: int, flow: int, segments: Segments) -> None:
        """The initial sequence numbers that a SYN tells."""
        if not segments.flags[row] & SYN:
            return
        incarnation = self._slots[slot]
        side = flow & 1 ^ incarnation.flip
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

    # The end of connections.

    def _settle(self, slot: int, out: Assembly) -> None:
        """A connection that was closed or reset: end it when no more of it is to be expected."""
        incarnation = self._slots[slot]
        if self._clock - (incarnation.closing or 0) < LINGER:
            return
        if self._survived(slot):
            incarnation.reset, incarnation.closing = False, None
            self._closing.discard(slot)
        else:
            self._end(slot, out)

    def _survived(self, slot: int) -> bool:
        """Did both sides go on after the RST, because the other one did not accept it?"""
        incarnation = self._slots[slot]
        if not incarnation.reset or self._current[incarnation.pair] != slot:
            return False
        return min(incarnation.alive) > (incarnation.closing or 0) + LINGER // 2

    def _end(self, slot: int, out: Assembly) -> None:
        """Nothing more is expected: what waits is delivered, gaps are holes."""
        incarnation = self._slots[slot]
        connection = incarnation.connection
        replaced = self._current[incarnation.pair] != slot
        ended_by: EndedBy = "open"
        if incarnation.reset and not self._survived(slot):
            ended_by = "rst"
        elif all(direction.fin_packet is not None for direction in connection.directions):
            ended_by = "fin"
        elif replaced or incarnation.closing is not None:
            ended_by = "abandoned"
        connection.ended_by = ended_by
        for side, receiver in enumerate(incarnation.receivers):
            deliveries, hole, cut = receiver.finish()
            out.add(receiver, deliveries)
            out.end(receiver, hole, cut)
            self._waiting.discard(2 * slot + side)
        incarnation.ended = True
        self._ended[slot] = True
        self._closing.discard(slot)
        last = (self._last_ordinal, connection.last_packet, connection.closed)
        out.events.append(ConnectionEvent("end", connection, 0, *last))
        if replaced:
            self._drop(slot)

    def _drop(self, slot: int) -> None:
        del self._slots[slot]
        self._free.append(slot)

    def _forget(self, out: Assembly) -> None:
        """Keep the tables bounded: connections that ended go first, then those that were silent longest."""
        if len(self._slots) <= CONNECTION_LIMIT:
            return
        oldest = sorted(self._slots, key=lambda slot: (not self._slots[slot].ended, max(self._slots[slot].alive)))
        pairs = []
        for slot in oldest[: len(oldest) - CONNECTION_LIMIT // 2]:
            incarnation = self._slots[slot]
            if not incarnation.ended:
                incarnation.closing = self._clock
                self._end(slot, out)
            if slot in self._slots:
                pairs.append(incarnation.pair)
                self._current[incarnation.pair] = -1
                self._drop(slot)
        self._flows.forget(pairs)


def _first_sequence(sequence: Int, length: Int) -> int:
    """Where a stream begins that was under way when the capture started: its first segment, or one that was captured
    a little later and ends just where the beginning is."""
    loaded = length > 0
    if not loaded.any():
        return int(sequence[0])
    first, ends = sequence[loaded][:16], (sequence[loaded] + length[loaded] & _MASK)[:16]
    begin = int(first[0])
    for _ in range(len(first)):
        earlier = first[ends == begin]
        if not len(earlier):
            break
        begin = int(earlier[0])
    return begin
