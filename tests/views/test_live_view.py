"""The screen of a running capture, part of the way through real ones."""

import io
from itertools import combinations
from pathlib import Path

import pytest
from evidence import capture_path
from oracles.kernel import log
from rich.console import Console

from dlmtrace.capture.packets import packet_number
from dlmtrace.capture.source import WINDOW, Capture
from dlmtrace.craft import Network, opts, request
from dlmtrace.findings.outcome import Outcome
from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.views.analysis import FrameCounts
from dlmtrace.views.live import LiveView
from dlmtrace.views.places import Places
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import TimeFormat


def screen(path: Path, width: int, height: int, upto: int | None = None, dropped: int = 0) -> list[str]:
    """What is shown when the packets up to ``upto`` have come."""
    trace, analysis, counts = Trace([str(path)]), Analysis(), FrameCounts()
    trace.capture = Capture([path], WINDOW if upto is None else 4096)
    places = Places(Terminal(width), TimeFormat.UTC, trace.capture.files, {})
    view, outcome = LiveView("eth0", trace, analysis, counts, places, lambda: dropped), Outcome()
    console = Console(file=io.StringIO(), width=width, height=height)
    with view.shown(outcome, colours=False):
        for batch in trace.batches():
            counts.add(batch)
            analysis.feed(batch)
            for finding in analysis.findings:
                outcome.add(finding)
                view.add(finding)
            analysis.findings.clear()
            if upto is not None and len(batch) and packet_number(int(batch.frames["packet"][-1])) >= upto:
                break
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 140])
def test_a_stream_that_stands_still(width: int) -> None:
    lines = screen(capture_path("rst-6.12-tcp.pcap"), width, 24, upto=1700)
    waited_for = log("rst-6.12-tcp", 2).ignored[0].expected
    (stream,) = (line for line in lines if line.startswith(" 1→2"))
    assert f"stands at {waited_for}" in stream
    assert ("3.2" in stream) == (width == 140)
    assert max(map(len, lines)) <= width


def test_what_the_kernel_had_no_room_for() -> None:
    path = capture_path("clean-3.2-tcp.pcap")
    assert screen(path, 80, 24, dropped=7)[0].endswith("frames  7 dropped")
    assert screen(path, 80, 24)[0].endswith("frames")


def test_only_the_last_findings_have_room() -> None:
    lines = screen(capture_path("rst-stall-6.12-tcp.pcap"), 80, 24)
    assert len(lines) == 23  # the last line is the cursor's
    shown = [line for line in lines if " CON" in line or " SEQ" in line]
    assert "r12" in "".join(shown)
    assert "r1," not in "".join(shown)


def test_only_the_busiest_streams_are_shown(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        nodes = [network.node(number, f"10.0.0.{number}") for number in range(1, 6)]
        for one, two in combinations(nodes, 2):
            connection = network.connect(one, two)
            for sender, frames in ((one, 1 if two.number == 5 else 3), (two, 3)):
                for number in range(frames):
                    connection.send(sender, opts(number, request(b"resource", sender=sender)))
    lines = screen(tmp_path / "a.pcap", 80, 40)
    streams = [line.split()[0] for line in lines if "→" in line]
    assert len(streams) == 12
    assert "8 more streams" in lines
    assert not {"1→5", "2→5", "3→5", "4→5"} & set(streams)
