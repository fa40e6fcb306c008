"""The tree of a frame, its hex dump, and what a cut leaves of them."""

from pathlib import Path

import numpy as np
import pytest

from dlmtrace.craft import Network, opts, request
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.frame_list import FrameList
from dlmtrace.views.frame_tree import FrameTree
from dlmtrace.views.hexdump import dump
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import Clock, TimeFormat
from dlmtrace.wire.enums import Command

from framed import columns_of, columns_of_capture  # isort: skip

GOLDEN = Path(__file__).parent / "golden"


def only(columns: FrameColumns, place: int) -> FrameColumns:
    return FrameColumns(columns.batch, columns.rows[[place]], columns.naming, int(columns.numbers[0]) - 1)


@pytest.mark.parametrize(("with_bytes", "golden"), [(False, "lookup.tree.txt"), (True, "lookup.tree-hex.txt")])
def test_the_first_message_of_a_cluster(with_bytes: bool, golden: str) -> None:
    # the first line of node 1's trace: seq=0 m_type=LOOKUP m_pid=157 m_lkid=1 m_flags=USER m_hash=3706577979
    # m_rqmode=CW m_asts=3 m_extra=0x2020202020202033…3735656633
    columns = next(columns_of_capture("clean-3.2-tcp.pcap", {0x7CAEC595: "alpha"}))
    place = columns.sequences.index("0")
    text = FrameTree(Clock(TimeFormat.UTC), Terminal(), with_bytes).text(only(columns, place))
    assert text == (GOLDEN / golden).read_text()


def test_every_byte_of_every_frame_has_its_place_in_the_tree() -> None:
    columns = next(columns_of_capture("recovery-locks-3node.pcap"))
    tree = FrameTree(Clock(TimeFormat.UTC), Terminal(), with_bytes=True)
    for place in range(0, len(columns.rows), 40):
        shown = "".join(
            row[11:36].split("  ")[0].replace(" ", "") for row in tree.text(only(columns, place)).splitlines()[1:]
        )
        assert shown == columns.bytes_of(place).hex()


def test_a_cut_frame_has_the_fields_up_to_the_cut() -> None:
    columns = next(columns_of_capture("mid-capture.snap96.pcap"))
    in_options = (columns.header["h_cmd"] == Command.OPTS) & (columns.frames["captured"] == 30)
    place = int(np.flatnonzero(in_options)[0])  # 24 bytes of OPTS, 6 of the inner header
    lines = FrameTree(Clock(TimeFormat.UTC), Terminal(), with_bytes=False).text(only(columns, place)).splitlines()
    assert lines[1].startswith("[30 of ")
    values = {line.split()[1]: line for line in lines[2:] if line}
    assert "(not captured)" not in values["o_optlen"]
    inner = [line for line in lines if line.split()[:1] in (["24-27"], ["28-31"], ["32-35"])]
    assert ["(not captured)" in line for line in inner] == [False, True, True]


def test_hex_dump_has_offset_bytes_and_letters() -> None:
    # od -A x -t x1z says the same
    assert dump(bytes(range(0x3A, 0x4D)) + b"\0~\x7f", "  ") == (
        "  0000  3a 3b 3c 3d 3e 3f 40 41  42 43 44 45 46 47 48 49  :;<=>?@ABCDEFGHI\n"
        "  0010  4a 4b 4c 00 7e 7f                                 JKL.~.\n"
    )
    assert dump(b"") == ""


def test_the_dump_of_a_frame_stands_below_its_line(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        network.connect(a, b).send(a, frame := opts(0, request(b"resource", sender=a)))
    columns = next(columns_of(tmp_path / "a.pcap"))
    line, *below = FrameList(Clock(TimeFormat.UTC), Terminal(), with_bytes=True).text(columns).splitlines()
    assert " REQUEST " in line
    assert bytes.fromhex("".join(row[10:60] for row in below)) == frame


def test_a_tree_on_a_narrow_terminal_fits() -> None:
    columns = only(next(columns_of_capture("clean-3.2-tcp.pcap")), 40)
    lines = FrameTree(Clock(TimeFormat.UTC), Terminal(width=60, colours=False), with_bytes=True).text(columns)
    assert max(map(len, lines.splitlines())) == 60
