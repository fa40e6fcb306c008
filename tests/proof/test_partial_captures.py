"""One session recorded four times: whole, three seconds of it, and with its packets cut at 256 and at 96 bytes.

The whole capture agrees with the kernels' traces (test_kernel_trace.py), so it says what the others should hold.
"""

import struct
from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pytest
from evidence import capture_bytes, capture_path
from oracles.kernel import traces

from dlmtrace.framing.frames import WHOLE
from dlmtrace.pipeline import Trace
from dlmtrace.transport.connections import Endpoint
from proof.decoded import decoded
from proof.matching import compare

Flow = tuple[str, str]
"""Sender and receiver of a TCP direction, each as address:port."""


def places(file: str) -> dict[tuple[Flow, int], int]:
    """Where whole frames lie: (direction, position in its stream) → length."""
    found: dict[tuple[Flow, int], int] = {}
    for batch in Trace([str(capture_path(file))]).batches():
        for frame in batch.frames[batch.frames["state"] == WHOLE]:
            connection = batch.connections[int(frame["connection"])]
            ends: list[Endpoint] = [connection.endpoint(side) for side in (frame["side"], 1 - frame["side"])]
            found[(str(ends[0]), str(ends[1])), int(frame["position"])] = int(frame["length"])
    return found


def payload_in_file(file: str) -> dict[Flow, npt.NDArray[np.bool_]]:
    """Which bytes of each TCP direction the file really has, read by the formats of pcap, IPv4 and TCP alone."""
    data, at = capture_bytes(file), 24
    begins: dict[Flow, int] = {}
    pieces: dict[Flow, list[tuple[int, int]]] = defaultdict(list)
    while at < len(data):
        captured = struct.unpack_from("<I", data, at + 8)[0]
        packet = data[at + 16 : at + 16 + captured]
        at += 16 + captured
        if packet[12:14] != b"\x08\x00" or packet[23] != 6:
            continue
        tcp = 14 + (packet[14] & 15) * 4
        source_port, destination_port, sequence, _, offset, flags = struct.unpack_from(">HHIIBB", packet, tcp)
        source, destination = (".".join(map(str, packet[start : start + 4])) for start in (26, 30))
        flow = f"{source}:{source_port}", f"{destination}:{destination_port}"
        if flags & 2:
            begins[flow] = sequence + 1
        payload = packet[tcp + (offset >> 4) * 4 : 14 + struct.unpack_from(">H", packet, 16)[0]]
        if payload and flow in begins:
            pieces[flow].append(((sequence - begins[flow]) % 2**32, len(payload)))
    have = {}
    for flow, stretches in pieces.items():
        have[flow] = np.zeros(max(start + length for start, length in stretches), bool)
        for start, length in stretches:
            have[flow][start : start + length] = True
    return have


@pytest.mark.parametrize("file", ["mid-capture.snap256.pcap", "mid-capture.snap96.pcap"])
def test_cut_packets_lose_the_frames_with_cut_bytes_and_no_other(file: str) -> None:
    have = payload_in_file(file)
    expected = {}
    for (flow, position), length in places("mid-capture.full.pcap").items():
        bytes_in_file = have[flow][position : position + length]
        if len(bytes_in_file) == length and bytes_in_file.all():
            expected[flow, position] = length
    assert expected
    assert places(file) == expected


def test_a_capture_of_the_middle_has_every_frame_of_its_time_and_no_other() -> None:
    result = compare(traces("mid-capture"), decoded("mid-capture.mid.pcap"), {1, 2})
    assert not result.only_wire
    assert not result.not_received
    assert not result.again
    for source in (1, 2):
        on_wire = sorted(frame.sequence for frame in result.wire if frame.source == source)
        assert on_wire == list(range(on_wire[0], on_wire[-1] + 1))
        missing = [frame.sequence for frame in result.only_sent if frame.source == source]
        assert min(missing) < on_wire[0]
        assert max(missing) > on_wire[-1]
        assert not set(missing) & set(on_wire)
