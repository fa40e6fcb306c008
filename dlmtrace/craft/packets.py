"""Packets as they lie in a capture: the link, VLAN and IP headers around a transport payload.

Headers are packed with ``struct``: scapy needs half a millisecond a packet, which property tests cannot pay.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Literal

Link = Literal["ethernet", "sll", "sll2", "raw", "null"]

LINK_TYPES: dict[Link, int] = {"ethernet": 1, "sll": 113, "sll2": 276, "raw": 101, "null": 0}
"""Link layers a crafted capture may have, and their LINKTYPE_ numbers (tcpdump.org/linktypes.html)."""

TCP, SCTP = 6, 132
"""IP protocol numbers."""

_ETHERTYPE = {4: 0x0800, 6: 0x86DD}
_NULL_FAMILY = {4: 2, 6: 30}  # AF_INET, and AF_INET6 as Darwin numbers it
_VLAN, _SERVICE_VLAN = 0x8100, 0x88A8
_OUTGOING = 4  # sll packet type: sent by the capturing machine
_ARPHRD_ETHER = 1


@dataclass(frozen=True)
class Node:
    """A cluster node: its number and its addresses, one per network path. Counts as its number where one is wanted."""

    number: int
    addresses: tuple[str, ...]

    def __index__(self) -> int:
        return self.number

    def __int__(self) -> int:
        return self.number


@dataclass(eq=False)
class Packet:
    """One packet of the capture; two packets with equal bytes stay two."""

    time: int
    """ns since the epoch"""
    data: bytes
    """the whole packet with its link header"""
    sender: Node
    position: int = 0
    """TCP: stream position of the first payload byte; SCTP: TSN of the first DATA chunk"""
    payload: bytes = b""
    """the DLM bytes it carries"""
    path: int = 0
    """which of the nodes' addresses it went between"""


def internet_sum(data: bytes) -> int:
    """Internet checksum over ``data`` (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = int.from_bytes(data, "big")
    # 2**16 is 1 modulo 65535, so the remainder is the ones' complement sum; 0 is kept apart from 65535.
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    """The IP pseudo header that a TCP checksum covers (RFC 9293 §3.1, RFC 8200 §8.1)."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    if len(addresses) == 8:
        return addresses + struct.pack(">BBH", 0, protocol, length & 0xFFFF)
    return addresses + struct.pack(">IHBB", length, 0, 0, protocol)


def ip_packet(source: str, destination: str, protocol: int, payload: bytes, identification: int) -> bytes:
    """An IPv4 or IPv6 packet, by the form of the addresses; a length beyond 65535 is written as 0, as offload does."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    if len(addresses) == 8:
        length = len(payload) + 20
        total = length if length <= 0xFFFF else 0
        dont_fragment = 0x4000
        fixed = struct.pack(">BBHHHBBH", 0x45, 0, total, identification & 0xFFFF, dont_fragment, 64, protocol, 0)
        header = fixed + addresses
        return header[:10] + struct.pack(">H", internet_sum(header)) + header[12:] + payload
    if len(addresses) != 32:
        raise ValueError(f"{source} and {destination} are not of one IP version")
    length = len(payload) if len(payload) <= 0xFFFF else 0
    return struct.pack(">IHBB", 6 << 28, length, protocol, 64) + addresses + payload


def link_packet(link: Link, vlan: tuple[int, ...], sender: int, receiver: int, packet: bytes) -> bytes:
    """``packet`` (IP) behind the link header, with one 802.1Q tag per number in ``vlan``, the outermost first.

    MAC addresses end in the node numbers. Raw and null links have no place for a tag and leave it out.
    """
    version = packet[0] >> 4
    if link == "raw":
        return packet
    if link == "null":
        return struct.pack("<I", _NULL_FAMILY[version]) + packet
    types = [_SERVICE_VLAN] * (len(vlan) - 1) + [_VLAN] * bool(vlan) + [_ETHERTYPE[version]]
    tags = b"".join(struct.pack(">HH", number, inner) for number, inner in zip(vlan, types[1:], strict=True))
    source = struct.pack(">HI", 0x0200, sender)
    if link == "ethernet":
        header = struct.pack(">HI", 0x0200, receiver) + source + struct.pack(">H", types[0])
    elif link == "sll":
        header = struct.pack(">HHH8sH", _OUTGOING, _ARPHRD_ETHER, 6, source, types[0])
    else:
        header = struct.pack(">HHIHBB8s", types[0], 0, 1, _ARPHRD_ETHER, _OUTGOING, 6, source)
    return header + tags + packet
