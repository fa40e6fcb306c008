"""Byte streams put into packets by hand, in any order, and what a decode of them must give.

Nothing of `dlmtrace.craft` is used: headers are packed here by RFC 791, 9293 and 9260.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from evidence import capture_path

from dlmtrace.capture.packets import RECORD, TAIL, PacketBatch, packet_number
from dlmtrace.framing.frames import WHOLE, FrameBatch
from dlmtrace.pipeline import PORT, Trace

NOON = 1_800_000_000 * 10**9  # ns
STEP = 1_000_000  # ns between two packets
ETHERNET = 1
ADDRESSES = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
PORTS = 40000, PORT
FIN, SYN, ACK = 1, 2, 16
CARRIERS = "first_packet", "last_packet", "packet"


class Told(NamedTuple):
    """A frame as the decode tells it; packets are numbered from 1."""

    side: int
    position: int
    content: bytes
    first_packet: int
    last_packet: int
    packet: int
    time: int


@lru_cache(maxsize=1)
def real_frames() -> list[bytes]:
    """Frames that node 1 sent: every command and type, with short, long and odd lengths."""
    found: dict[tuple[int, ...], bytes] = {}
    for file in ("clean-6.12-tcp.pcap", "recovery-locks-3node.pcap"):
        for batch in Trace([str(capture_path(file))]).batches():
            for row in np.flatnonzero(batch.header["h_nodeid"] == 1).tolist():
                kind = batch.header["h_cmd"][row], batch.command[row], batch.type[row], batch.frames["length"][row] % 4
                found.setdefault(tuple(int(number) for number in kind), batch.bytes_of(row))
    return list(found.values())


@dataclass
class Wire:
    """One conversation in capture order, and for each side which packet first brought each byte of its stream."""

    streams: tuple[bytes, bytes]
    packets: list[bytes] = field(default_factory=list)
    arrival: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        self.arrival = cast(Any, tuple(np.full(len(stream), -1, np.int64) for stream in self.streams))

    def arrives(self, side: int, start: int, stop: int) -> npt.NDArray[np.bool_]:
        """The packet to come brings these bytes; which of them are new?"""
        part = self.arrival[side][start:stop]
        new = part < 0
        part[new] = len(self.packets) + 1
        return new

    def contiguous(self, side: int) -> int:
        """Bytes of a stream that a receiver of the packets so far has without a gap."""
        missing = np.flatnonzero(self.arrival[side] < 0)
        return int(missing[0]) if len(missing) else len(self.streams[side])

    def expected(self, frames: tuple[Sequence[bytes], Sequence[bytes]]) -> list[Told]:
        """Frames whose bytes all came, by side and position."""
        told = []
        for side in (0, 1):
            position = 0
            for content in frames[side]:
                arrival = self.arrival[side]
                mine = arrival[position : position + len(content)]
                if (mine > 0).all():
                    lost = np.flatnonzero(arrival[:position] < 0)  # nothing waits for what never came
                    packet = int(arrival[int(lost.max(initial=-1)) + 1 : position + len(content)].max())
                    time = NOON + packet * STEP
                    told.append(Told(side, position, content, int(mine[0]), int(mine[-1]), packet, time))
                position += len(content)
        return told

    def tcp(
        self,
        side: int,
        initial: tuple[int, int],
        start: int,
        payload: bytes,
        flags: int = ACK,
        acknowledge: bool = True,
    ) -> None:
        """Capture a segment; it acknowledges what its sender has got by then."""
        acknowledged = initial[1 - side] + 1 + self.contiguous(1 - side) if acknowledge else initial[1 - side] + 1
        numbers = (initial[side] + 1 + start) % 2**32, acknowledged % 2**32
        header = struct.pack(">HHIIBBHHH", PORTS[side], PORTS[1 - side], *numbers, 0x50, flags, 1000, 0, 0)
        self._ip(side, 6, header + payload)

    def sctp(self, side: int, tag: int, chunks: Iterable[bytes]) -> None:
        """Capture a packet with these chunks."""
        header = struct.pack(">HHII", PORTS[side], PORTS[1 - side], tag, 0)
        self._ip(side, 132, header + b"".join(chunk + bytes(-len(chunk) % 4) for chunk in chunks))

    def _ip(self, side: int, protocol: int, payload: bytes) -> None:
        length, identification = 20 + len(payload), len(self.packets) + 1
        header = struct.pack(">BBHHHBBH", 0x45, 0, length, identification, 0, 64, protocol, 0)
        self.packets.append(bytes(12) + b"\x08\x00" + header + ADDRESSES[side] + ADDRESSES[1 - side] + payload)


def batches(packets: Sequence[bytes], splits: Sequence[int] = ()) -> Iterator[PacketBatch]:
    """The packets as a capture yields them, a new batch at each of the splits."""
    bounds = sorted({0, *(split for split in splits if split < len(packets)), len(packets)})
    for first, behind in pairwise(bounds):
        chosen = packets[first:behind]
        records = np.zeros(len(chosen), RECORD)
        records["length"] = records["captured"] = [len(packet) for packet in chosen]
        records["offset"] = np.cumsum(records["length"]) - records["length"]
        records["packet"] = np.arange(first, behind) + 1
        records["time"] = NOON + records["packet"] * STEP
        records["link"] = ETHERNET
        yield PacketBatch(np.frombuffer(b"".join([*chosen, bytes(TAIL)]), np.uint8), records, first)


class Given:
    """Stands for a capture whose packets are at hand."""

    def __init__(self, packets: Sequence[bytes], splits: Sequence[int]) -> None:
        self._batches = list(batches(packets, splits))

    def batches(self) -> Iterator[PacketBatch]:
        return iter(self._batches)


def decode(packets: Sequence[bytes], splits: Sequence[int] = ()) -> list[FrameBatch]:
    """All that the decode gives."""
    trace = Trace([])
    trace.capture = cast(Any, Given(packets, splits))
    return list(trace.batches())


def told(found: Iterable[FrameBatch]) -> list[Told]:
    """The whole frames, by side and position."""
    frames = []
    for batch in found:
        for row, frame in enumerate(batch.frames):
            if frame["state"] == WHOLE:
                first, last, packet = (packet_number(int(frame[name])) for name in CARRIERS)
                place = int(frame["side"]), int(frame["position"])
                frames.append(Told(*place, batch.bytes_of(row), first, last, packet, int(frame["time"])))
    return sorted(frames)
