#!/usr/bin/env python3
"""Count or list the DLM frames of a capture, with nothing but the standard library (and zstd for .zst files).

Deliberately simple and independent of the dlmtrace package: classic pcap with Ethernet only; TCP is put in order per
direction (100 segments or 3 s ahead at most, then the hole is skipped and the next plausible header looked for); SCTP
DATA chunks are taken one by one.

  walk.py FILE...      counts of each file
  walk.py -v FILE...   one line per frame
"""

import collections
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PORT = 21064
COMMANDS = {1: "MSG", 2: "RCOM", 3: "OPTS", 4: "ACK", 5: "FIN"}
MESSAGES = {
    1: "REQUEST",
    2: "CONVERT",
    3: "UNLOCK",
    4: "CANCEL",
    5: "REQUEST_REPLY",
    6: "CONVERT_REPLY",
    7: "UNLOCK_REPLY",
    8: "CANCEL_REPLY",
    9: "GRANT",
    10: "BAST",
    11: "LOOKUP",
    12: "REMOVE",
    13: "LOOKUP_REPLY",
    14: "PURGE",
}
RECOVERY = {
    1: "STATUS",
    2: "NAMES",
    3: "LOOKUP",
    4: "LOCK",
    5: "STATUS_REPLY",
    6: "NAMES_REPLY",
    7: "LOOKUP_REPLY",
    8: "LOCK_REPLY",
}
HEADER = struct.Struct("<IIIHBB")
SYN, RST, TCP_ACK = 2, 4, 16


class Header(NamedTuple):
    version: int
    second: int  # lockspace id, or the sequence number in OPTS, ACK and bare FIN
    node: int
    length: int
    command: int
    padding: int


class Frame(NamedTuple):
    time: float  # of the packet that completed it
    source: str  # last four bytes of the address, and the port
    peer: bytes  # destination address
    data: bytes
    datagram: bool

    def header(self, offset: int = 0) -> Header:
        return Header(*HEADER.unpack_from(self.data, offset))

    @property
    def inner_offset(self) -> int:
        """Where the header that carries the body starts: behind OPTS and its options, or at 0."""
        return 24 + self.options_length if self.header().command == 3 else 0

    @property
    def options_length(self) -> int:
        return struct.unpack_from("<H", self.data, 18)[0]

    @property
    def inner(self) -> Header | None:
        offset = self.inner_offset
        return self.header(offset) if len(self.data) >= offset + 16 else None

    @property
    def kind(self) -> str | None:
        """Type of the message that the frame carries, such as MSG.GRANT or RCOM.STATUS."""
        inner, offset = self.inner, self.inner_offset + 16
        if inner is None or inner.command not in (1, 2) or len(self.data) < offset + 4:
            return None
        number = struct.unpack_from("<I", self.data, offset)[0]
        names = MESSAGES if inner.command == 1 else RECOVERY
        return f"{COMMANDS[inner.command]}.{names.get(number, number)}"

    @property
    def words(self) -> tuple[int, ...] | None:
        """The 18 words of a message."""
        offset = self.inner_offset + 16
        is_message = self.inner is not None and self.inner.command == 1 and len(self.data) >= offset + 72
        return struct.unpack_from("<18i", self.data, offset) if is_message else None


def read(path: str | Path) -> bytes:
    """The plain bytes of a file, compressed with zstd or not."""
    if str(path).endswith(".zst"):
        return subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout
    return Path(path).read_bytes()


def packets(capture: bytes) -> Iterator[tuple[float, bytes, int]]:
    """Time, bytes and original length of each packet."""
    order, divisor = {
        0xA1B2C3D4: ("<", 1e6),
        0xA1B23C4D: ("<", 1e9),
        0xD4C3B2A1: (">", 1e6),
    }[struct.unpack_from("<I", capture)[0]]
    record = struct.Struct(order + "IIII")
    offset = 24
    while offset + 16 <= len(capture):
        seconds, fraction, captured, original = record.unpack_from(capture, offset)
        offset += 16
        yield seconds + fraction / divisor, capture[offset : offset + captured], original
        offset += captured


def payload_of(packet: bytes) -> tuple[int, bytes, bytes, bytes, int] | None:
    """Protocol, addresses, bytes behind the IP header, and how many there should be."""
    if len(packet) < 14:
        return None
    ethertype = struct.unpack_from("!H", packet, 12)[0]
    if ethertype == 0x800:
        header_length = (packet[14] & 15) * 4
        total = struct.unpack_from("!H", packet, 16)[0]
        if struct.unpack_from("!H", packet, 20)[0] & 0x1FFF:
            return None
        payload = packet[14 + header_length : 14 + total]
        return packet[23], packet[26:30], packet[30:34], payload, total - header_length
    if ethertype == 0x86DD:
        total = struct.unpack_from("!H", packet, 18)[0]
        return packet[20], packet[22:38], packet[38:54], packet[54 : 54 + total], total
    return None


