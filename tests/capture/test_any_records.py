"""Random captures, with payloads that look like records, in windows of any size: what a plain loop reads."""

import random
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.packets import Packet, struct_packets, whole_packets
from oracles.pcapng_blocks import block, enhanced, interface, obsolete, section, simple

from dlmtrace.capture.source import Capture

NOON = 1_800_000_000  # s
ORDERS = st.sampled_from("<>")
Maker = Callable[[random.Random, str, int], tuple[bytes, list[tuple[Packet, bytes]]]]


def payload(chance: random.Random, trap: bytes, traps: float) -> bytes:
    """Random bytes, in a share of ``traps`` with what looks like the start of a record."""
    size = chance.choice([0, 20, 60, 300, 1500])
    data = chance.randbytes(chance.randint(0, size))
    if chance.random() < traps:
        data += trap[: chance.randint(1, len(trap))]
    return data


def pcap(chance: random.Random, order: str, count: int) -> tuple[bytes, list[tuple[Packet, bytes]]]:
    """A pcap file and its packets; times may go back."""
    trap = struct.pack(order + "IIII", NOON, 5, 4, 4) + bytes(4) + struct.pack(order + "IIII", NOON, 5, 4, 4)
    parts = [struct.pack(order + "IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)]
    packets = []
    traps, span = chance.choice([0, 0.001, 0.2]), chance.choice([10, 100_000])
    for number in range(1, count + 1):
        data = payload(chance, trap, traps)
        seconds, fraction = NOON + chance.randint(0, span), chance.randint(0, 999_999)
        length = len(data) + chance.choice([0, 0, 0, 1000])
        parts.append(struct.pack(order + "IIII", seconds, fraction, len(data), length) + data)
        packets.append((Packet(number, seconds * 10**9 + fraction * 1000, len(data), length), data))
    return b"".join(parts), packets


def pcapng(chance: random.Random, order: str, count: int) -> tuple[bytes, list[tuple[Packet, bytes]]]:
    """A pcapng file with µs clocks and its packets."""
    trap = enhanced(order, 0, NOON * 10**6, b"trap")
    parts = [section(order), interface(order, 1, 0)]
    packets: list[tuple[Packet, bytes]] = []
    time = 0
    traps, mixed = chance.choice([0, 0.001, 0.2]), chance.random() < 0.5
    for number in range(1, count + 1):
        data = payload(chance, trap, traps)
        stamp = NOON * 10**6 + chance.randint(0, 10**11)
        kind = chance.randint(0, 99) if mixed else 99
        if kind == 0:
            order = chance.choice("<>")
            parts += [section(order), interface(order, 1, 0)]
        elif kind < 3:
            parts.append(block(order, 0xBAD, data))
        if kind < 6:
            parts.append(simple(order, len(data), data))
        else:
            time = stamp * 1000
            parts.append(
                obsolete(order, 0, 0, stamp, data) if kind < 9 else enhanced(order, 0, stamp, data, (2, bytes(4)))
            )
        packets.append((Packet(number, time, len(data), len(data)), data))
    return b"".join(parts), packets


def check(content: bytes, packets: list[tuple[Packet, bytes]], window: int, cut: bool) -> None:
    if cut:
        content, packets = content[:-1], packets[:-1]  # the last packet ends the file
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "capture"
        path.write_bytes(content)
        capture = Capture([path], window)
        assert [(whole.packet, whole.data) for whole in whole_packets(capture)] == packets
    assert [fact.code for fact in capture.facts if fact.code != "CAP906"] == ["CAP907"] * cut


@pytest.mark.parametrize("kind", [pcap, pcapng])
@given(seed=st.integers(0), order=ORDERS, window=st.integers(1, 3000), count=st.integers(1, 60), cut=st.booleans())
@settings(deadline=None)
def test_small_windows(kind: Maker, seed: int, order: str, window: int, count: int, cut: bool) -> None:
    check(*kind(random.Random(seed), order, count), window, cut)


@pytest.mark.parametrize("kind", [pcap, pcapng])
@given(seed=st.integers(0), order=ORDERS, window=st.sampled_from([200_000, 4 << 20]), cut=st.booleans())
@settings(max_examples=15, deadline=None)
def test_windows_of_many_records(kind: Maker, seed: int, order: str, window: int, cut: bool) -> None:
    check(*kind(random.Random(seed), order, 2500), window, cut)


def test_the_maker_of_captures_and_a_plain_loop_agree() -> None:
    content, packets = pcap(random.Random(1), "<", 100)
    assert struct_packets(content) == packets
