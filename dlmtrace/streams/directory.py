"""The directed node pairs of a capture, and the nodes at the ends of its connections.

A node that has sent nothing yet is known by its address, with a negative number for its id; what was seen of its pairs
goes on under its id as soon as a frame names it, which may be some batches later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.bare import BareTracker
from dlmtrace.streams.copies import FirstCopies
from dlmtrace.streams.nodes import UNKNOWN, NodeTable
from dlmtrace.streams.pair import Pair
from dlmtrace.streams.results import Stream
from dlmtrace.streams.tracker import Tracker
from dlmtrace.transport.connections import Connection


@dataclass(slots=True)
class Directed:
    """One directed node pair."""

    stream: Stream
    tracker: Tracker
    bare: BareTracker
    copies: FirstCopies
    commands: Counter[int] = field(default_factory=Counter)
    versions: Counter[int] = field(default_factory=Counter)


class Directory:
    """``make`` builds what follows a new stream; ``renamed`` has the ids of nodes by their former negative numbers."""

    def __init__(self, make: Callable[[Stream, Pair], Directed]) -> None:
        self.nodes = NodeTable()
        self.renamed: dict[int, int] = {}
        self._make = make
        self._directed: dict[tuple[int, int], Directed] = {}
        self._pairs: dict[frozenset[int], Pair] = {}
        self._unknown: dict[tuple[int, ...], tuple[int, Connection, int]] = {}  # number, and an end where it is
        self._numbers = 0

    @property
    def all(self) -> list[Directed]:
        """By sender and receiver."""
        return [self._directed[key] for key in sorted(self._directed)]

    def learn(self, batch: FrameBatch) -> bool:
        """Take in who sends the frames of a batch; did nodes get their ids by that?"""
        self.nodes.learn(batch)
        named = 0
        for place, (number, connection, side) in list(self._unknown.items()):
            known = self.nodes.node_at(connection, side)
            if known != UNKNOWN:
                del self._unknown[place]
                self.renamed[number] = known
                named += 1
        if named:
            self._rename()
        return named > 0

    def _rename(self) -> None:
        for old in [key for key in self._directed if not self.renamed.keys().isdisjoint(key)]:
            new = self.name(old[0]), self.name(old[1])
            if new in self._directed or new[0] == new[1]:
                continue  # it is known from another address, too
            directed = self._directed[new] = self._directed.pop(old)
            directed.stream.sender, directed.stream.receiver = new
            if frozenset(old) in self._pairs:
                self._pairs[frozenset(new)] = self._pairs.pop(frozenset(old))

    def name(self, host: int) -> int:
        """What ``host`` says now of the one of which it said this before."""
        return self.renamed.get(host, host)

    def host(self, connection: Connection, side: int) -> int:
        """Node id at one end of a connection; a negative number while that is not known."""
        known = self.nodes.node_at(connection, side)
        if known != UNKNOWN:
            return known
        endpoint, other = connection.endpoint(side), connection.endpoint(1 - side)
        place: tuple[int, ...] = (endpoint.high, endpoint.low)
        if place == (other.high, other.low):
            place = (connection.index, side)  # an address that both nodes have says nothing
        if place not in self._unknown:
            self._numbers += 1
            self._unknown[place] = -1 - self._numbers, connection, side
        return self._unknown[place][0]

    def hosts(self, connection: Connection) -> tuple[int, int]:
        """Node ids of the client and the server."""
        return self.host(connection, 0), self.host(connection, 1)

    def pair(self, one: int, other: int) -> Pair:
        """What the streams between two nodes share."""
        return self._pairs.setdefault(frozenset((one, other)), Pair())

    def get(self, sender: int, receiver: int) -> Directed | None:
        """The stream from one node to another, if there is one."""
        return self._directed.get((sender, receiver))

    def between(self, sender: int, receiver: int) -> Directed:
        """The stream from one node to another; a new one where there is none."""
        key = (sender, receiver)
        if key not in self._directed:
            pair = self.pair(sender, receiver)
            there = self._make(Stream(sender, receiver), pair)
            back = there if sender == receiver else self._make(Stream(receiver, sender), pair)
            self._directed[key], self._directed[receiver, sender] = there, back
            there.tracker.peer, back.tracker.peer = back.tracker, there.tracker
        return self._directed[key]

    def sent(self, connection: Connection, side: int) -> Directed:
        """The stream that one direction of a connection is part of."""
        return self.between(self.host(connection, side), self.host(connection, 1 - side))

    def of(self, connection: Connection, side: int) -> tuple[Directed, Directed]:
        """The stream of a direction of a connection, and the one the other way."""
        return self.sent(connection, side), self.sent(connection, 1 - side)
