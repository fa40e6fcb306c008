"""dlmtrace report as a command; what the page shows is tested in tests/browser."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from command_result import Result
from evidence import capture_path

SAFE = capture_path("rst-3.2-tcp.pcap")


def test_the_verdict_is_told_in_a_line(dlmtrace: Callable[..., Result], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = dlmtrace("report", SAFE, "-o", page)
    # 126 repeats: SEQ204 of docs/findings.md; the kernels delivered all: tests/proof/test_streams_delivered.py
    told = "CLEAN: Nothing went wrong between the nodes 1, 2; 126 frames came again, none was lost."
    assert (result.status, result.out, result.err) == (0, f"{page}: {told}\n", "")
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_the_page_may_go_to_the_output(dlmtrace: Callable[..., Result]) -> None:
    result = dlmtrace("report", SAFE, "-o", "-")
    assert result.out.startswith("<!DOCTYPE html>")
    assert result.out.endswith("</html>\n")


def test_the_same_capture_gives_the_same_page(dlmtrace: Callable[..., Result]) -> None:
    assert dlmtrace("report", SAFE, "-o", "-").out == dlmtrace("report", SAFE, "-o", "-").out


def test_names_of_nodes_are_on_the_page(dlmtrace: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "names").write_text("1 north\n2 south\n")
    page = dlmtrace("report", SAFE, "--nodes", tmp_path / "names", "-o", "-").out
    assert "1(north)→2(south)" in page


def test_one_line_says_what_cannot_be_written_or_read(dlmtrace: Callable[..., Result], tmp_path: Path) -> None:
    for arguments, part in (
        ([SAFE, "-o", tmp_path / "nowhere" / "report.html"], "nowhere: No such file or directory"),
        ([tmp_path / "nothing.pcap", "-o", tmp_path / "report.html"], "nothing.pcap: no such file"),
        ([SAFE], "Missing option '--output'"),
    ):
        result = dlmtrace("report", *arguments)
        assert result.status == 2
        assert part in result.err
        assert len(result.err.splitlines()) == 1


def test_what_draws_is_not_loaded_before_it_is_needed() -> None:
    script = "import sys, dlmtrace.cli.main; print(set(sys.modules) & {'numpy', 'dlmtrace.views.report.page'})"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
    )
