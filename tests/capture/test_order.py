"""Several files are one capture in time order, whatever the order in which they are named."""

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles.packets import struct_packets, whole_packets
from oracles.pcapng_blocks import enhanced, interface, section, simple

from dlmtrace.capture.source import Capture

SECOND = 1_000_000_000  # ns
HEADER = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)


def pcap(path: Path, *times: int) -> Path:
    """A capture with packets at ``times`` (s), each with its time as data."""
    path.write_bytes(HEADER + b"".join(struct.pack("<IIIII", time, 0, 4, 4, time) for time in times))
    return path


def order(paths: list[Path], window: int = 1 << 20) -> list[tuple[int, int]]:
    """File and data (its time) of each packet."""
    return [(whole.file, struct.unpack("<I", whole.data)[0]) for whole in whole_packets(Capture(paths, window))]


def test_rotated_files_in_any_order_are_one_capture(
    require_tool: Callable[[str], str], plain_capture: Callable[[str], Path], tmp_path: Path
) -> None:
    require_tool("editcap")
    plain = plain_capture("clean-3.1-tcp.pcap")
    subprocess.run(["editcap", "-c", "500", str(plain), str(tmp_path / "ring.pcap")], check=True, capture_output=True)
    ring = sorted(tmp_path.iterdir())
    assert len(ring) == 7
    capture = Capture([ring[3], ring[0], ring[6], ring[5], ring[1], ring[2], ring[4]], window=100_000)
    whole = whole_packets(capture)
    expected = struct_packets(plain.read_bytes())
    assert [packet.data for packet in whole] == [data for _, data in expected]
    assert [packet.packet.time for packet in whole] == [packet.time for packet, _ in expected]
    # File and number within the file identify a packet.
    assert [(packet.file, packet.packet.number) for packet in whole] == [
        (row // 500, row % 500 + 1) for row in range(len(expected))
    ]
    assert [summary.name for summary in capture.files] == [str(path) for path in ring]
    assert [(interface.file, interface.link) for interface in capture.interfaces] == [(file, 1) for file in range(7)]


@pytest.mark.parametrize("window", [4 << 20, 50_000])
def test_files_that_overlap_in_time_are_merged(
    window: int, require_tool: Callable[[str], str], plain_capture: Callable[[str], Path], tmp_path: Path
) -> None:
    require_tool("mergecap")
    networks = [plain_capture(f"sctp-multihome.net{number}.pcap") for number in (0, 1)]
    merged = tmp_path / "merged.pcap"
    subprocess.run(["mergecap", "-F", "pcap", "-w", str(merged), *map(str, networks)], check=True)
    expected = struct_packets(merged.read_bytes())
    whole = whole_packets(Capture(networks, window))
    assert [packet.packet.time for packet in whole] == [packet.time for packet, _ in expected]
    # Packets of equal times may stand in either order.
    assert sorted((packet.packet.time or 0, packet.data) for packet in whole) == sorted(
        (packet.time or 0, data) for packet, data in expected
    )
    for file, path in enumerate(networks):
        own = [(packet.packet, packet.data) for packet in whole if packet.file == file]
        assert own == struct_packets(path.read_bytes())


@pytest.mark.parametrize("window", [1 << 20, 40])
def test_each_file_keeps_its_own_order_where_its_clock_steps_back(window: int, tmp_path: Path) -> None:
    paths = [pcap(tmp_path / "steady", 11, 21, 31, 41), pcap(tmp_path / "stepping", 10, 30, 20, 22, 40)]
    # 20 and 22 were captured after 30, so they stand behind what the other file has up to then.
    assert order(paths, window) == [
        (0, 10),
        (1, 11),
        (1, 21),
        (0, 30),
        (0, 20),
        (0, 22),
        (1, 31),
        (0, 40),
        (1, 41),
    ]


def test_equal_times_stand_in_the_order_in_which_the_files_are_named(tmp_path: Path) -> None:
    paths = [pcap(tmp_path / name, 5, 5, 6) for name in ("one", "two")]
    assert order(paths) == [(0, 5), (0, 5), (1, 5), (1, 5), (0, 6), (1, 6)]


def test_files_without_packets_stay_behind_the_file_named_before(tmp_path: Path) -> None:
    paths = [pcap(tmp_path / "late", 50), pcap(tmp_path / "none"), pcap(tmp_path / "early", 1)]
    capture = Capture(paths)
    assert [whole.packet.time for whole in whole_packets(capture)] == [SECOND, 50 * SECOND]
    assert [Path(summary.name).name for summary in capture.files] == ["early", "late", "none"]
    assert [summary.packets for summary in capture.files] == [1, 1, 0]


def test_packets_without_a_time_keep_their_place(tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.pcapng"
    parts = [section("<"), interface("<", 1, 0)]
    for time in (10, 20, 30):
        parts += [
            enhanced("<", 0, time * 1_000_000, struct.pack("<I", time)),
            simple("<", 4, struct.pack("<I", time + 1)),
        ]
    mixed.write_bytes(b"".join(parts))
    paths = [mixed, pcap(tmp_path / "other", 15, 25)]
    assert order(paths) == [(0, 10), (0, 11), (1, 15), (0, 20), (0, 21), (1, 25), (0, 30), (0, 31)]


def test_a_long_ring_has_few_files_open(tmp_path: Path) -> None:
    paths = [pcap(tmp_path / f"ring.pcap{number}", 10 * number, 10 * number + 9) for number in range(60)]
    descriptors = len(os.listdir("/proc/self/fd"))
    seen = 0
    for batch in Capture(paths).batches():
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 3
        seen += len(batch.records)
    assert seen == 120
    assert len(os.listdir("/proc/self/fd")) == descriptors
