"""Crafted exchanges decoded without a file between, in batches of any size; what came out as plain Python values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, NamedTuple, cast

import numpy as np

from dlmtrace.capture.packets import RECORD, TAIL, PacketBatch, packet_number
from dlmtrace.craft import Connection as CraftedConnection
from dlmtrace.craft import Network, Node, opts, request
from dlmtrace.craft.packets import LINK_TYPES, Packet
from dlmtrace.framing.frames import SKIP_REASONS, UNFINISHED, WHOLE, FrameBatch
from dlmtrace.framing.synchronise import STREAM_END
from dlmtrace.pipeline import PORT, Trace
from dlmtrace.transport.connections import Connection, Direction

STATES = ("whole", "cut", "missing", "unfinished")


class Frame(NamedTuple):
    """A frame as it was decoded; packets by number."""

    connection: int
    side: int
    position: int
    content: bytes
    state: str
    first_packet: int
    last_packet: int
    packet: int
    time: int


class Gap(NamedTuple):
    """A hole or skipped bytes."""

    side: int
    position: int
    length: int
    why: int | str  # hole: bytes of it that were cut; skip: reason


@dataclass
class Outcome:
    """Everything that came out of a decode."""

    batches: list[FrameBatch]

    @property
    def frames(self) -> list[Frame]:
        """By connection, side and position."""
        found = []
        for batch in self.batches:
            for row, frame in enumerate(batch.frames.tolist()):
                named = dict(zip(batch.frames.dtype.names or (), frame, strict=True))
                packets = [packet_number(named[name]) for name in ("first_packet", "last_packet", "packet")]
                place = (named["connection"], named["side"], named["position"])
                found.append(Frame(*place, batch.bytes_of(row), STATES[named["state"]], *packets, named["time"]))
        return sorted(found)

    def contents(self, side: int = 0) -> list[bytes]:
        """Whole frames of one side, in stream order."""
        return [frame.content for frame in self.frames if frame.side == side and frame.state == STATES[WHOLE]]

    @property
    def connections(self) -> list[Connection]:
        """By index."""
        found: dict[int, Connection] = {}
        for batch in self.batches:
            found |= batch.connections
        return [found[index] for index in sorted(found)]

    @property
    def sent(self) -> tuple[Direction, Direction]:
        """What the two sides of the only connection sent."""
        (connection,) = self.connections
        return connection.directions

    @property
    def holes(self) -> list[Gap]:
        """With the bytes that were cut."""
        rows = [row for batch in self.batches for row in batch.holes]
        return [Gap(*(int(row[name]) for name in ("side", "position", "length", "cut"))) for row in rows]

    @property
    def skips(self) -> list[Gap]:
        """With their reasons; what belongs together over batches is one."""
        merged: list[Gap] = []
        rows = [(int(row["connection"]), row) for batch in self.batches for row in batch.skips]
        for _, row in sorted(rows, key=lambda each: (each[0], int(each[1]["side"]), int(each[1]["position"]))):
            gap = Gap(int(row["side"]), int(row["position"]), int(row["length"]), SKIP_REASONS[row["reason"]])
            if merged and merged[-1].why == gap.why and merged[-1].position + merged[-1].length == gap.position:
                gap = gap._replace(position=merged[-1].position, length=merged.pop().length + gap.length)
            merged.append(gap)
        return merged

    @property
    def bytes_told(self) -> int:
        """Bytes in frames and skips; twice only those that looked like the end of a connection that then went on."""
        last: set[tuple[int, int, int]] = set()
        others: list[tuple[int, int, int]] = []
        for batch in self.batches:
            for frame in batch.frames:
                place = int(frame["connection"]), int(frame["side"]), int(frame["position"])
                told = [(*place[:2], place[2] + byte) for byte in range(int(frame["captured"]))]
                last.update(told) if frame["state"] == UNFINISHED else others.extend(told)
            for skip in batch.skips:
                place = int(skip["connection"]), int(skip["side"]), int(skip["position"])
                told = [(*place[:2], place[2] + byte) for byte in range(int(skip["length"]))]
                last.update(told) if skip["reason"] == STREAM_END else others.extend(told)
        assert len(others) == len(set(others))
        return len(last.union(others))

    @property
    def events(self) -> list[str]:
        """In order, as `c1 fin 0 (packet 9)`; of open and end only what and which."""
        told = []
        for event in (event for batch in self.batches for event in batch.events):
            where = f" {event.side} (packet {packet_number(event.packet)})" if event.kind in ("fin", "rst") else ""
            told.append(f"{event.connection.name} {event.kind}{where}")
        return told


def batches_of(network: Network, sizes: Sequence[int], snaplens: Mapping[Packet, int]) -> Iterator[PacketBatch]:
    """The network's capture in batches of these sizes, what is left in one more."""
    packets, first = network.packets, 0
    for size in (*sizes, len(packets)):
        chosen = packets[first : first + size]
        if not chosen:
            return
        captured = [packet.data[: snaplens.get(packet, network.snaplen)] for packet in chosen]
        records = np.zeros(len(chosen), RECORD)
        records["captured"] = [len(data) for data in captured]
        records["length"] = [len(packet.data) for packet in chosen]
        records["offset"] = np.cumsum(records["captured"]) - records["captured"]
        records["time"] = [packet.time for packet in chosen]
        records["packet"] = np.arange(first, first + len(chosen)) + 1
        records["link"] = LINK_TYPES[network.link]
        yield PacketBatch(np.frombuffer(b"".join([*captured, bytes(TAIL)]), np.uint8), records, first)
        first += size