def plausible(buffer: bytes, offset: int) -> bool:
    header = Header(*HEADER.unpack_from(buffer, offset))
    return header.version in (0x30001, 0x30002) and header.length >= 16 and header.command in COMMANDS


class Flow:
    """One direction of a connection: bytes not yet cut into frames, and segments that came too early."""

    def __init__(self, expected: int = 0) -> None:
        self.expected = expected
        self.buffer = b""
        self.waiting: dict[int, tuple[bytes, int, float]] = {}  # TCP sequence number -> data, bytes cut away, time
        self.seen_tsn: set[int] = set()


def ahead(sequence: int, expected: int) -> bool:
    return 0 < (sequence - expected) & 0xFFFFFFFF < 0x80000000


class Walk:
    """Frames of a capture in the order in which they were completed; `counts` grows with them."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.flows: dict[tuple[bytes, int, bytes, int], Flow] = {}

    def frames(self, capture: bytes) -> Iterator[Frame]:
        for time, packet, original in packets(capture):
            self.counts["packets"] += 1
            if len(packet) < original:
                self.counts["truncated_packets"] += 1
            found = payload_of(packet)
            if found is None:
                continue
            protocol, source, peer, payload, total = found
            if protocol == 6:
                yield from self.tcp(time, source, peer, payload, total)
            elif protocol == 132:
                yield from self.sctp(time, source, peer, payload)

    def cut(self, key: tuple[bytes, int, bytes, int], time: float, flow: Flow, datagram: bool) -> Iterator[Frame]:
        """Take the whole frames from the start of a flow's buffer."""
        source, port, peer, _ = key
        name = ".".join(map(str, source[-4:])) + f":{port}"
        buffer, offset = flow.buffer, 0
        while len(buffer) - offset >= 16:
            if not plausible(buffer, offset):
                found = offset + 1
                while found + 16 <= len(buffer) and not (
                    plausible(buffer, found) and buffer[found : found + 4] in (b"\1\0\3\0", b"\2\0\3\0")
                ):
                    found += 1
                self.counts["junk_bytes"] += found - offset
                offset = found
                continue
            length = HEADER.unpack_from(buffer, offset)[3]
            if len(buffer) - offset < length:
                break
            yield Frame(time, name, peer, buffer[offset : offset + length], datagram)
            offset += length
        flow.buffer = buffer[offset:]

    def tcp(self, time: float, source: bytes, peer: bytes, segment: bytes, total: int) -> Iterator[Frame]:
        if len(segment) < 20:
            return
        source_port, peer_port, sequence, _, offset, flags = struct.unpack_from("!HHIIBB", segment)
        if PORT not in (source_port, peer_port):
            return
        self.counts["tcp_packets"] += 1
        self.counts["tcp_rst"] += bool(flags & RST)
        header_length = (offset >> 4) * 4
        data = segment[header_length:]
        cut_away = total - header_length - len(data)
        key = (source, source_port, peer, peer_port)
        if flags & SYN:
            self.counts["tcp_synack" if flags & TCP_ACK else "tcp_syn"] += 1
            self.flows[key] = Flow((sequence + 1) & 0xFFFFFFFF)
            return
        if not data:
            return
        flow = self.flows.setdefault(key, Flow(sequence))
        if ahead(sequence, flow.expected):
            self.counts["tcp_out_of_order"] += 1
            flow.waiting.setdefault(sequence, (data, cut_away, time))
            if len(flow.waiting) <= 100 and time - min(early[2] for early in flow.waiting.values()) <= 3:
                return
            self.counts["tcp_gaps"] += 1  # given up: go on behind the hole
            flow.expected = min(flow.waiting, key=lambda number: (number - flow.expected) & 0xFFFFFFFF)
            flow.buffer = b""
        elif sequence not in flow.waiting or len(data) > len(flow.waiting[sequence][0]):
            flow.waiting[sequence] = (data, cut_away, time)
        yield from self.in_order(key, time, flow)

    def in_order(self, key: tuple[bytes, int, bytes, int], time: float, flow: Flow) -> Iterator[Frame]:
        """Append the waiting segments that are due."""
        while flow.waiting:
            sequence = min(flow.waiting, key=lambda number: (number - flow.expected + 0x40000000) & 0xFFFFFFFF)
            if ahead(sequence, flow.expected):
                return
            data, cut_away, _ = flow.waiting.pop(sequence)
            known = (flow.expected - sequence) & 0xFFFFFFFF
            if known:
                self.counts["tcp_old_segments"] += 1
                if known >= len(data) + cut_away:
                    continue
                data = data[known:]
            flow.buffer += data
            flow.expected = (flow.expected + len(data)) & 0xFFFFFFFF
            yield from self.cut(key, time, flow, datagram=False)
            if cut_away:
                self.counts["tcp_gaps"] += 1
                flow.expected = (flow.expected + cut_away) & 0xFFFFFFFF
                flow.buffer = b""

    def sctp(self, time: float, source: bytes, peer: bytes, packet: bytes) -> Iterator[Frame]:
        if len(packet) < 12:
            return
        source_port, peer_port = struct.unpack_from("!HH", packet)
        if PORT not in (source_port, peer_port):
            return
        self.counts["sctp_packets"] += 1
        offset = 12
        while offset + 4 <= len(packet):
            chunk_type, flags, length = struct.unpack_from("!BBH", packet, offset)
            if length < 4:
                break
            self.counts[f"sctp_chunk_{chunk_type}"] += 1
            if chunk_type == 0:
                key = (source, source_port, peer, peer_port)
                yield from self.sctp_data(key, time, flags, packet[offset : offset + length])
            offset += (length + 3) & ~3

    def sctp_data(self, key: tuple[bytes, int, bytes, int], time: float, flags: int, chunk: bytes) -> Iterator[Frame]:
        tsn, stream, _, protocol = struct.unpack_from("!IHHI", chunk, 4)
        begins, ends = flags & 2, flags & 1
        if not (begins and ends):
            self.counts["sctp_fragmented_data"] += 1
        flow = self.flows.setdefault(key, Flow())
        if tsn in flow.seen_tsn:
            self.counts["sctp_dup_tsn"] += 1
            return
        flow.seen_tsn.add(tsn)
        flow.buffer = chunk[16:] if begins else flow.buffer + chunk[16:]
        yield from self.cut(key, time, flow, datagram=True)
        if ends and flow.buffer:
            self.counts["sctp_user_message_leftover"] += 1
        self.counts[f"sctp_stream_{stream}"] += 1
        self.counts[f"sctp_ppid_{protocol}"] += 1


