"""`dlmtrace analyze` on real captures: what it exits with, what it selects, and its formats."""

import json
import re
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_result import Result
from evidence import capture_bytes, capture_path

from dlmtrace.views.analysis_schema import OBJECTS, RECORDS

Run = Callable[..., Result]
DLMTRACE = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()"]

CLEAN = capture_path("clean-3.2-tcp.pcap")
STALLED = capture_path("rst-stall-6.12-tcp.pcap")  # 468 frames of node 1 are never delivered (the manifest)
RESET = capture_path("rst-3.2-tcp.pcap")  # five connections killed, everything resent
CRASHED = capture_path("crash-3node.pcap")  # node 3 killed and back


def found(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.out)
    return document


def cut(file: str, packets: int, path: Path) -> Path:
    """The first packets of a capture."""
    data = capture_bytes(file)
    end = 24
    for _ in range(packets):
        end += 16 + struct.unpack_from("<I", data, end + 8)[0]
    path.write_bytes(data[:end])
    return path


class TestExitStatus:
    @pytest.mark.parametrize(
        ("capture", "options", "status"),
        [
            (CLEAN, [], 0),
            (CLEAN, ["--fail-on", "note"], 0),
            (RESET, [], 0),
            (RESET, ["--fail-on", "warning"], 0),
            (RESET, ["--fail-on", "note"], 1),
            (CRASHED, [], 0),
            (CRASHED, ["--fail-on", "warning"], 1),
            (STALLED, [], 1),
            (STALLED, ["--min-severity", "error", "--limit", "0"], 1),
            (STALLED, ["--fail-on", "never"], 0),
            (STALLED, ["--select", "ACK"], 0),
            (STALLED, ["--ignore", "SEQ,CON,FIN"], 0),
        ],
    )
    def test_of_what_was_found(self, dlmtrace: Run, capture: Path, options: list[str], status: int) -> None:
        assert dlmtrace("analyze", capture, *options).status == status

    def test_when_the_capture_ends_before_the_answer(self, dlmtrace: Run, tmp_path: Path) -> None:
        # packet 1599 sends 795 … 800 again after a reset, and the capture ends before node 2 confirms them
        path = cut("rst-3.2-tcp.pcap", 1599, tmp_path / "cut.pcap")
        result = dlmtrace("analyze", path)
        assert result.status == 3
        assert result.lines[2].startswith("UNDECIDED: ")
        assert found(dlmtrace("analyze", path, "--format", "json"))["summary"]["verdict"] == "inconclusive"
        assert dlmtrace("analyze", path, "--fail-on", "warning").status == 1
        assert dlmtrace("analyze", path, "--fail-on", "never").status == 0

    def test_when_there_is_no_dlm(self, dlmtrace: Run) -> None:
        result = dlmtrace("analyze", CLEAN, "--port", "4711")
        assert result.status == 3
        assert result.lines[2] == "UNDECIDED: there is no DLM in this capture"
        assert re.fullmatch("dlmtrace: no DLM on port 4711.*21064.*\n", result.err)


class TestSelection:
    def codes(self, result: Result) -> set[str]:
        return {finding["code"] for finding in found(result)["findings"]}

    def test_by_beginnings_and_names(self, dlmtrace: Run) -> None:
        result = dlmtrace("analyze", STALLED, "--format", "json", "--select", "SEQ21,resend")
        assert self.codes(result) == {"SEQ211", "SEQ204"}
        assert dlmtrace("analyze", STALLED, "--format", "json", "--select", "SEQ21", "--select", "resend") == result

    def test_what_is_ignored_does_not_count(self, dlmtrace: Run) -> None:
        everything, fewer = (
            found(dlmtrace("analyze", STALLED, "--format", "json", *options)) for options in ([], ["--ignore", "SEQ"])
        )
        assert {"SEQ211", "SEQ204"} <= {finding["code"] for finding in everything["findings"]}
        assert [each for each in everything["findings"] if each["code"][:3] != "SEQ"] == fewer["findings"]
        assert everything["reconnects"] == fewer["reconnects"]
        assert fewer["summary"]["errors"] < everything["summary"]["errors"]

    def test_what_is_not_shown_still_counts(self, dlmtrace: Run) -> None:
        everything = found(dlmtrace("analyze", STALLED, "--format", "json"))
        grave = found(dlmtrace("analyze", STALLED, "--format", "json", "--min-severity", "error"))
        few = found(dlmtrace("analyze", STALLED, "--format", "json", "--limit", "2"))
        assert {finding["severity"] for finding in grave["findings"]} == {"error"}
        assert few["findings"] == everything["findings"][:2]
        assert everything["summary"] == grave["summary"] == few["summary"]
        assert Counter(finding["severity"] for finding in everything["findings"]) == {
            severity: everything["summary"][f"{severity}s"]
            for severity in ("error", "warning", "note")
            if everything["summary"][f"{severity}s"]
        }


