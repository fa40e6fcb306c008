"""Frames of real kernels: parsed and built back byte for byte, and read alike by every reader of the declarations."""

import re
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from evidence import CAPTURE_FILES, kernel_record

from dlmtrace.framing.frames import WHOLE, FrameBatch
from dlmtrace.wire import columns
from dlmtrace.wire.frame import build, parse
from dlmtrace.wire.names import jhash, resource_text
from dlmtrace.wire.tree import parts

from .captured import batches_of, frames_of

Records = dict[str, list[tuple[int, Any]]]
"""Structures found by Construct: name of the layout -> offset in the buffer and the container, of each."""


def fields(part: Any) -> dict[str, Any]:
    """The fields of a body, of what OPTS carries, or of a payload; none where it stayed bytes."""
    return part if isinstance(part, dict) else {}


def structures(frame: Any, offset: int, found: Records) -> None:
    """Add the fixed structures of a parsed frame that begins at ``offset``."""
    header, body = frame.header, fields(frame.body)
    found["SEQUENCE_HEADER" if "h_seq" in header else "HEADER"].append((offset, header))
    behind = offset + 16
    if "o_nextcmd" in body:
        found["OPTIONS"].append((behind, body))
        if "header" in fields(body["inner"]):
            structures(body["inner"], behind + 8 + body["o_optlen"], found)
    elif "m_type" in body:
        found["MESSAGE"].append((behind, body))
    elif "rc_type" in body:
        found["RECOVERY"].append((behind, body))
        payload = fields(body["rc_buf"])
        for field, layout in (("rs_flags", "STATUS_REQUEST"), ("rf_num_slots", "CONFIG"), ("rl_lkid", "LOCK")):
            if field in payload:
                found[layout].append((behind + 32, payload))
        for index, slot in enumerate(payload.get("slots", ())):
            found["SLOT"].append((behind + 64 + 16 * index, slot))


def assert_alike(rows: Any, containers: list[Any]) -> None:
    """Every field of the structured ``rows`` has the value that Construct read."""
    for name in rows.dtype.names:
        in_columns = [value.tobytes() for value in rows[name]] if name == "rl_name" else rows[name].tolist()
        assert in_columns == [container[name] for container in containers], name


def assert_batch_alike(batch: FrameBatch, rows: Any, frames: list[Any]) -> None:
    """What the batch tells of its frames is what Construct read in them."""
    carrying = [fields(frame.body).get("inner", frame) for frame in frames]
    bodies = [fields(frame.body) for frame in carrying]
    assert batch.command[rows].tolist() == [frame.header.h_cmd for frame in carrying]
    assert batch.type[rows].tolist() == [body.get("m_type", body.get("rc_type", 0)) for body in bodies]
    assert batch.sequence[rows].tolist() == [frame.header.get("h_seq", -1) for frame in frames]
    for read, has, field in (
        (batch.message, batch.is_message[rows], "m_type"),
        (batch.recovery, batch.is_recovery[rows], "rc_type"),
    ):
        assert has.tolist() == [field in body for body in bodies]
        assert_alike(read(rows[has]), [body for body in bodies if field in body])


@pytest.mark.parametrize("file", CAPTURE_FILES)
def test_every_reader_sees_the_same_frames(file: str) -> None:
    total = 0
    for batch, rows in batches_of(file):
        frames = [parse(batch.bytes_of(row)) for row in rows]
        found: Records = defaultdict(list)
        for row, frame in zip(rows, frames, strict=True):
            assert build(frame) == batch.bytes_of(row)
            assert frame.surplus == b""
            structures(frame, int(batch.frames["offset"][row]), found)
        for layout, records in found.items():
            offsets = np.array([offset for offset, _ in records])
            assert_alike(columns.gather(batch.buffer, getattr(columns, layout), offsets), [each for _, each in records])
        whole = batch.frames["state"][rows] == WHOLE
        assert_batch_alike(batch, rows[whole], [frame for frame, here in zip(frames, whole, strict=True) if here])
        total += len(rows)
    assert total


def named_messages(file: str) -> list[Any]:
    """Bodies of the messages that carry a resource name."""
    bodies = (fields(fields(frame.body).get("inner", frame).body) for frame in map(parse, frames_of(file)))
    return [body for body in bodies if body.get("m_name")]


@pytest.mark.parametrize("file", ["clean-3.1-tcp.pcap", "gfs2-6.12.pcap", "two-spaces-3node.pcap"])
def test_the_hash_that_kernels_sent_is_that_of_the_name(file: str) -> None:
    messages = named_messages(file)
    assert len(messages) > 100
    for body in messages:
        assert jhash(body.m_name) == body.m_hash


@pytest.mark.parametrize("session", ["gfs2-2node", "gfs2-6.12"])
def test_glocks_are_named_as_gfs2_itself_names_them(session: str) -> None:
    listed = set()
    for node in (1, 2):
        listed |= set(re.findall(r"^G: .* n:(\S+)", kernel_record(session, node, "glocks.txt") or "", re.MULTILINE))
    on_the_wire = {resource_text(body.m_name).removeprefix("glock ") for body in named_messages(f"{session}.pcap")}
    # the kernels list what is left at the end; the wire shows what was asked of the other node
    assert len(listed & on_the_wire) > 100


@pytest.mark.parametrize("file", ["clean-3.1-tcp.pcap", "clean-6.12-tcp.pcap", "recovery-locks-3node.pcap"])
def test_the_tree_covers_real_frames(file: str) -> None:
    for data in frames_of(file)[::7]:
        leaves = [part for part in parts(parse(data)) if part.value is not None]
        ends = [part.offset + part.size for part in leaves]
        assert [part.offset for part in leaves] == [0, *ends[:-1]]
        assert ends[-1] == len(data)


@pytest.mark.parametrize("file", ["clean-3.1-tcp.pcap", "gfs2-6.12.pcap", "recovery-locks-3node.pcap"])
def test_every_prefix_of_a_real_frame_parses_and_builds_back(file: str) -> None:
    by_kind = {(data[14], data[16:20], data[38:44]): data for data in frames_of(file)}
    for data in by_kind.values():
        for end in range(16, min(len(data), 250)):
            assert build(parse(data[:end])) == data[:end]
