#!/usr/bin/env python3
"""Write captures of synthetic but valid DLM 3.2 traffic over TCP, fast and always the same.

Every pair of nodes has one connection; both directions carry frames back to back. IP and TCP checksums are right, OPTS
numbers count from 0, ACKs carry what the other side has seen by then, each direction begins with RCOM STATUS. Memory
stays bounded: the capture is made in chunks.

  generate.py plain 200              writes data/plain-200.pcap (MB)
  generate.py directions 20 FILE     - is standard output
"""

from __future__ import annotations

import argparse
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

DATA = Path(__file__).resolve().parent / "data"
CHUNK = 8_000_000  # bytes of capture made at once
START = 1_700_000_000_000_000  # µs since 1970 of the first chunk
FRAMES_PER_SECOND = 40_000
PORT = 21064
SYN, PSH, TCP_ACK = 2, 8, 16

VERSION = 0x00030002
MSG, RCOM, OPTS, ACK = 1, 2, 3, 4
STATUS, LOOKUP = 1, 3
WITH_NAME, WITH_VALUE, WITHOUT_TAIL = [1, 11, 12], [2, 3, 5, 6, 9], [4, 7, 8, 10, 13]  # message types


@dataclass(frozen=True)
class FrameClass:
    length: int
    share: float
    command: int  # of the frame that carries the body
    types: list[int]


CLASSES = [
    FrameClass(24 + 88 + 24, 0.27, MSG, WITH_NAME),
    FrameClass(24 + 88 + 32, 0.08, MSG, WITH_VALUE),
    FrameClass(24 + 88, 0.10, MSG, WITHOUT_TAIL),
    FrameClass(16, 0.45, ACK, []),
    FrameClass(16 + 32 + 16, 0.05, RCOM, [STATUS]),  # bare
    FrameClass(24 + 48 + 24, 0.05, RCOM, [LOOKUP]),
]
STATUS_CLASS = 4
LENGTHS = np.array([frame.length for frame in CLASSES])
SEQUENCED = np.array([frame.command != ACK and frame.types != [STATUS] for frame in CLASSES])

PACKET_HEAD = 14 + 20 + 32  # Ethernet, IPv4, TCP with time stamps
RECORD_HEAD = 16
BYTES_PER_FRAME = 129  # of capture, packets without payload included


@dataclass(frozen=True)
class Variant:
    nodes: int = 4
    cut_frames: float = 0.03  # share of segment boundaries that lie inside a frame
    reordered: float = 0.001  # share of segments that change places with the next
    repeated: float = 0.001  # share of segments sent twice


VARIANTS = {
    "plain": Variant(),
    "span": Variant(cut_frames=1.0),
    "reordered": Variant(reordered=0.02, repeated=0.02),
    "directions": Variant(nodes=16),
}


def put(rows: Bytes, column: int, values: object, dtype: str) -> None:
    """Store one value per row, or the same in all, at a byte column."""
    stored = np.ascontiguousarray(np.broadcast_to(np.asarray(values), rows.shape[:1]).astype(dtype))
    rows[:, column : column + stored.itemsize] = stored.view(np.uint8).reshape(len(rows), stored.itemsize)


def scatter(target: Bytes, offsets: Array, rows: Bytes) -> None:
    """Copy rows of one length to byte offsets of the target."""
    width = rows.shape[1]
    view = np.ndarray((len(target) - width + 1,), f"V{width}", target, strides=(1,))
    view[offsets] = rows.view(f"V{width}").ravel()


