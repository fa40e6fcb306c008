"""Frames come in capture order over batches too, when packets that were not captured leave holes."""

import random
from pathlib import Path

import pytest
from proof.losing import fraction, recorded, write

from dlmtrace.capture.source import Capture
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.pipeline import Trace

FILES = ["clean-6.12-tcp.pcap", "gfs2-2node.pcap", "sctp-3.2.pcap"]


def batches(path: Path, window: int) -> list[FrameBatch]:
    trace = Trace([str(path)])
    trace.capture = Capture([path], window)
    return list(trace.batches())


def places(found: list[FrameBatch]) -> list[tuple[int, int, int, bytes]]:
    """Ordinal, direction, position and bytes of every frame, in the order in which they came."""
    return [
        (int(frame["ordinal"]), int(frame["connection"]) * 2 + int(frame["side"]), int(frame["position"]), each)
        for batch in found
        for frame, each in zip(batch.frames, map(batch.bytes_of, range(len(batch))), strict=True)
    ]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("window", [1 << 14, 1 << 16])
def test_frames_behind_holes_are_not_overtaken(file: str, window: int, tmp_path: Path) -> None:
    path = tmp_path / "lossy.pcap"
    write(path, fraction(0.02)(recorded(file), random.Random(file)))
    found = batches(path, window)
    assert len(found) > 5
    assert sum(len(batch.holes) for batch in found) > 10
    came = places(found)
    assert [ordinal for ordinal, *_ in came] == sorted(ordinal for ordinal, *_ in came)
    assert sorted(came) == sorted(places(batches(path, 1 << 26)))
