"""Frames of real kernels: parsed and built back byte for byte, and read alike by every reader of the declarations."""

from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from evidence import CAPTURE_FILES

from dlmtrace.wire import columns
from dlmtrace.wire.frame import build, parse
from dlmtrace.wire.tree import parts

from .captured import frames_of

Records = dict[str, list[tuple[int, Any]]]
"""Structures found by Construct: name of the layout -> offset in the buffer and the container, of each."""


def structures(frame: Any, offset: int, found: Records) -> None:
    """Add the fixed structures of a parsed frame that begins at ``offset``."""
    header, body = frame.header, frame.body
    found["SEQUENCE_HEADER" if "h_seq" in header else "HEADER"].append((offset, header))
    behind = offset + 16
    if isinstance(body, bytes):
        return
    if "o_nextcmd" in body:
        found["OPTIONS"].append((behind, body))
        if not isinstance(body.inner, bytes):
            structures(body.inner, behind + 8 + body.o_optlen, found)
    elif "m_type" in body:
        found["MESSAGE"].append((behind, body))
    elif "rc_type" in body:
        found["RECOVERY"].append((behind, body))
        payload = {} if isinstance(body.rc_buf, bytes) else body.rc_buf
        for field, layout in (("rs_flags", "STATUS_REQUEST"), ("rf_num_slots", "CONFIG"), ("rl_lkid", "LOCK")):
            if field in payload:
                found[layout].append((behind + 32, payload))
        for index, slot in enumerate(payload.get("slots", ())):
            found["SLOT"].append((behind + 64 + 16 * index, slot))


@pytest.mark.parametrize("file", CAPTURE_FILES)
def test_every_reader_sees_the_same_frames(file: str) -> None:
    frames = frames_of(file)
    assert frames
    buffer = np.frombuffer(b"".join(frames), np.uint8)
    found: Records = defaultdict(list)
    offset = 0
    for data in frames:
        frame = parse(data)
        assert build(frame) == data
        assert frame.surplus == b""
        structures(frame, offset, found)
        offset += len(data)
    for layout, records in found.items():
        dtype: np.dtype[Any] = getattr(columns, layout)
        rows = columns.gather(buffer, dtype, np.array([place for place, _ in records]))
        for name in dtype.names or ():
            seen = [container[name] for _, container in records]
            in_columns = [value.tobytes() for value in rows[name]] if name == "rl_name" else rows[name].tolist()
            assert in_columns == seen, f"{layout}.{name}"


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
