"""What the commands say when there is something wrong with the input, and with which status they end."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_result import Result
from evidence import capture_bytes, capture_path

from dlmtrace import __version__
from dlmtrace.craft import Network, opts, request, status

Run = Callable[..., Result]


def one_line(result: Result) -> str:
    assert result.err.startswith("dlmtrace: ")
    assert result.err.count("\n") == 1
    return result.err.removeprefix("dlmtrace: ").rstrip()


@pytest.mark.parametrize("command", ["decode", "info"])
class TestUnusableInput:
    def test_no_such_file(self, dlmtrace: Run, command: str, tmp_path: Path) -> None:
        result = dlmtrace(command, tmp_path / "none.pcap")
        assert (result.status, result.out) == (2, "")
        assert one_line(result) == f"{tmp_path}/none.pcap: no such file"

    def test_a_directory(self, dlmtrace: Run, command: str, tmp_path: Path) -> None:
        result = dlmtrace(command, tmp_path)
        assert (result.status, result.out) == (2, "")
        assert "directory" in one_line(result)

    def test_something_else_than_a_capture(self, dlmtrace: Run, command: str, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("These are no packets.\n")
        result = dlmtrace(command, tmp_path / "notes.txt")
        assert (result.status, result.out) == (2, "")
        assert "pcap, pcapng expected" in one_line(result)

    def test_an_empty_file(self, dlmtrace: Run, command: str, tmp_path: Path) -> None:
        (tmp_path / "empty.pcap").touch()
        result = dlmtrace(command, tmp_path / "empty.pcap")
        assert (result.status, result.out) == (2, "")
        assert "empty.pcap" in one_line(result)

    def test_one_bad_file_among_good_ones(self, dlmtrace: Run, command: str, tmp_path: Path) -> None:
        result = dlmtrace(command, capture_path("clean-3.2-tcp.pcap"), tmp_path / "none.pcap")
        assert (result.status, result.out) == (2, "")
        assert "none.pcap" in one_line(result)

    def test_no_file_named(self, dlmtrace: Run, command: str) -> None:
        result = dlmtrace(command)
        assert result.status == 2
        assert "FILE" in one_line(result)


@pytest.mark.parametrize("command", ["decode", "info"])
class TestNoDlm:
    def test_the_ports_that_are_there_are_named(self, dlmtrace: Run, command: str) -> None:
        result = dlmtrace(command, capture_path("clean-3.2-tcp.pcap"), "--port", "4000", "-p", "22")
        assert result.status == 0
        assert one_line(result).startswith("no DLM on port 22, 4000 in 894 packets; ports seen: TCP 21064 (")
        assert one_line(result).endswith("choose one with --port, or let --any-port look for DLM")

    def test_a_capture_without_any_packet(self, dlmtrace: Run, command: str, tmp_path: Path) -> None:
        (tmp_path / "a.pcap").write_bytes(capture_bytes("clean-3.2-tcp.pcap")[:24])
        result = dlmtrace(command, tmp_path / "a.pcap")
        assert result.status == 0
        assert one_line(result) == "no DLM on port 21064: no TCP and no SCTP in 0 packets"

    def test_connections_that_carry_nothing(self, dlmtrace: Run, command: str, tmp_path: Path) -> None:
        with Network(tmp_path / "a.pcap") as network:
            a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
            network.connect(a, b).close()
        result = dlmtrace(command, tmp_path / "a.pcap")
        assert result.status == 0
        assert one_line(result) == "no DLM frame in the 7 packets on port 21064 (of 7 in all)"


def test_any_port_finds_what_the_port_does_not(dlmtrace: Run, tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b, port=9999)
        for sequence in range(5):
            connection.send(a, opts(sequence, request(b"resource", sender=a)))
    assert dlmtrace("decode", "--count", tmp_path / "a.pcap").out == "0\n"
    assert dlmtrace("decode", "--count", tmp_path / "a.pcap", "--any-port").out == "5\n"
    assert dlmtrace("decode", "--count", tmp_path / "a.pcap", "--port", "9999").out == "5\n"


def test_a_truncated_capture_gives_its_frames_and_one_line(dlmtrace: Run, tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(capture_bytes("clean-3.2-tcp.pcap")[:-7])
    whole = dlmtrace("decode", capture_path("clean-3.2-tcp.pcap")).lines
    result = dlmtrace("decode", tmp_path / "a.pcap")
    assert result.status == 0
    assert result.lines == whole  # the last packet is a TCP acknowledgement
    assert one_line(result).startswith("CAP907: ")


def test_a_damaged_compression_too(dlmtrace: Run, tmp_path: Path) -> None:
    packed = gzip.compress(capture_bytes("clean-3.2-tcp.pcap"))
    (tmp_path / "a.pcap.gz").write_bytes(packed[: len(packed) // 2])
    result = dlmtrace("decode", tmp_path / "a.pcap.gz")
    assert result.status == 0
    assert len(result.lines) > 100
    assert one_line(result).startswith("CAP907: ")


def test_cut_packets_are_told_with_what_to_do(dlmtrace: Run) -> None:
    result = dlmtrace("decode", "--count", capture_path("mid-capture.snap96.pcap"))
    assert "dlmtrace: CAP902: " in result.err
    assert "tcpdump -s 0" in result.err


def test_a_hole_is_told_with_its_place(dlmtrace: Run, tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b)
        connection.send(a, status(sender=a))
        network.lose(*connection.send(a, opts(0, request(b"lost", sender=a)), acknowledge=False))
        connection.send(a, opts(1, request(b"seen", sender=a)))
        connection.send(b, status(sender=b))
        connection.close()
    result = dlmtrace("decode", tmp_path / "a.pcap")
    assert one_line(result) == (
        "CAP901: 116 bytes of the streams were not captured, in 1 hole, the first before packet 6"
    )
    assert sorted(line.split()[3:5] for line in result.lines) == [["1→2", "1"], ["1→2", "RCOM"], ["2→1", "RCOM"]]
    loss = json.loads(dlmtrace("info", "--format", "json", tmp_path / "a.pcap").out)["loss"]
    assert (loss["holes"], loss["hole_bytes"], loss["cut_bytes"]) == (1, 116, 0)


def test_info_says_the_same_in_its_own_section(dlmtrace: Run) -> None:
    decode = dlmtrace("decode", "--count", capture_path("mid-capture.snap256.pcap")).err.splitlines()
    info = dlmtrace("info", "--format", "json", capture_path("mid-capture.snap256.pcap"))
    assert info.err == ""
    limits = [f"dlmtrace: {limit['code']}: {limit['message']}" for limit in json.loads(info.out)["limits"]]
    assert limits == decode
    text = dlmtrace("info", capture_path("mid-capture.snap256.pcap")).out
    assert all(limit.removeprefix("dlmtrace: ").split(": ")[0] in text for limit in limits)


def test_version_and_help(dlmtrace: Run) -> None:
    assert dlmtrace("--version").out == f"dlmtrace {__version__}\n"
    for arguments in ([], ["--help"], ["-h"]):
        overview = dlmtrace(*arguments)
        assert overview.status == 0
        assert "decode" in overview.out
        assert "info" in overview.out
    for command in ("decode", "info"):
        page = dlmtrace(command, "--help").out
        assert "Examples:" in page
        assert f"dlmtrace {command} trace.pcap" in page


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["dec"], ["decode"]),
        (["decode", "--time-f"], ["--time-format"]),
        (["decode", "--time-format", ""], ["utc", "local", "relative", "delta"]),
        (["decode", "trace."], []),  # the shell offers files
    ],
)
def test_shells_complete_commands_options_and_values(words: list[str], offered: list[str]) -> None:
    environment = {
        **os.environ,
        "_DLMTRACE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["dlmtrace", *words]),
        "COMP_CWORD": str(len(words)),
    }
    script = "from dlmtrace.cli.main import main; main()"
    shell = [sys.executable, "-c", script]
    command = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=60)
    assert command.stdout.split() == offered


def test_an_unknown_command(dlmtrace: Run) -> None:
    result = dlmtrace("decoed")
    assert result.status == 2
    assert "decoed" in one_line(result)