def jhash(names: Bytes) -> Array:
    """The kernel's hash of 24-byte names (the protocol page §11)."""
    words = names.view("<u4").astype(np.uint32)
    a, b, c = (np.full(len(names), 0xDEADBEEF + 24, np.uint32) for _ in range(3))

    def rotated(value: npt.NDArray[np.uint32], bits: int) -> npt.NDArray[np.uint32]:
        return (value << np.uint32(bits)) | (value >> np.uint32(32 - bits))

    a, b, c = a + words[:, 0], b + words[:, 1], c + words[:, 2]
    a = (a - c) ^ rotated(c, 4)
    c = c + b
    b = (b - a) ^ rotated(a, 6)
    a = a + c
    c = (c - b) ^ rotated(b, 8)
    b = b + a
    a = (a - c) ^ rotated(c, 16)
    c = c + b
    b = (b - a) ^ rotated(a, 19)
    a = a + c
    c = (c - b) ^ rotated(b, 4)
    b = b + a
    a, b, c = a + words[:, 3], b + words[:, 4], c + words[:, 5]
    c = (c ^ b) - rotated(b, 14)
    a = (a ^ c) - rotated(c, 11)
    b = (b ^ a) - rotated(a, 25)
    c = (c ^ b) - rotated(b, 16)
    a = (a ^ c) - rotated(c, 4)
    b = (b ^ a) - rotated(a, 14)
    c = (c ^ b) - rotated(b, 24)
    return c.astype(np.int64)


def glock_names(random: np.random.Generator, count: int) -> Bytes:
    """GFS2's names: type in 8 and number in 16 columns of hexadecimal, right aligned."""
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    names = np.full((count, 24), ord(" "), np.uint8)
    names[:, 7] = ord("2") + random.integers(0, 4, count)
    names[:, 19:] = digits[random.integers(0, 16, (count, 5))]
    names[:, 19] = digits[random.integers(1, 16, count)]
    return names


@dataclass(frozen=True)
class Stream:
    """What one direction sends in a chunk: frames, and how TCP cuts their bytes into segments."""

    classes: Array
    made: npt.NDArray[np.float64]  # seconds from the start of the chunk, per frame
    offsets: Array  # of each frame, and the end
    starts: Array  # of each segment
    ends: Array
    sent: npt.NDArray[np.float64]  # per segment
    whole: npt.NDArray[np.float64]  # per segment: when this and all before it have been sent

    @property
    def sequenced(self) -> npt.NDArray[np.bool_]:
        return SEQUENCED[self.classes]

    def frames_seen(self) -> npt.NDArray[np.float64]:
        """When the last byte of each frame has been sent."""
        return self.whole[np.searchsorted(self.ends, self.offsets[1:])]


