"""`dlmtrace query` on real captures: answers, what SQL may not do, and what goes wrong in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from command_result import Result
from evidence import capture_path

from dlmtrace.pipeline import Trace
from dlmtrace.tables import query, run

Run = Callable[..., Result]
DLMTRACE = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()"]

STALLED = capture_path("rst-stall-6.12-tcp.pcap")  # node 2 waits for 15108 from some moment on (the manifest)
CLEAN = capture_path("clean-3.2-tcp.pcap")


def test_an_answer_is_a_table_in_the_order_of_the_query(dlmtrace: Run) -> None:
    result = dlmtrace("query", STALLED, "SELECT lost, verdict, reconnect FROM reconnects WHERE lost_frames > 0")
    assert result.lines == [
        "lost                            verdict  reconnect",
        '[{"first":15108,"last":15109}]  unsafe   r13',
    ]
    assert (result.status, result.err) == (0, "")


def test_conditions_on_columns_that_are_not_shown(dlmtrace: Run) -> None:
    # packet 1599 of this capture sends 799, 800, then 795 … 800 again (README)
    capture = capture_path("rst-3.2-tcp.pcap")
    sql = "SELECT sequence FROM frames WHERE packet = 1599 AND type = 'LOOKUP' AND time < '2026-11-23' ORDER BY frame"
    result = dlmtrace("query", capture, sql, "--format", "jsonl")
    listed = dlmtrace("decode", capture, "--packet", "1599", "--type", "LOOKUP", "--format", "jsonl").lines
    assert [json.loads(line)["sequence"] for line in result.lines] == [json.loads(line)["sequence"] for line in listed]
    assert '{"sequence":796}' in result.lines


def test_a_table_may_be_named_twice_and_joined_with_another(dlmtrace: Run) -> None:
    sql = """
        SELECT f.sequence, count(*) AS copies
        FROM frames f JOIN reconnects r ON r.new_connection = f.connection AND r.sender = f.sender, frames g
        WHERE r.reconnect = 'r1' AND f.command = 'OPTS/MSG' AND g.sender = f.sender AND g.sequence = f.sequence
          AND g.command LIKE 'OPTS%' AND f.sequence BETWEEN 846 AND 858
        GROUP BY ALL ORDER BY ALL
    """
    result = dlmtrace("query", STALLED, sql, "--format", "csv")
    # r1 resends 846 … 858 (analyze): each is there twice
    assert result.lines == ["sequence,copies", *(f"{number},2" for number in range(846, 859))]


def test_only_the_columns_and_tables_that_are_named_are_made(dlmtrace: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[tuple[str, ...], set[str]]] = []

    def noting(trace: Any, names: Any, dialect: Any, wanted: Sequence[str], columns: Sequence[str]) -> Iterator[Any]:
        made.append((tuple(wanted), set(columns)))
        return run.read_tables(trace, names, dialect, wanted, columns)

    monkeypatch.setattr(query, "read_tables", noting)
    dlmtrace("query", CLEAN, "SELECT type FROM frames WHERE sender = 1 LIMIT 1")
    assert made == [(("frames",), {"type", "sender"})]


def test_standard_input_may_be_read_twice() -> None:
    counts = "(SELECT count(*) FROM frames) AS frames, (SELECT sum(frames) FROM streams) AS sent"
    sql = f"SELECT {counts}, file FROM frames LIMIT 1"
    command = [*DLMTRACE, "query", "-", sql, "--format", "csv"]
    done = subprocess.run(command, input=CLEAN.read_bytes(), capture_output=True, timeout=60)
    assert done.stdout.decode() == "frames,sent,file\n3879,3879,standard input\n"
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT nothing FROM frames", 'Referenced column "nothing" not found'),
        ("SELEC type FROM frames", "syntax error"),
        ("SELECT * FROM frame", "Table with name frame does not exist"),
        ("SELECT 1; SELECT 2", "one query is expected"),
        ("", "one query is expected"),
        ("SELECT type + 1 FROM frames", "No function matches"),
        # what SQL may not do
        ("SELECT * FROM read_text('/etc/hostname')", "file system operations are disabled"),
        ("SELECT * FROM '/etc/hostname'", "/etc/hostname"),
        ("SELECT * FROM glob('*')", "file system operations are disabled"),
        ("COPY (SELECT 1) TO 'out.csv'", "one query is expected"),
        ("ATTACH 'other.db'", "one query is expected"),
        ("SET enable_external_access = true", "one query is expected"),
        ("INSTALL httpfs", "one query is expected"),
        ("CREATE TABLE t AS SELECT 1", "one query is expected"),
        ("SELECT * FROM names", "Table with name names does not exist"),  # a variable of the program
    ],
)
def test_a_query_that_cannot_be_answered_is_one_line(
    dlmtrace: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = dlmtrace("query", CLEAN, sql)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("dlmtrace: ")
    assert result.err.count("\n") == 1
    assert words in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_capture_without_a_query_is_told(dlmtrace: Run) -> None:
    result = dlmtrace("query", CLEAN)
    assert result.status == 2
    assert "captures and then a query are expected" in result.err


def test_nothing_selected_is_an_answer(dlmtrace: Run) -> None:
    sql = "SELECT packet, type FROM frames WHERE packet < 0"
    assert dlmtrace("query", CLEAN, sql, "--format", "csv").out == "packet,type\n"
    assert dlmtrace("query", CLEAN, sql, "--format", "jsonl").out == ""
    assert dlmtrace("query", CLEAN, sql).out == "packet  type\n"


def test_interruption_ends_a_long_query() -> None:
    endless = "SELECT count(*) FROM frames a, frames b, frames c WHERE a.length + b.length + c.length = 7"
    command = subprocess.Popen([*DLMTRACE, "query", str(STALLED), endless], stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(4)
    command.send_signal(signal.SIGINT)
    try:
        assert command.wait(30) == 128 + signal.SIGINT
    finally:
        command.kill()
        command.communicate()


def test_an_interruption_before_the_query_begins_is_not_forgotten() -> None:
    stopped = []

    def begin_late() -> None:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        try:
            connection.sql("SELECT sum(a.range * b.range) FROM range(30000) a, range(30000) b").fetchall()
        except duckdb.InterruptException:
            stopped.append(True)

    with query.Database(lambda: Trace([CLEAN]), {}, "auto") as database:
        connection = database._connection
        with pytest.raises(KeyboardInterrupt):
            database._interruptible(begin_late)
    assert stopped == [True]


@pytest.mark.parametrize(("name", "library"), [("query", "duckdb"), ("export", "pyarrow")])
def test_a_missing_library_is_told_with_what_brings_it(tmp_path: Path, name: str, library: str) -> None:
    without = f"import sys; sys.modules[{library!r}] = None; from dlmtrace.cli.main import main; main()"
    arguments = ["SELECT 1"] if name == "query" else ["-o", str(tmp_path)]
    command = [sys.executable, "-c", without, name, str(CLEAN), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == f"dlmtrace: {name} needs {library}: pip install 'dlmtrace[tables]'\n"
