"""Captures with packets taken out, as capturers lose them: by chance, bursts, direction, time, filter, snaplen."""

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from evidence import capture_bytes
from oracles.packets import struct_packets

FIN_SYN_RST, RST, ACK = 0x07, 0x04, 0x10


@dataclass(frozen=True, slots=True)
class Recorded:
    """One packet of a capture.  ``flow``: source and destination, each address and port; empty: no TCP and no SCTP."""

    time: int  # ns
    data: bytes
    length: int
    flow: tuple[tuple[bytes, int], ...] = ()
    flags: int = 0  # of TCP
    payload: int = 0  # bytes behind the TCP header; all of SCTP


Packets = Sequence[Recorded]
Loss = Callable[[Packets, random.Random], Packets]


@lru_cache(maxsize=4)
def recorded(file: str) -> Packets:
    """All packets of one of the repository's captures (Ethernet, little-endian pcap)."""
    return [_recorded(packet.time or 0, data, packet.length) for packet, data in struct_packets(capture_bytes(file))]


def _recorded(time: int, data: bytes, length: int) -> Recorded:
    if data[12:14] == b"\x08\x00":
        addresses, protocol, transport = (data[26:30], data[30:34]), data[23], 14 + (data[14] & 15) * 4
        size = 14 + struct.unpack_from(">H", data, 16)[0] - transport
    elif data[12:14] == b"\x86\xdd":
        addresses, protocol, transport = (data[22:38], data[38:54]), data[20], 54
        size = struct.unpack_from(">H", data, 18)[0]
    else:
        return Recorded(time, data, length)
    if protocol not in (6, 132):
        return Recorded(time, data, length)
    flow = tuple(zip(addresses, struct.unpack_from(">HH", data, transport), strict=True))
    if protocol == 132:
        return Recorded(time, data, length, flow, 0, size)
    return Recorded(time, data, length, flow, data[transport + 13], size - (data[transport + 12] >> 4) * 4)


def write(path: Path, packets: Packets) -> None:
    """Write a pcap file with times in ns."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for packet in packets:
            file.write(struct.pack("<IIII", *divmod(packet.time, 10**9), len(packet.data), packet.length))
            file.write(packet.data)


# What can be lost.


def fraction(part: float) -> Loss:
    """Each packet with this probability."""
    return lambda packets, chance: [packet for packet in packets if chance.random() >= part]


def one_packet(packets: Packets, chance: random.Random) -> Packets:
    """Any one."""
    at = chance.randrange(len(packets))
    return [*packets[:at], *packets[at + 1 :]]


def bursts(packets: Packets, chance: random.Random) -> Packets:
    """Up to five stretches of up to 400 packets, as a full buffer loses them."""
    lost: set[int] = set()
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(packets))
        lost.update(range(at, at + chance.randint(2, 400)))
    return [packet for place, packet in enumerate(packets) if place not in lost]


def one_direction(packets: Packets, chance: random.Random) -> Packets:
    """All that one node sends to another, or all of it on one connection."""
    victim = chance.choice([packet for packet in packets if packet.flow]).flow
    if chance.random() < 0.5:
        return [packet for packet in packets if packet.flow != victim]
    return [packet for packet in packets if _addresses(packet) != [address for address, _ in victim]]


def _addresses(packet: Recorded) -> list[bytes]:
    return [address for address, _ in packet.flow]


def one_connection(packets: Packets, chance: random.Random) -> Packets:
    """Both directions of one connection."""
    ends = chance.choice(sorted({tuple(sorted(packet.flow)) for packet in packets if packet.flow}))
    return [packet for packet in packets if tuple(sorted(packet.flow)) != ends]


def cut(snaplen: int) -> Loss:
    """Bytes behind the first ``snaplen``, as `editcap -s` does."""
    return lambda packets, _: [replace(packet, data=packet.data[:snaplen]) for packet in packets]


def beginning(packets: Packets, chance: random.Random) -> Packets:
    """The first seconds."""
    start = _moment(packets, chance)
    return [packet for packet in packets if packet.time >= start]


def end(packets: Packets, chance: random.Random) -> Packets:
    """The last seconds."""
    stop = _moment(packets, chance)
    return [packet for packet in packets if packet.time < stop]


def middle(packets: Packets, chance: random.Random) -> Packets:
    """Some seconds."""
    start, stop = sorted((_moment(packets, chance), _moment(packets, chance)))
    return [packet for packet in packets if not start <= packet.time < stop]


def _moment(packets: Packets, chance: random.Random) -> int:
    return chance.choice(packets).time


def resets(packets: Packets, _: random.Random) -> Packets:
    """All RST."""
    return [packet for packet in packets if not packet.flags & RST]


def empty(packets: Packets, _: random.Random) -> Packets:
    """All segments without data: SYN, FIN, RST, bare acknowledgements (a capture filter on the length)."""
    return [packet for packet in packets if packet.payload]


def acknowledgements(packets: Packets, _: random.Random) -> Packets:
    """Bare acknowledgements of TCP."""
    return [packet for packet in packets if packet.payload or packet.flags & FIN_SYN_RST]


ANY: dict[str, Loss] = {
    "10 %": fraction(0.1),
    "1 %": fraction(0.01),
    "0.1 %": fraction(0.001),
    "one packet": one_packet,
    "bursts": bursts,
    "one direction": one_direction,
    "one connection": one_connection,
    "beginning": beginning,
    "end": end,
    "middle": middle,
}
"""Losses that chance has a part in."""

CERTAIN: dict[str, Loss] = {
    "cut at 60": cut(60),
    "cut at 96": cut(96),
    "cut at 256": cut(256),
    "resets": resets,
    "empty segments": empty,
    "bare acknowledgements": acknowledgements,
}
"""Losses that always take the same packets."""