def test_the_text_tells_the_stall_first_and_where_to_look(dlmtrace: Run) -> None:
    result = dlmtrace("analyze", STALLED, "--min-severity", "error")
    assert result.lines[2].startswith("ERRORS: ")
    assert "stalled-stream" in result.lines[3]
    assert result.lines[3].startswith("  1→2: ")
    assert "lost 15108-15109" in result.out  # the manifest: node 2 expects 15108, node 1 goes on with 15110
    assert re.search(r"SEQ211 stalled-stream \S+ packet [0-9]+ c13: ", result.out)
    assert result.err == ""


def test_json_lines_are_the_records_of_the_document(dlmtrace: Run) -> None:
    document = found(dlmtrace("analyze", STALLED, "--format", "json"))
    records: dict[str, list[dict[str, Any]]] = {kind: [] for kind in RECORDS}
    for line in dlmtrace("analyze", STALLED, "--format", "jsonl").lines:
        record = json.loads(line)
        assert next(iter(record)) == "record"
        records[record.pop("record")].append(record)
    for kind, path in RECORDS.items():
        held = document[path.removesuffix("[]")]
        assert records[kind] == (held if path.endswith("[]") else [held])
        assert all(list(record) == [key.name for key in OBJECTS[path]] for record in records[kind])


def test_several_files_are_one_capture_and_packets_name_theirs(dlmtrace: Run, tmp_path: Path) -> None:
    whole = found(dlmtrace("analyze", STALLED, "--format", "json"))
    data = capture_bytes("rst-stall-6.12-tcp.pcap")
    first = cut("rst-stall-6.12-tcp.pcap", 20_000, tmp_path / "1.pcap")
    second = tmp_path / "2.pcap"
    second.write_bytes(data[:24] + data[first.stat().st_size :])
    parts = found(dlmtrace("analyze", first, second, "--format", "json"))
    for finding in parts["findings"]:
        if finding["packet"] is not None:
            finding["packet"] += 20_000 if finding["file"] == str(second) else 0
            finding["file"] = str(STALLED)
            finding["evidence"].pop("last_packet", None)
    for finding in whole["findings"]:
        finding["evidence"].pop("last_packet", None)
    assert parts["findings"] == whole["findings"]
    assert parts["reconnects"] == whole["reconnects"]
    assert parts["streams"] == whole["streams"]


def test_standard_input_is_as_good_as_a_file(dlmtrace: Run) -> None:
    named = dlmtrace("analyze", RESET)
    piped = subprocess.run([*DLMTRACE, "analyze", "-"], input=RESET.read_bytes(), capture_output=True, timeout=60)
    assert piped.stdout.decode().splitlines()[1:] == named.lines[1:]
    assert piped.returncode == named.status


@pytest.mark.parametrize("options", [["--follow"], ["--format", "jsonl"]])
def test_verdicts_come_while_the_capture_goes_on(options: list[str], tmp_path: Path) -> None:
    data = cut("rst-3.2-tcp.pcap", 4000, tmp_path / "part.pcap").read_bytes()
    command = subprocess.Popen(
        [*DLMTRACE, "analyze", "-", "--select", "CON", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    assert command.stdin
    assert command.stdout
    command.stdin.write(data)
    first = command.stdout.readline().decode()  # the input is still open
    assert "r1" in first or "r2" in first
    assert "safe" in first
    command.stdin.close()
    rest = command.stdout.read().decode()
    assert command.wait(60) == 0
    assert rest


def test_interruption_tells_what_was_seen_until_then() -> None:
    command = subprocess.Popen(
        [*DLMTRACE, "analyze", "-", "--follow"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdin
    assert command.stdout
    command.stdin.write(capture_bytes("rst-stall-6.12-tcp.pcap"))
    command.stdin.flush()
    assert command.stdout.readline()
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert command.returncode == 128 + signal.SIGINT
    assert re.search(rb"\n(ERRORS|UNDECIDED|CLEAN): ", out)
    assert err == b""


def test_names_of_nodes_come_from_a_file(dlmtrace: Run, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("# our cluster\n\n1 north  # the old one\n2 south\n")
    assert "Stream 1(north)→2(south): " in dlmtrace("analyze", CLEAN, "--nodes", names).out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--select", "SEQ,nonsense"], "'nonsense' is not a code"),
        (["--ignore", "SEQ999"], "'SEQ999' is not a code"),
        (["--fail-on", "fatal"], "--fail-on"),
        (["--dialect", "v4"], "--dialect"),
        (["--format", "json", "--follow"], "--format jsonl"),
        (["--format", "jsonl", "--time-format", "local"], "UTC"),
        (["--nodes", "/none"], "/none: No such file or directory"),
    ],
)
def test_arguments_that_cannot_be_used_are_one_line(dlmtrace: Run, options: list[str], words: str) -> None:
    result = dlmtrace("analyze", CLEAN, *options)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("dlmtrace: ")
    assert result.err.count("\n") == 1
    assert words in result.err


def test_a_bad_line_in_the_file_of_names_is_told_with_its_number(dlmtrace: Run, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("1 north\nsouth 2\n")
    result = dlmtrace("analyze", CLEAN, "--nodes", names)
    assert (result.status, result.out) == (2, "")
    assert f"{names}, line 2: not a node id and a name" in result.err
