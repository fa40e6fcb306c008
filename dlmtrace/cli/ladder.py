"""``dlmtrace ladder``: who sent what to whom, as a sequence diagram."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmtrace.cli.analyze import Dialect, Dialects, Nodes, Times
from dlmtrace.cli.arguments import bad
from dlmtrace.cli.lockspaces import lockspaces, named
from dlmtrace.cli.node_names import node_names
from dlmtrace.cli.options import AnyPort, Files, LockspaceNames, Ports
from dlmtrace.cli.selecting import (
    Commands,
    Connections,
    Lockspaces,
    Moments,
    Packets,
    Receivers,
    Resources,
    Senders,
    Sequences,
    Types,
)
from dlmtrace.cli.selectors import Selectors
from dlmtrace.views.times import TimeFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from dlmtrace.capture.packets import FileSummary
    from dlmtrace.framing.frames import FrameBatch
    from dlmtrace.streams.results import Reconnect
    from dlmtrace.views.excerpt import Excerpt
    from dlmtrace.views.ladder import Ladder
    from dlmtrace.views.naming import Naming
    from dlmtrace.views.places import Places
    from dlmtrace.views.terminal import Terminal

    Int = npt.NDArray[np.int64]

EXAMPLES = """
Examples:

dlmtrace ladder trace.pcap --reconnect r1

dlmtrace ladder trace.pcap --around 1599 --context 10

