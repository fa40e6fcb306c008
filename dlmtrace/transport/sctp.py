"""SCTP: chunks of all associations, in batches, to ordered payload per association direction (RFC 9260).

The kernel uses one stream, so the TSN gives the order.  Positions count chunks here until they are delivered; where
DATA chunks are missing nobody knows how many bytes they held: a hole's length counts one byte for each, at least.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import Chunks
from dlmtrace.gather import Bytes
from dlmtrace.transport.assembly import Assembly
from dlmtrace.transport.associations import (
    ABORT,
    CAPTURED,
    IDENTIFICATION,
    SHUTDOWN_COMPLETE,
    SIZE,
    Association,
    AssociationTable,
    StreamDirection,
    endpoints,
    tag_keys,
)
from dlmtrace.transport.connections import ConnectionEvent
from dlmtrace.transport.direction import NO_CUTS, Delivery, relieve
from dlmtrace.transport.ending import LINGER
from dlmtrace.transport.pieces import Pieces, joined
from dlmtrace.transport.reorder import Arrivals
from dlmtrace.transport.repeats import BATCH_COST, COPY_SPAN, HISTORY_BYTES, NEAR_SPAN, RUN_COST
from dlmtrace.transport.serial import signed

Int = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

DATA, SACK, SHUTDOWN, SHUTDOWN_ACK = 0, 3, 7, 8
"""Chunk types (RFC 9260 §3.2)."""

ASSOCIATION_LIMIT = 4096
"""Associations remembered; beyond that the longest silent ones go."""

PATH_LIMIT = 16
"""Address pairs noted of an association: more than the kernel's three addresses of a node make."""


