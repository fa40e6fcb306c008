"""What the browser reads back from disk is what the stages found."""

from collections.abc import Iterator

import numpy as np
import pytest
from evidence import capture_path

from dlmtrace.browse.store import CHUNK, FrameStore
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.pipeline import Trace


def stored(file: str) -> tuple[FrameStore, list[FrameBatch]]:
    store, batches = FrameStore(), list(Trace([str(capture_path(file))]).batches())
    for batch in batches:
        store.add(batch)
    return store, batches


def frames_of(batches: list[FrameBatch]) -> Iterator[tuple[bytes, int, int]]:
    for batch in batches:
        for row, frame in enumerate(batch.frames):
            yield batch.bytes_of(row), int(frame["packet"]), int(frame["position"])


@pytest.mark.parametrize("file", ["mid-capture.snap96.pcap", "sctp-multihome.net0.pcap", "rst-stall-6.12-tcp.pcap"])
def test_every_frame_comes_back_with_its_bytes_and_packets(file: str) -> None:
    store, batches = stored(file)
    expected = list(frames_of(batches))
    assert store.count == len(expected)
    assert list(frames_of([batch for _, batch in store.chunks()])) == expected
    assert [first for first, _ in store.chunks_before(store.count)][-1] == 0
    backwards = [batch for _, batch in store.chunks_before(store.count)]
    assert list(frames_of(backwards[::-1])) == expected


def test_any_frames_in_any_order() -> None:
    store, batches = stored("rst-stall-6.12-tcp.pcap")
    expected = list(frames_of(batches))
    assert len(expected) > CHUNK
    rows = np.array([31_000, 5, 6, 7, 4, 31_001, 0, store.count - 1])
    assert list(frames_of([store.chosen(rows)])) == [expected[row] for row in rows]
