"""A capture file that ends anywhere gives the frames of the packets before its end, and one clear fact."""

import os
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dlmtrace.capture.packets import UnusableInput, packet_number
from dlmtrace.framing.frames import WHOLE
from dlmtrace.pipeline import Trace

PACKETS = 28
"""The join of two nodes: handshake, bare STATUS and its replies, and a NAMES inside OPTS."""


@pytest.fixture(params=["pcap", "pcapng"])
def capture(
    request: pytest.FixtureRequest,
    require_tool: Callable[[str], str],
    plain_capture: Callable[[str], Path],
    tmp_path: Path,
) -> Path:
    path = tmp_path / f"cut.{request.param}"
    source = plain_capture("clean-6.12-tcp.pcap")
    command = [require_tool("editcap"), "-r", "-F", request.param, str(source), str(path), f"1-{PACKETS}"]
    subprocess.run(command, check=True)
    return path


def ends_of_records(capture: Path) -> list[tuple[int, bool]]:
    """Where the file header, and each record or block, ends; and whether it is a packet."""
    data = capture.read_bytes()
    if capture.suffix == ".pcap":
        ends, at = [(24, False)], 24
        while at < len(data):
            at += 16 + int.from_bytes(data[at + 8 : at + 12], "little")
            ends.append((at, True))
        return ends
    ends, at = [], 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        at += length
        ends.append((at, kind == 6))
    return ends


def whole_frames(path: Path) -> tuple[list[tuple[int, bytes]], Trace]:
    """Packet and bytes of every whole frame."""
    trace = Trace([str(path)])
    frames = [
        (packet_number(int(batch.frames["packet"][row])), batch.bytes_of(row))
        for batch in trace.batches()
        for row in range(len(batch))
        if batch.frames["state"][row] == WHOLE
    ]
    return frames, trace


def test_a_capture_cut_at_every_byte(capture: Path) -> None:
    ends = ends_of_records(capture)
    all_frames, trace = whole_frames(capture)
    assert [frame[14] for _, frame in all_frames].count(3) == 1, "the last packet has an OPTS frame"
    assert not trace.capture.facts
    for cut in reversed(range(capture.stat().st_size)):
        os.truncate(capture, cut)
        if cut < 4:  # too little to tell a capture by
            with pytest.raises(UnusableInput, match=rf"^{re.escape(str(capture))}: [^\n]+$"):
                whole_frames(capture)
            continue
        frames, trace = whole_frames(capture)
        packets = sum(is_packet for end, is_packet in ends if end <= cut)
        assert frames == [(packet, frame) for packet, frame in all_frames if packet <= packets]
        begins = max((end for end, _ in ends if end <= cut), default=0)
        if begins == cut:
            assert trace.capture.facts == []
            continue
        (fact,) = trace.capture.facts
        assert fact.code == "CAP907"
        assert f"{capture}: the file ends inside" in fact.message
        assert "\n" not in fact.message
        assert begins <= (fact.byte or 0) <= cut
        assert fact.packet is None or packet_number(fact.packet) == packets
