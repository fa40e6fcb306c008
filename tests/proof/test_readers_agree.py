"""Every frame of every capture through every reader of the declarations, which must all see the same.

Construct parses a frame and builds it back; numpy columns, JSON lines and scapy's fields hold the values that Construct
read; scapy builds the frame back as well.  A frame is left out only when the very same bytes were checked before in the
same test: a second tap of the session, a part of it cut out as a capture of its own, what a kernel sent twice.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from evidence import CAPTURE_FILES, SCENARIOS, capture_path, scenario_of

from dlmtrace.pipeline import Trace
from dlmtrace.scapy_layer import DLM
from dlmtrace.streams.nodes import NodeTable
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.jsonl import FrameLines
from dlmtrace.views.naming import Naming
from dlmtrace.wire.frame import build, parse
from dlmtrace.wire.tree import parts
from proof.readings import column_pairs, is_part_of, json_record, scapy_pairs, values_in

SHARES = {"big-3.2-tcp": 6, "crash-3node": 2, "crash-3node-6.12": 2, "rst-stall-6.12-tcp": 2}
"""Long sessions are dealt to several tests, so that workers of pytest-xdist finish together."""

AT_ONCE = 4000
"""Frames that are held as Construct containers at a time, which bounds memory."""


def distinct_frames(session: str, share: int) -> Iterator[tuple[FrameColumns, list[bytes]]]:
    """The frames of a session whose second word, a sequence number or a lockspace, falls to ``share``.

    Equal frames have equal words and so the same share.
    """
    known: set[tuple[bytes, int]] = set()
    for file in (file for file in CAPTURE_FILES if scenario_of(file) == session):
        naming = Naming(NodeTable(), {}, [file])
        for batch in Trace([str(capture_path(file))]).batches():
            of_share = np.flatnonzero(batch.header["h_lockspace"] % SHARES.get(session, 1) == share)
            chosen: dict[tuple[bytes, int], int] = {}
            for row, length in zip(of_share.tolist(), batch.frames["length"][of_share].tolist(), strict=True):
                chosen.setdefault((batch.bytes_of(row), length), row)
            new = {frame: row for frame, row in chosen.items() if frame not in known}
            known.update(new)
            rows, contents = np.array(list(new.values()), np.int64), [content for content, _ in new]
            for first in range(0, len(rows), AT_ONCE):
                some = slice(first, first + AT_ONCE)
                yield FrameColumns(batch, rows[some], naming), contents[some]


def assert_alike(what: str, seen: list[Any], read: list[Any]) -> None:
    """Two lists are equal; if not, the first difference says enough."""
    if seen != read:
        assert len(seen) == len(read), what
        for at, (one, other) in enumerate(zip(seen, read, strict=True)):
            assert one == other, f"{what}, entry {at}"


def check_scapy(contents: list[bytes], frames: list[Any]) -> None:
    for content, frame in zip(contents, frames, strict=True):
        packet = DLM(content)
        for seen, read in scapy_pairs(frame, packet):
            assert seen == read
        packet.clear_cache()  # else scapy returns the bytes it was given
        assert bytes(packet) == content


def check_json(columns: FrameColumns, contents: list[bytes], frames: list[Any]) -> None:
    lines = FrameLines(["capture"]).text(columns).splitlines()
    missing = (columns.frames["length"] - columns.frames["captured"]).tolist()
    for line, content, lacks, frame in zip(lines, contents, missing, frames, strict=True):
        expected = json_record(parse(content + bytes(lacks)) if lacks else frame)
        record = json.loads(line)
        seen = {key: record[key] for key in expected}
        if lacks:
            check_cut(content, lacks, seen, expected)
        else:
            assert seen == expected


def check_cut(content: bytes, lacks: int, seen: dict[str, Any], filled: dict[str, Any]) -> None:
    """``seen`` holds every value that is there as a whole, and nothing of the ``filled`` frame's zeros."""
    assert is_part_of(seen, filled)
    leaves = [part for part in parts(parse(content + bytes(lacks))) if part.value is not None]
    assert values_in(seen) == sum(leaf.offset + leaf.size <= len(content) for leaf in leaves)


@pytest.mark.parametrize(
    ("session", "share"), [(session, share) for session in SCENARIOS for share in range(SHARES.get(session, 1))]
)
def test_every_frame_is_the_same_to_every_reader(session: str, share: int) -> None:
    checked = 0
    for columns, contents in distinct_frames(session, share):
        frames = [parse(content) for content in contents]
        assert_alike("built by Construct", [build(frame) for frame in frames], contents)
        assert not any(frame["surplus"] for frame in frames)
        for what, seen, read in column_pairs(columns, frames):
            assert_alike(what, seen, read)
        check_json(columns, contents, frames)
        check_scapy(contents, frames)
        checked += len(contents)
    assert checked
