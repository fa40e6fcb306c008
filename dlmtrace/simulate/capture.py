"""The capture of a simulation: packets from the segments that passed the capture point, and what a capture can miss.

A fault touches the capture alone: the simulated nodes got every packet as the truth says.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from random import Random

from dlmtrace.craft.network import Network as CraftedNetwork
from dlmtrace.craft.packets import TCP, Node, Packet, internet_sum, ip_packet, link_packet, pseudo_header
from dlmtrace.simulate.sequence import MODULUS
from dlmtrace.simulate.tcp import Segment

START = 1_700_000_000_000_000_000
"""Time of a simulation's beginning in its captures, ns since the epoch."""

_HEADER = struct.Struct(">HHIIBBHHH")


@dataclass(frozen=True)
class Faults:
    """What the capture missed or got wrong; by default nothing."""

    seed: int = 0
    start: int = 0
    """ns of the simulation before which nothing was captured"""
    drop: float = 0.0
    """part of the packets that the capture missed"""
    reorder: float = 0.0
    """part of the packets that swapped places with the next one"""
    only_from: int | None = None
    """the only node whose packets were captured"""
    snaplen: int = 262_144
    """bytes kept of each packet"""


def address(node: int) -> str:
    """The IPv4 address of a simulated node."""
    return f"10.0.0.{node}"


def kept(captured: list[tuple[int, Segment]], faults: Faults) -> list[tuple[int, Segment]]:
    """What the capture did not miss, in its order: ns and segment."""
    random = Random(faults.seed)
    seen = [
        (time, segment)
        for time, segment in captured
        if time >= faults.start
        and faults.only_from in (None, segment.sender)
        and not (faults.drop and random.random() < faults.drop)
    ]
    times, segments = [time for time, _ in seen], [segment for _, segment in seen]
    place = 0
    while faults.reorder and place + 1 < len(segments):
        if random.random() < faults.reorder:
            segments[place], segments[place + 1] = segments[place + 1], segments[place]
            place += 1
        place += 1
    return list(zip(times, segments, strict=True))


def packets(captured: list[tuple[int, Segment]], faults: Faults | None = None) -> list[Packet]:
    """Ethernet packets of the segments, in capture order."""
    seen = kept(captured, faults or Faults())
    nodes: dict[int, Node] = {}
    return [
        Packet(
            START + time,
            _packet(segment, identification),
            nodes.setdefault(segment.sender, Node(segment.sender, (address(segment.sender),))),
            segment.position,
            segment.payload,
        )
        for identification, (time, segment) in enumerate(seen)
    ]


def write(path: str | Path, captured: list[tuple[int, Segment]], faults: Faults | None = None) -> None:
    """Write a pcap file with times in ns."""
    faults = faults or Faults()
    CraftedNetwork(snaplen=faults.snaplen).write(path, packets(captured, faults))


def _packet(segment: Segment, identification: int) -> bytes:
    connection, side = segment.connection, segment.side
    ports, isn = connection.ports, connection.isn
    sequence = (isn[side] + 1 + segment.position) % MODULUS
    acknowledged = 0 if segment.acknowledges is None else (isn[1 - side] + 1 + segment.acknowledges) % MODULUS
    header = _HEADER.pack(ports[side], ports[1 - side], sequence, acknowledged, 5 << 4, segment.flags, 0xFFFF, 0, 0)
    source, destination = address(segment.sender), address(segment.receiver)
    data = header + segment.payload
    checksum = internet_sum(pseudo_header(source, destination, TCP, len(data)) + data)
    data = data[:16] + struct.pack(">H", checksum) + data[18:]
    packet = ip_packet(source, destination, TCP, data, identification)
    return link_packet("ethernet", (), segment.sender, segment.receiver, packet)
