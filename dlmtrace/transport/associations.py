"""Which SCTP association and direction a packet belongs to (RFC 9260 §5).

A direction is told by the verification tag that its packets carry: the tag stays the same over all addresses of a
multi-homed association and over several capture files.  INIT and INIT ACK tell the tags; where they were not captured
the tags are those that packets between two endpoints carry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import Chunks
from dlmtrace.transport.connections import Connection, ConnectionEvent, Endpoint
from dlmtrace.transport.direction import Delivery, Receiver
from dlmtrace.transport.reorder import Arrivals

Int = npt.NDArray[np.int64]
Ends = tuple[Endpoint, Endpoint]

INIT, INIT_ACK, ABORT, SHUTDOWN_COMPLETE = 1, 2, 6, 14
"""Chunk types (RFC 9260 §3.2)."""

SIZE, CAPTURED, IDENTIFICATION = 7, 8, 9
"""Further rows of the arrivals here: bytes of the chunk on the wire and captured, identification of its packet."""

WAITING_CHUNKS = 700
"""Chunks that may wait behind a gap before it is declared a hole: about 1 MiB."""

SUCCESSORS = 8
"""Associations remembered between two endpoints."""

_INIT_VALUE = np.dtype([("tag", ">u4"), ("window", ">u4"), ("out", ">u2"), ("in", ">u2"), ("tsn", ">u4")])


class ChunkReceiver(Receiver):
    """A receiver whose positions count chunks; what their bytes are is counted in ``StreamDirection``."""

    __slots__ = ()

    @property
    def waiting_bytes(self) -> int:
        return int(self.waiting.table[CAPTURED].sum())

    def _count_start(self, low: int, dropped: Arrivals) -> None:
        pass

    def _count_plainly(self, length: int) -> None:
        pass

    def _count(self, delivery: Delivery) -> Delivery:
        return delivery

    def _count_tail(self, hole: int, cut: int) -> None:
        pass


@dataclass(slots=True, eq=False)
class StreamDirection:
    """One direction of an association."""

    receiver: ChunkReceiver
    key: int  # of the association's index and the side
    tag: int | None = None  # verification tag of the packets that carry it
    byte_end: int = 0  # stream position behind everything delivered, cut off or missing
    data_end: int = 0  # … behind the last byte delivered
    byte_ends: Int = field(default_factory=lambda: np.empty((2, 0), np.int64))  # chunks not acknowledged: position, end


@dataclass(slots=True, eq=False)
class Association:
    """``connection`` and what the transport keeps of it beside that; times in ns."""

    connection: Connection
    directions: tuple[StreamDirection, StreamDirection]
    last_time: int
    closing: int | None = None
    was_reset: bool = False
    ended: bool = False

    def close(self, time: int) -> None:
        """Nothing more is to be expected."""
        if self.closing is None:
            self.closing = time


class AssociationTable:
    """Associations by tag and by endpoints.  ``numbers`` gives each its index."""

    def __init__(self, ports: frozenset[int], limit: int, numbers: Iterator[int]) -> None:
        self.ports = ports
        self.associations: dict[int, Association] = {}  # by index of the connection, in order of their beginnings
        self._numbers = numbers
        self._limit = limit
        self._tags: dict[int, tuple[Association, int]] = {}  # see tag_keys
        self._between: dict[Ends, list[Association]] = {}  # client and server of the first packet

    def initiate(
        self, batch: PacketBatch, chunks: Chunks, events: list[ConnectionEvent]
    ) -> list[tuple[Association, int, int]]:
        """Take in the INIT and INIT ACK chunks.  Gives association, side and row of each INIT, whose own tag is 0."""
        found: list[tuple[Association, int, int]] = []
        for row in np.flatnonzero((chunks.type == INIT) | (chunks.type == INIT_ACK)).tolist():
            if chunks.captured[row] < _INIT_VALUE.itemsize:
                continue
            at = int(chunks.data[row])
            value = chunks.buffer[at : at + _INIT_VALUE.itemsize].view(_INIT_VALUE)[0]
            answer = int(chunks.type[row] == INIT_ACK)
            back = int(_key(chunks.destination_port[row], chunks.source_port[row], value["tag"]))
            known = self._tags.get(_key_of(chunks, row) if answer else back)
            if known is None:
                association, side = self._open(chunks, row, batch, events, answer), answer
            else:
                association, side = known[0], known[1] if answer else 1 - known[1]
            direction = association.directions[side]
            if association.directions[1 - side].tag is None:
                self._tag(association, 1 - side, int(value["tag"]), back)
            if answer:
                if direction.tag is None:
                    self._tag(association, side, int(chunks.verification_tag[row]), _key_of(chunks, row))
                self._take_over(association, int(batch.records["time"][chunks.row[row]]))
            else:
                found.append((association, side, row))
            if not direction.receiver.known:
                direction.receiver.begin(int(value["tsn"]))
                direction.receiver.statistics.begin_seen = True
            begun = [each.begin_seen for each in association.connection.directions]
            association.connection.handshake_seen = all(begun)
        return found

    def find(
        self, chunks: Chunks, row: int, batch: PacketBatch, events: list[ConnectionEvent]
    ) -> tuple[Association, int] | None:
        """The association of a packet and the side that sent it; None for what begins none."""
        key = _key_of(chunks, row)
        known = self._tags.get(key)
        if known is not None:
            return known
        tag = int(chunks.verification_tag[row])
        if not tag:
            return None
        source, destination = endpoints(chunks, row)
        for ends, side in (((source, destination), 0), ((destination, source), 1)):
            for association in reversed(self._between.get(ends, ())):
                if association.directions[side].tag is None and not association.ended:
                    self._tag(association, side, tag, key)
                    return association, side
                if association.directions[1 - side].tag == tag:
                    return association, side  # ABORT or SHUTDOWN COMPLETE that reflects the tag (T bit)
        if chunks.type[row] in (ABORT, SHUTDOWN_COMPLETE):
            return None
        side = 0 if destination.port in self.ports and source.port not in self.ports else 1
        if (source.port in self.ports) == (destination.port in self.ports):
            side = 0 if source.port > destination.port else 1
        association = self._open(chunks, row, batch, events, side)
        self._tag(association, side, tag, key)
        return association, side

    def forget(self) -> list[Association]:
        """Associations beyond the limit: those that ended first, then those that were silent longest."""
        if len(self.associations) <= self._limit:
            return []
        oldest = sorted(self.associations.values(), key=lambda each: (not each.ended, each.last_time))
        gone = oldest[: len(oldest) - self._limit // 2]
        for association in gone:
            del self.associations[association.connection.index]
            between = self._between[association.connection.client, association.connection.server]
            if association in between:
                between.remove(association)
        dropped = {id(association) for association in gone}
        self._tags = {key: target for key, target in self._tags.items() if id(target[0]) not in dropped}
        self._between = {ends: between for ends, between in self._between.items() if between}
        return gone

    def _open(
        self, chunks: Chunks, row: int, batch: PacketBatch, events: list[ConnectionEvent], side: int
    ) -> Association:
        """A new association; ``side`` sent the chunk."""
        ends = endpoints(chunks, row)
        record = batch.records[chunks.row[row]]
        packet, time, index = int(record["packet"]), int(record["time"]), next(self._numbers)
        connection = Connection(index, "sctp", ends[side], ends[1 - side], packet, time, packet, time)
        receivers = [ChunkReceiver(connection, each, Arrivals.none(3), WAITING_CHUNKS) for each in (0, 1)]
        first, second = (StreamDirection(receiver, 2 * index + receiver.side) for receiver in receivers)
        association = Association(connection, (first, second), time)
        self.associations[index] = association
        between = self._between.setdefault((connection.client, connection.server), [])
        between.append(association)
        del between[:-SUCCESSORS]
        ordinal = batch.first + int(chunks.row[row])
        events.append(ConnectionEvent("open", connection, side, ordinal, packet, time))
        return association

    def _tag(self, association: Association, side: int, tag: int, key: int) -> None:
        association.directions[side].tag = tag
        self._tags[key] = (association, side)

    def _take_over(self, association: Association, time: int) -> None:
        """There is one association between two endpoints at a time: this one (RFC 9260 §1.3, §5.2)."""
        for older in self._between[association.connection.client, association.connection.server]:
            if older is not association:
                older.close(time)


def tag_keys(chunks: Chunks) -> Int:
    """What tells associations and directions apart: a number made of ports and verification tag."""
    return _key(chunks.source_port, chunks.destination_port, chunks.verification_tag)


def endpoints(chunks: Chunks, row: int) -> Ends:
    """Source and destination of a row."""
    source = Endpoint(int(chunks.source_high[row]), int(chunks.source_low[row]), int(chunks.source_port[row]))
    high, low = int(chunks.destination_high[row]), int(chunks.destination_low[row])
    return source, Endpoint(high, low, int(chunks.destination_port[row]))


def _key(source_port: npt.ArrayLike, destination_port: npt.ArrayLike, tag: npt.ArrayLike) -> Int:
    ports = np.asarray(source_port, np.int64) << 48 | np.asarray(destination_port, np.int64) << 32
    return ports | np.asarray(tag, np.int64)


def _key_of(chunks: Chunks, row: int) -> int:
    return int(_key(chunks.source_port[row], chunks.destination_port[row], chunks.verification_tag[row]))