def make_stream(random: np.random.Generator, variant: Variant, frames: int, seconds: float, first: bool) -> Stream:
    classes = random.choice(len(CLASSES), frames, p=[frame.share for frame in CLASSES])
    if first:
        classes[0] = STATUS_CLASS
    made = np.sort(random.random(frames)) * seconds
    offsets = np.concatenate(([0], np.cumsum(LENGTHS[classes])))
    boundaries = np.cumsum(random.integers(1, 4, frames))
    boundaries = boundaries[boundaries < frames]  # a segment carries one to three frames
    cuts = offsets[boundaries]
    moved = random.random(len(cuts)) < variant.cut_frames
    cuts = cuts - moved * (random.integers(1, 12, len(cuts)) * LENGTHS[classes[boundaries - 1]] // 12)
    starts, ends = np.concatenate(([0], cuts)), np.concatenate((cuts, offsets[-1:]))
    sent = np.concatenate((made[boundaries - 1], made[-1:])) + 20e-6
    swapped = np.flatnonzero(random.random(len(starts) - 1) < variant.reordered)
    swapped = swapped[np.diff(swapped, prepend=-2) > 1]
    sent[swapped], sent[swapped + 1] = sent[swapped + 1], sent[swapped]
    return Stream(classes, made, offsets, starts, ends, sent, np.maximum.accumulate(sent))


class Segments(NamedTuple):
    """TCP packets as columns."""

    direction: Array
    time: npt.NDArray[np.float64]  # seconds from the start of the chunk
    sequence: Array
    acknowledgement: Array
    flags: Array
    source: Array  # offset of the payload in the chunk's bytes
    length: Array


class Generator:
    """Makes one chunk after the other; carries clock and sequence numbers over."""

    def __init__(self, variant: Variant, seed: int) -> None:
        self.variant = variant
        self.random = np.random.default_rng(seed)
        nodes = range(1, variant.nodes + 1)
        pairs = [(low, high) for low in nodes for high in nodes if low < high]
        self.directions = 2 * len(pairs)  # 2i: client of pair i to its server, 2i + 1: back
        self.senders = np.array(pairs).ravel()
        self.receivers = np.array(pairs)[:, ::-1].ravel()
        clients = 40000 + 17 * np.arange(len(pairs))
        self.source_ports = np.column_stack((clients, np.full(len(pairs), PORT))).ravel()
        self.tcp_sequence = self.random.integers(0, 1 << 32, self.directions)  # some wrap during a long capture
        self.dlm_sequence = np.zeros(self.directions, np.int64)
        self.clock = START
        self.packets = 0

    def chunk(self, size: int) -> Bytes:
        """About `size` bytes of capture."""
        frames = max(50, size // BYTES_PER_FRAME // self.directions)
        seconds = frames * self.directions / FRAMES_PER_SECOND
        first = self.packets == 0
        streams = [make_stream(self.random, self.variant, frames, seconds, first) for _ in range(self.directions)]
        payload = np.concatenate([self.stream_bytes(direction, streams) for direction in range(self.directions)])
        bases = np.concatenate(([0], np.cumsum([stream.offsets[-1] for stream in streams])))
        parts = [self.segments(direction, streams, bases[direction], seconds) for direction in range(self.directions)]
        if first:
            parts.append(self.handshakes())
        segments = Segments(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        order = np.argsort(segments.time, kind="stable")
        records = self.records(Segments(*(column[order] for column in segments)), payload)
        self.clock += int(seconds * 1e6) + 10_000
        self.packets += len(order)
        self.tcp_sequence += np.diff(bases)
        self.dlm_sequence += [np.count_nonzero(stream.sequenced) for stream in streams]
        return records

    def stream_bytes(self, direction: int, streams: list[Stream]) -> Bytes:
        stream, peer = streams[direction], streams[direction ^ 1]
        numbers = self.dlm_sequence[direction] + np.cumsum(stream.sequenced) - stream.sequenced
        known = np.searchsorted(peer.frames_seen()[peer.sequenced], stream.made)
        acks = self.dlm_sequence[direction ^ 1] + known
        content = np.zeros(stream.offsets[-1], np.uint8)
        for index, frame in enumerate(CLASSES):
            chosen = np.flatnonzero(stream.classes == index)
            rows = np.zeros((len(chosen), frame.length), np.uint8)
            second = acks[chosen] if frame.command == ACK else numbers[chosen]
            self.fill(rows, frame, direction, second)
            scatter(content, stream.offsets[chosen], rows)
        return content

    def fill(self, rows: Bytes, frame: FrameClass, direction: int, numbers: Array) -> None:
        """Write frames of one class."""
        sender, receiver = self.senders[direction], self.receivers[direction]
        lockspace = 0x5EED0001 + direction // 2 % 2
        count, random = len(rows), self.random

        def header(at: int, second: object, command: int) -> None:
            put(rows, at, VERSION, "<u4")
            put(rows, at + 4, second, "<u4")
            put(rows, at + 8, sender, "<u4")
            put(rows, at + 12, frame.length - at, "<u2")
            put(rows, at + 14, command, "u1")

        if frame.command == ACK:
            header(0, numbers, ACK)
            return
        inner = 0
        if frame.types != [STATUS]:
            header(0, numbers, OPTS)
            put(rows, 16, frame.command, "u1")
            inner = 24
        header(inner, lockspace, frame.command)
        body = inner + 16
        put(rows, body, random.choice(frame.types, count), "<u4")
        tail = glock_names(random, count)
        if frame.command == RCOM:
            put(rows, body + 8, random.integers(1, 1 << 40, count), "<u8")  # rc_id
            put(rows, body + 16, 7, "<u8")  # rc_seq
            if inner:
                rows[:, body + 32 :] = tail
            return
        lock_ids = random.integers(1, 1 << 22, (2, count))
        words = {1: receiver, 2: random.integers(300, 9000, count), 3: lock_ids[0], 4: lock_ids[1], 7: 4}
        words |= {11: jhash(tail), 12: 2, 14: random.integers(0, 6, count)}
        for word, values in words.items():
            put(rows, body + 4 * word, values, "<u4")
        if frame.types == WITH_NAME:
            rows[:, body + 72 :] = tail
        elif frame.types == WITH_VALUE:
            put(rows, body + 28, 4 | 8, "<u4")  # m_exflags: CONVERT, VALBLK
            rows[:, body + 72 :] = random.integers(0, 256, (count, 32), np.uint8)

    def segments(self, direction: int, streams: list[Stream], base: int, seconds: float) -> Segments:
        """Segments with data, some of them twice, and TCP ACKs without."""
        stream, peer, random = streams[direction], streams[direction ^ 1], self.random
        count = len(stream.starts)
        again = np.flatnonzero(random.random(count) < self.variant.repeated)
        data = np.concatenate((np.arange(count), again))
        sent = np.concatenate((stream.sent, stream.sent[again] + 2e-3))
        bare_time = np.sort(random.random(count // 3)) * seconds
        sent_by_then = np.searchsorted(stream.whole, bare_time)
        bare_position = np.where(sent_by_then > 0, stream.ends[sent_by_then - 1], 0)
        time = np.concatenate((sent, bare_time))
        seen = np.searchsorted(peer.whole, time - 50e-6)
        acknowledged = self.tcp_sequence[direction ^ 1] + np.where(seen > 0, peer.ends[seen - 1], 0)
        nothing = np.zeros(len(bare_time), np.int64)
        return Segments(
            direction=np.full(len(time), direction),
            time=time,
            sequence=self.tcp_sequence[direction] + np.concatenate((stream.starts[data], bare_position)),
            acknowledgement=acknowledged,
            flags=np.concatenate((np.full(len(data), PSH | TCP_ACK), nothing + TCP_ACK)),
            source=np.concatenate((base + stream.starts[data], nothing)),
            length=np.concatenate(((stream.ends - stream.starts)[data], nothing)),
        )

    def handshakes(self) -> Segments:
        clients = np.arange(0, self.directions, 2)
        servers = clients + 1
        nothing = np.zeros(3 * len(clients), np.int64)
        return Segments(
            direction=np.concatenate((clients, servers, clients)),
            time=np.repeat([-3e-3, -2e-3, -1e-3], len(clients)),
            sequence=np.concatenate(
                (self.tcp_sequence[clients] - 1, self.tcp_sequence[servers] - 1, self.tcp_sequence[clients])
            ),
            acknowledgement=np.concatenate(
                (np.zeros(len(clients), np.int64), self.tcp_sequence[clients], self.tcp_sequence[servers])
            ),
            flags=np.repeat([SYN, SYN | TCP_ACK, TCP_ACK], len(clients)),
            source=nothing,
            length=nothing,
        )

    def records(self, segments: Segments, payload: Bytes) -> Bytes:
        """Packets with their pcap record headers, in order."""
        count, length = len(segments.time), segments.length
        width = RECORD_HEAD + PACKET_HEAD
        time = self.clock + np.floor(segments.time * 1e6).astype(np.int64)
        sender, receiver = self.senders[segments.direction], self.receivers[segments.direction]
        source, destination = 0x0A000000 + sender, 0x0A000000 + receiver
        identification = (self.packets + np.arange(count)) & 0xFFFF
        total = length + 52
        address_sum = (source >> 16) + (source & 0xFFFF) + (destination >> 16) + (destination & 0xFFFF)
        heads = np.zeros((count, width), np.uint8)
        put(heads, 0, time // 1_000_000, "<u4")
        put(heads, 4, time % 1_000_000, "<u4")
        put(heads, 8, length + PACKET_HEAD, "<u4")
        put(heads, 12, length + PACKET_HEAD, "<u4")
        for column, node in ((16, receiver), (22, sender)):  # MAC 52:54:0:0:0:node
            put(heads, column, 0x5254, ">u2")
            put(heads, column + 4, node, ">u2")
        put(heads, 28, 0x0800, ">u2")
        put(heads, 30, 0x4500, ">u2")
        put(heads, 32, total, ">u2")
        put(heads, 34, identification, ">u2")
        put(heads, 36, 0x4000, ">u2")  # do not fragment
        put(heads, 38, 0x4006, ">u2")  # TTL 64, TCP
        put(heads, 40, checksum(0x4500 + total + identification + 0x4000 + 0x4006 + address_sum), ">u2")
        put(heads, 42, source, ">u4")
        put(heads, 46, destination, ">u4")
        put(heads, 50, self.source_ports[segments.direction], ">u2")
        put(heads, 52, self.source_ports[segments.direction ^ 1], ">u2")
        put(heads, 54, segments.sequence & 0xFFFFFFFF, ">u4")
        put(heads, 58, segments.acknowledgement & 0xFFFFFFFF, ">u4")
        put(heads, 62, 0x80, "u1")
        put(heads, 63, segments.flags, "u1")
        put(heads, 64, 501, ">u2")
        put(heads, 70, 0x0101080A, ">u4")
        stamp = (time - START) // 1000 + 1_000_000
        put(heads, 74, stamp, ">u4")
        put(heads, 78, stamp - 1, ">u4")

        position = np.concatenate(([0], np.cumsum(length)))  # of each payload among all
        body = payload[np.arange(position[-1]) + np.repeat(segments.source - position[:-1], length)]
        sums = address_sum + 6 + 32 + length
        sums += heads[:, 50:82].reshape(count, 16, 2).astype(np.int64).sum(1) @ [256, 1]
        high = (np.arange(position[-1]) - np.repeat(position[:-1], length)) % 2 == 0
        filled = length > 0
        sums[filled] += np.add.reduceat(np.where(high, 256, 1) * body.astype(np.int64), position[:-1][filled])
        put(heads, 66, checksum(sums), ">u2")

        offsets = np.arange(count) * width + position[:-1]
        records = np.empty(count * width + position[-1], np.uint8)
        scatter(records, offsets, heads)
        records[np.arange(position[-1]) + np.repeat(offsets + width - position[:-1], length)] = body
        return records


def checksum(sums: Array) -> Array:
    for _ in range(3):
        sums = (sums & 0xFFFF) + (sums >> 16)
    return ~sums & 0xFFFF


def generate(output: BinaryIO, variant: str, megabytes: int, seed: int = 1) -> None:
    """Write about `megabytes` · 10⁶ bytes of capture."""
    generator = Generator(VARIANTS[variant], seed)
    output.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
    written, target = 24, megabytes * 1_000_000
    while written < target:
        chunk = generator.chunk(min(CHUNK, target - written))
        output.write(chunk.data)
        written += len(chunk)


def generated(variant: str, megabytes: int) -> Path:
    """The capture of that variant and size under data/, made now if it is not there."""
    path = DATA / f"{variant}-{megabytes}.pcap"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as output:
            generate(output, variant, megabytes)
        unfinished.rename(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("megabytes", type=int)
    parser.add_argument("output", nargs="?", help="a file, or - for standard output (default: a file under data/)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.output == "-":
        generate(sys.stdout.buffer, options.variant, options.megabytes, options.seed)
    elif options.output:
        with Path(options.output).open("wb") as output:
            generate(output, options.variant, options.megabytes, options.seed)
    else:
        print(generated(options.variant, options.megabytes))


if __name__ == "__main__":
    main()
