"""What passed the capture point: when each frame was complete, and how each connection ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dlmtrace.simulate.network import Network
from dlmtrace.simulate.tcp import FIN, RST
from dlmtrace.simulate.truth import Log, Transmission


@dataclass(slots=True)
class ConnectionTruth:
    """What the capture point saw of a connection; pairs are by side, the client's first."""

    reset: int | None = None
    """ns of the first RST"""
    broken: int | None = None
    """ns of the first RST that was no forgery, or broke an end of it"""
    finished: int | None = None
    """ns of the first FIN"""
    closed_first: bool = False
    """whether a FIN passed before any RST"""
    last: int = 0
    """ns of its last packet"""
    acknowledged: tuple[int, int] = (0, 0)
    """position of each side's stream up to which the other side's TCP acknowledged"""
    passed: tuple[int, int] = (0, 0)
    """position behind the last byte of each side's stream that passed"""
    holes: bool = False
    """whether bytes were lost before the capture point and never sent again, although later ones passed"""

    @property
    def ended_by(self) -> Literal["rst", "fin", "open"]:
        """``open``: neither a RST that counts nor a FIN passed, whatever became of it."""
        return "rst" if self.broken is not None else "fin" if self.finished is not None else "open"

    @property
    def first_end(self) -> int | None:
        """ns of the first RST or FIN."""
        return min((time for time in (self.reset, self.finished) if time is not None), default=None)

    @property
    def ended(self) -> int | None:
        """ns of the first RST that counts, else of the first FIN."""
        return self.broken if self.broken is not None else self.finished

    def closed_behind(self, time: int) -> bool:
        """Was it closed in order, and not before ``time`` (ns)?"""
        return self.closed_first and self.finished is not None and self.finished > time


def watch(log: Log, network: Network) -> list[ConnectionTruth]:
    """Note in the log's transmissions when they were seen; returns the connections by index."""
    connections = [ConnectionTruth() for _ in network.connections]
    directions: dict[tuple[int, int], _Direction] = {}
    for transmission in log.transmissions():
        key = (transmission.connection, transmission.side)
        directions.setdefault(key, _Direction()).transmissions.append(transmission)
    for packet, (time, segment) in enumerate(network.captured, 1):
        connection = connections[segment.connection.index]
        connection.last = time
        if segment.flags & RST and connection.reset is None:
            connection.reset = time
        if segment.flags & RST and connection.broken is None and (segment.broke or not segment.forged):
            connection.broken = time
        if segment.flags & FIN and connection.finished is None:
            connection.finished, connection.closed_first = time, connection.reset is None
        if segment.acknowledges is not None and not segment.flags & RST:
            first, second = connection.acknowledged
            if segment.side:
                connection.acknowledged = max(first, segment.acknowledges), second
            else:
                connection.acknowledged = first, max(second, segment.acknowledges)
        if segment.payload:
            direction = directions[segment.connection.index, segment.side]
            direction.passed(_Piece(segment.position, segment.position + len(segment.payload), time, packet))
    for (index, _), direction in directions.items():
        connections[index].holes |= direction.finish()
    for connection, on_wire in zip(connections, network.connections, strict=True):
        connection.passed = on_wire.passed[0], on_wire.passed[1]
    return connections


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    end: int
    time: int
    packet: int


class _Direction:
    """One direction of a connection; ``transmissions`` are by position, as they were written."""

    def __init__(self) -> None:
        self.transmissions: list[Transmission] = []
        self._covered = 0  # all before it has passed
        self._next = 0
        self._ahead: list[_Piece] = []

    def passed(self, piece: _Piece) -> None:
        self._ahead.append(piece)
        while reachable := [ahead for ahead in self._ahead if ahead.start <= self._covered]:
            self._covered = max(self._covered, reachable[0].end)
            self._ahead.remove(reachable[0])
        while self._next < len(self.transmissions):
            transmission = self.transmissions[self._next]
            transmission.begun = transmission.begun or transmission.start < self._covered
            if transmission.end > self._covered:
                return
            transmission.seen, transmission.packet = piece.time, piece.packet
            self._next += 1

    def finish(self) -> bool:
        """See to the frames behind a hole; returns whether there was one."""
        for transmission in self.transmissions[self._next :]:
            reached = max(self._covered, transmission.start)
            for piece in sorted(self._ahead, key=lambda ahead: ahead.start):
                if piece.start <= transmission.start < piece.end:
                    transmission.begun = True
                if piece.start <= reached:
                    reached = max(reached, piece.end)
            if reached >= transmission.end:
                parts = [p for p in self._ahead if p.start < transmission.end and p.end > transmission.start]
                last = max(parts, key=lambda part: part.packet)
                transmission.seen, transmission.packet = last.time, last.packet
        return bool(self._ahead)
