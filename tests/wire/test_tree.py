"""The tree of a frame names every byte of it once."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from dlmtrace.wire.fields import fields_of
from dlmtrace.wire.frame import parse
from dlmtrace.wire.structures import STRUCTURES
from dlmtrace.wire.tree import parts

REQUEST = (
    bytes.fromhex(
        "02000300 29000000 02000000 8800 03 00"  # header of OPTS: 3.2, sequence 41, node 2, 136 bytes
        "01 00 0000 00000000"  # next MSG, no options
        "02000300 95c5ae7c 02000000 7000 01 00"  # inner header: lockspace 7caec595, 112 bytes
        "01000000 01000000 09030000 12000000 00000000 00000000 00000000 09000000 00000000"
        "00000000 00000000 50d07fb5 00000000 ffffffff 03000000 00000000 03000000 00000000"
    )
    + b"       2              17"
)


def test_a_request_as_people_read_it() -> None:
    lines = [(part.depth, part.offset, part.size, part.name, part.text) for part in parts(parse(REQUEST))]
    assert lines == [
        (0, 0, 16, "header", ""),
        (1, 0, 4, "h_version", "3.2"),
        (1, 4, 4, "h_seq", "41"),
        (1, 8, 4, "h_nodeid", "2"),
        (1, 12, 2, "h_length", "136"),
        (1, 14, 1, "h_cmd", "OPTS"),
        (1, 15, 1, "h_pad", "0"),
        (0, 16, 120, "body", ""),
        (1, 16, 1, "o_nextcmd", "MSG"),
        (1, 17, 1, "o_pad", "0"),
        (1, 18, 2, "o_optlen", "0"),
        (1, 20, 4, "o_pad2", "0"),
        (1, 24, 112, "inner", ""),
        (2, 24, 16, "header", ""),
        (3, 24, 4, "h_version", "3.2"),
        (3, 28, 4, "h_lockspace", "0x7caec595"),
        (3, 32, 4, "h_nodeid", "2"),
        (3, 36, 2, "h_length", "112"),
        (3, 38, 1, "h_cmd", "MSG"),
        (3, 39, 1, "h_pad", "0"),
        (2, 40, 96, "body", ""),
        (3, 40, 4, "m_type", "REQUEST"),
        (3, 44, 4, "m_nodeid", "1"),
        (3, 48, 4, "m_pid", "777"),
        (3, 52, 4, "m_lkid", "0x12"),
        (3, 56, 4, "m_remid", "0x0"),
        (3, 60, 4, "m_parent_lkid", "0x0"),
        (3, 64, 4, "m_parent_remid", "0x0"),
        (3, 68, 4, "m_exflags", "NOQUEUE|VALBLK"),
        (3, 72, 4, "m_sbflags", "0"),
        (3, 76, 4, "m_flags", "0"),
        (3, 80, 4, "m_lvbseq", "0"),
        (3, 84, 4, "m_hash", "0xb57fd050"),
        (3, 88, 4, "m_status", "NONE"),
        (3, 92, 4, "m_grmode", "IV"),
        (3, 96, 4, "m_rqmode", "PR"),
        (3, 100, 4, "m_bastmode", "NL"),
        (3, 104, 4, "m_asts", "COMP|BAST"),
        (3, 108, 4, "m_result", "0"),
        (3, 112, 24, "m_name", "glock 2/17"),
    ]


def test_names_and_results_of_recovery() -> None:
    names = b"\0\x05alpha\xff\xff" + bytes(7)
    header = struct.pack("<IIIHBB", 0x00030002, 1, 2, 48 + len(names), 2, 0)
    tree = {part.name: part for part in parts(parse(header + struct.pack("<IiQQQ", 6, -22, 0, 0, 0) + names))}
    assert tree["rc_result"].text == "EINVAL"
    assert (tree["entries[0]"].offset, tree["entries[0]"].size) == (48, 7)
    assert tree["n_name"].text == "alpha"
    assert (tree["entries[1]"].offset, tree["entries[1]"].size) == (55, 2)
    assert (tree["rest"].offset, tree["rest"].text) == (57, "7 zero bytes")


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([0, 16, 30, 88, 200]), st.integers(0, 6), st.integers(0, 9))
def test_parts_with_a_value_cover_the_frame_without_gap_or_overlap(
    tail: bytes, length: int, command: int, kind: int
) -> None:
    data = struct.pack("<IIIHBBBBHI", 0x00030002, 1, 2, length, command, 0, kind, 0, 0, 0) + REQUEST[24:] + tail
    leaves = [part for part in parts(parse(data)) if part.value is not None]
    position = 0
    for leaf in leaves:
        assert leaf.offset == position
        raw = data[position : position + leaf.size]
        if isinstance(leaf.value, bytes):
            assert raw == leaf.value
        elif leaf.value is not None:
            assert int.from_bytes(raw, "little", signed=leaf.value < 0) == leaf.value
        position += leaf.size
    assert position == len(data)


def test_a_field_name_means_the_same_wherever_it_occurs() -> None:
    known: dict[str, tuple[int | None, str]] = {}
    for structure in STRUCTURES:
        for field in fields_of(structure.declaration):
            assert known.setdefault(field.name, (field.size, field.meaning)) == (field.size, field.meaning)
