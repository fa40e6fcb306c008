"""Captures that are cut or damaged, or no captures: what can be read is read, and one line says what is wrong."""

import bz2
import gzip
import lzma
import tempfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard
from evidence import capture_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.packets import Packet, struct_packets, whole_packets
from oracles.pcapng_blocks import enhanced, interface, section, simple, statistics

from dlmtrace.capture.packets import UnusableInput, packet_number
from dlmtrace.capture.source import Capture

NOON = 1_800_000_000  # s


def few_packets(count: int) -> bytes:
    """The first packets of a real capture, as a pcap file."""
    capture = capture_bytes("clean-3.2-tcp.pcap")
    packets = struct_packets(capture)[:count]
    return capture[: 24 + sum(16 + len(data) for _, data in packets)]


def blocks_of(data: bytes) -> list[bytes]:
    order = "<"
    return [
        section(order, (1, b"comment")),
        interface(order, 1, 0),
        enhanced(order, 0, NOON * 10**6, data),
        simple(order, 20, data[:20]),
        enhanced(order, 0, NOON * 10**6 + 1, data[:33], (1, b"option")),
        statistics(order, 0, NOON * 10**6),
    ]


def read(content: bytes, path: Path, window: int = 1 << 20) -> tuple[list[tuple[Packet, bytes]], Capture]:
    path.write_bytes(content)
    capture = Capture([path], window)
    return [(whole.packet, whole.data) for whole in whole_packets(capture)], capture


@pytest.mark.parametrize("window", [1 << 20, 64])
def test_pcap_cut_at_every_byte(window: int, tmp_path: Path) -> None:
    content = few_packets(5)
    expected = struct_packets(content)
    boundaries = [24]
    for _, data in expected:
        boundaries.append(boundaries[-1] + 16 + len(data))
    for cut in range(4, len(content) + 1):
        packets, capture = read(content[:cut], tmp_path / "cut.pcap", window)
        assert packets == [whole for whole, end in zip(expected, boundaries[1:], strict=True) if end <= cut]
        if cut in boundaries:
            assert capture.facts == []
            continue
        (fact,) = capture.facts
        begin = max((end for end in boundaries if end <= cut), default=cut)
        assert (fact.code, fact.file, fact.byte) == ("CAP907", 0, begin)
        assert fact.packet == (len(packets) or None)
        assert (
            f"cut.pcap: the file ends inside {'a record' if cut > 24 else 'its header'} (byte {begin}, " in fact.message
        )


@pytest.mark.parametrize("window", [1 << 20, 32])
def test_pcapng_cut_at_every_byte(window: int, tmp_path: Path) -> None:
    blocks = blocks_of(few_packets(1))
    content = b"".join(blocks)
    whole, capture = read(content, tmp_path / "whole.pcapng")
    assert len(whole) == 3
    assert capture.facts == []
    ends = [sum(map(len, blocks[: count + 1])) for count in range(len(blocks))]
    for cut in range(4, len(content)):
        packets, capture = read(content[:cut], tmp_path / "cut.pcapng", window)
        assert packets == whole[: sum(end <= cut for end in ends[2:5])]
        assert [fact.code for fact in capture.facts] == ([] if cut in ends else ["CAP907"])


