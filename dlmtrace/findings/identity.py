"""FRM110: who sends under which node id.  As for the kernel, an address says who a node is (protocol page §7.4)."""

from __future__ import annotations

import numpy as np

from dlmtrace.findings.frames import is_of_dlm
from dlmtrace.findings.losses import Losses
from dlmtrace.findings.ranges import Host, Ranges, place
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.transport.connections import Connection
from dlmtrace.wire.enums import Command, RecoveryType

LIMIT = 65_536
"""Addresses remembered; no cluster comes near it, forged packets could."""

NOBODY = -1
"""Node id of an address that is not known yet."""

Address = tuple[int, int]


def address_of(connection: Connection, side: int) -> Address:
    """Address at one side of a connection."""
    endpoint = connection.endpoint(side)
    return endpoint.high, endpoint.low


class Identities:
    """Learns the node id behind each address from the first frame that comes from there.

    Where both ends of a connection have one address (two programs on one machine) addresses say nothing, and ``host``
    asks ``fallback``.
    """

    def __init__(self, fallback: Host) -> None:
        self._fallback = fallback
        self._ids: dict[Address, int] = {}
        self._unknown: dict[Address, int] = {}  # negative numbers for those that were asked for before they were known
        self.renamed: dict[int, int] = {}
        """Negative numbers that became node ids with the present batch."""

    def host(self, connection: Connection, side: int) -> int:
        """Node at one side of a connection; a negative number of its address while that is not known."""
        if address_of(connection, 0) == address_of(connection, 1):
            return self._fallback(connection, side)
        address = address_of(connection, side)
        known = self._ids.get(address)
        return self._unknown.setdefault(address, -2 - len(self._unknown)) if known is None else known

    def known(self, connection: Connection, side: int) -> int:
        """What is learnt of the address at this side; NOBODY when nothing is, or nothing can be."""
        if address_of(connection, 0) == address_of(connection, 1):
            return NOBODY
        return self._ids.get(address_of(connection, side), NOBODY)

    def name(self, host: int) -> int:
        """What ``host`` says now of the one that it gave this number before."""
        return self.renamed.get(host, host)

    def learn(self, connection: Connection, side: int, node: int) -> None:
        """This node sends from this address."""
        address = address_of(connection, side)
        if len(self._ids) < LIMIT:
            self._ids[address] = node
            if address in self._unknown:
                self.renamed[self._unknown[address]] = node


class IdentityRule:
    """FRM110, and what the others know of nodes."""

    def __init__(self, identities: Identities, ranges: Ranges, losses: Losses) -> None:
        self._identities, self._ranges, self._losses = identities, ranges, losses
        self._open: dict[Address, dict[int, Connection]] = {}  # connections that have not ended, by index

    def feed(self, batch: FrameBatch) -> None:
        """The frames of a batch."""
        self._identities.renamed.clear()
        for event in batch.events:
            if event.kind == "open":
                for side in (0, 1):
                    opened = self._open.setdefault(address_of(event.connection, side), {})
                    opened[event.connection.index] = event.connection
        if len(batch):
            self._compare(batch)
        for event in batch.events:
            if event.kind == "end":
                for side in (0, 1):
                    self._forget(address_of(event.connection, side), event.connection.index)

    def _forget(self, address: Address, index: int) -> None:
        opened = self._open.get(address, {})
        opened.pop(index, None)
        if not opened:
            self._open.pop(address, None)

    def _compare(self, batch: FrameBatch) -> None:
        ends, header, inner = batch.ends, batch.header, batch.inner
        expected = np.array(
            [self._expected(batch, *end) for end in zip(ends.number.tolist(), ends.first.tolist(), strict=True)],
            np.int64,
        )[ends.of]
        wrong = header["h_nodeid"] != expected
        wrong |= (batch.inner_offset > 0) & (inner["h_nodeid"] != expected)
        wrong &= expected != NOBODY
        for index in np.flatnonzero(wrong).tolist():
            where = place(batch, index)
            if not is_of_dlm(batch, index) or not self._losses.sure(where):
                continue
            node, carried = int(header["h_nodeid"][index]), int(inner["h_nodeid"][index])
            field = "h_nodeid" if node != expected[index] else "h_nodeid of the carried frame"
            seen = node if node != expected[index] else carried
            self._ranges.add("FRM110", f"{field} {seen} from the address of node {expected[index]}", where)

    def _expected(self, batch: FrameBatch, end: int, first: int) -> int:
        """The node id that this end should send under; its first frame teaches it when it is not known."""
        connection, side = batch.connections[end >> 1], end & 1
        known, node = self._identities.known(connection, side), int(batch.header["h_nodeid"][first])
        if known == node or address_of(connection, 0) == address_of(connection, 1):
            return known
        if not is_of_dlm(batch, first) or not self._losses.sure(place(batch, first)):
            return known
        if known == NOBODY or self._renumbered(batch, connection, side, first):
            self._identities.learn(connection, side, node)
            return node
        return known

    def _renumbered(self, batch: FrameBatch, connection: Connection, side: int, first: int) -> bool:
        """Does the node introduce itself anew on its only connection?"""
        begins = batch.frames["position"][first] == 0 and batch.header["h_cmd"][first] == Command.RCOM
        others = self._open.get(address_of(connection, side), {}).values()
        alone = all(other is connection or _is_over(other) for other in others)
        return bool(begins and alone and batch.type[first] == RecoveryType.STATUS)


def _is_over(connection: Connection) -> bool:
    """Has the connection ended, or is it about to?"""
    directions = connection.directions
    closed = all(direction.fin_packet is not None for direction in directions)
    return closed or any(direction.reset_packet is not None for direction in directions)