class SctpTransport:
    """Feed it batches in capture order; it gives ordered payload.  ``numbers`` gives each association its index."""

    def __init__(self, ports: frozenset[int], numbers: Iterator[int]) -> None:
        self._table = AssociationTable(ports, ASSOCIATION_LIMIT, numbers)
        self._first_copies = _FirstCopies()
        self._buffers: dict[int, Bytes] = {}  # this batch's; what waits in a direction has its own under -1 - key
        self._serial = 0
        self._clock = 0  # ns
        self._last_ordinal = 0

    def feed(self, batch: PacketBatch, chunks: Chunks) -> Pieces:
        """Ordered payload that this batch completes."""
        self._serial += 1
        self._buffers[self._serial] = chunks.buffer
        out = Assembly(self._buffers, self._serial)
        if len(batch.records):
            self._clock = max(self._clock, int(batch.records["time"].max()))
            self._last_ordinal = batch.first + len(batch.records) - 1
        if len(chunks.row):
            self._take(batch, chunks, out)
        for association in self._table.associations.values():
            if association.ended:
                continue
            for direction in association.directions:
                if not direction.receiver.plain:
                    self._deliver(direction, direction.receiver.settle(self._clock), out)
                    out.wait(direction.receiver, self._clock)
            closing = association.closing
            if closing is not None and self._clock - max(closing, association.last_time) >= LINGER:
                self._end(association, out)
        for association in self._table.forget():
            association.close(self._clock)
            self._end(association, out)
        directions = [each for association in self._table.associations.values() for each in association.directions]
        for index, deliveries in relieve([direction.receiver for direction in directions]):
            self._deliver(directions[index], deliveries, out)
        pieces = out.pieces()
        self._first_copies.end_batch(len(chunks.buffer), self._buffers)
        self._stow()
        return pieces

    def finish(self) -> Pieces:
        """The capture is over: what waits behind gaps, and the end of every association."""
        out = Assembly(self._buffers, self._serial)
        for association in self._table.associations.values():
            self._end(association, out)
        return out.pieces()

    def _take(self, batch: PacketBatch, chunks: Chunks, out: Assembly) -> None:
        initiated = self._table.initiate(batch, chunks, out.events)
        groups = [(association, side, np.array([row])) for association, side, row in initiated]
        unique, first, group = np.unique(tag_keys(chunks), return_index=True, return_inverse=True)
        order = np.argsort(group, kind="stable")
        bounds = np.searchsorted(group[order], np.arange(len(unique) + 1))
        for index in np.argsort(first).tolist():
            target = self._table.find(chunks, int(first[index]), batch, out.events)
            if target is not None:
                groups.append((*target, order[bounds[index] : bounds[index + 1]]))
        for association, side, rows in groups:
            self._note(association, side, rows, batch, chunks, out)
            data = rows[chunks.type[rows] == DATA]
            if len(data) and association.ended:
                association.connection.directions[side].late_bytes += int(chunks.length[data].sum())
            elif len(data):
                self._data(association.directions[side], data, batch, chunks, out)
        for association, side, rows in groups:
            kind = chunks.type[rows]
            told = rows[((kind == SACK) | (kind == SHUTDOWN)) & (chunks.captured[rows] >= 4)]
            self._acknowledge(association.directions[1 - side], told, chunks)

    def _note(
        self, association: Association, side: int, rows: Int, batch: PacketBatch, chunks: Chunks, out: Assembly
    ) -> None:
        """Counts, times, paths and the end of an association."""
        connection = association.connection
        statistics = connection.directions[side]
        records = batch.records[chunks.row[rows]]
        statistics.packets += len(np.unique(chunks.row[rows]))
        association.last_time = max(association.last_time, int(records["time"].max()))
        if records["time"][-1] >= connection.closed:
            connection.closed, connection.last_packet = int(records["time"][-1]), int(records["packet"][-1])
        self._note_paths(association, side, rows, chunks)
        for row in rows[np.isin(chunks.type[rows], (ABORT, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE))].tolist():
            record = batch.records[chunks.row[row]]
            packet, time = int(record["packet"]), int(record["time"])
            where = (batch.first + int(chunks.row[row]), packet, time)
            if association.ended:
                continue
            if chunks.type[row] == ABORT:
                if statistics.reset_packet is None:
                    statistics.reset_packet, association.was_reset = packet, True
                    out.events.append(ConnectionEvent("rst", connection, side, *where))
                association.close(time)
            elif chunks.type[row] == SHUTDOWN_COMPLETE:
                association.close(time)
            elif statistics.fin_packet is None:
                statistics.fin_packet = packet
                out.events.append(ConnectionEvent("fin", connection, side, *where))
                if all(each.fin_packet is not None for each in connection.directions):
                    association.close(time)

    def _note_paths(self, association: Association, side: int, rows: Int, chunks: Chunks) -> None:
        """Address pairs beyond the first."""
        connection = association.connection
        source, destination = connection.endpoint(side), connection.endpoint(1 - side)
        other = (chunks.source_low[rows] != source.low) | (chunks.destination_low[rows] != destination.low)
        other |= (chunks.source_high[rows] != source.high) | (chunks.destination_high[rows] != destination.high)
        rows = rows[other]
        if not len(rows) or len(connection.paths) >= PATH_LIMIT:
            return
        mixed = chunks.source_low[rows] * np.uint64(0x9E3779B97F4A7C15) ^ chunks.destination_low[rows]
        for row in rows[np.sort(np.unique(mixed, return_index=True)[1])[:PATH_LIMIT]].tolist():
            path = endpoints(chunks, row)[:: -1 if side else 1]
            if path not in connection.paths and len(connection.paths) < PATH_LIMIT:
                connection.paths.append((path[0], path[1]))

    def _data(self, direction: StreamDirection, rows: Int, batch: PacketBatch, chunks: Chunks, out: Assembly) -> None:
        receiver = direction.receiver
        receiver.statistics.segments += len(rows)
        records = batch.records[chunks.row[rows]]
        tsn, time = chunks.tsn[rows], records["time"]
        if not receiver.known:
            receiver.begin_under_way(int(tsn[0]), int(time[0]))
        if receiver.start_open_until is not None:
            later = np.flatnonzero(time > receiver.start_open_until)
            if len(later):
                split = int(later[0])
                if split:
                    receiver.statistics.segments -= len(rows)
                    self._data(direction, rows[:split], batch, chunks, out)
                    self._deliver(direction, receiver.fix_start(), out)
                    self._data(direction, rows[split:], batch, chunks, out)
                    return
                self._deliver(direction, receiver.fix_start(), out)
        position = receiver.expected + signed(tsn - receiver.sequence)
        length = np.maximum(chunks.length[rows], 0)
        arrivals = Arrivals.of(
            position,
            np.ones(len(rows), np.int64),
            self._serial,
            chunks.data[rows],
            chunks.row[rows] + batch.first,
            records["packet"],
            time,
            length,
            np.clip(chunks.captured[rows], 0, length),
            chunks.identification[rows],
        )
        if receiver.plain and position[0] == receiver.expected and (position[1:] == position[:-1] + 1).all():
            self._deliver(direction, [receiver.continue_plainly(arrivals, len(rows))], out)
            return
        start = receiver.lowest
        highest = np.maximum.accumulate(np.concatenate(([start - 1], position)))[:-1]
        result, deliveries = receiver.receive(arrivals, NO_CUTS)
        behind = np.flatnonzero((position < highest) & (position >= start))
        receiver.statistics.out_of_order += len(np.setdiff1d(behind, result.repeated, assume_unique=True))
        if len(result.repeated):
            self._first_copies.examine(direction, arrivals.take(result.repeated), result.kept, self._buffers)
        self._deliver(direction, deliveries, out)

    def _acknowledge(self, direction: StreamDirection, told: Int, chunks: Chunks) -> None:
        """Cumulative TSN acknowledgements for a direction, by SACK and SHUTDOWN chunks."""
        receiver = direction.receiver
        if not len(told) or not receiver.known:
            return
        at = chunks.data[told][:, None] + np.arange(4)
        cumulative = chunks.buffer[at].view(">u4")[:, 0].astype(np.int64)
        receiver.acknowledge(receiver.expected + int(signed(cumulative + 1 - receiver.sequence).max()), self._clock)
        position, end = direction.byte_ends
        count = int(np.searchsorted(position, receiver.acknowledged))
        if count:
            receiver.statistics.acknowledged = int(end[count - 1])
            direction.byte_ends = direction.byte_ends[:, count:].copy()

    def _deliver(self, direction: StreamDirection, deliveries: list[Delivery], out: Assembly) -> None:
        """Chunks in TSN order become bytes in stream order."""
        statistics = direction.receiver.statistics
        for delivery in deliveries:
            rows = delivery.arrivals
            if not len(rows):
                continue
            self._first_copies.add(direction, rows)
            length, captured = rows.table[SIZE], rows.table[CAPTURED]
            missing = np.cumsum(delivery.hole)
            end = direction.byte_end + missing + np.cumsum(length)
            unacknowledged = np.concatenate((direction.byte_ends, (rows.position, end)), axis=1)
            direction.byte_ends = unacknowledged[:, -8 * direction.receiver.limit :]
            kept = captured > 0
            position, size = (end - length)[kept], captured[kept]
            hole = position - np.concatenate(([direction.data_end], position[:-1] + size[:-1]))[: len(position)]
            lost = np.diff(missing[kept], prepend=0)
            pieces = Arrivals(rows.table[:SIZE, kept])
            pieces.position[:], pieces.length[:] = position, size
            statistics.bytes += int(size.sum())
            statistics.hole_bytes += int(missing[-1] + (length - captured).sum())
            statistics.cut_bytes += int((length - captured).sum())
            statistics.holes += int((delivery.hole > 0).sum())
            direction.byte_end = statistics.sent = int(end[-1])
            if len(position):
                direction.data_end = int(position[-1] + size[-1])
                # chunks that were wholly cut off before the first kept one of a later delivery count as cut
                out.add(direction.receiver, [Delivery(pieces, hole, np.maximum(hole - lost, 0))])

    # The end.

    def _end(self, association: Association, out: Assembly) -> None:
        if association.ended:
            return
        association.ended = True
        connection = association.connection
        if association.was_reset:
            connection.ended_by = "rst"
        elif association.closing is not None:
            shut = any(each.fin_packet is not None for each in connection.directions)
            connection.ended_by = "fin" if shut else "abandoned"
        for direction in association.directions:
            deliveries, hole, _ = direction.receiver.finish()
            self._deliver(direction, deliveries, out)
            tail = hole + direction.byte_end - direction.data_end
            statistics = direction.receiver.statistics
            statistics.hole_bytes += hole
            statistics.holes += hole > 0
            direction.byte_end += hole
            statistics.sent = direction.byte_end
            out.end(direction.receiver, tail, tail - hole)
        last = (self._last_ordinal, connection.last_packet, connection.closed)
        out.events.append(ConnectionEvent("end", connection, 0, *last))

    def _stow(self) -> None:
        """Keep of the buffers only what waits, each direction's in one of its own."""
        buffers = {}
        for association in self._table.associations.values():
            for direction in association.directions:
                rows, own = direction.receiver.waiting, -1 - direction.key
                if not len(rows):
                    continue
                captured = rows.table[CAPTURED]
                if (rows.buffer != own).any():
                    buffers[own] = joined(self._buffers, rows.buffer, rows.offset, captured)
                    rows.buffer[:], rows.offset[:] = own, np.cumsum(captured) - captured
                else:
                    buffers[own] = self._buffers[own]
        self._buffers = buffers


