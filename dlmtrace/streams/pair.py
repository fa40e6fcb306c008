"""A node pair's connections as its two streams see them: which died, when and how, and what of them is missing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from dlmtrace.streams.receiver import Arrival
from dlmtrace.transport.connections import Connection

VANISHED = 200_000_000
"""ns without an acknowledgement of TCP after which the receiver is taken for gone (TCP delays them 200 ms at most)."""

REMEMBERED = 1024
"""Holes, deaths and connections remembered for a pair."""


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a connection for what its sender still had under way."""

    connection: Connection
    kind: Literal["rst", "fin", "abandoned"]
    ordinal: int
    packet: int
    time: int  # ns
    side: int | None = None  # that sent the FIN or RST


@dataclass(slots=True)
class Pair:
    """What the streams a→b and b→a share."""

    deaths: dict[int, Death] = field(default_factory=dict)  # by connection index
    last_error: int | None = None  # ns, of the last RST or abandonment on any connection of the pair
    holes: dict[int, deque[tuple[int, int]]] = field(default_factory=dict)  # carrier -> (position, behind)
    lost_at: int | None = None  # ns, when a hole was last seen
    connections: dict[int, Connection] = field(default_factory=dict)  # with frames, by index
    opened: deque[int] = field(default_factory=lambda: deque(maxlen=3))  # ns, of the last connections

    def die(self, death: Death) -> None:
        """A connection ended; only its first end counts."""
        if death.kind != "fin":
            self.last_error = max(self.last_error or 0, death.time)
        if death.connection.index not in self.deaths:
            if len(self.deaths) >= REMEMBERED:
                del self.deaths[next(iter(self.deaths))]
            self.deaths[death.connection.index] = death

    def survive(self, connection: Connection) -> None:
        """A connection was reset and went on: the RST ended nothing, but a FIN before it did."""
        if connection.index in self.deaths and self.deaths[connection.index].kind != "fin":
            del self.deaths[connection.index]

    def know(self, connection: Connection) -> None:
        """A connection of the pair has frames."""
        if connection.index not in self.connections:
            if len(self.connections) >= REMEMBERED:
                del self.connections[next(iter(self.connections))]
            self.connections[connection.index] = connection

    def opened_between(self, start: int, end: int) -> int:
        """When (ns) a connection was opened first between two times; ``end`` when none was."""
        return min((each.opened for each in self.connections.values() if start < each.opened < end), default=end)

    def lose(self, carrier: int, position: int, length: int, time: int) -> None:
        """Bytes of a direction that the capture does not hold, or that belong to no frame, as was seen at ``time``."""
        if carrier not in self.holes and len(self.holes) >= REMEMBERED:
            del self.holes[next(iter(self.holes))]
        self.holes.setdefault(carrier, deque(maxlen=REMEMBERED)).append((position, position + length))
        self.lose_until(time)

    def lose_until(self, time: int) -> None:
        """The capture does not hold all that passed before ``time``."""
        self.lost_at = max(self.lost_at or 0, time)

    def never_came(self, death: Death, arrivals: Iterable[Arrival]) -> list[Arrival]:
        """Which frames of a dead connection did not come after all?"""
        waiting = [
            arrival
            for arrival in arrivals
            if arrival.carrier >> 1 == death.connection.index
            and arrival.came
            and arrival.end > death.connection.directions[arrival.carrier & 1].acknowledged
        ]
        if not waiting:
            return []
        vanished = death.kind == "abandoned" or death.time - waiting[0].time > VANISHED
        first = self.deaths.get(death.connection.index, death)  # the FIN where a RST follows
        # who closes, and then refuses with a RST what comes, had acknowledged with its FIN all that it ever took
        closed = first.side if (first.kind, death.kind, first.side) == ("fin", "rst", death.side) else None
        if vanished:
            return waiting
        return [each for each in waiting if each.ordinal > first.ordinal or closed == 1 - (each.carrier & 1)]

    def outlived(self, old: int, current: int | None) -> bool:
        """Did the connection of ``old`` end, and that of ``current`` live on?  TCP may still repeat what was sent."""
        return current is not None and old >> 1 in self.deaths and current >> 1 not in self.deaths

    def lost_since(self, time: int) -> bool:
        """May the capture miss anything that passed between the nodes from ``time`` (ns) on?"""
        return (self.lost_at is not None and self.lost_at >= time) or any(
            sent.bytes and not back.packets
            for connection in self.connections.values()
            for sent, back in (connection.directions, connection.directions[::-1])
        )

    def lost_between(self, carrier: int, low: int, high: int) -> int:
        """How many bytes between two positions of a direction are missing?"""
        holes = self.holes.get(carrier, ())
        return sum(max(min(behind, high) - max(position, low), 0) for position, behind in holes)

    def lost_anything(self, carrier: int) -> bool:
        """Is anything of a direction missing?"""
        return bool(self.holes.get(carrier))
