"""An SCTP association between two nodes, crafted chunk by chunk (RFC 9260)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsBytes

from dlmtrace.craft.packets import SCTP, Node, Packet
from dlmtrace.craft.tcp import cut

if TYPE_CHECKING:
    from dlmtrace.craft.network import Network

DATA, INIT, INIT_ACK, SACK, HEARTBEAT, HEARTBEAT_ACK, ABORT, SHUTDOWN, SHUTDOWN_ACK = range(9)
COOKIE_ECHO, COOKIE_ACK, SHUTDOWN_COMPLETE = 10, 11, 14
"""Chunk types (RFC 9260 §3.2)."""

FRAGMENT = 1_400
"""Payload bytes of a DATA chunk on Ethernet when no sizes are given."""

_MODULUS = 1 << 32
_BEGINNING, _ENDING = 2, 1
_WINDOW = 0x10000
_COOKIE = b"state cookie"
_IPV4_ADDRESS, _IPV6_ADDRESS, _STATE_COOKIE = 5, 6, 7


@dataclass
class _Side:
    node: Node
    port: int
    tag: int
    tsn: int  # of the next DATA chunk to send
    stream_sequence: int = 0


class Association:
    """One association; path n joins the nodes' n-th addresses. The network's capture gets the packets."""

    def __init__(
        self,
        network: Network,
        client: Node,
        server: Node,
        ports: tuple[int, int],
        tags: tuple[int, int],
        tsn: tuple[int, int],
    ) -> None:
        self.network = network
        self._chunks: dict[Packet, list[bytes]] = {}
        self._sides = (_Side(client, ports[0], tags[0], tsn[0]), _Side(server, ports[1], tags[1], tsn[1]))

    def handshake(self) -> None:
        """INIT, INIT ACK, COOKIE ECHO, COOKIE ACK; the first two list every address of their sender."""
        client, server = self._sides
        self._transmit(client, [_chunk(INIT, _initiation(client))], tag=0)
        self._transmit(server, [_chunk(INIT_ACK, _initiation(server) + _parameter(_STATE_COOKIE, _COOKIE))])
        self._transmit(client, [_chunk(COOKIE_ECHO, _COOKIE)])
        self._transmit(server, [_chunk(COOKIE_ACK)])

    def next_tsn(self, sender: Node) -> int:
        """TSN of the next DATA chunk ``sender`` would send."""
        return self._side(sender).tsn

    def send(
        self,
        sender: Node,
        data: bytes | SupportsBytes,
        sizes: int | Sequence[int] | None = None,
        *,
        path: int = 0,
        bundle: int = 1,
        acknowledge: bool = True,
    ) -> list[Packet]:
        """Send ``data`` as one user message and let the receiver acknowledge it; returns the data packets.

        ``sizes``: bytes of each DATA chunk in turn, the rest in one more; or one size for all. ``bundle``: DATA chunks
        in one packet. Stream 0, payload protocol 0, as the kernel sends (protocol page §7.1).
        """
        side = self._side(sender)
        pieces = list(cut(bytes(data), FRAGMENT if sizes is None else sizes))
        packets = []
        for start in range(0, len(pieces), bundle):
            chunks = []
            for index, piece in enumerate(pieces[start : start + bundle], start):
                flags = _BEGINNING * (index == 0) | _ENDING * (index == len(pieces) - 1)
                head = struct.pack(">IHHI", (side.tsn + index) % _MODULUS, 0, side.stream_sequence, 0)
                chunks.append(_chunk(DATA, head + piece, flags))
            packet = self._transmit(
                side,
                chunks,
                path=path,
                position=(side.tsn + start) % _MODULUS,
                payload=b"".join(pieces[start : start + bundle]),
            )
            self._chunks[packet] = chunks
            packets.append(packet)
        side.tsn = (side.tsn + len(pieces)) % _MODULUS
        side.stream_sequence = (side.stream_sequence + 1) % 0x10000
        if acknowledge:
            self.acknowledge(self._peer(side).node, path=path)
        return packets

    def retransmit(self, packet: Packet, *, path: int = 0) -> Packet:
        """The sender sends the DATA chunks of ``packet`` again: same TSN, new IP packet, perhaps on another path."""
        side = self._side(packet.sender)
        again = self._transmit(side, self._chunks[packet], path=path, position=packet.position, payload=packet.payload)
        self._chunks[again] = self._chunks[packet]
        return again

    def acknowledge(
        self, sender: Node, tsn: int | None = None, gaps: Sequence[tuple[int, int]] = (), *, path: int = 0
    ) -> Packet:
        """A SACK up to ``tsn`` (default: all that was sent); ``gaps``: first and last TSN of each gap block."""
        side = self._side(sender)
        if tsn is None:
            tsn = (self._peer(side).tsn - 1) % _MODULUS
        blocks = b"".join(struct.pack(">HH", *((edge - tsn) % _MODULUS for edge in gap)) for gap in gaps)
        head = struct.pack(">IIHH", tsn, _WINDOW, len(gaps), 0)
        return self._transmit(side, [_chunk(SACK, head + blocks)], path=path)

    def heartbeat(self, sender: Node, *, path: int = 0) -> tuple[Packet, Packet]:
        """``sender`` probes a path, and the answer."""
        side = self._side(sender)
        information = _parameter(1, self.network.time.to_bytes(8, "big"))
        return (
            self._transmit(side, [_chunk(HEARTBEAT, information)], path=path),
            self._transmit(self._peer(side), [_chunk(HEARTBEAT_ACK, information)], path=path),
        )

    def abort(self, by: Node) -> Packet:
        """``by`` aborts the association."""
        return self._transmit(self._side(by), [_chunk(ABORT)])

    def shutdown(self, by: Node) -> None:
        """Orderly end by ``by``: SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE."""
        first = self._side(by)
        second = self._peer(first)
        self._transmit(first, [_chunk(SHUTDOWN, struct.pack(">I", (second.tsn - 1) % _MODULUS))])
        self._transmit(second, [_chunk(SHUTDOWN_ACK)])
        self._transmit(first, [_chunk(SHUTDOWN_COMPLETE)])

    def _side(self, node: Node) -> _Side:
        for side in self._sides:
            if side.node == node:
                return side
        raise ValueError(f"node {node.number} is not in this association")

    def _peer(self, side: _Side) -> _Side:
        return self._sides[1] if side is self._sides[0] else self._sides[0]

    def _transmit(
        self,
        side: _Side,
        chunks: Sequence[bytes],
        *,
        tag: int | None = None,
        path: int = 0,
        position: int = 0,
        payload: bytes = b"",
    ) -> Packet:
        peer = self._peer(side)
        ports = struct.pack(">HHI", side.port, peer.port, peer.tag if tag is None else tag)
        chunk_bytes = b"".join(chunks)
        checksum = struct.pack("<I", crc32c(ports + bytes(4) + chunk_bytes))
        packet = ports + checksum + chunk_bytes
        return self.network.transmit(side.node, peer.node, SCTP, packet, path=path, position=position, payload=payload)


def _chunk(kind: int, value: bytes = b"", flags: int = 0) -> bytes:
    return _padded(struct.pack(">BBH", kind, flags, 4 + len(value)) + value)


def _parameter(kind: int, value: bytes) -> bytes:
    return _padded(struct.pack(">HH", kind, 4 + len(value)) + value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _initiation(side: _Side) -> bytes:
    """Value of INIT and INIT ACK: tag, window, one stream each way, first TSN, addresses."""
    addresses = [ipaddress.ip_address(address) for address in side.node.addresses]
    parameters = [_parameter(_IPV4_ADDRESS if item.version == 4 else _IPV6_ADDRESS, item.packed) for item in addresses]
    return struct.pack(">IIHHI", side.tag, _WINDOW, 1, 1, side.tsn) + b"".join(parameters)


def _crc32c_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _crc32c_table()


def crc32c(data: bytes) -> int:
    """CRC-32C, the SCTP checksum (RFC 9260 appendix A)."""
    value = 0xFFFF_FFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFF_FFFF
