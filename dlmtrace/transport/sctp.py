"""SCTP: chunks of all associations, in batches, to ordered payload per association direction (RFC 9260).

A direction is told by the verification tag that its packets carry: the tag stays the same over all addresses of a
multi-homed association and over several capture files.  The kernel uses one stream, so the TSN gives the order.

Where DATA chunks are missing nobody knows how many bytes they held: a hole's length counts one byte for each, at least.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import Chunks
from dlmtrace.transport.assembly import Assembly
from dlmtrace.transport.connections import Connection, ConnectionEvent, Endpoint
from dlmtrace.transport.direction import NO_CUTS, Delivery, Receiver
from dlmtrace.transport.pieces import Pieces
from dlmtrace.transport.reorder import Arrivals
from dlmtrace.transport.serial import signed

Int = npt.NDArray[np.int64]

DATA, INIT, INIT_ACK, SACK, ABORT, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE = 0, 1, 2, 3, 6, 7, 8, 14
"""Chunk types (RFC 9260 §3.2)."""

WAITING_CHUNKS = 700
"""Chunks that may wait behind a gap before it is declared a hole: about 1 MiB."""

REMEMBERED_BATCHES = 4
"""Batches whose chunks later copies are compared with."""

COPY_SPAN = 2_000_000_000
"""ns between two captures of one packet, at most."""

LINGER = 1_000_000_000
"""ns of capture time that an association is kept open after its end."""

ASSOCIATION_LIMIT = 4096
"""Associations remembered; beyond that the longest silent ones go."""

_INIT_VALUE = np.dtype([("tag", ">u4"), ("window", ">u4"), ("out", ">u2"), ("in", ">u2"), ("tsn", ">u4")])


class _ChunkReceiver(Receiver):
    """Positions count chunks here; what the bytes are is counted in ``_Direction``."""

    __slots__ = ()

    def _count(self, delivery: Delivery) -> Delivery:
        return delivery

    def _count_tail(self, hole: int, cut: int) -> None:
        pass


@dataclass(slots=True)
class _Delivered:
    """First copies of a batch, in TSN order: position, row of the batch's chunks, end in bytes."""

    serial: int
    position: Int
    row: Int
    byte_end: Int


@dataclass(slots=True)
class _Direction:
    receiver: _ChunkReceiver
    tag: int | None = None  # verification tag of the packets that carry it
    byte_end: int = 0  # stream position behind everything delivered, cut off or missing
    data_end: int = 0  # … behind the last byte delivered
    recent: deque[_Delivered] = field(default_factory=lambda: deque(maxlen=REMEMBERED_BATCHES))


@dataclass(slots=True)
class _Association:
    connection: Connection
    directions: tuple[_Direction, _Direction]
    last_time: int
    closing: int | None = None
    reset: bool = False
    ended: bool = False


