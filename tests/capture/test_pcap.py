"""Packets of pcap files: as tshark lists them, as a plain loop reads them, whatever the window."""

from collections.abc import Callable
from pathlib import Path

import pytest
from evidence import capture_bytes, capture_path
from oracles.packets import packets_of, struct_packets, tshark_packets, whole_packets

from dlmtrace.capture.source import Capture

CAPTURES = ["clean-3.2-tcp.pcap", "mid-capture.snap96.pcap", "sctp-3.2.pcap", "big-3.2-tcp.n1.ring.pcap"]


@pytest.mark.parametrize("file", CAPTURES[:3])
def test_packets_are_those_that_tshark_lists(
    file: str, require_tool: Callable[[str], str], plain_capture: Callable[[str], Path]
) -> None:
    require_tool("tshark")
    capture = Capture([str(capture_path(file))])
    assert packets_of(capture) == tshark_packets(plain_capture(file))
    assert capture.facts == []


@pytest.mark.parametrize("file", CAPTURES)
@pytest.mark.parametrize("window", [4 << 20, 100_000])
def test_bytes_and_times_are_those_of_a_plain_loop(file: str, window: int) -> None:
    capture = Capture([str(capture_path(file))], window)
    expected = struct_packets(capture_bytes(file))
    assert [(whole.packet, whole.data) for whole in whole_packets(capture)] == expected
    (summary,) = capture.files
    assert (summary.format, summary.packets, summary.bytes) == ("zstd pcap", len(expected), len(capture_bytes(file)))
    assert (summary.first_time, summary.last_time) == (expected[0][0].time, expected[-1][0].time)
    assert summary.link_types == [1]