def gunzip(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(data)


CODECS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], Any]]] = {
    "gzip": (gzip.compress, gunzip),
    "zstd": (zstandard.compress, lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    "xz": (lzma.compress, lambda data: lzma.LZMADecompressor().decompress(data)),
    "bzip2": (bz2.compress, lambda data: bz2.BZ2Decompressor().decompress(data)),
    "lz4": (lz4.frame.compress, lambda data: lz4.frame.LZ4FrameDecompressor().decompress(data)),
}


@pytest.mark.parametrize("compression", CODECS)
def test_compressed_capture_cut_at_every_byte(compression: str, tmp_path: Path) -> None:
    compress, decompress = CODECS[compression]
    content = compress(few_packets(6))
    for cut in range(len(content) - 1):
        decoded = decompress(content[:cut]) if cut else b""
        if len(decoded) < 4:
            with pytest.raises(UnusableInput):
                read(content[:cut], tmp_path / "cut")
            continue
        packets, capture = read(content[:cut], tmp_path / "cut")
        assert packets == struct_packets(decoded)
        (fact,) = capture.facts
        assert fact.code == "CAP907"
        assert f"the {compression} data ends too early (byte {fact.byte}, after packet {len(packets)})" in fact.message


@pytest.mark.parametrize("compression", CODECS)
def test_damage_inside_compressed_data_leaves_what_comes_before_it(compression: str, tmp_path: Path) -> None:
    compress, _ = CODECS[compression]
    capture_content = capture_bytes("rst-3.2-tcp.pcap")
    content = bytearray(compress(capture_content))
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    packets, capture = read(bytes(content), tmp_path / "damaged")
    expected = struct_packets(capture_content)
    # A decoder without a checksum up to there may give some bytes of the damage itself.
    whole = sum(one == other for one, other in zip(packets, expected, strict=False))
    assert packets[:whole] == expected[:whole]
    assert whole > (0 if compression == "bzip2" else len(expected) // 4)
    assert [fact.code for fact in capture.facts if fact.code != "CAP906"] == ["CAP907"]


def test_compressed_data_followed_by_something_else(tmp_path: Path) -> None:
    content = few_packets(3)
    packets, capture = read(gzip.compress(content) + bytes(512), tmp_path / "padded.gz")
    assert (packets, capture.facts) == (struct_packets(content), [])  # tapes pad with zero bytes
    packets, capture = read(gzip.compress(content) + b"something else", tmp_path / "followed.gz")
    assert packets == struct_packets(content)
    assert [fact.code for fact in capture.facts] == ["CAP907"]
    assert "gzip data is followed by something else" in capture.facts[0].message


@pytest.mark.parametrize("captured", [0xFFFFFFFF, 0x80000000, 1 << 20])
def test_a_captured_length_that_cannot_be(captured: int, tmp_path: Path) -> None:
    content = few_packets(4)
    head = content[-100:-92] + captured.to_bytes(4, "little") + content[-88:-84]
    for follows in (b"", content[24:]):
        for window in (1 << 20, 64):
            packets, capture = read(content + head + follows, tmp_path / "nonsense.pcap", window)
            assert packets == struct_packets(content)
            (fact,) = capture.facts
            assert (fact.code, fact.packet, fact.byte) == ("CAP907", 4, len(content))
            assert f"nonsense.pcap: a record claims {captured} captured bytes" in fact.message


def test_a_large_snap_length_allows_large_packets(tmp_path: Path) -> None:
    header = bytearray(few_packets(0))
    header[16:20] = (1 << 21).to_bytes(4, "little")
    record = bytes(8) + (1 << 20).to_bytes(4, "little") * 2 + bytes(1 << 20)
    packets, capture = read(bytes(header) + record, tmp_path / "large.pcap", window=1000)
    assert [len(data) for _, data in packets] == [1 << 20]
    assert capture.facts == []


def test_steps_of_the_clock_are_one_fact_a_file(tmp_path: Path) -> None:
    header = few_packets(0)
    times = [100, 50, 49, 60, 10, 11]  # back by 50, 1 (not more than 1 s), 50 s
    records = b"".join(time.to_bytes(4, "little") + bytes(12) for time in times)
    for window in (1 << 20, 16):
        packets, capture = read(header + records, tmp_path / "steps.pcap", window)
        assert [packet.time for packet, _ in packets] == [time * 1_000_000_000 for time in times]
        (fact,) = capture.facts
        assert (fact.code, fact.count, fact.file) == ("CAP906", 2, 0)
        assert fact.packet is not None
        assert packet_number(fact.packet) == 2
        assert (capture.files[0].first_time, capture.files[0].last_time) == (10_000_000_000, 100_000_000_000)


def test_facts_name_the_file_they_are_about(tmp_path: Path) -> None:
    content = few_packets(6)
    later = bytearray(content)
    for (_, _), (begin, _) in pairwise([(0, 0), *[(at, at) for at in record_places(content)]]):
        later[begin + 3] += 1  # the seconds, by half a year
    paths = [tmp_path / "later.pcap", tmp_path / "sooner.pcap"]
    paths[0].write_bytes(later[:-1])
    paths[1].write_bytes(content[:-2])
    capture = Capture(paths)
    assert [(whole.file, whole.packet.number) for whole in whole_packets(capture)] == [
        (file, number) for file in (0, 1) for number in range(1, 6)
    ]
    assert [(fact.file, fact.packet) for fact in capture.facts] == [(0, 5), (1, 1 << 40 | 5)]
    assert [summary.name for summary in capture.files] == [str(paths[1]), str(paths[0])]
    assert capture.position == capture.size == 2 * len(content) - 3


def record_places(content: bytes) -> list[int]:
    places, at = [], 24
    for _, data in struct_packets(content):
        places.append(at)
        at += 16 + len(data)
    return places


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty, a capture file is expected"),
        (b"Hello, world", "not a capture file (starts with 48 65 6c 6c): pcap, pcapng expected, plain or compressed"),
        (b"Hi", "not a capture file (starts with 48 69)"),
        # the contents name the tests: a time in them would give each worker of pytest-xdist other names
        (gzip.compress(b"Hello", mtime=0), "not a capture file (inside the gzip data: starts with 48 65 6c 6c)"),
        (gzip.compress(b"", mtime=0), "not a capture file (inside the gzip data: nothing)"),
        (b"\x1f\x8b\xff\xff", "not a capture file (inside the gzip data: the gzip data is damaged"),
    ],
)
def test_no_capture(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(UnusableInput) as caught:
        Capture([path])
    text = str(caught.value)
    assert text.startswith(f"{path}: {message}")
    assert "\n" not in text


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=f"^{tmp_path}: a directory"):
        Capture([tmp_path])
    with pytest.raises(UnusableInput, match=f"^{tmp_path}/none: no such file$"):
        Capture([tmp_path / "none"])
    with pytest.raises(UnusableInput, match=r"^/proc/self/mem: reading failed \(Input/output error\)$"):
        Capture(["/proc/self/mem"])  # whose first page is never mapped


