"""FRM110: who sends under which node id.  As for the kernel, an address says who a node is (protocol page §7.4)."""

from __future__ import annotations

import numpy as np

from dlmtrace.findings.frames import is_of_dlm
from dlmtrace.findings.losses import Losses
from dlmtrace.findings.ranges import Host, Ranges, place
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.transport.connections import CLIENT, SERVER, Connection
from dlmtrace.wire.enums import Command, RecoveryType

LIMIT = 65_536
"""Addresses remembered; no cluster comes near it, forged packets could."""

NOBODY = -1
"""Node id of an address that is not known yet."""

Address = tuple[int, int]

Key = tuple[int, int]
"""Sender and receiver of a directed node pair; a negative number stands for a node that is not known yet."""


def address_of(connection: Connection, side: int) -> Address:
    """Address at one side of a connection."""
    endpoint = connection.endpoint(side)
    return endpoint.high, endpoint.low


REMEMBERED = 4096
"""Ends of connections whose nodes need not be looked up again."""


class Identities:
    """The node id behind each address.

    Where both ends of a connection have one address (two programs on one machine) addresses say nothing, and ``host``
    asks ``fallback``.
    """

    def __init__(self, fallback: Host) -> None:
        self._fallback = fallback
        self._ids: dict[Address, int] = {}
        self._unknown: dict[Address, int] = {}  # negative numbers of those that were asked for before they were known
        self._keys: dict[int, Key] = {}  # of ends of connections, where both nodes are known
        self.renamed: dict[int, int] = {}
        """Negative numbers that became node ids with the present batch."""

    def host(self, connection: Connection, side: int) -> int:
        """Node at one side of a connection; a negative number of its address while that is not known."""
        if address_of(connection, CLIENT) == address_of(connection, SERVER):
            return self._fallback(connection, side)
        address = address_of(connection, side)
        known = self._ids.get(address)
        return self._unknown.setdefault(address, -2 - len(self._unknown)) if known is None else known

    def keys(self, batch: FrameBatch) -> list[Key]:
        """Sender and receiver of each of the batch's ends."""
        return [self._keys.get(end) or self._key(batch, end) for end in batch.ends.number.tolist()]

    def _key(self, batch: FrameBatch, end: int) -> Key:
        connection, side = batch.connections[end >> 1], end & 1
        key = self.host(connection, side), self.host(connection, 1 - side)
        if min(key) >= 0:
            if len(self._keys) >= REMEMBERED:
                self._keys.clear()  # all but the last ones are of connections that ended
            self._keys[end] = key
        return key

    def known(self, connection: Connection, side: int) -> int:
        """What is learnt of the address at this side; NOBODY when nothing is, or nothing can be."""
        if address_of(connection, CLIENT) == address_of(connection, SERVER):
            return NOBODY
        return self._ids.get(address_of(connection, side), NOBODY)

    def shown(self, connection: Connection, side: int) -> int:
        """Node at one side of a connection for people: what ``fallback`` takes it for while it is not known."""
        host = self.host(connection, side)
        return self._fallback(connection, side) if host < 0 else host

    def name(self, host: int) -> int:
        """What ``host`` says now of the one that it gave this number before."""
        return self.renamed.get(host, host)

    def learn(self, connection: Connection, side: int, node: int) -> None:
        """This node sends from this address."""
        address = address_of(connection, side)
        if len(self._ids) < LIMIT:
            self._ids[address] = node
            self._keys.clear()
            if address in self._unknown:
                self.renamed[self._unknown[address]] = node

    def forget(self, connection: Connection) -> None:
        """It has ended."""
        for side in (CLIENT, SERVER):
            self._keys.pop(2 * connection.index + side, None)