class SctpTransport:
    """Feed it batches in capture order; it gives ordered payload.  ``numbers`` gives each association its index."""

    def __init__(self, ports: frozenset[int], numbers: Iterator[int]) -> None:
        self.ports = ports
        self._numbers = numbers
        self._tags: dict[int, tuple[_Association, int]] = {}  # see _key
        self._associations: list[_Association] = []
        self._batches: dict[int, Chunks] = {}  # by serial, as long as something refers to them
        self._serial = 0
        self._clock = 0
        self._last_ordinal = 0

    def feed(self, batch: PacketBatch, chunks: Chunks) -> Pieces:
        """Ordered payload that this batch completes."""
        self._serial += 1
        self._batches[self._serial] = chunks
        out = self._assembly()
        if len(batch.records):
            self._clock = max(self._clock, int(batch.records["time"].max()))
            self._last_ordinal = batch.first + len(batch.records) - 1
        if len(chunks.row):
            self._control(batch, chunks, out)
            self._take(batch, chunks, out)
        for association in self._associations:
            for direction in association.directions:
                self._deliver(direction, direction.receiver.settle(self._clock), out)
            if association.closing is not None and self._clock - association.closing >= LINGER:
                self._end(association, out)
        pieces = out.pieces()
        self._forget()
        return pieces

    def finish(self) -> Pieces:
        """The capture is over: what waits behind gaps, and the end of every association."""
        out = self._assembly()
        for association in self._associations:
            self._end(association, out)
        return out.pieces()

    def _assembly(self) -> Assembly:
        return Assembly({serial: chunks.buffer for serial, chunks in self._batches.items()}, self._serial)

    # Which association a chunk belongs to.

    def _control(self, batch: PacketBatch, chunks: Chunks, out: Assembly) -> None:
        """Chunks that begin an association, in order."""
        for row in np.flatnonzero((chunks.type == INIT) | (chunks.type == INIT_ACK)).tolist():
            if chunks.captured[row] < _INIT_VALUE.itemsize:
                continue
            at = int(chunks.data[row])
            value = chunks.buffer[at : at + _INIT_VALUE.itemsize].view(_INIT_VALUE)[0]
            answer = chunks.type[row] == INIT_ACK
            back = int(_key(chunks.destination_port[row], chunks.source_port[row], value["tag"]))
            known = self._tags.get(_key_of(chunks, row) if answer else back)
            if known is None:
                association = self._open(chunks, row, batch, out, 1 if answer else 0)
                side = 1 if answer else 0
            else:
                association, side = known
                side = side if answer else 1 - side
            direction, other = association.directions[side], association.directions[1 - side]
            if other.tag is None:
                other.tag = int(value["tag"])
                self._tags[back] = (association, 1 - side)
            if answer and direction.tag is None:
                direction.tag = int(chunks.verification_tag[row])
                self._tags[_key_of(chunks, row)] = (association, side)
            if not direction.receiver.known:
                direction.receiver.begin(int(value["tsn"]))
                direction.receiver.statistics.begin_seen = True
            begun = [each.begin_seen for each in association.connection.directions]
            association.connection.handshake_seen = all(begun)

    def _find(self, chunks: Chunks, row: int, batch: PacketBatch, out: Assembly) -> tuple[_Association, int] | None:
        """The direction of a tag that no INIT told: the other one of an association between these endpoints, or new."""
        source, destination = _endpoints(chunks, row)
        for association in reversed(self._associations):
            connection = association.connection
            for side in (0, 1):
                ends = (connection.endpoint(side), connection.endpoint(1 - side))
                if ends == (source, destination) and association.directions[side].tag is None and not association.ended:
                    association.directions[side].tag = int(chunks.verification_tag[row])
                    self._tags[_key_of(chunks, row)] = (association, side)
                    return association, side
                if ends == (destination, source) and association.directions[side].tag == chunks.verification_tag[row]:
                    return association, 1 - side  # ABORT or SHUTDOWN COMPLETE that reflects the tag (T bit)
        if chunks.type[row] in (ABORT, SHUTDOWN_COMPLETE) or not chunks.verification_tag[row]:
            return None
        side = 0 if destination.port in self.ports and source.port not in self.ports else 1
        if (source.port in self.ports) == (destination.port in self.ports):
            side = 0 if source.port > destination.port else 1
        association = self._open(chunks, row, batch, out, side)
        association.directions[side].tag = int(chunks.verification_tag[row])
        self._tags[_key_of(chunks, row)] = (association, side)
        return association, side

    def _open(self, chunks: Chunks, row: int, batch: PacketBatch, out: Assembly, side: int) -> _Association:
        """A new association; ``side`` sent the chunk."""
        ends = _endpoints(chunks, row)
        record = batch.records[chunks.row[row]]
        packet, time = int(record["packet"]), int(record["time"])
        connection = Connection(next(self._numbers), "sctp", ends[side], ends[1 - side], packet, time, packet, time)
        directions = tuple(_Direction(_ChunkReceiver(connection, side, WAITING_CHUNKS)) for side in (0, 1))
        association = _Association(connection, (directions[0], directions[1]), time)
        self._associations.append(association)
        ordinal = batch.first + int(chunks.row[row])
        out.events.append(ConnectionEvent("open", connection, side, ordinal, packet, time))
        return association

    # What the chunks carry.

    def _take(self, batch: PacketBatch, chunks: Chunks, out: Assembly) -> None:
        tags = _key(chunks.source_port, chunks.destination_port, chunks.verification_tag)
        unique, first, group = np.unique(tags, return_index=True, return_inverse=True)
        found: dict[int, tuple[_Association, int] | None] = {}
        for index in np.argsort(first).tolist():
            row = int(first[index])
            known = self._tags.get(int(unique[index]))
            found[index] = known or self._find(chunks, row, batch, out)
        order = np.argsort(group, kind="stable")
        bounds = np.searchsorted(group[order], np.arange(len(unique) + 1))
        groups = [
            (*target, order[bounds[index] : bounds[index + 1]]) for index, target in found.items() if target is not None
        ]
        for association, side, rows in groups:
            self._note(association, side, rows, batch, chunks, out)
            if not association.ended:
                self._data(association.directions[side], rows[chunks.type[rows] == DATA], batch, chunks, out)

        for association, side, rows in groups:
            sacks = rows[(chunks.type[rows] == SACK) & (chunks.captured[rows] >= 4)]
            self._acknowledge(association.directions[1 - side], sacks, chunks)

    def _note(
        self, association: _Association, side: int, rows: Int, batch: PacketBatch, chunks: Chunks, out: Assembly
    ) -> None:
        """Counts, times, paths and the end of an association."""
        connection = association.connection
        statistics = connection.directions[side]
        records = batch.records[chunks.row[rows]]
        statistics.packets += len(np.unique(chunks.row[rows]))
        association.last_time = int(records["time"].max())
        if records["time"][-1] >= connection.closed:
            connection.closed, connection.last_packet = int(records["time"][-1]), int(records["packet"][-1])
        ends = np.stack((chunks.source_low[rows] ^ chunks.source_high[rows], chunks.destination_low[rows]), axis=1)
        for row in rows[np.sort(np.unique(ends, axis=0, return_index=True)[1])].tolist():
            source, destination = _endpoints(chunks, row)
            path = (source, destination) if side == 0 else (destination, source)
            if path != (connection.client, connection.server) and path not in connection.paths:
                connection.paths.append(path)
        for row in rows[np.isin(chunks.type[rows], (ABORT, SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE))].tolist():
            record = batch.records[chunks.row[row]]
            packet, time = int(record["packet"]), int(record["time"])
            where = (batch.first + int(chunks.row[row]), packet, time)
            if chunks.type[row] == ABORT:
                if statistics.reset_packet is None:
                    statistics.reset_packet, association.reset = packet, True
                    out.events.append(ConnectionEvent("rst", connection, side, *where))
                association.closing = association.closing or time
            elif chunks.type[row] == SHUTDOWN_COMPLETE:
                association.closing = association.closing or time
            elif statistics.fin_packet is None:
                statistics.fin_packet = packet
                out.events.append(ConnectionEvent("fin", connection, side, *where))
                if all(each.fin_packet is not None for each in connection.directions):
                    association.closing = association.closing or time

    def _data(self, direction: _Direction, rows: Int, batch: PacketBatch, chunks: Chunks, out: Assembly) -> None:
        if not len(rows):
            return
        receiver = direction.receiver
        receiver.statistics.segments += len(rows)
        tsn = chunks.tsn[rows]
        if not receiver.known:
            receiver.begin(int(tsn[0]))
        position = receiver.expected + signed(tsn - receiver.sequence)
        records = batch.records[chunks.row[rows]]
        ordinal = chunks.row[rows] + batch.first
        ones = np.ones(len(rows), np.int64)
        # a packet may hold several chunks: the row breaks the tie of their ordinals
        arrivals = Arrivals.of(position, ones, self._serial, rows, ordinal, records["packet"], records["time"])
        if receiver.plain and position[0] == receiver.expected and (position[1:] == position[:-1] + 1).all():
            deliveries = [receiver.continue_plainly(arrivals, len(rows))]
        else:
            start = receiver.expected
            highest = np.maximum.accumulate(np.concatenate(([start - 1], position)))[:-1]
            result, deliveries = receiver.receive(arrivals, NO_CUTS)
            behind = np.flatnonzero(position < highest)
            receiver.statistics.out_of_order += len(np.setdiff1d(behind, result.repeated, assume_unique=True))
            self._examine(direction, arrivals.take(result.repeated), result.kept, chunks)
        self._deliver(direction, deliveries, out)

    def _acknowledge(self, direction: _Direction, sacks: Int, chunks: Chunks) -> None:
        """Cumulative TSN acknowledgements for a direction."""
        receiver = direction.receiver
        if not len(sacks) or not receiver.known:
            return
        at = chunks.data[sacks][:, None] + np.arange(4)
        cumulative = chunks.buffer[at].view(">u4")[:, 0].astype(np.int64)
        receiver.acknowledge(receiver.expected + int(signed(cumulative + 1 - receiver.sequence).max()))
        if receiver.acknowledged >= receiver.expected:
            receiver.statistics.acknowledged = direction.byte_end
            return
        for delivered in reversed(direction.recent):
            index = int(np.searchsorted(delivered.position, receiver.acknowledged)) - 1
            if index >= 0:
                end = int(delivered.byte_end[index])
                receiver.statistics.acknowledged = max(receiver.statistics.acknowledged, end)
                return

    def _deliver(self, direction: _Direction, deliveries: list[Delivery], out: Assembly) -> None:
        """Chunks in TSN order become bytes in stream order."""
        for delivery in deliveries:
            rows = delivery.arrivals
            if not len(rows):
                continue
            data = np.empty(len(rows), np.int64)
            length, captured = data.copy(), data.copy()
            for serial in np.unique(rows.buffer).tolist():
                of = rows.buffer == serial
                chunks = self._batches[serial]
                data[of] = chunks.data[rows.offset[of]]
                length[of] = chunks.length[rows.offset[of]]
                captured[of] = np.clip(chunks.captured[rows.offset[of]], 0, length[of])
            missing = np.cumsum(delivery.hole)
            end = direction.byte_end + missing + np.cumsum(length)
            begin = end - length
            direction.recent.append(_Delivered(self._serial, rows.position, rows.offset, end))
            kept = captured > 0
            position, size = begin[kept], captured[kept]
            hole = position - np.concatenate(([direction.data_end], position[:-1] + size[:-1]))[: len(position)]
            lost = np.diff(missing[kept], prepend=0)
            pieces = rows.take(kept)
            pieces.table[0], pieces.table[1], pieces.table[3] = position, size, data[kept]
            statistics = direction.receiver.statistics
            statistics.bytes += int(size.sum())
            statistics.hole_bytes += int(missing[-1] + (length - captured).sum())
            statistics.cut_bytes += int((length - captured).sum())
            statistics.holes += int((delivery.hole > 0).sum())
            direction.byte_end = statistics.sent = int(end[-1])
            if len(position):
                direction.data_end = int(position[-1] + size[-1])
                # chunks that were wholly cut off before the first kept one of a later delivery count as cut
                out.add(direction.receiver, [Delivery(pieces, hole, np.maximum(hole - lost, 0))])

    def _examine(self, direction: _Direction, repeated: Arrivals, kept: Arrivals, chunks: Chunks) -> None:
        """A chunk that comes again: a copy of the packet, a retransmission, late, or with other bytes."""
        statistics = direction.receiver.statistics
        for index in range(len(repeated)):
            row, position = int(repeated.offset[index]), int(repeated.position[index])
            size = int(chunks.length[row])
            if direction.receiver.late_bytes(position, position + 1):
                statistics.late_bytes += size
                continue
            first = _first_copy(position, kept, direction.recent)
            other = self._batches.get(first[0]) if first is not None else None
            if first is not None and other is not None:
                mine, theirs = _bytes_of(chunks, row), _bytes_of(other, first[1])
                same = min(len(mine), len(theirs))
                differing = int((mine[:same] != theirs[:same]).sum()) + abs(size - int(other.length[first[1]]))
                statistics.conflicting_bytes += differing
                identification = int(chunks.identification[row])
                if not differing and identification > 0 and identification == other.identification[first[1]]:
                    statistics.captured_again += 1
                    continue
            statistics.retransmitted_segments += 1
            statistics.retransmitted_bytes += size

    # The end.

    def _end(self, association: _Association, out: Assembly) -> None:
        if association.ended:
            return
        association.ended = True
        connection = association.connection
        if association.reset:
            connection.ended_by = "rst"
        elif association.closing is not None:
            connection.ended_by = "fin"
        for direction in association.directions:
            deliveries, hole, _ = direction.receiver.finish()
            self._deliver(direction, deliveries, out)
            tail = hole + direction.byte_end - direction.data_end
            direction.receiver.statistics.hole_bytes += hole
            direction.receiver.statistics.holes += hole > 0
            direction.byte_end += hole
            direction.receiver.statistics.sent = direction.byte_end
            out.end(direction.receiver, tail, tail - hole)
        last = (self._last_ordinal, connection.last_packet, connection.closed)
        out.events.append(ConnectionEvent("end", connection, 0, *last))

    def _forget(self) -> None:
        """Keep tables and buffers bounded."""
        needed = {self._serial}
        for association in self._associations:
            for direction in association.directions:
                needed.update(np.unique(direction.receiver.waiting.buffer).tolist())
        recent = self._serial - REMEMBERED_BATCHES
        self._batches = {
            serial: chunks for serial, chunks in self._batches.items() if serial in needed or serial > recent
        }
        if len(self._associations) > ASSOCIATION_LIMIT:
            self._associations.sort(key=lambda association: (not association.ended, association.last_time))
            keep = self._associations[len(self._associations) - ASSOCIATION_LIMIT // 2 :]
            dropped = {id(association) for association in self._associations if association.ended}
            dropped -= {id(association) for association in keep}
            self._associations = [each for each in self._associations if id(each) not in dropped]
            self._tags = {key: target for key, target in self._tags.items() if id(target[0]) not in dropped}


def _key(source_port: npt.ArrayLike, destination_port: npt.ArrayLike, tag: npt.ArrayLike) -> Int:
    ports = np.asarray(source_port, np.int64) << 48 | np.asarray(destination_port, np.int64) << 32
    return ports | np.asarray(tag, np.int64)


def _key_of(chunks: Chunks, row: int) -> int:
    return int(_key(chunks.source_port[row], chunks.destination_port[row], chunks.verification_tag[row]))


def _endpoints(chunks: Chunks, row: int) -> tuple[Endpoint, Endpoint]:
    source = Endpoint(int(chunks.source_high[row]), int(chunks.source_low[row]), int(chunks.source_port[row]))
    high, low = int(chunks.destination_high[row]), int(chunks.destination_low[row])
    return source, Endpoint(high, low, int(chunks.destination_port[row]))


def _bytes_of(chunks: Chunks, row: int) -> npt.NDArray[np.uint8]:
    at = int(chunks.data[row])
    return chunks.buffer[at : at + max(int(chunks.captured[row]), 0)]


def _first_copy(position: int, kept: Arrivals, recent: deque[_Delivered]) -> tuple[int, int] | None:
    """Serial and row of the chunk that has this position."""
    at = int(np.searchsorted(kept.position, position))
    if at < len(kept) and kept.position[at] == position:
        return int(kept.buffer[at]), int(kept.offset[at])
    for delivered in reversed(recent):
        at = int(np.searchsorted(delivered.position, position))
        if at < len(delivered.position) and delivered.position[at] == position:
            return delivered.serial, int(delivered.row[at])
    return None
