"""`dlmtrace streams`: tables, and one stream in order of time."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_result import Result
from evidence import capture_path, kernel_record

Run = Callable[..., Result]
DLMTRACE = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()"]
RESET = capture_path("rst-3.2-tcp.pcap")
STALLED = capture_path("rst-stall-6.12-tcp.pcap")


def rows(result: Result, title: str) -> list[dict[str, str]]:
    """A table by the titles of its columns; a cell begins or ends where its title does."""
    start = result.lines.index(title) + 1
    titles = [(match.span(), match[0]) for match in re.finditer(r"\S+( \S+)*", result.lines[start])]
    table = []
    for line in result.lines[start + 1 :]:
        if not line:
            break
        cells = [(match.span(), match[0]) for match in re.finditer(r"\S+( \S+)*", line)]
        table.append(
            {
                name: cell
                for (low, high), name in titles
                for (first, last), cell in cells
                if first == low or last == high
            }
        )
    return table


def test_a_table_of_streams_and_one_of_connections(dlmtrace: Run) -> None:
    result = dlmtrace("streams", STALLED)
    assert result.status == 0
    one, other = rows(result, "Streams")
    # the manifest: 15108, 15109 and all up to the end are never delivered
    assert (one["stream"], one["delivered"], other["stream"]) == ("1→2", "15108", "2→1")
    assert len(rows(result, "Connections")) == 15


def test_a_stream_in_order_of_time(dlmtrace: Run) -> None:
    result = dlmtrace("streams", RESET, "1-2", "--time-format", "relative")
    assert result.status == 0
    spans = [line.split()[1:5] for line in result.lines]
    assert spans[0] == ["93", "c1", "sent", "0-798"]
    around = spans.index(["1599", "c4", "resent", "795-800"])
    assert spans[around - 1] == ["1599", "c4", "sent", "799-800"]
    assert spans[around + 1][1:3] == ["c4", "sent"]
    log = kernel_record("rst-3.2-tcp", 1, "dmesg")
    assert log is not None
    assert re.findall(r"retransmit dlm msg, seq ([0-9]+), nodeid 2", log)[:4] == ["795", "796", "797", "798"]


@pytest.mark.parametrize("name", ["1→2", "1->2", "1>2"])
def test_a_stream_can_be_written_in_several_ways(dlmtrace: Run, name: str) -> None:
    assert dlmtrace("streams", RESET, name).out == dlmtrace("streams", RESET, "1-2").out


def test_several_streams_are_told_apart(dlmtrace: Run) -> None:
    lines = dlmtrace("streams", RESET, "1-2", "2-1").lines
    assert {line.split()[0] for line in lines} == {"1→2", "2→1"}


def test_a_file_with_the_name_of_a_stream_is_a_file(
    dlmtrace: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("1-2").write_bytes(RESET.read_bytes())
    assert dlmtrace("streams", "1-2").lines[0] == "Streams"


def test_a_stream_that_is_not_there_is_told_with_those_that_are(dlmtrace: Run) -> None:
    result = dlmtrace("streams", RESET, "1-7")
    assert (result.status, result.out) == (2, "")
    assert "'1→7' is not a stream of this capture; there are 1→2, 2→1" in result.err


def test_a_stream_alone_is_no_capture(dlmtrace: Run) -> None:
    result = dlmtrace("streams", "1-2")
    assert result.status == 2
    assert "no capture" in result.err


def test_streams_without_numbers_have_their_frames(dlmtrace: Run) -> None:
    table = rows(dlmtrace("streams", capture_path("clean-3.1-tcp.pcap")), "Streams")
    assert [row["version"] for row in table] == ["3.1", "3.1"]
    assert sum(int(row["frames"]) for row in table) == 3934 + 50  # MSG and RCOM in the manifest
    assert all("numbers" not in row for row in table)


def test_following_shows_ranges_while_the_capture_goes_on() -> None:
    command = subprocess.Popen(
        [*DLMTRACE, "streams", "-", "--follow"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert command.stdin
    assert command.stdout
    command.stdin.write(RESET.read_bytes())
    first = command.stdout.readline().decode().split()  # the input is still open
    assert first[0] in ("1→2", "2→1")
    assert first[4] == "sent"
    command.stdin.close()
    rest = command.stdout.read().decode()
    assert command.wait(60) == 0
    assert "\nStreams\n" in rest
    assert "resent    795-800" in rest