class IdentityRule:
    """FRM110.  The first sure frame from an address teaches ``identities`` whose it is."""

    def __init__(self, identities: Identities, ranges: Ranges, losses: Losses) -> None:
        self._identities, self._ranges, self._losses = identities, ranges, losses
        self._open: dict[Address, dict[int, Connection]] = {}  # connections that have not ended, by index
        self._expected: dict[int, int] = {}  # node id of each end of theirs, once learnt

    def feed(self, batch: FrameBatch) -> None:
        """The frames of a batch."""
        self._identities.renamed.clear()
        for event in batch.events:
            if event.kind == "open":
                for side in (CLIENT, SERVER):
                    opened = self._open.setdefault(address_of(event.connection, side), {})
                    opened[event.connection.index] = event.connection
        if len(batch):
            self._compare(batch, self._learn(batch))
        for event in batch.events:
            if event.kind == "end":
                self._forget(event.connection)

    def _forget(self, connection: Connection) -> None:
        self._identities.forget(connection)
        for side in (CLIENT, SERVER):
            self._expected.pop(2 * connection.index + side, None)
            address = address_of(connection, side)
            opened = self._open.get(address, {})
            opened.pop(connection.index, None)
            if not opened:
                self._open.pop(address, None)

    def _compare(self, batch: FrameBatch, expected_of: list[int]) -> None:
        header, inner = batch.header, batch.inner
        of_end = np.array(expected_of, np.int64)
        expected = of_end[batch.ends.of]
        wrong = (batch.inner_offset > 0) & (inner["h_nodeid"] != expected)
        if len(batch.changing) or (header["h_nodeid"][batch.ends.last] != of_end).any():
            wrong |= header["h_nodeid"] != expected
            wrong &= expected != NOBODY
        for index in np.flatnonzero(wrong).tolist():
            where = place(batch, index)
            if not is_of_dlm(batch, index) or not self._losses.sure(where):
                continue
            node, carried = int(header["h_nodeid"][index]), int(inner["h_nodeid"][index])
            field = "h_nodeid" if node != expected[index] else "h_nodeid of the carried frame"
            seen = node if node != expected[index] else carried
            self._ranges.add("FRM110", f"{field} {seen} from the address of node {expected[index]}", where)

    def _learn(self, batch: FrameBatch) -> list[int]:
        """The node id that each end should send under."""
        ends = batch.ends
        nodes = batch.header["h_nodeid"][ends.first].tolist()
        found = []
        for index, (end, node) in enumerate(zip(ends.number.tolist(), nodes, strict=True)):
            expected = self._expected.get(end, NOBODY)
            if expected != node:
                expected = self._look(batch, end, [int(ends.first[index]), int(ends.last[index])])
            if expected != NOBODY:
                self._expected[end] = expected
            found.append(expected)
        return found

    def _look(self, batch: FrameBatch, end: int, rows: list[int]) -> int:
        """What is known of an end of which nothing was, or something else; one of ``rows`` may teach it."""
        connection, side = batch.connections[end >> 1], end & 1
        known = self._identities.known(connection, side)
        if address_of(connection, CLIENT) == address_of(connection, SERVER):
            return NOBODY
        for row in rows:
            if is_of_dlm(batch, row) and self._losses.sure(place(batch, row)):
                node = int(batch.header["h_nodeid"][row])
                if known == NOBODY or (node != known and self._renumbered(batch, connection, side, row)):
                    known = node
                    self._identities.learn(connection, side, known)
                break
        return known

    def _renumbered(self, batch: FrameBatch, connection: Connection, side: int, row: int) -> bool:
        """Does the node introduce itself anew on its only connection?"""
        begins = batch.frames["position"][row] == 0 and batch.header["h_cmd"][row] == Command.RCOM
        others = self._open.get(address_of(connection, side), {}).values()
        alone = all(other is connection or _is_over(other) for other in others)
        return bool(begins and alone and batch.type[row] == RecoveryType.STATUS)


def _is_over(connection: Connection) -> bool:
    """Has the connection ended, or is it about to?"""
    directions = connection.directions
    closed = all(direction.fin_packet is not None for direction in directions)
    return closed or any(direction.reset_packet is not None for direction in directions)
