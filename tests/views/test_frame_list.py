"""The list: columns stay aligned, lines are whole in a file and cut on a terminal."""

from pathlib import Path

import numpy as np

from dlmtrace.craft import Network, ack, opts, request
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.frame_list import FrameList
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import Clock, TimeFormat

from framed import columns_of, columns_of_capture  # isort: skip

GOLDEN = Path(__file__).parent / "golden"
DAY = 86_400 * 10**9


def first(file: str, count: int, lockspaces: dict[int, str]) -> FrameColumns:
    columns = next(columns_of_capture(file, lockspaces))
    return FrameColumns(columns.batch, np.arange(count), columns.naming)


def test_the_first_frames_of_a_cluster() -> None:
    # Two 6.1 kernels meet: both poll the other's status, and the first phase is over (protocol page §3.6).  Packets,
    # times and senders are as tshark -T fields has them.
    text = FrameList(Clock(TimeFormat.UTC), Terminal()).text(first("clean-3.2-tcp.pcap", 7, {0x7CAEC595: "alpha"}))
    assert text == (GOLDEN / "clean-3.2-tcp.list.txt").read_text()


def lines_of(path: Path, form: TimeFormat, terminal: Terminal) -> list[str]:
    columns = next(columns_of(path))
    return FrameList(Clock(form, int(columns.frames["time"][0])), terminal).text(columns).splitlines()


def exchange(path: Path) -> Path:
    """A request with a hostile name, its acknowledgement, and a request on the next day."""
    with Network(path) as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b)
        connection.send(a, opts(0, request(b"\x1b[2J\nevil", sender=a)))
        connection.send(b, ack(1, sender=b))
        network.wait(DAY)
        connection.send(a, opts(1, request(b"r" * 64, sender=a)))
    return path


def test_names_from_the_wire_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    for terminal in (Terminal(), Terminal(width=200, colours=True)):
        line = next(
            line for line in lines_of(exchange(tmp_path / "a.pcap"), TimeFormat.UTC, terminal) if "evil" in line
        )
        assert r"\x1b[2J\nevil" in line
        assert "\x1b" not in line


def test_lines_of_a_file_are_whole_and_dated(tmp_path: Path) -> None:
    lines = lines_of(exchange(tmp_path / "a.pcap"), TimeFormat.UTC, Terminal())
    assert [line[8:18] for line in lines] == ["2023-11-14", "2023-11-14", "2023-11-15"]
    assert "r" * 64 in lines[2]


def test_a_terminal_has_titles_with_the_day_and_lines_that_fit(tmp_path: Path) -> None:
    lines = lines_of(exchange(tmp_path / "a.pcap"), TimeFormat.UTC, Terminal(width=100))
    assert [" packet 2023-11-14 UTC" in line for line in lines] == [True, False, False, False, False]
    assert " packet 2023-11-15 UTC" in lines[3]
    assert max(map(len, lines)) == 100
    assert lines[4].endswith("…")


def test_times_of_a_terminal_without_a_day(tmp_path: Path) -> None:
    lines = lines_of(exchange(tmp_path / "a.pcap"), TimeFormat.RELATIVE, Terminal(width=100))
    assert len(lines) == 4
    assert "seconds" in lines[0]
    assert lines[3].split()[1].startswith("86400.")


def test_colours_are_closed_on_every_line(tmp_path: Path) -> None:
    lines = lines_of(exchange(tmp_path / "a.pcap"), TimeFormat.UTC, Terminal(width=60, colours=True))
    coloured = [line for line in lines if line.startswith("\x1b[")]
    assert len(coloured) == 3  # two lines of titles, and the acknowledgement
    assert all(line.endswith("\x1b[0m") and line.count("\x1b") == 2 for line in coloured)
