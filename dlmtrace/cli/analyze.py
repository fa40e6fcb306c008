"""``dlmtrace analyze``: what went wrong, and with which evidence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmtrace.cli.arguments import bad, items
from dlmtrace.cli.node_names import node_names
from dlmtrace.cli.options import AnyPort, Files, Ports
from dlmtrace.views.times import TimeFormat

if TYPE_CHECKING:
    from dlmtrace.cli.analysis_output import Output
    from dlmtrace.findings.outcome import Outcome

EXAMPLES = """
Examples:

dlmtrace analyze trace.pcap

dlmtrace analyze ring.pcap* --min-severity warning

dlmtrace analyze trace.pcap --select SEQ,CON --ignore SEQ204 --fail-on warning

dlmtrace analyze trace.pcap.zst --format json | jq .reconnects

tcpdump -i any -U -w - port 21064 | dlmtrace analyze - --follow
"""

SELECTION = "Which findings"


class AnalysisFormat(StrEnum):
    """What the analysis is written as."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


class Dialect(StrEnum):
    """How the nodes retransmit."""

    AUTO = "auto"
    MERGED = "merged"
    V3 = "v3"


class Level(StrEnum):
    """A severity."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class FailOn(StrEnum):
    """The lightest severity that makes the exit status 1."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    NEVER = "never"


Dialects = Annotated[
    Dialect,
    typer.Option("--dialect", help="merged: the released kernels; v3: the patch series' third version, with timers."),
]
Nodes = Annotated[
    Path | None, typer.Option("--nodes", metavar="FILE", help="Name nodes: lines of a node id and a name.")
]
Times = Annotated[
    TimeFormat, typer.Option("--time-format", help="Relative: since the first packet; delta: since the line before.")
]


def _selecting(*names: str, metavar: str | None = None, help: str, **more: Any) -> Any:
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=SELECTION, **more)


Select = Annotated[list[str] | None, _selecting("--select", metavar="CODES", help="Only these: SEQ, SEQ204 or resend.")]
Ignore = Annotated[
    list[str] | None,
    _selecting("--ignore", metavar="CODES", help="Not these; where both match, the more exact one wins."),
]
MinSeverity = Annotated[
    Level, _selecting("--min-severity", help="Show those from here on; the others are only counted.")
]
Failure = Annotated[FailOn, _selecting("--fail-on", help="Exit with status 1 when there is one from here on.")]


def analyze(
    files: Files,
    port: Ports = None,
    any_port: AnyPort = False,
    form: Annotated[
        AnalysisFormat, typer.Option("--format", help="Output, see docs/analysis.md.")
    ] = AnalysisFormat.TEXT,
    dialect: Dialects = Dialect.AUTO,
    nodes: Nodes = None,
    times: Times = TimeFormat.UTC,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show reconnects and findings as they become final, the verdict last.")
    ] = False,
    select: Select = None,
    ignore: Ignore = None,
    min_severity: MinSeverity = Level.NOTE,
    limit: Annotated[
        int | None, _selecting("--limit", "-c", metavar="N", help="Show N at most; the others are counted.", min=0)
    ] = None,
    fail_on: Failure = FailOn.ERROR,
) -> int:
    """Tell what went wrong between the nodes, with evidence, or that the capture cannot tell.

    Exit status: 0 no finding to fail on, 1 some, 2 unusable input, 3 none, but the capture cannot tell.
    """
    from dlmtrace.cli.analysis_output import Document, Following, Intake, Lines, Report
    from dlmtrace.cli.interruption import INTERRUPTED, Interruption
    from dlmtrace.cli.progress import Progress
    from dlmtrace.pipeline import PORT, Trace
    from dlmtrace.streams.analysis import Analysis
    from dlmtrace.streams.limits import nothing_found
    from dlmtrace.views.analysis import FrameCounts, Run
    from dlmtrace.views.analysis_text import AnalysisText
    from dlmtrace.views.places import Places
    from dlmtrace.views.terminal import Terminal

    if form is not AnalysisFormat.TEXT and times is not TimeFormat.UTC:
        raise typer.BadParameter(f"--format {form} has all times in UTC", param_hint="--time-format")
    if form is AnalysisFormat.JSON and follow:
        raise typer.BadParameter("--format json is one object; take --format jsonl", param_hint="--follow")
    codes = selected(select or [], ignore or [])
    names = node_names(nodes)
    ports = frozenset(port or (PORT,))
    trace = Trace(files, ports, any_port)
    analysis = Analysis(dialect.value)
    counts = FrameCounts()
    terminal = Terminal.of(sys.stdout)
    view = AnalysisText(terminal, Places(terminal, times, trace.capture.files, names))
    output: Output = Following(view) if follow else Report(view)
    if form is AnalysisFormat.JSON:
        output = Document()
    elif form is AnalysisFormat.JSONL:
        output = Lines(trace.capture.files)
    intake = Intake(analysis, output, codes, min_severity.value, limit)
    wanted = form is not AnalysisFormat.JSONL and not follow
    with Interruption() as interruption, Progress(trace.capture, wanted) as progress:
        for batch in interruption.until(trace.batches()):
            counts.add(batch)
            analysis.feed(batch)
            intake.take()
            progress.update()
    analysis.finish(trace.capture.facts, trace.traffic)
    intake.take()
    outcome = intake.outcome
    outcome.empty = not counts.total
    output.finish(Run(trace.capture.files, trace.traffic.dlm_packets, counts, analysis, outcome))
    if outcome.empty:
        packets = sum(file.packets for file in trace.capture.files)
        print(f"dlmtrace: {nothing_found(trace.traffic, ports, any_port, packets)}", file=sys.stderr)
    if interruption.came:
        return INTERRUPTED
    return exit_status(outcome, fail_on)


def exit_status(outcome: Outcome, fail_on: FailOn) -> int:
    """Status of a run that was not interrupted."""
    return 0 if fail_on is FailOn.NEVER else outcome.status(Level(fail_on.value).value)


def selected(select: Sequence[str], ignore: Sequence[str]) -> frozenset[str]:
    """The codes of findings that two options choose."""
    from dlmtrace.findings.selection import selected_codes

    try:
        return selected_codes(items(select), items(ignore))
    except ValueError as error:
        raise bad(
            "--select or --ignore", str(error), "a code, its beginning, or a name; see dlmtrace explain"
        ) from None
