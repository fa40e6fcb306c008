"""TCP: segments of all connections, in batches, to ordered payload per connection direction (RFC 9293).

A batch's rows are grouped by direction.  A group whose segments simply follow each other goes by columns; only a group
with reordering, repetition, a gap or a cut is sorted out (``direction``).  Rows that begin a connection (SYN, unknown
addresses) or end one (FIN, RST) are few and looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import ACK, FIN, RST, SYN, Segments
from dlmtrace.gather import Bytes
from dlmtrace.transport.assembly import Assembly
from dlmtrace.transport.columns import select
from dlmtrace.transport.connections import ConnectionEvent, EndedBy
from dlmtrace.transport.direction import NO_CUTS, relieve
from dlmtrace.transport.disorder import Group, put_in_order
from dlmtrace.transport.ending import Ending, may_be_decided
from dlmtrace.transport.incarnations import SILENCE, IncarnationTable
from dlmtrace.transport.pieces import Pieces, joined
from dlmtrace.transport.reorder import Arrivals, Ranges
from dlmtrace.transport.repeats import Repeats, Repetition, Transmissions
from dlmtrace.transport.serial import signed

Int = npt.NDArray[np.int64]

CONNECTION_LIMIT = 8192
"""Connections remembered; beyond that those that ended are forgotten, then those that were silent longest."""

LARGEST_WINDOW = 1 << 30
"""Bytes that may be under way (RFC 7323 §2.3): a FIN that claims to be further on is not believed."""

_MASK = (1 << 32) - 1
_NEVER = -(1 << 62)


class TcpTransport:
    """Feed it batches in capture order; it gives ordered payload.  ``numbers`` gives each connection its index."""

    def __init__(self, ports: frozenset[int], numbers: Iterator[int]) -> None:
        self._table = IncarnationTable(ports, numbers)
        self._repeats = Repeats()
        self._buffers: dict[int, Bytes] = {}  # this batch's; what waits in a direction has its own under -1 - key
        self._serial = 0
        self._waiting: set[int] = set()  # keys (2·slot+side) of receivers with something behind a gap
        self._clock = _NEVER  # ns, highest packet time so far
        self._last_ordinal = 0

    def feed(self, batch: PacketBatch, segments: Segments) -> list[Pieces]:
        """Ordered payload that this batch completes; in several parts where a direction ends in one and goes on in the
        next."""
        self._serial += 1
        self._buffers[self._serial] = segments.buffer
        parts: list[Pieces] = []
        out = Assembly(self._buffers, self._serial)
        transmissions = Transmissions(batch, segments)
        if len(batch.records):
            clock = np.maximum(np.maximum.accumulate(batch.records["time"]), self._clock)
            if len(segments.row):
                out = self._walk(batch, segments, clock[segments.row], transmissions, parts)
            self._clock = int(clock[-1])
            self._last_ordinal = batch.first + len(batch.records) - 1
            self._settle(out)
        forgotten = self._keep_bounds(out)
        parts.append(self._complete(out))
        if len(segments.row):
            self._repeats.remember(transmissions, parts[-1])
        self._table.drop(forgotten)
        self._stow()
        return parts

    def finish(self) -> Pieces:
        """The capture is over: what waits behind gaps, and the end of every connection."""
        out = Assembly(self._buffers, self._serial)
        for slot in list(self._table.slots):
            if not self._table.slots[slot].ended:
                self._end(slot, out)
        return out.pieces()

    def _walk(
        self, batch: PacketBatch, segments: Segments, clock: Int, transmissions: Transmissions, parts: list[Pieces]
    ) -> Assembly:
        """Take the rows; where a connection is over, or goes on all the same, or all was silent, what came before is
        settled first.  Parts that are complete go to ``parts``; gives the last one."""
        out = Assembly(self._buffers, self._serial)
        flow = self._table.flows.lookup(segments)
        start = 0
        while start < len(flow):
            self._clock = int(clock[start])
            self._last_ordinal = batch.first + int(segments.row[start]) - 1
            self._settle(out)
            if self._table.goes_on(segments, flow, start):
                incarnation = self._table.go_on(int(flow[start]) >> 1)
                if any(map(out.has_ended, incarnation.receivers)):
                    parts.append(self._complete(out))
                    self._repeats.remember(transmissions, parts[-1])
                    out = Assembly(self._buffers, self._serial)
            stop = self._next_stop(segments, flow, clock, start)
            stop = self._table.next_going_on(segments, flow, start + 1, stop)
            rows = slice(start, stop)
            part = segments if stop - start == len(flow) else select(segments, rows)
            self._take(batch, part, flow[rows], clock[rows], transmissions, out)
            start = stop
        return out

    def _complete(self, out: Assembly) -> Pieces:
        """What was delivered so far, and what may still come before it."""
        for key in sorted(self._waiting):
            out.wait(self._table.slots[key >> 1].receivers[key & 1], self._clock)
        return out.pieces()

    def _next_stop(self, segments: Segments, flow: Int, clock: Int, start: int) -> int:
        """The next row behind ``start`` before which it is decided whether a closed connection is over, or before which
        everyone was silent for long."""
        jumps = np.flatnonzero(clock[start + 1 :] - clock[start:-1] >= SILENCE)
        stop = start + 1 + int(jumps[0]) if len(jumps) else len(flow)
        pair = flow >> 1
        closings = np.flatnonzero(segments.flags[start:stop] & (FIN | RST)) + start
        last = int(clock[stop - 1])
        if not may_be_decided(int(clock[start]), last):
            closings = closings[:0]
        slots = [self._table.slots[slot] for slot in self._table.closing]
        pairs = [slot.pair for slot in slots if may_be_decided(slot.ending.closing, last)]
        if not len(closings) and not pairs:
            return stop
        rows = np.flatnonzero(np.isin(pair[start:stop], [*pairs, *pair[closings].tolist()])) + start
        endings: dict[int, Ending] = {}
        for row, its_flow, now, flags in zip(
            rows.tolist(), flow[rows].tolist(), clock[rows].tolist(), segments.flags[rows].tolist(), strict=True
        ):
            ending = endings.get(its_flow >> 1)
            if ending is None:
                ending = endings[its_flow >> 1] = self._table.ending_of(its_flow >> 1, now)
            if row > start and (ending.is_silent(now) or ending.survived()):
                return row
            ending.note(its_flow & 1, flags, now)
        return stop

    def _take(
        self, batch: PacketBatch, segments: Segments, flow: Int, clock: Int, transmissions: Transmissions, out: Assembly
    ) -> None:
        """Rows during which no connection was over."""
        slot = self._table.assign(batch, segments, flow, clock, out.events)
        key = 2 * slot + (flow & 1 ^ self._table.flip[slot])
        # the sort of so small a type is a radix sort
        order = np.argsort(key.astype(np.int16) if 2 * len(self._table.flip) <= 1 << 15 else key, kind="stable")
        key = key[order]
        length = segments.length[order]
        flags = segments.flags[order]
        sequence = segments.sequence[order] + (flags & SYN != 0) & _MASK  # SYN takes one number
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
        groups = key[starts].tolist()
        disordered = []
        for group, low, high, first, last, in_order in zip(
            groups,
            starts.tolist(),
            stops.tolist(),
            loaded_at[:-1].tolist(),
            loaded_at[1:].tolist(),
            (odd[stops] == odd[starts]).tolist(),
            strict=True,
        ):
            incarnation = self._table.slots[group >> 1]
            receiver = incarnation.receivers[group & 1]
            receiver.statistics.packets += high - low
            receiver.statistics.segments += last - first
            if incarnation.ended:
                receiver.statistics.late_bytes += int(total[high] - total[low])
            elif in_order and receiver.plain and int(sequence[low]) == receiver.sequence:
                if first == last:
                    continue
                rows = payload.between(first, last)
                rows.position[:] = before[first:last] + (receiver.expected - int(total[low]))
                out.add(receiver, [receiver.continue_plainly(rows, int(total[high] - total[low]))])
            elif first < last or receiver.known:
                disordered.append(Group(group, receiver, low, high))
        cuts = np.concatenate(([0], np.cumsum(arrivals.length != length)))
        usual: list[Group] = []
        others: list[Group] = []
        for each in disordered:
            (usual if each.receiver.plain and cuts[each.low] == cuts[each.high] else others).append(each)
        repetitions, left = put_in_order(usual, arrivals, length, out)
        for each in others + left:
            rows, sizes = arrivals.between(each.low, each.high), length[each.low : each.high]
            self._sort_out(each.key, rows, sizes, repetitions, out)
        self._repeats.examine(repetitions, out.buffers, transmissions)
        moment = clock[order]
        for row in np.flatnonzero(flags & (FIN | RST)).tolist():
            end = int(sequence[row] + length[row]) & _MASK
            self._close(int(key[row]), int(flags[row]), end, int(moment[row]), arrivals.between(row, row + 1), out)
        acknowledged = np.where(flags & (ACK | RST) == ACK, segments.acknowledgement[order], -1)
        self._acknowledge(groups, starts, stops, acknowledged, moment)
        self._touch(groups, starts, stops, flags, moment, arrivals)

    def _sort_out(
        self, key: int, arrivals: Arrivals, length: Int, repetitions: list[Repetition], out: Assembly
    ) -> None:
        """A group that does not simply continue its stream; positions of ``arrivals`` are sequence numbers.

        What came again goes to ``repetitions``.
        """
        receiver = self._table.slots[key >> 1].receivers[key & 1]
        statistics = receiver.statistics
        if not receiver.known:
            first = int(np.flatnonzero(length)[0])
            arrivals, length = arrivals.between(first, None), length[first:]
            receiver.begin_under_way(int(arrivals.position[0]), int(arrivals.time[0]))
        if receiver.start_open_until is not None:
            self._waiting.add(key)
            later = np.flatnonzero(arrivals.time > receiver.start_open_until)
            if len(later):
                split = int(later[0])
                if split:
                    self._sort_out(key, arrivals.between(0, split), length[:split], repetitions, out)
                out.add(receiver, receiver.fix_start())
                arrivals, length = arrivals.between(split, None), length[split:]
        position = receiver.expected + signed(arrivals.position - receiver.sequence)
        end = position + length
        loaded = length > 0
        highest = np.maximum.accumulate(np.concatenate(([statistics.sent], np.where(loaded, end, statistics.sent))))
        statistics.sent, highest = int(highest[-1]), highest[:-1]
        statistics.keep_alives += int((~loaded & (position == highest - 1)).sum())
        cut = arrivals.length < length
        cuts = Ranges.union((position + arrivals.length)[cut], end[cut]) if cut.any() else NO_CUTS
        present = np.flatnonzero(arrivals.length)
        if not len(present) and not len(cuts.low):
            return
        rows, highest = arrivals.take(present), highest[present]
        rows.position[:] = position[present]
        start = receiver.lowest
        result, deliveries = receiver.receive(rows, cuts)
        behind = np.flatnonzero((rows.position < highest) & (rows.position >= start))
        statistics.out_of_order += len(np.setdiff1d(behind, result.repeated, assume_unique=True))
        if len(result.repeated):
            again, kept = rows.take(result.repeated), Arrivals.concatenate([*out.delivered(receiver), result.kept])
            repetitions.append(Repetition(receiver, again, highest[result.repeated], kept))
        out.add(receiver, deliveries)
        if receiver.waits:
            self._waiting.add(key)

    def _acknowledge(self, groups: list[int], starts: Int, stops: Int, acknowledged: Int, moment: Int) -> None:
        """What each group's highest acknowledgement says of the other direction; -1 marks rows without one."""
        others = [self._table.slots[group >> 1].receivers[1 - (group & 1)] for group in groups]
        for index, other in enumerate(others):
            if not other.known and not other.sequence:  # any number will do until the stream is known
                numbers = acknowledged[starts[index] : stops[index]]
                other.sequence = int(numbers.max())
        base = np.repeat([other.sequence for other in others], stops - starts)
        ahead = np.where(acknowledged >= 0, signed(acknowledged - base), _NEVER)
        highest = np.maximum.reduceat(ahead, starts).tolist()
        for other, position, now in zip(others, highest, moment[stops - 1].tolist(), strict=True):
            if position > _NEVER:
                other.acknowledge(other.expected + position, now)
                if other.known:
                    other.statistics.acknowledged = max(-1, other.acknowledged)

    def _close(self, key: int, flags: int, end: int, now: int, row: Arrivals, out: Assembly) -> None:
        """A FIN or RST.  ``end`` is the sequence number behind the segment's payload."""
        slot, side = key >> 1, key & 1
        incarnation = self._table.slots[slot]
        receiver, statistics = incarnation.receivers[side], incarnation.connection.directions[side]
        if incarnation.ended or not incarnation.ending.note(side ^ incarnation.flip, flags, now):
            return
        if incarnation.ending.closing is not None:
            self._table.closing.add(slot)
        packet, time = int(row.packet[0]), int(row.time[0])
        kind: Any = "rst" if flags & RST else "fin"
        if flags & RST:
            if statistics.reset_packet is None:
                statistics.reset_packet = packet
        else:
            statistics.fin_packet = packet
            ahead = int(signed(end - receiver.sequence))
            if receiver.known and abs(ahead) < LARGEST_WINDOW:
                receiver.finish_position = receiver.expected + ahead
        out.events.append(ConnectionEvent(kind, incarnation.connection, side, int(row.ordinal[0]), packet, time))

    def _touch(self, groups: list[int], starts: Int, stops: Int, flags: Int, moment: Int, arrivals: Arrivals) -> None:
        """Last packet and time of every connection with rows here."""
        last = stops - 1
        resets = flags & RST != 0
        alive = last
        if resets.any():
            alive = np.maximum.reduceat(np.where(resets, -1, np.arange(len(flags))), starts)
        for group, packet, time, living, now in zip(
            groups,
            arrivals.packet[last].tolist(),
            arrivals.time[last].tolist(),
            (alive >= 0).tolist(),
            moment[alive].tolist(),
            strict=True,
        ):
            incarnation = self._table.slots[group >> 1]
            connection = incarnation.connection
            if time >= connection.closed:
                connection.closed, connection.last_packet = time, packet
            if living:
                incarnation.ending.alive[group & 1 ^ incarnation.flip] = now

    # The end of connections.

    def _settle(self, out: Assembly) -> None:
        """What capture time alone decides: closed connections that are over, gaps that are holes."""
        for slot in sorted(self._table.closing):
            incarnation = self._table.slots[slot]
            if incarnation.ending.survived() and not incarnation.replaced:
                incarnation.ending.go_on()
                self._table.closing.discard(slot)
                connection = incarnation.connection
                now = (self._last_ordinal, connection.last_packet, connection.closed)
                out.events.append(ConnectionEvent("survived", connection, 0, *now))
            elif incarnation.ending.is_silent(self._clock):
                self._end(slot, out)
        for key in sorted(self._waiting):
            receiver = self._table.slots[key >> 1].receivers[key & 1]
            out.add(receiver, receiver.settle(self._clock))

    def _end(self, slot: int, out: Assembly) -> None:
        """Nothing more is expected: what waits is delivered, gaps are holes."""
        incarnation = self._table.slots[slot]
        connection, ending = incarnation.connection, incarnation.ending
        ended_by: EndedBy = "open"
        if ending.was_reset and (incarnation.replaced or not ending.survived()):
            ended_by = "rst"
        elif all(ending.finished):
            ended_by = "fin"
        elif ending.closing is not None:
            ended_by = "abandoned"
        connection.ended_by = ended_by
        for receiver in incarnation.receivers:
            deliveries, hole, cut = receiver.finish()
            out.add(receiver, deliveries)
            out.end(receiver, hole, cut)
        self._table.end(slot)
        last = (self._last_ordinal, connection.last_packet, connection.closed)
        out.events.append(ConnectionEvent("end", connection, 0, *last))

    # Bounds.

    def _keep_bounds(self, out: Assembly) -> list[int]:
        """Declare holes where too much waits.  Gives the slots to be forgotten: those with a successor, and when there
        are too many those that ended, then those that were silent longest."""
        slots = self._table.slots
        receivers = [slots[key >> 1].receivers[key & 1] for key in self._waiting]
        for index, deliveries in relieve(receivers):
            out.add(receivers[index], deliveries)
        if len(slots) > CONNECTION_LIMIT:
            oldest = sorted(slots, key=lambda slot: (not slots[slot].ended, max(slots[slot].ending.alive)))
            for slot in oldest[: len(oldest) - CONNECTION_LIMIT // 2]:
                if not slots[slot].ended:
                    slots[slot].ending.close(self._clock)
                    self._end(slot, out)
                self._table.gone.add(slot)
        forgotten, self._table.gone = sorted(self._table.gone), set()
        return forgotten

    def _stow(self) -> None:
        """Keep of the buffers only what waits, each direction's in one of its own."""
        buffers = {}
        for key in sorted(self._waiting):
            incarnation = self._table.slots.get(key >> 1)
            receiver = incarnation.receivers[key & 1] if incarnation else None
            if receiver is None or not (receiver.waits or receiver.start_open_until is not None):
                self._waiting.discard(key)
                continue
            rows, own = receiver.waiting, -1 - key
            if (rows.buffer != own).any():
                buffers[own] = joined(self._buffers, rows.buffer, rows.offset, rows.length)
                rows.buffer[:], rows.offset[:] = own, np.cumsum(rows.length) - rows.length
            elif own in self._buffers:
                buffers[own] = self._buffers[own]
        self._buffers = buffers
