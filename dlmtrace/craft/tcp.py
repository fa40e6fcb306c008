"""A TCP connection between two nodes, crafted segment by segment (RFC 9293)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsBytes

from dlmtrace.craft.packets import TCP, Node, Packet, internet_sum, pseudo_header

if TYPE_CHECKING:
    from dlmtrace.craft.network import Network

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
"""TCP flags."""

SEGMENT = 1448
"""Payload bytes of a full segment on Ethernet when no sizes are given."""

_MODULUS = 1 << 32
_SYN_OPTIONS = bytes([2, 4, 0x05, 0xB4, 1, 1, 4, 2])  # maximum segment size 1460, SACK permitted


@dataclass
class _Side:
    node: Node
    port: int
    isn: int
    sent: int = 0  # stream position of the next byte to send
    acknowledged: int = 0  # of the peer's stream: all before it has been acknowledged


class Connection:
    """One connection, whose packets go to the network's capture. Positions count payload bytes per direction from 0.

    Nothing here judges: segments may overlap, contradict each other or leave holes, as the test wants it.
    """

    def __init__(
        self, network: Network, client: Node, server: Node, ports: tuple[int, int], isn: tuple[int, int]
    ) -> None:
        self.network = network
        self._sides = (_Side(client, ports[0], isn[0]), _Side(server, ports[1], isn[1]))

    def handshake(self) -> None:
        """SYN, SYN and ACK, ACK."""
        client, server = self._sides
        self._segment(client, -1, b"", SYN, options=_SYN_OPTIONS)
        self._segment(server, -1, b"", SYN | ACK, options=_SYN_OPTIONS)
        self.acknowledge(client.node)

    def position(self, sender: Node) -> int:
        """Stream position of the next byte ``sender`` would send."""
        return self._side(sender).sent

    def send(
        self,
        sender: Node,
        data: bytes | SupportsBytes,
        sizes: int | Sequence[int] | None = None,
        *,
        acknowledge: bool = True,
    ) -> list[Packet]:
        """Send the next bytes of the stream and let the receiver acknowledge them; returns the data packets.

        ``sizes``: bytes of each segment in turn, the rest in one more; or one size for all; default full segments.
        """
        side = self._side(sender)
        parts = cut(bytes(data), SEGMENT if sizes is None else sizes)
        packets = [self.segment(sender, side.sent, part) for part in parts]
        if acknowledge:
            self.acknowledge(self._peer(side).node)
        return packets

    def segment(self, sender: Node, position: int, payload: bytes, flags: int = PSH | ACK) -> Packet:
        """One segment at any stream position: an overlap, other bytes for an old place, a jump that leaves a hole."""
        side = self._side(sender)
        side.sent = max(side.sent, position + len(payload))
        return self._segment(side, position, payload, flags)

    def retransmit(self, packet: Packet) -> Packet:
        """The sender sends the packet's payload again: same sequence number, new IP packet."""
        return self.segment(packet.sender, packet.position, packet.payload)

    def acknowledge(self, sender: Node, position: int | None = None) -> Packet:
        """``sender`` acknowledges the peer's stream up to ``position``; default: all that was sent."""
        side = self._side(sender)
        side.acknowledged = self._peer(side).sent if position is None else position
        return self._segment(side, side.sent, b"", ACK)

    def keepalive(self, sender: Node, payload: bytes = b"") -> tuple[Packet, Packet]:
        """A keep-alive probe one byte before the next position (RFC 9293 §3.8.4), and its answer."""
        side = self._side(sender)
        return self._segment(side, side.sent - 1, payload, ACK), self.acknowledge(self._peer(side).node)

    def reset(self, by: Node) -> Packet:
        """``by`` aborts the connection with a RST."""
        side = self._side(by)
        return self._segment(side, side.sent, b"", RST | ACK)

    def finish(self, sender: Node) -> Packet:
        """``sender`` closes its direction with a FIN, which takes one sequence number."""
        side = self._side(sender)
        side.sent += 1
        return self._segment(side, side.sent - 1, b"", FIN | ACK)

    def close(self, by: Node | None = None) -> None:
        """Orderly end: FIN from ``by`` (default the client), acknowledged; FIN from the peer, acknowledged."""
        first = self._sides[0] if by is None else self._side(by)
        second = self._peer(first)
        self.finish(first.node)
        self.acknowledge(second.node)
        self.finish(second.node)
        self.acknowledge(first.node)

    def _side(self, node: Node) -> _Side:
        for side in self._sides:
            if side.node == node:
                return side
        raise ValueError(f"node {node.number} is not on this connection")

    def _peer(self, side: _Side) -> _Side:
        return self._sides[1] if side is self._sides[0] else self._sides[0]

    def _segment(self, side: _Side, position: int, payload: bytes, flags: int, options: bytes = b"") -> Packet:
        peer = self._peer(side)
        sequence = (side.isn + 1 + position) % _MODULUS
        acknowledgement = (peer.isn + 1 + side.acknowledged) % _MODULUS if flags & ACK else 0
        offset = (20 + len(options)) // 4
        header = struct.pack(
            ">HHIIBBHHH", side.port, peer.port, sequence, acknowledgement, offset << 4, flags, 0xFFFF, 0, 0
        )
        segment = header + options + payload
        pseudo = pseudo_header(side.node.addresses[0], peer.node.addresses[0], TCP, len(segment))
        segment = segment[:16] + struct.pack(">H", internet_sum(pseudo + segment)) + segment[18:]
        return self.network.transmit(side.node, peer.node, TCP, segment, position=position, payload=payload)


def cut(data: bytes, sizes: int | Sequence[int]) -> Iterator[bytes]:
    """``data`` in pieces of ``sizes`` bytes, what is left in one more; one number: all pieces of that size."""
    if isinstance(sizes, int):
        sizes = [sizes] * (len(data) // sizes) if sizes > 0 else [sizes]
    start = 0
    for size in sizes:
        if size <= 0:
            raise ValueError(f"a piece of {size} bytes")
        if start >= len(data):
            return
        yield data[start : start + size]
        start += size
    if start < len(data):
        yield data[start:]