class _FirstCopies:
    """The chunks that were delivered last, and the comparison of later copies with them."""

    def __init__(self) -> None:
        self._present: dict[int, list[Arrivals]] = {}
        self._batches: deque[tuple[int, dict[int, list[Arrivals]], dict[int, Bytes]]] = deque()
        self._cost = 0

    def add(self, direction: StreamDirection, chunks: Arrivals) -> None:
        """A delivery of the batch at hand."""
        self._present.setdefault(direction.key, []).append(chunks)

    def end_batch(self, size: int, buffers: dict[int, Bytes]) -> None:
        """All of a batch of ``size`` bytes was delivered; the buffers that its chunks lie in."""
        if not self._present:
            return
        cost = size + BATCH_COST + RUN_COST * len(self._present)
        self._batches.append((cost, self._present, buffers))
        self._present = {}
        self._cost += cost
        while self._cost > HISTORY_BYTES and len(self._batches) > 1:
            self._cost -= self._batches.popleft()[0]

    def examine(
        self, direction: StreamDirection, repeated: Arrivals, kept: Arrivals, buffers: dict[int, Bytes]
    ) -> None:
        """Count chunks that came again: copies of packets, retransmissions, late ones, with other bytes.

        ``kept``: the chunks, in order, that the direction holds now.
        """
        statistics = direction.receiver.statistics
        present = [(buffers, kept), *((buffers, rows) for rows in self._present.get(direction.key, ()))]
        before = [
            (their_buffers, rows)
            for _, deliveries, their_buffers in reversed(self._batches)
            for rows in deliveries.get(direction.key, ())
        ]
        left = repeated
        for their_buffers, rows in (*present, *before):
            if not len(left) or not len(rows):
                continue
            at = np.minimum(np.searchsorted(rows.position, left.position), len(rows) - 1)
            known = rows.position[at] == left.position
            mine, theirs = left.take(known), rows.take(at[known])
            differing = _differing(mine, buffers, theirs, their_buffers)
            statistics.conflicting_bytes += int(differing.sum())
            one = (differing == 0) & _are_one_packet(mine, theirs)
            statistics.captured_again += len(np.unique(mine.ordinal[one]))
            statistics.retransmitted_segments += int((~one).sum())
            statistics.retransmitted_bytes += int(mine.table[SIZE][~one].sum())
            left = left.take(~known)
        for position, size in zip(left.position.tolist(), left.table[SIZE].tolist(), strict=True):
            if direction.receiver.late_bytes(position, position + 1):
                statistics.late_bytes += size
            else:
                statistics.retransmitted_segments += 1
                statistics.retransmitted_bytes += size


def _differing(mine: Arrivals, buffers: dict[int, Bytes], theirs: Arrivals, their_buffers: dict[int, Bytes]) -> Int:
    """Pair by pair: how many bytes of these chunks differ, those that one has more included."""
    size = np.minimum(mine.table[CAPTURED], theirs.table[CAPTURED])
    my_bytes = joined(buffers, mine.buffer, mine.offset, size)
    their_bytes = joined(their_buffers, theirs.buffer, theirs.offset, size)
    where = np.searchsorted(np.cumsum(size), np.flatnonzero(my_bytes != their_bytes), "right")
    surplus: Int = np.abs(mine.table[SIZE] - theirs.table[SIZE])
    return np.bincount(where, minlength=len(size)) + surplus


def _are_one_packet(mine: Arrivals, theirs: Arrivals) -> Flags:
    """Pair by pair: were these chunks captured from one packet?"""
    apart = np.abs(mine.time - theirs.time)
    numbered = (mine.table[IDENTIFICATION] > 0) & (theirs.table[IDENTIFICATION] > 0)
    same = mine.table[IDENTIFICATION] == theirs.table[IDENTIFICATION]
    one: Flags = np.where(numbered, same & (apart <= COPY_SPAN), apart <= NEAR_SPAN)
    return one
