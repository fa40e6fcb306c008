"""``dlmtrace streams``: the sequence numbers of each node pair and of each connection."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dlmtrace.cli.analyze import Dialect, Dialects, Nodes, Times
from dlmtrace.cli.arguments import bad, stream_of
from dlmtrace.cli.node_names import node_names
from dlmtrace.cli.options import AnyPort, Ports
from dlmtrace.views.times import TimeFormat

if TYPE_CHECKING:
    from dlmtrace.streams.analysis import Analysis
    from dlmtrace.streams.timeline import Timeline
    from dlmtrace.views.places import Places
    from dlmtrace.views.terminal import Terminal

EXAMPLES = """
Examples:

dlmtrace streams trace.pcap

dlmtrace streams trace.pcap 1-2

tcpdump -i any -U -w - port 21064 | dlmtrace streams - --follow
"""

FilesAndStreams = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE... [STREAM]",
        help="Captures, - is standard input; then streams such as 1-2 or 1→2, each shown in order of time.",
        show_default=False,
    ),
]


def streams(
    files: FilesAndStreams,
    port: Ports = None,
    any_port: AnyPort = False,
    dialect: Dialects = Dialect.AUTO,
    nodes: Nodes = None,
    times: Times = TimeFormat.UTC,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the ranges of numbers as they become final, the tables last.")
    ] = False,
) -> int:
    """Show the sequence numbers of each node pair and connection: delivered, sent again, missing, acknowledged.

    With a stream: its ranges of numbers in order of time: sent, confirmed, resent, missing.
    """
    from dlmtrace.cli.interruption import INTERRUPTED, Interruption
    from dlmtrace.cli.progress import Progress
    from dlmtrace.pipeline import PORT, Trace
    from dlmtrace.streams.analysis import Analysis
    from dlmtrace.streams.by_connection import ByConnection
    from dlmtrace.streams.limits import nothing_found
    from dlmtrace.views.places import Places
    from dlmtrace.views.streams_text import draw, tables
    from dlmtrace.views.terminal import BOLD, Terminal

    paths, wanted = _streams_apart(files)
    names = node_names(nodes)
    ports = frozenset(port or (PORT,))
    trace = Trace(paths, ports, any_port)
    analysis, by_connection = Analysis(dialect.value), ByConnection()
    terminal = Terminal.of(sys.stdout)
    places = Places(terminal, times, trace.capture.files, names)
    with Interruption() as interruption, Progress(trace.capture, wanted=not follow) as progress:
        for batch in interruption.until(trace.batches()):
            by_connection.add(batch)
            analysis.feed(batch)
            if follow:
                _print_spans(analysis, wanted, terminal, places, over=False)
            progress.update()
    analysis.finish(trace.capture.facts, trace.traffic)
    if not analysis.streams:
        packets = sum(file.packets for file in trace.capture.files)
        print(f"dlmtrace: {nothing_found(trace.traffic, ports, any_port, packets)}", file=sys.stderr)
        return INTERRUPTED if interruption.came else 0
    if wanted and not follow and terminal.width is not None:
        print(terminal.line(places.span(), BOLD))  # the lines below have only the time of day
    if wanted or follow:
        _print_spans(analysis, wanted, terminal, places, over=True)
    if not wanted:
        for number, table in enumerate(tables(analysis, by_connection, places)):
            print("\n".join(["", *draw(table, terminal)] if number or follow else draw(table, terminal)))
    return INTERRUPTED if interruption.came else 0


def _streams_apart(arguments: Sequence[str]) -> tuple[list[str], list[tuple[int, int]]]:
    """Files, and streams as (sender, receiver); what names a file is a file."""
    paths, wanted = [], []
    for argument in arguments:
        stream = stream_of(argument)
        if stream is not None and not os.path.exists(argument):
            wanted.append(stream)
        else:
            paths.append(argument)
    if not paths:
        raise typer.BadParameter("no capture is given, only streams", param_hint="FILE")
    return paths, wanted


def _print_spans(
    analysis: Analysis, wanted: list[tuple[int, int]], terminal: Terminal, places: Places, over: bool
) -> None:
    """Print the spans of the wanted streams, or of all, that grow no more, and drop them; ``over``: no more come."""
    from dlmtrace.views.analysis import streams_seen
    from dlmtrace.views.streams_text import span_line

    present = [(stream.sender, stream.receiver) for stream in streams_seen(analysis)]
    if over and (unknown := [pair for pair in wanted if pair not in present]):
        there = ", ".join(places.stream(*pair) for pair in present)
        raise bad("STREAM", places.stream(*unknown[0]), f"a stream of this capture; there are {there}")
    for pair in wanted or present:
        timeline = analysis.timeline(*pair)
        if timeline is None:
            continue
        final = len(timeline.spans) if over else _final(timeline)
        for span in timeline.spans[:final]:
            print(span_line(span, "" if len(wanted) == 1 else places.stream(*pair), terminal, places))
        del timeline.spans[:final]
        if over and timeline.dropped:
            print(f"{timeline.dropped} more ranges were not kept.")
    sys.stdout.flush()


def _final(timeline: Timeline) -> int:
    """How many spans at the beginning grow no more: all before the last one, ACKs aside."""
    growing = [place for place, span in enumerate(timeline.spans) if span.kind != "confirmed"]
    return growing[-1] if growing else 0
