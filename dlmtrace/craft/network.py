"""A network whose traffic becomes a capture: nodes, a clock, and what the capture saw of what was sent."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from dlmtrace.craft.packets import LINK_TYPES, Link, Node, Packet, ip_packet, link_packet
from dlmtrace.craft.sctp import Association
from dlmtrace.craft.tcp import Connection

PORT = 21064
"""The DLM port of TCP and SCTP (protocol page §7.1)."""

_MICROSECOND_MAGIC, _NANOSECOND_MAGIC = 0xA1B2C3D4, 0xA1B23C4D


class Network:
    """Crafts a capture packet by packet; as a context manager it writes ``path`` when the block ends well.

    ``packets`` is the capture so far, in capture order, and may be edited freely. ``step`` ns pass before each packet,
    ``wait`` lets more pass. ``vlan`` gives 802.1Q tags, the outermost first.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        link: Link = "ethernet",
        vlan: tuple[int, ...] = (),
        start: int = 1_700_000_000_000_000_000,
        step: int = 100_000,
        snaplen: int = 262_144,
        nanoseconds: bool = True,
    ) -> None:
        self.path = path
        self.link = link
        self.vlan = vlan
        self.time = start
        self.step = step
        self.snaplen = snaplen
        self.nanoseconds = nanoseconds
        self.packets: list[Packet] = []
        self._identification = 0
        self._source_port = 49_152

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self.path is not None:
            self.write(self.path)

    def node(self, number: int, *addresses: str) -> Node:
        """A node; several addresses (SCTP) are its paths 0, 1, …"""
        if not addresses:
            raise ValueError(f"node {number} needs an address")
        return Node(number, addresses)

    def connect(
        self,
        client: Node,
        server: Node,
        *,
        port: int = PORT,
        source_port: int | None = None,
        isn: tuple[int, int] = (1_000, 2_000),
        handshake: bool = True,
    ) -> Connection:
        """A TCP connection dialled by ``client``.

        ``isn``: initial sequence numbers of client and server; near 2**32 they make the numbers wrap. The same
        ``source_port`` again with another ``isn`` reuses the 4-tuple. Without ``handshake`` the capture starts later.
        """
        connection = Connection(self, client, server, (source_port or self._next_source_port(), port), isn)
        if handshake:
            connection.handshake()
        return connection

    def associate(
        self,
        client: Node,
        server: Node,
        *,
        port: int = PORT,
        source_port: int | None = None,
        tags: tuple[int, int] = (0x1111_1111, 0x2222_2222),
        tsn: tuple[int, int] = (1_000, 2_000),
        handshake: bool = True,
    ) -> Association:
        """An SCTP association opened by ``client`` over all addresses of both nodes.

        ``tags``: verification tags of client and server (a packet carries its receiver's); ``tsn``: their first TSN.
        """
        association = Association(self, client, server, (source_port or self._next_source_port(), port), tags, tsn)
        if handshake:
            association.handshake()
        return association

    def wait(self, duration: int) -> None:
        """Let ``duration`` ns pass."""
        self.time += duration

    def transmit(
        self,
        sender: Node,
        receiver: Node,
        protocol: int,
        segment: bytes,
        *,
        path: int = 0,
        position: int = 0,
        payload: bytes = b"",
    ) -> Packet:
        """Put a transport segment on the wire in IP and link headers; the Packet says what else the capture keeps."""
        self.time += self.step
        self._identification += 1
        packet = ip_packet(sender.addresses[path], receiver.addresses[path], protocol, segment, self._identification)
        data = link_packet(self.link, self.vlan, sender.number, receiver.number, packet)
        self.packets.append(Packet(self.time, data, sender, position, payload, path))
        return self.packets[-1]

    def lose(self, *packets: Packet) -> None:
        """The capture missed these packets; the receiver did get them."""
        for packet in packets:
            del self.packets[self.packets.index(packet)]

    def delay(self, packet: Packet, behind: Packet) -> None:
        """Reorder: ``packet`` comes right behind the packet ``behind``."""
        self.lose(packet)
        self._insert(packet, behind)

    def duplicate(self, packet: Packet, behind: Packet | None = None) -> Packet:
        """Capture ``packet`` once more, bit for bit (same IP identification), right behind itself or ``behind``."""
        copy = replace(packet)
        self._insert(copy, behind or packet)
        return copy

    def records(self) -> list[tuple[int, bytes]]:
        """The capture in memory: (time in ns, bytes) of each packet, whole whatever the snaplen."""
        return [(packet.time, packet.data) for packet in self.packets]

    def write(self, path: str | Path, packets: Iterable[Packet] | None = None) -> None:
        """Write ``packets`` (default: all) to a pcap file, cut to ``snaplen`` bytes each; times in ns or in µs."""
        magic, unit = (_NANOSECOND_MAGIC, 1) if self.nanoseconds else (_MICROSECOND_MAGIC, 1_000)
        parts = [struct.pack("<IHHiIII", magic, 2, 4, 0, 0, self.snaplen, LINK_TYPES[self.link])]
        for packet in self.packets if packets is None else packets:
            seconds, fraction = divmod(packet.time, 1_000_000_000)
            captured = packet.data[: self.snaplen]
            parts += [struct.pack("<IIII", seconds, fraction // unit, len(captured), len(packet.data)), captured]
        Path(path).write_bytes(b"".join(parts))

    def _insert(self, packet: Packet, behind: Packet) -> None:
        place = self.packets.index(behind) + 1
        packet.time = self.packets[place - 1].time + 1_000  # 1 µs, so that both time resolutions keep the order
        self.packets.insert(place, packet)

    def _next_source_port(self) -> int:
        self._source_port += 1
        return self._source_port
