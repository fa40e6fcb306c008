"""Captures of simulations, and what a capture can miss."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dlmtrace.craft import Packet
from dlmtrace.simulate import capture
from dlmtrace.simulate.scenario import MILLISECOND, SECOND, Faults, Leave, Outcome, Reset, Scenario, Send, run


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    steps = (
        Send(100 * MILLISECOND, 1, 2, 60, burst=20),
        Send(100 * MILLISECOND, 2, 1, 30),
        Reset(110 * MILLISECOND, (1, 2)),
        Leave(SECOND, 1),
    )
    return run(Scenario({1: "6.1.y", 2: "6.1.y"}, steps))


def caught(outcome: Outcome, faults: Faults | None = None) -> list[Packet]:
    return capture.packets(outcome.network.captured, faults)


def test_tshark_finds_every_packet_with_right_checksums(
    outcome: Outcome, require_tool: Callable[[str], str], tmp_path: Path
) -> None:
    file = tmp_path / "whole.pcap"
    outcome.write(file)
    command = [require_tool("tshark"), "-r", str(file), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    fields = [
        "-T",
        "fields",
        "-e",
        "ip.checksum.status",
        "-e",
        "tcp.checksum.status",
        "-e",
        "tcp.analysis.lost_segment",
    ]
    lines = subprocess.run([*command, *fields], check=True, capture_output=True, text=True).stdout.splitlines()
    assert lines == ["1\t1\t"] * len(outcome.network.captured)


def test_each_packet_carries_its_segment(outcome: Outcome) -> None:
    for packet, (time, segment) in zip(caught(outcome), outcome.network.captured, strict=True):
        assert packet.time == capture.START + time
        assert packet.data.endswith(segment.payload)
        assert len(packet.data) == 14 + 20 + 20 + len(segment.payload)


def test_a_drop_takes_packets_from_the_capture_alone(outcome: Outcome) -> None:
    whole = [packet.data[34:] for packet in caught(outcome)]  # from the TCP header on
    some = [packet.data[34:] for packet in caught(outcome, Faults(drop=0.3, seed=5))]
    assert 0.5 * len(whole) < len(some) < 0.9 * len(whole)
    rest = iter(whole)
    assert all(any(segment == other for other in rest) for segment in some)  # the same ones, in order
    assert outcome.received(2, 1) == list(range(60))


def test_a_late_start(outcome: Outcome) -> None:
    start = 105 * MILLISECOND
    late = caught(outcome, Faults(start=start))
    assert len(late) == sum(time >= start for time, _ in outcome.network.captured)
    assert late[0].time >= capture.START + start


def test_one_direction_only(outcome: Outcome) -> None:
    assert {packet.sender.number for packet in caught(outcome, Faults(only_from=2))} == {2}


def test_reordering_moves_packets_and_keeps_times_in_order(outcome: Outcome) -> None:
    whole, mixed = caught(outcome), caught(outcome, Faults(reorder=0.2))
    assert [packet.time for packet in mixed] == [packet.time for packet in whole]
    assert [packet.payload for packet in mixed] != [packet.payload for packet in whole]
    assert sorted(packet.payload for packet in mixed) == sorted(packet.payload for packet in whole)


def test_a_snaplen_cuts_packets(outcome: Outcome, tmp_path: Path) -> None:
    file = tmp_path / "cut.pcap"
    outcome.write(file, Faults(snaplen=96))
    kept = sum(min(len(packet.data), 96) for packet in caught(outcome))
    assert file.stat().st_size == 24 + 16 * len(outcome.network.captured) + kept