def test_one_bad_file_among_good_ones_is_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(few_packets(2))
    (tmp_path / "bad").write_bytes(b"bad")
    with pytest.raises(UnusableInput, match=f"^{tmp_path}/bad: not a capture file"):
        Capture([tmp_path / "good", tmp_path / "bad"])


CONTENTS = [few_packets(6), b"".join(blocks_of(bytes(61)))]
CHANGES = st.lists(
    st.tuples(
        st.integers(4, 400),
        st.sampled_from([b"\0", b"\1", b"\6", b"\xff", bytes(4), b"\xff" * 4, b"\0\0\0\x80", b"\x0a\x0d\x0d\x0a"]),
        st.integers(0, 8),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("content", CONTENTS, ids=["pcap", "pcapng"])
@given(changes=CHANGES, window=st.sampled_from([1, 100, 1 << 20]))
@settings(max_examples=200, deadline=None)
def test_any_damage_leaves_packets_that_lie_in_their_buffer(
    content: bytes, changes: list[tuple[int, bytes, int]], window: int
) -> None:
    damaged = bytearray(content)
    for place, new, removed in changes:
        damaged[place : place + removed] = new
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "damaged"
        path.write_bytes(damaged)
        try:
            capture = Capture([path], window)
        except UnusableInput:
            return
        whole = whole_packets(capture)  # which checks the promises of a batch
    assert all(len(packet.data) == packet.packet.captured <= len(damaged) for packet in whole)
    assert [fact.code for fact in capture.facts].count("CAP907") <= 1


def test_a_file_that_vanishes_before_its_turn_is_a_fact(tmp_path: Path) -> None:
    paths = [tmp_path / "first.pcap", tmp_path / "second.pcap"]
    for path in paths:
        path.write_bytes(few_packets(2))
    capture = Capture(paths)
    paths[1].unlink()
    assert len(whole_packets(capture)) == 2
    assert [(fact.code, fact.file, fact.message) for fact in capture.facts] == [
        ("CAP907", 1, f"{paths[1]}: no such file")
    ]
