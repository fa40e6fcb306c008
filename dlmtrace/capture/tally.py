"""Where packets go that do not come out as segments or chunks: counted by reason or by port, each packet once."""

from __future__ import annotations

import numpy as np

from dlmtrace.capture.headers import Flags, Int
from dlmtrace.capture.segments import TrafficSummary


class Tally:
    """Counts of one run.  ``summary`` is a TrafficSummary of what was counted so far."""

    def __init__(self) -> None:
        self.passed = 0
        self.cut = 0
        self._undecodable: dict[str, int] = {}
        self._other: dict[str, int] = {}
        self._tcp_ports = np.zeros(1 << 16, np.int64)
        self._sctp_ports = np.zeros(1 << 16, np.int64)

    def undecodable(self, reason: str, packets: int = 1) -> None:
        """Packets that could not be read."""
        if packets:
            self._undecodable[reason] = self._undecodable.get(reason, 0) + packets

    def other(self, kind: str, packets: int = 1) -> None:
        """Packets that are well understood but carry neither TCP nor SCTP."""
        if packets:
            self._other[kind] = self._other.get(kind, 0) + packets

    def short(self, header: str, on_wire: Flags) -> None:
        """Packets that end inside ``header``; ``on_wire`` tells those where the wire had all of it."""
        cut = int(np.count_nonzero(on_wire))
        self.undecodable(f"{header} cut by the snaplen", cut)
        self.undecodable(f"packet ends inside the {header}", len(on_wire) - cut)

    def tcp_ports(self, source: Int, destination: Int) -> None:
        """TCP packets by port."""
        self._tcp_ports += _ports(source, destination)

    def sctp_ports(self, source: Int, destination: Int) -> None:
        """SCTP packets by port."""
        self._sctp_ports += _ports(source, destination)

    @property
    def summary(self) -> TrafficSummary:
        """The counts so far; a copy."""
        return TrafficSummary(
            dlm_packets=self.passed,
            undecodable=dict(self._undecodable),
            other=dict(self._other),
            tcp_ports=_seen(self._tcp_ports),
            sctp_ports=_seen(self._sctp_ports),
            cut_packets=self.cut,
        )


def _ports(source: Int, destination: Int) -> Int:
    """Packets per port; a packet between equal ports counts once."""
    ports = np.concatenate((source, destination[destination != source]))
    return np.bincount(ports, minlength=1 << 16)


def _seen(packets: Int) -> dict[int, int]:
    return {int(port): int(packets[port]) for port in np.flatnonzero(packets)}
