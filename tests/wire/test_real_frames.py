"""Frames of real kernels: names and hashes in them, their tree, and what is left of them when they are cut anywhere.

That every frame is built back byte for byte, and read alike by every reader, is in proof/test_readers_agree.py.
"""

import re
from typing import Any

import pytest
from evidence import capture_path, kernel_record

from dlmtrace.pipeline import Trace
from dlmtrace.wire.frame import build, parse
from dlmtrace.wire.names import jhash, resource_text
from dlmtrace.wire.tree import parts


def frames_of(file: str) -> list[bytes]:
    """The frames of a capture, as captured."""
    return [batch.bytes_of(row) for batch in Trace([str(capture_path(file))]).batches() for row in range(len(batch))]


def fields(part: Any) -> dict[str, Any]:
    """The fields of a body, of what OPTS carries, or of a payload; none where it stayed bytes."""
    return part if isinstance(part, dict) else {}


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