dlmtrace ladder trace.pcap --resource 2/17 -o glock.svg
"""

PIPE_WIDTH = 120
"""Columns of the diagram where there is no terminal."""


def ladder(
    files: Files,
    around: Annotated[
        str | None,
        typer.Option("--around", metavar="PACKET", help="Frames around this packet; of several files FILE:N."),
    ] = None,
    reconnect: Annotated[
        str | None,
        typer.Option(
            "--reconnect", metavar="N", help="Frames of the pair around a reconnect: r1, as analyze names it."
        ),
    ] = None,
    context: Annotated[
        int, typer.Option("--context", "-C", metavar="N", min=0, max=1000, help="Frames before and behind it.")
    ] = 20,
    limit: Annotated[
        int,
        typer.Option("--limit", "-c", metavar="N", min=1, max=10_000, help="Show N at most, the others are counted."),
    ] = 200,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.svg", help="Draw it into an SVG file.")
    ] = None,
    port: Ports = None,
    any_port: AnyPort = False,
    lockspace_name: LockspaceNames = None,
    dialect: Dialects = Dialect.AUTO,
    nodes: Nodes = None,
    times: Times = TimeFormat.UTC,
    node: Senders = None,
    peer: Receivers = None,
    command: Commands = None,
    type: Types = None,
    lockspace: Lockspaces = None,
    resource: Resources = None,
    seq: Sequences = None,
    packet: Packets = None,
    connection: Connections = None,
    time: Moments = None,
) -> int:
    """Draw who sent what to whom: an arrow for each frame, resent ones dashed, lost ones ending in a cross."""
    from dlmtrace.cli.interruption import INTERRUPTED, Interruption
    from dlmtrace.cli.progress import Progress
    from dlmtrace.pipeline import PORT, Trace
    from dlmtrace.streams.analysis import Analysis
    from dlmtrace.streams.fates import Fates
    from dlmtrace.streams.limits import nothing_found
    from dlmtrace.streams.nodes import NodeTable
    from dlmtrace.views.excerpt import Excerpt
    from dlmtrace.views.ladder import Ladder
    from dlmtrace.views.naming import Naming
    from dlmtrace.views.places import Places
    from dlmtrace.views.terminal import Terminal

    selectors = Selectors.of(node, peer, command, type, lockspace, resource, seq, packet, connection, time)
    selectors.selection(0, local=False)  # complain about them before anything is read
    if around is not None and reconnect is not None:
        raise typer.BadParameter("take either --around or --reconnect", param_hint="--around")
    if output is not None and output.suffix.lower() != ".svg":
        raise bad("--output", str(output), "the name of an SVG file, such as ladder.svg")
    lockspace_names = lockspaces("--lockspace", lockspace or []) | lockspaces("--lockspace-name", lockspace_name or [])
    names, ports = node_names(nodes), frozenset(port or (PORT,))
    record = None if reconnect is None else _reconnect(reconnect, files, ports, any_port, dialect)
    trace = Trace(files, ports, any_port)
    paths = [file.name for file in trace.capture.files]
    naming = Naming(NodeTable(), named(lockspace_names), paths)
    first, last = _reach(record) if record is not None else _packet(around, naming)
    fates = Fates()
    analysis, excerpt = Analysis(dialect.value, fates), Excerpt(fates, limit, first, last, context)
    selection = None
    with Interruption() as interruption, Progress(trace.capture, wanted=True) as progress:
        for batch in interruption.until(trace.batches()):
            if selection is None:
                origin = min(
                    (file.first_time for file in trace.capture.files if file.first_time is not None), default=0
                )
                selection = selectors.selection(origin, times is TimeFormat.LOCAL)
            naming.nodes.learn(batch)
            rows = selection.rows(batch, naming)
            excerpt.offer(batch, rows if record is None else _of_pair(record, batch, rows, naming), naming)
            analysis.feed(batch)
            progress.update()
    analysis.finish(trace.capture.facts, trace.traffic)
    _must_exist(around, first, trace.capture.files, naming)
    items = excerpt.finish()
    if not items:
        packets = sum(file.packets for file in trace.capture.files)
        none = nothing_found(trace.traffic, ports, any_port, packets)
        print(f"dlmtrace: {'no frame is selected' if analysis.streams else none}", file=sys.stderr)
        return INTERRUPTED if interruption.came else 0
    terminal = Terminal.of(sys.stdout) if output is None else Terminal()
    places = Places(terminal, times, trace.capture.files, names)
    drawing = Drawing(Ladder(items, naming, names), places, _title(record, places), _left_out(excerpt))
    if output is None:
        drawing.print(terminal)
    else:
        drawing.write(output)
    return INTERRUPTED if interruption.came else 0


@dataclass(frozen=True, slots=True)
class Drawing:
    """A ladder with what stands above and below it."""

    ladder: Ladder
    places: Places
    title: str
    left_out: str

    def print(self, terminal: Terminal) -> None:
        """Show it."""
        from rich.console import Console

        from dlmtrace.views.ladder_text import LadderText, TooNarrow
        from dlmtrace.views.prose import paragraph

        width = terminal.width or PIPE_WIDTH
        try:
            text = LadderText(self.ladder, self.places, width)
        except TooNarrow as error:
            message = (
                f"{len(self.ladder.headings)} nodes need {error} columns; select some of them, or write -o FILE.svg"
            )
            raise typer.BadParameter(message) from None
        console = Console(width=width, no_color=not terminal.colours, highlight=False)
        print(paragraph(self.title, terminal))
        for line in text.lines():
            console.print(line, no_wrap=True, overflow="crop")
        if self.left_out:
            print(self.left_out)

    def write(self, output: Path) -> None:
        """Write it as SVG."""
        from dlmtrace.views.ladder_svg import ladder_svg

        notes = [self.left_out] if self.left_out else []
        output.write_text(ladder_svg(self.ladder, self.places, self.title, notes), encoding="utf-8")
        print(f"{output}: {self.title}")


def _reconnect(wanted: str, files: Sequence[str], ports: frozenset[int], any_port: bool, dialect: Dialect) -> Reconnect:
    """The reconnect of that name, from a reading of its own."""
    from dlmtrace.cli.progress import Progress
    from dlmtrace.pipeline import Trace
    from dlmtrace.streams.analysis import Analysis

    if "-" in files:
        raise typer.BadParameter("the capture is read twice: not from standard input", param_hint="--reconnect")
    trace, analysis = Trace(files, ports, any_port), Analysis(dialect.value)
    with Progress(trace.capture, wanted=True) as progress:
        for batch in trace.batches():
            analysis.feed(batch)
            progress.update()
    analysis.finish(trace.capture.facts, trace.traffic)
    for record in analysis.reconnects:
        if record.reconnect == f"r{wanted.lower().removeprefix('r')}":
            return record
    count = len(analysis.reconnects)
    there = f"one of r1 to r{count}" if count > 1 else "r1, the only one" if count else "there: no stream reconnected"
    raise bad("--reconnect", wanted, there)


def _reach(record: Reconnect) -> tuple[int | None, int | None]:
    """Identities of the packets between which a reconnect lies."""
    packets = [packet for packet in (record.ended_packet, record.resumed_packet) if packet is not None]
    return min(packets, default=None), max(packets, default=None)


def _of_pair(record: Reconnect, batch: FrameBatch, rows: Int, naming: Naming) -> Int:
    """Those rows that the nodes of a reconnect sent to each other."""
    import numpy as np

    pair = record.sender, record.receiver
    senders, receivers = batch.header["h_nodeid"][rows], naming.nodes.receivers(batch)[rows]
    chosen: Int = rows[np.isin(senders, pair) & np.isin(receivers, pair)]
    return rows if min(pair) < 0 else chosen


def _packet(around: str | None, naming: Naming) -> tuple[int | None, int | None]:
    """Identity of the packet in the middle, as the first and the last."""
    from dlmtrace.capture.packets import PACKET_BITS

    if around is None:
        return None, None
    file, colon, number = around.rpartition(":")
    short = [naming.file(index) for index in range(len(naming.files))]
    if not number.isdecimal() or (colon and file not in short):
        raise bad("--around", around, "a packet, or with several files one of FILE:PACKET")
    if not colon and len(short) > 1:
        raise bad("--around", around, f"one of FILE:PACKET, as there are several files: {short[0]}:{number}")
    identity = (short.index(file) if colon else 0) << PACKET_BITS | int(number)
    return identity, identity


def _must_exist(around: str | None, packet: int | None, files: Sequence[FileSummary], naming: Naming) -> None:
    from dlmtrace.capture.packets import packet_file, packet_number

    if around is None or packet is None:
        return
    file = packet_file(packet)
    if not 1 <= packet_number(packet) <= files[file].packets:
        raise bad("--around", around, f"a packet of {naming.file(file)}, which has {files[file].packets}")


def _title(record: Reconnect | None, places: Places) -> str:
    from dlmtrace.views.analysis_text import AnalysisText, listed
    from dlmtrace.views.terminal import Terminal

    if record is not None:
        return AnalysisText(Terminal(), places).reconnect(record).strip()
    return f"{listed([places.file(number) for number in range(len(places.files))])}, {places.span()}"


def _left_out(excerpt: Excerpt) -> str:
    from dlmtrace.views.analysis_text import many

    parts = ((excerpt.before, "before"), (excerpt.behind, "behind"))
    told = " and ".join(f"{many(count, 'frame')} {where}" for count, where in parts if count)
    return f"{told} not shown." if told else ""