class Repeats:
    """Remembers which sequence numbers a node has used towards a peer address."""

    def __init__(self) -> None:
        self.seen: collections.defaultdict[tuple[int, bytes], set[int]] = collections.defaultdict(set)

    def is_repeat(self, frame: Frame) -> bool:
        header = frame.header()
        seen = self.seen[header.node, frame.peer]
        repeat = header.second in seen
        seen.add(header.second)
        return repeat


def summary(path: str | Path) -> dict[str, object]:
    """Counts of one capture, as kept under `frames` in the JSON beside it."""
    capture = read(path)
    walk, repeats = Walk(), Repeats()
    kinds: collections.Counter[str] = collections.Counter()
    versions: collections.Counter[str] = collections.Counter()
    for frame in walk.frames(capture):
        header, inner = frame.header(), frame.inner
        walk.counts[COMMANDS[header.command]] += 1
        versions[f"{header.version >> 16}.{header.version & 0xFFFF}"] += 1
        if frame.kind:
            kinds[frame.kind] += 1
        if header.command != 3:
            continue
        if frame.options_length:
            walk.counts["OPTS_optlen_nonzero"] += 1
        if repeats.is_repeat(frame):
            walk.counts["OPTS_h_seq_seen_before"] += 1
        if inner is not None:
            walk.counts[f"OPTS_len_minus_inner={header.length - frame.inner_offset - inner.length}"] += 1
            if inner.command not in (1, 2):
                kinds[f"OPTS({COMMANDS.get(inner.command, inner.command)})"] += 1
    counts = {key: number for key, number in sorted(walk.counts.items()) if number}
    return {
        "bytes": len(capture),
        "counts": counts,
        "inner": dict(sorted(kinds.items())),
        "versions": dict(versions),
    }


def describe(frame: Frame, repeat: bool) -> str:
    header, inner = frame.header(), frame.inner
    words = [f"{frame.time:.6f} {frame.source} n{header.node} len={header.length} {COMMANDS[header.command]}"]
    if header.command == 3:
        words.append(f"seq={header.second} optlen={frame.options_length}" + " AGAIN" * repeat)
        if inner is not None:
            words.append(f"inner_len={inner.length}" + " FIN" * (inner.command == 5))
    elif header.command == 4:
        words.append(f"acked={header.second}")
    if frame.kind:
        words.append(frame.kind)
    message = frame.words
    if message is not None:
        words.append(
            f"lkid={message[3] & 0xFFFFFFFF:x} remid={message[4] & 0xFFFFFFFF:x} gr={message[13]} rq={message[14]} "
            f"bast={message[15]} result={message[17]} flags={message[9] & 0xFFFFFFFF:x}"
        )
    return " ".join(words)


def main() -> None:
    verbose = sys.argv[1:2] == ["-v"]
    for path in sys.argv[2:] if verbose else sys.argv[1:]:
        if not verbose:
            print(json.dumps({Path(path).name: summary(path)}, indent=1))
            continue
        repeats = Repeats()
        for frame in Walk().frames(read(path)):
            print(describe(frame, frame.header().command == 3 and repeats.is_repeat(frame)))


if __name__ == "__main__":
    main()