class Given:
    """Stands for a capture whose batches are at hand."""

    def __init__(self, batches: Iterator[PacketBatch]) -> None:
        self._batches = batches

    def batches(self) -> Iterator[PacketBatch]:
        return self._batches


def decode(
    network: Network, sizes: Sequence[int] = (), snaplens: Mapping[Packet, int] | None = None, **options: Any
) -> Outcome:
    """Decode the network's capture in batches of these sizes; some packets may have a snaplen of their own.

    ``options`` are those of Trace.
    """
    trace = Trace([], **options)
    trace.capture = cast(Any, Given(batches_of(network, sizes, snaplens or {})))
    return Outcome(list(trace.batches()))


def decode_first(network: Network, packets: int) -> Outcome:
    """What is out after the first packets, taken one by one, while the capture goes on."""
    found: list[FrameBatch] = []

    def batches() -> Iterator[PacketBatch]:
        yield from islice(batches_of(network, [1] * packets, {}), packets)
        raise EOFError

    trace = Trace([])
    trace.capture = cast(Any, Given(batches()))
    with suppress(EOFError):
        found.extend(trace.batches())
    return Outcome(found)


def replay(network: Network, **options: Any) -> Outcome:
    """Decode it at once, and again packet by packet and by threes: nothing of what comes out may depend on that."""
    whole = decode(network, **options)
    for size in (1, 3):
        parts = decode(network, [size] * len(network.packets), **options)
        assert parts.frames == whole.frames, f"frames differ in batches of {size}"
        assert sorted(parts.holes) == sorted(whole.holes)
        assert parts.skips == whole.skips
        assert sorted(parts.events) == sorted(whole.events)
        assert [asdict(each) for each in parts.connections] == [asdict(each) for each in whole.connections]
    return whole


def two_nodes(network: Network, version: int = 4) -> tuple[Node, Node]:
    """Nodes 1 and 2, with IPv4 or IPv6 addresses."""
    if version == 6:
        return network.node(1, "fd00::1"), network.node(2, "fd00::2")
    return network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")


def dialled(version: int = 4, **connect: Any) -> tuple[Network, Node, Node, CraftedConnection]:
    """A network, node 1 (the client), node 2, and their connection; packets 1 to 3 are the handshake."""
    network = Network()
    a, b = two_nodes(network, version)
    return network, a, b, network.connect(a, b, **connect)


def numbered(count: int, first: int = 0, name: bytes = b"resource") -> list[bytes]:
    """OPTS frames with a REQUEST each, numbered from ``first``; 120 bytes when ``name`` has 8."""
    return [opts(first + number, request(name)) for number in range(count)]


__all__ = ["PORT", "Frame", "Gap", "Outcome", "decode", "decode_first", "dialled", "numbered", "replay", "two_nodes"]
