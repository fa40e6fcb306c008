"""Captures that miss something hold the frames of the whole capture whose bytes they have, and no other.

The whole captures agree with the kernels' traces (test_kernel_trace.py).  One session was recorded four times: whole,
three seconds of it, and with its packets cut at 256 and at 96 bytes; others lose packets here.
"""

import random
import struct
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from evidence import capture_bytes, capture_path
from oracles.kernel import traces

from dlmtrace.framing.frames import WHOLE
from dlmtrace.pipeline import Trace
from proof.decoded import decoded
from proof.matching import compare

RCOM = 2

Flow = tuple[str, str]
"""Sender and receiver of a TCP direction, each as address:port."""

Places = dict[tuple[Flow, int], tuple[int, int]]
"""Where whole frames lie: (direction, position in its stream) → (length, h_cmd)."""


def places(path: Path) -> Places:
    found: Places = {}
    for batch in Trace([str(path)]).batches():
        for row in np.flatnonzero(batch.frames["state"] == WHOLE).tolist():
            frame = batch.frames[row]
            connection = batch.connections[int(frame["connection"])]
            sender, receiver = (str(connection.endpoint(side)) for side in (frame["side"], 1 - frame["side"]))
            command = int(batch.header["h_cmd"][row])
            found[(sender, receiver), int(frame["position"])] = int(frame["length"]), command
    return found


def still_whole(frames: Places, data: bytes) -> Places:
    """The frames whose bytes are all in the pcap ``data``."""
    have = payload_in(data)
    return {
        (flow, position): frame
        for (flow, position), frame in frames.items()
        if flow in have and have[flow][position : position + frame[0]].sum() == frame[0]
    }


def records(data: bytes) -> list[bytes]:
    """The records of a pcap, each with its header."""
    found, at = [], 24
    while at < len(data):
        behind = at + 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        found.append(data[at:behind])
        at = behind
    return found


def payload_in(data: bytes) -> dict[Flow, npt.NDArray[np.bool_]]:
    """Which bytes of each TCP direction the file really has, read by the formats of pcap, IPv4 and TCP alone."""
    begins: dict[Flow, int] = {}
    pieces: dict[Flow, list[tuple[int, int]]] = defaultdict(list)
    for record in records(data):
        packet = record[16:]
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
    expected = still_whole(places(capture_path("mid-capture.full.pcap")), capture_bytes(file))
    assert expected
    assert places(capture_path(file)) == expected


@pytest.mark.parametrize("file", ["netem-tcp.pcap", "rst-6.12-tcp.pcap", "recovery-locks-3node.pcap"])
def test_lost_packets_lose_the_frames_in_them(file: str, tmp_path: Path) -> None:
    """A tenth of the longer packets is missing.  Behind a hole a bare RCOM could be the inside of an OPTS: not told."""
    data, choice = capture_bytes(file), random.Random(file)
    kept = [record for record in records(data) if len(record) < 16 + 82 or choice.random() > 0.1]
    (path := tmp_path / "lost.pcap").write_bytes(data[:24] + b"".join(kept))
    expected, found = still_whole(places(capture_path(file)), path.read_bytes()), places(path)
    assert len(found) > 1000
    assert found.items() <= expected.items()
    untold = {command for place, (_, command) in expected.items() if place not in found}
    assert untold <= {RCOM}


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
