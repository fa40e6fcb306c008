"""Connections and what their two directions carried: one TCP connection or one SCTP association each."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from dlmtrace.capture.segments import IPV4_PREFIX

CLIENT, SERVER = 0, 1
"""Sides of a connection.  Direction 0 carries what the client sends, direction 1 what the server sends."""

EndedBy = Literal["fin", "rst", "abandoned", "open"]


class Endpoint(NamedTuple):
    """One end of a connection; the address as the two halves of an IPv6 or IPv4-mapped address."""

    high: int
    low: int
    port: int

    @property
    def address(self) -> str:
        """The address as text: dotted IPv4 or compressed IPv6."""
        if self.high == 0 and self.low >> 32 == IPV4_PREFIX >> 32:
            return str(ipaddress.IPv4Address(self.low & 0xFFFFFFFF))
        return str(ipaddress.IPv6Address(self.high << 64 | self.low))

    def __str__(self) -> str:
        address = self.address
        return f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"


@dataclass(slots=True)
class Direction:
    """What one side sent, as far as the capture shows it.  Positions count bytes from the first one of the stream."""

    begin_seen: bool = False  # is position 0 the stream's first byte (SYN, INIT), or only the first one captured?
    packets: int = 0
    segments: int = 0  # packets with payload (TCP), DATA chunks (SCTP)
    bytes: int = 0  # payload in stream order, each byte once, holes not counted
    sent: int = 0  # position behind the highest byte seen
    acknowledged: int = -1  # position up to which the other side acknowledged; -1: no acknowledgement seen
    hole_bytes: int = 0  # bytes that the capture does not hold, cut ones included
    cut_bytes: int = 0  # of these, cut off by the snaplen
    holes: int = 0
    retransmitted_segments: int = 0
    retransmitted_bytes: int = 0
    captured_again: int = 0  # packets that the capture holds more than once
    out_of_order: int = 0  # segments that came behind a later one
    keep_alives: int = 0
    conflicting_bytes: int = 0  # bytes of a retransmission that differ from the first copy
    late_bytes: int = 0  # bytes that came after their hole had been declared
    fin_packet: int | None = None
    reset_packet: int | None = None  # first RST or ABORT by this side


@dataclass(slots=True)
class Connection:
    """One incarnation of a TCP 4-tuple, or one SCTP association.  ``index`` counts from 0 by first packet."""

    index: int
    transport: Literal["tcp", "sctp"]
    client: Endpoint
    server: Endpoint
    first_packet: int
    opened: int  # ns, time of its first packet
    last_packet: int = 0
    closed: int = 0  # ns, time of its last packet
    handshake_seen: bool = False
    ended_by: EndedBy = "open"
    directions: tuple[Direction, Direction] = field(default_factory=lambda: (Direction(), Direction()))
    paths: list[tuple[Endpoint, Endpoint]] = field(default_factory=list)  # further address pairs (SCTP multi-homing)

    @property
    def name(self) -> str:
        """``c1``, ``c2``, …"""
        return f"c{self.index + 1}"

    def endpoint(self, side: int) -> Endpoint:
        """The client (0) or the server (1)."""
        return self.server if side else self.client


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """Something that happened to a connection, in capture order among the frames.

    open: its first packet.  fin: ``side`` sent FIN or SHUTDOWN.  rst: ``side`` sent RST or ABORT (the other side may
    have ignored it; then the connection goes on).  end: no more is expected (both FINs, RST, replaced by a new
    incarnation, aged out, end of capture); ``connection.ended_by`` says which.  survived: both sides went on behind a
    RST.  A connection that ended by RST may go on all the same, and end again.
    """

    kind: Literal["open", "fin", "rst", "end", "survived"]
    connection: Connection
    side: int
    ordinal: int
    packet: int
    time: int  # ns
