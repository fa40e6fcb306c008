"""What the link and network layers yield: TCP segments and SCTP chunks of the wanted ports, as columns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.int64]
UInt = npt.NDArray[np.uint64]

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
"""TCP flags (RFC 9293 §3.1)."""


@dataclass(slots=True)
class Segments:
    """TCP segments in capture order, one array element each; all arrays have the same length.

    An IPv4 address is the low half with high half 0 (see ``IPV4_PREFIX``): IPv4 is stored as the IPv4-mapped IPv6
    address ::ffff:a.b.c.d, so (high, low) names any address.
    """

    buffer: npt.NDArray[np.uint8]  # where offsets point: the batch's, or one with defragmented datagrams behind it
    row: Int  # index into PacketBatch.records: ordinal, time, packet
    network: Int  # offset of the IP header
    transport: Int  # offset of the TCP header
    source_high: UInt
    source_low: UInt
    destination_high: UInt
    destination_low: UInt
    source_port: Int
    destination_port: Int
    sequence: Int  # 0 … 2^32-1
    acknowledgement: Int  # 0 … 2^32-1, meaningful with the ACK flag
    flags: Int
    data: Int  # offset of the first payload byte in the buffer
    length: Int  # payload bytes on the wire
    captured: Int  # payload bytes in the buffer, ≤ length (less: cut by the snaplen)
    identification: Int  # IPv4 identification, -1 for IPv6


@dataclass(slots=True)
class Chunks:
    """SCTP chunks in capture order (RFC 9260 §3.3), all types; fields of DATA are -1 for the others.

    ``data`` … ``captured`` describe the chunk's value for control chunks (behind the 4-byte chunk header) and the user
    data (behind the 16-byte DATA header) for DATA.
    """

    buffer: npt.NDArray[np.uint8]
    row: Int
    network: Int
    transport: Int
    source_high: UInt
    source_low: UInt
    destination_high: UInt
    destination_low: UInt
    source_port: Int
    destination_port: Int
    verification_tag: Int
    type: Int
    flags: Int
    data: Int
    length: Int
    captured: Int
    tsn: Int
    stream: Int
    identification: Int


IPV4_PREFIX = 0xFFFF00000000
"""Low half of an IPv4-mapped address: IPV4_PREFIX | the 32 address bits; the high half is 0."""


@dataclass(slots=True)
class Traffic:
    """One batch after the link and network layers."""

    tcp: Segments
    sctp: Chunks


@dataclass(slots=True)
class TrafficSummary:
    """Counts over the run; ``undecodable`` and ``other`` map a reason to packets, ports map a port to packets."""

    dlm_packets: int = 0
    undecodable: dict[str, int] = field(default_factory=dict)
    other: dict[str, int] = field(default_factory=dict)
    tcp_ports: dict[int, int] = field(default_factory=dict)
    sctp_ports: dict[int, int] = field(default_factory=dict)
    cut_packets: int = 0
