"""Trouble of one kind, from one sender, one soon after the other, is one finding."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

from dlmtrace.capture.packets import packet_number
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.results import Finding, Severity
from dlmtrace.transport.connections import Connection, ConnectionEvent

GAP = 1_000_000_000
"""ns of capture time without more of it that end a range."""

_WITHOUT_NUMBERS = str.maketrans("", "", "0123456789")

Host = Callable[[Connection, int], int]
"""Node id at one side of a connection, negative while it is not known."""


class Place(NamedTuple):
    """Where something is, also when its batch is gone."""

    connection: Connection
    row: Any  # of dtype FRAME, HOLE or SKIP, or a dict with as much of it as is known
    number: int | None  # h_seq of what it is about

    @property
    def side(self) -> int:
        """Who sent it."""
        return int(self.row["side"])

    @property
    def time(self) -> int:
        """When it was there, ns."""
        return int(self.row["time"])


def place(batch: FrameBatch, index: int) -> Place:
    """Of a frame of the batch."""
    row, number = batch.frames[index].copy(), int(batch.sequence[index])
    return Place(batch.connections[int(row["connection"])], row, None if number < 0 else number)


def place_of_event(event: ConnectionEvent, side: int) -> Place:
    """Where something happened to a connection; ``side`` counts as the sender."""
    return Place(event.connection, {"side": side, "packet": event.packet, "time": event.time}, None)


@dataclass(slots=True)
class _Range:
    finding: Finding
    first: Place
    last_time: int  # ns, of the last of it
    added: int = 0  # ns, when that was added: what is missing is told late


class Ranges:
    """Takes in what rules find, in order of capture; findings go to ``report`` when their range is over."""

    def __init__(self, host: Host, report: Callable[[Finding], None]) -> None:
        self.host, self.report = host, report
        self._open: dict[tuple[str, str, Hashable], _Range] = {}
        self.now = 0
        """Capture time, ns; the highest so far."""

    def add(
        self,
        code: str,
        message: str,
        where: Place,
        *,
        count: int = 1,
        last: Place | None = None,
        together: Hashable = None,
        amounts: dict[str, int] | None = None,
        severity: Severity | None = None,
    ) -> None:
        """One more, or ``count`` more up to ``last``.

        What comes from one end of one connection goes together, or else all with the same ``together``, when the
        messages differ in numbers only; the first one is kept.  ``amounts`` add up in the evidence; the message may
        name them in braces, and the number of all as ``{count}``.
        """
        key = (code, message.translate(_WITHOUT_NUMBERS), together or (where.connection.index, where.side))
        found = self._open.get(key)
        if found is None or where.time - found.last_time > GAP:
            if found is not None:
                self._report(found)
            packet = int(where.row["packet"])
            finding = Finding(code, message, packet=packet, time=where.time, seq_first=where.number, count=0)
            finding.severity = severity
            found = self._open[key] = _Range(finding, where, where.time)
        last = last or where
        finding, found.last_time, found.added = found.finding, last.time, self.now
        finding.count += count
        finding.evidence["last_packet"] = packet_number(int(last.row["packet"]))
        if last.number is not None:
            finding.seq_last = last.number
        for name, amount in (amounts or {}).items():
            finding.evidence[name] = finding.evidence.get(name, 0) + amount

    def settle(self) -> None:
        """Report the ranges that nothing was added to for a while."""
        for key in [key for key, found in self._open.items() if self.now - found.added > GAP]:
            self._report(self._open.pop(key))

    def finish(self) -> None:
        """Report the others."""
        for found in self._open.values():
            self._report(found)
        self._open.clear()

    def _report(self, found: _Range) -> None:
        """Only now it is known for sure who was at either end."""
        connection, side = found.first.connection, found.first.side
        sender, receiver = self.host(connection, side), self.host(connection, 1 - side)
        found.finding.sender = None if sender < 0 else sender
        found.finding.receiver = None if receiver < 0 else receiver
        found.finding.connection = connection.name
        found.finding.message = found.finding.message.format(count=found.finding.count, **found.finding.evidence)
        self.report(found.finding)
