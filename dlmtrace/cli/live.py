"""``dlmtrace live``: capture on an interface and analyse what comes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from dlmtrace.cli.analyze import (
    Dialect,
    Dialects,
    FailOn,
    Failure,
    Ignore,
    Level,
    MinSeverity,
    Nodes,
    Select,
    Times,
    exit_status,
    selected,
)
from dlmtrace.cli.node_names import node_names
from dlmtrace.cli.options import AnyPort, Ports
from dlmtrace.views.times import TimeFormat

if TYPE_CHECKING:
    from dlmtrace.capture.live import LiveCapture

EXAMPLES = """
Examples:

dlmtrace live -i eth0

dlmtrace live -i any -w trace.pcap --min-severity warning

dlmtrace live -i eth0 | tee findings.txt
"""


def live(
    interface: Annotated[
        str, typer.Option("--interface", "-i", metavar="IFACE", help="Interface, or any.", show_default=False)
    ],
    write: Annotated[
        Path | None, typer.Option("--write", "-w", metavar="FILE", help="Also write the packets to this pcap file.")
    ] = None,
    port: Ports = None,
    any_port: AnyPort = False,
    dialect: Dialects = Dialect.AUTO,
    nodes: Nodes = None,
    times: Times = TimeFormat.UTC,
    select: Select = None,
    ignore: Ignore = None,
    min_severity: MinSeverity = Level.NOTE,
    fail_on: Failure = FailOn.ERROR,
) -> int:
    """Capture DLM on an interface and show streams and findings as they come; Ctrl-C ends it with the whole analysis.

    Without a terminal findings are printed a line each. Exit status as of analyze.
    """
    from dlmtrace.capture.live import LiveCapture
    from dlmtrace.capture.packets import CaptureFact
    from dlmtrace.cli.analysis_output import Following, Intake, Screen
    from dlmtrace.pipeline import PORT, Trace
    from dlmtrace.streams.analysis import Analysis
    from dlmtrace.streams.limits import nothing_found
    from dlmtrace.views.analysis import FrameCounts, Run
    from dlmtrace.views.analysis_text import AnalysisText
    from dlmtrace.views.live import LiveView
    from dlmtrace.views.places import Places
    from dlmtrace.views.terminal import Terminal

    codes = selected(select or [], ignore or [])
    names, ports = node_names(nodes), frozenset(port or (PORT,))
    terminal = Terminal.of(sys.stdout)
    with ExitStack() as stack:
        source = LiveCapture(interface, None if any_port else ports)
        copy = None if write is None else stack.enter_context(write.open("wb", buffering=0))
        stack.enter_context(_ended_by_signals(source))
        source.start(copy)
        trace = Trace([source.path], ports, any_port)
        source.opened()
        trace.capture.files[0].name = interface
        analysis, counts = Analysis(dialect.value), FrameCounts()
        places = Places(terminal, times, trace.capture.files, names)
        text = AnalysisText(terminal, places)
        view = None
        if terminal.width is not None:
            view = LiveView(interface, trace, analysis, counts, places, lambda: source.dropped)
        output = Following(text) if view is None else Screen(text, view)
        intake = Intake(analysis, output, codes, min_severity.value, None)
        with nullcontext() if view is None else view.shown(intake.outcome, terminal.colours):
            for batch in trace.batches():
                with nullcontext() if view is None else view.lock:
                    counts.add(batch)
                    analysis.feed(batch)
                    intake.take()
        source.join()
    if source.dropped:
        message = f"{interface}: the kernel had no room for {source.dropped} packets"
        trace.capture.facts.append(CaptureFact("CAP908", message, file=0, count=source.dropped))
    analysis.finish(trace.capture.facts, trace.traffic)
    intake.take()
    intake.outcome.empty = not counts.total
    output.finish(Run(trace.capture.files, trace.traffic.dlm_packets, counts, analysis, intake.outcome))
    if source.failure:
        print(f"dlmtrace: {interface}: {source.failure}", file=sys.stderr)
    if intake.outcome.empty:
        packets = trace.capture.files[0].packets
        print(f"dlmtrace: {nothing_found(trace.traffic, ports, any_port, packets)}", file=sys.stderr)
    return exit_status(intake.outcome, fail_on)


@contextmanager
def _ended_by_signals(source: LiveCapture) -> Iterator[None]:
    """SIGINT and SIGTERM end the capture, and what is in the pipe is still analysed; a second one ends the program."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        source.stop()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
