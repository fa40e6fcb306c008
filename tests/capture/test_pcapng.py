"""pcapng files built by hand from the specification, and read by tshark as well where it shows what is asked."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles.packets import Packet, packets_of, tshark_packets, whole_packets
from oracles.pcapng_blocks import (
    block,
    counter,
    enhanced,
    interface,
    obsolete,
    section,
    simple,
    statistics,
)

from dlmtrace.capture.packets import UnusableInput
from dlmtrace.capture.source import Capture

ORDERS = ["<", ">"]
NOON = 1_800_000_000  # s
COMMENT, NAME, DESCRIPTION, RESOLUTION, OFFSET = 1, 2, 3, 9, 14
DROPPED_BY_INTERFACE, DROPPED_BY_SYSTEM = 5, 7
DATA = bytes(range(61))


def written(path: Path, *blocks: bytes) -> Path:
    path.write_bytes(b"".join(blocks))
    return path


@pytest.mark.parametrize("order", ORDERS)
def test_clocks_of_several_interfaces(order: str, require_tool: Callable[[str], str], tmp_path: Path) -> None:
    require_tool("tshark")
    path = written(
        tmp_path / "clocks.pcapng",
        section(order),
        interface(order, 1, 0),  # µs, when nothing is said
        interface(order, 101, 96, (NAME, b"bond0"), (DESCRIPTION, b"both cables"), (RESOLUTION, b"\x09")),
        interface(order, 1, 0, (RESOLUTION, b"\x00"), (OFFSET, struct.pack(order + "q", -3600))),
        interface(order, 1, 0, (RESOLUTION, b"\xa0"), (OFFSET, struct.pack(order + "q", 5))),  # 2^-32 s
        interface(order, 1, 0, (RESOLUTION, b"\x8a")),  # 2^-10 s
        enhanced(order, 0, NOON * 10**6 + 250_000, DATA[:14]),
        enhanced(order, 1, NOON * 10**9 + 250_000_001, DATA[:15], length=1500),
        enhanced(order, 2, NOON + 3601, DATA[:16]),
        enhanced(order, 3, (NOON - 4 << 32) + (1 << 31), DATA[:17]),
        enhanced(order, 4, (NOON + 2 << 10) + 1, DATA[:18]),
    )
    second = 10**9
    expected = [
        Packet(1, NOON * second + 250_000_000, 14, 14),
        Packet(2, NOON * second + 250_000_001, 15, 1500),
        Packet(3, (NOON + 1) * second, 16, 16),
        Packet(4, (NOON + 1) * second + 500_000_000, 17, 17),
        Packet(5, (NOON + 2) * second + 976_562, 18, 18),  # 1/1024 s = 976562.5 ns
    ]
    capture = Capture([path])
    whole = whole_packets(capture)
    assert [packet.packet for packet in whole] == expected
    assert [packet.data for packet in whole] == [DATA[: 14 + row] for row in range(5)]
    assert tshark_packets(path) == expected
    assert [(face.link, face.snaplen, face.name, face.description) for face in capture.interfaces] == [
        (1, 0, "", ""),
        (101, 96, "bond0", "both cables"),
        (1, 0, "", ""),
        (1, 0, "", ""),
        (1, 0, "", ""),
    ]
    (batch,) = Capture([path]).batches()
    assert batch.records["interface"].tolist() == [0, 1, 2, 3, 4]
    assert batch.records["link"].tolist() == [1, 101, 1, 1, 1]


@pytest.mark.parametrize("order", ORDERS)
def test_three_kinds_of_packets(order: str, require_tool: Callable[[str], str], tmp_path: Path) -> None:
    require_tool("tshark")
    path = written(
        tmp_path / "kinds.pcapng",
        section(order),
        interface(order, 1, 40),
        interface(order, 1, 0),
        obsolete(order, 1, 0xFFFF, NOON * 10**6, DATA[:33]),
        simple(order, 61, DATA[:40]),  # cut by the snap length of the first interface
        simple(order, 21, DATA[:21]),
        enhanced(order, 0, NOON * 10**6 + 7, DATA[:5]),
    )
    capture = Capture([path])
    whole = whole_packets(capture)
    noon = NOON * 10**9
    # A simple packet has no time; it stands at that of the packet before it.
    expected = [Packet(1, noon, 33, 33), Packet(2, noon, 40, 61), Packet(3, noon, 21, 21), Packet(4, noon + 7000, 5, 5)]
    assert [packet.packet for packet in whole] == expected
    assert [packet.data for packet in whole] == [DATA[:33], DATA[:40], DATA[:21], DATA[:5]]
    assert capture.files[0].untimed == 2
    assert (capture.files[0].first_time, capture.files[0].last_time) == (noon, noon + 7000)
    listed = [(packet.number, packet.captured, packet.length) for packet in tshark_packets(path)]
    assert listed == [(packet.number, packet.captured, packet.length) for packet in expected]
    (batch,) = Capture([path]).batches()
    assert batch.records["interface"].tolist() == [1, 0, 0, 0]


def test_sections_change_byte_order_and_start_their_interfaces_anew(
    require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    require_tool("tshark")
    parts = []
    for number, order in enumerate("<>><"):
        parts += [
            section(order),
            interface(order, 1 if number < 3 else 113, 0, (RESOLUTION, b"\x06" if number % 2 else b"\x09")),
            enhanced(order, 0, (NOON + number) * (10**6 if number % 2 else 10**9), DATA[: 20 + number]),
            enhanced(order, 0, (NOON + number) * (10**6 if number % 2 else 10**9) + 1000, DATA[: 30 + number]),
        ]
    path = written(tmp_path / "sections.pcapng", *parts)
    for window in (1 << 20, 100):
        capture = Capture([path], window)
        assert packets_of(capture) == tshark_packets(path)
        # The same interface declared again is the same interface.
        assert [face.link for face in capture.interfaces] == [1, 113]
        assert capture.facts == []
        assert capture.files[0].link_types == [1, 113]


@pytest.mark.parametrize("order", ORDERS)
def test_blocks_of_other_kinds_are_skipped(order: str, tmp_path: Path) -> None:
    path = written(
        tmp_path / "others.pcapng",
        section(order),
        interface(order, 1, 0),
        block(order, 4, bytes(40)),  # name resolution
        enhanced(order, 0, NOON * 10**6, DATA),
        block(order, 0xBAD, DATA),  # custom
        block(order, 0x80000001, bytes(100_000)),  # of local use, longer than the window
        enhanced(order, 0, NOON * 10**6, DATA[:1]),
    )
    capture = Capture([path], window=256)
    assert [packet.data for packet in whole_packets(capture)] == [DATA, DATA[:1]]
    assert capture.facts == []


@pytest.mark.parametrize("order", ORDERS)
def test_drops_that_the_statistics_report(order: str, tmp_path: Path) -> None:
    path = written(
        tmp_path / "drops.pcapng",
        section(order),
        interface(order, 1, 0),
        interface(order, 1, 0, (NAME, b"second")),
        # Counters go on from block to block, so the last one of each interface counts.
        statistics(order, 0, NOON * 10**6, (DROPPED_BY_INTERFACE, counter(order, 4))),
        enhanced(order, 0, NOON * 10**6, DATA),
        statistics(order, 0, 0, (DROPPED_BY_INTERFACE, counter(order, 10)), (DROPPED_BY_SYSTEM, counter(order, 200))),
        statistics(order, 1, 0, (DROPPED_BY_SYSTEM, counter(order, 3000))),
        section(order),
        interface(order, 1, 0),
        statistics(order, 0, 0, (DROPPED_BY_SYSTEM, counter(order, 40_000))),
    )
    capture = Capture([path])
    assert len(packets_of(capture)) == 1
    assert capture.files[0].dropped == 43_210
    (fact,) = capture.facts
    assert (fact.code, fact.file, fact.count) == ("CAP908", 0, 43_210)
    assert str(path) in fact.message


@pytest.mark.parametrize("order", ORDERS)
def test_comments(order: str, tmp_path: Path) -> None:
    path = written(
        tmp_path / "comments.pcapng",
        section(order, (COMMENT, "Käse\0".encode()), (2, b"hardware")),
        interface(order, 1, 0, (NAME, b"eth0"), (COMMENT, b"mirror port")),
        enhanced(order, 0, NOON * 10**6, DATA, (COMMENT, b"first"), (COMMENT, b"again")),
        enhanced(order, 0, NOON * 10**6, DATA),
        enhanced(order, 0, NOON * 10**6, DATA[:3], (2, b"\1\0\0\0"), (COMMENT, b"bad \xff byte")),
        obsolete(order, 0, 0, NOON * 10**6, DATA[:2], (COMMENT, b"old")),
        statistics(order, 0, 0, (COMMENT, b"the end")),
    )
    capture = Capture([path])
    assert len(packets_of(capture)) == 4
    assert sorted(capture.files[0].comments) == sorted(
        [
            "Käse",
            "mirror port",
            "packet 1: first",
            "packet 1: again",
            "packet 3: bad \N{REPLACEMENT CHARACTER} byte",
            "packet 4: old",
            "the end",
        ]
    )


@pytest.mark.parametrize("order", ORDERS)
def test_unreadable_packets_are_counted_and_do_not_end_the_reading(order: str, tmp_path: Path) -> None:
    too_long = block(order, 6, struct.pack(order + "5I", 0, 0, 0, 4_000_000_000, 60) + DATA)
    path = written(
        tmp_path / "bad-packets.pcapng",
        section(order),
        interface(order, 1, 0),
        enhanced(order, 0, NOON * 10**6, DATA),
        enhanced(order, 7, NOON * 10**6, DATA),
        too_long,
        block(order, 6, b""),
        block(order, 3, b""),
        enhanced(order, 0, NOON * 10**6, DATA[:9]),
    )
    capture = Capture([path])
    assert [(packet.packet.number, packet.data) for packet in whole_packets(capture)] == [(1, DATA), (6, DATA[:9])]
    (fact,) = capture.facts
    assert (fact.code, fact.count, fact.packet, fact.byte) == ("CAP909", 4, 2, 28 + 20 + 96)


@pytest.mark.parametrize(
    "nonsense",
    [
        struct.pack("<II", 6, 0xFFFFFFF0),
        struct.pack("<II", 6, 0) + bytes(100),
        struct.pack("<II", 6, 62) + bytes(100),
        struct.pack("<II", 6, 60) + bytes(100),  # its second length is 0
        block("<", 1, b"")[:12],  # an interface must have 8 bytes
    ],
)
def test_nonsense_ends_the_reading_with_one_fact(nonsense: bytes, tmp_path: Path) -> None:
    good = section("<") + interface("<", 1, 0) + enhanced("<", 0, NOON * 10**6, DATA)
    path = written(tmp_path / "nonsense.pcapng", good, nonsense, enhanced("<", 0, NOON * 10**6, DATA))
    for window in (1 << 20, 50):
        capture = Capture([path], window)
        assert [packet.data for packet in whole_packets(capture)] == [DATA]
        (fact,) = capture.facts
        assert (fact.code, fact.file, fact.packet, fact.byte) == ("CAP907", 0, 1, len(good))
        assert f"{path}: " in fact.message
        assert "reading stops there" in fact.message
        assert f"(byte {len(good)}, after packet 1)" in fact.message


def test_a_section_without_byte_order_magic_is_no_capture(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pcapng", block("<", 0x0A0D0D0A, bytes(16)))
    with pytest.raises(UnusableInput, match="pcapng without byte-order magic"):
        Capture([path])
