"""``dlmtrace decode``: every DLM frame of a capture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from dlmtrace.cli.lockspaces import lockspaces, named
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
from dlmtrace.views.times import Clock, TimeFormat

if TYPE_CHECKING:
    from dlmtrace.views.columns import FrameColumns

EXAMPLES = """
Examples:

dlmtrace decode trace.pcap

dlmtrace decode trace.pcap --node 1 --peer 2 --seq 800-810 -V -x

dlmtrace decode ring.pcap* --lockspace alpha --resource '2/*' --time 10..20

dlmtrace decode trace.pcap.zst --format jsonl --type '*_REPLY' | jq .result

tcpdump -i any -U -w - port 21064 | dlmtrace decode -
"""

STEP = 8192
"""Frames that become text at once: more would take memory for nothing."""
SLOW_STEP = 100
"""The same for trees, which are made one by one: the first should not wait for the others."""


class OutputFormat(StrEnum):
    """What the frames are written as."""

    TEXT = "text"
    JSONL = "jsonl"
    CSV = "csv"


class View(Protocol):
    """Turns frames into output."""

    def text(self, columns: FrameColumns) -> str:
        """Output for the frames of ``columns``, line feeds included."""


@dataclass(frozen=True, slots=True)
class Output:
    """How frames are to be written."""

    form: OutputFormat
    tree: bool
    hexdump: bool
    count: bool
    times: TimeFormat
    limit: int | None


def decode(
    files: Files,
    port: Ports = None,
    any_port: AnyPort = False,
    lockspace_name: LockspaceNames = None,
    form: Annotated[OutputFormat, typer.Option("--format", help="Output, see docs/decode.md.")] = OutputFormat.TEXT,
    tree: Annotated[bool, typer.Option("-V", "--verbose", help="Show every field of each frame as a tree.")] = False,
    hexdump: Annotated[bool, typer.Option("-x", "--hex", help="Show the bytes, with -V beside each field.")] = False,
    times: Annotated[
        TimeFormat,
        typer.Option("--time-format", help="Relative: since the first packet; delta: since the frame before."),
    ] = TimeFormat.UTC,
    count: Annotated[bool, typer.Option("--count", help="Show only how many frames there are.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", "-c", min=1, metavar="N", help="Stop after N frames.")] = None,
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
    """Show every DLM frame of a capture, a line each."""
    selectors = Selectors.of(node, peer, command, type, lockspace, resource, seq, packet, connection, time)
    output = Output(form, tree, hexdump, count, times, limit)
    if form is not OutputFormat.TEXT and (tree or hexdump):
        raise typer.BadParameter("-V and -x are for --format text only", param_hint="--format")
    if form is OutputFormat.JSONL and times is not TimeFormat.UTC:
        raise typer.BadParameter("--format jsonl has all times in UTC", param_hint="--time-format")
    selectors.selection(0, local=False)  # complain about them before anything is read
    names = named(lockspaces("--lockspace", lockspace or []) | lockspaces("--lockspace-name", lockspace_name or []))
    return _run(files, frozenset(port or ()), any_port, names, selectors, output)


def _run(
    files: Sequence[str],
    ports: frozenset[int],
    any_port: bool,
    names: dict[int, str],
    selectors: Selectors,
    output: Output,
) -> int:
    """Decode and write; gives the exit status."""
    from dlmtrace.cli.interruption import INTERRUPTED, Interruption
    from dlmtrace.cli.progress import Progress
    from dlmtrace.pipeline import PORT, Trace
    from dlmtrace.streams.limits import limits, nothing_found
    from dlmtrace.streams.survey import Survey
    from dlmtrace.views.columns import FrameColumns
    from dlmtrace.views.naming import Naming

    ports = ports or frozenset({PORT})
    trace = Trace(files, ports, any_port)
    survey = Survey()
    paths = [file.name for file in trace.capture.files]
    naming = Naming(survey.nodes, names, paths)
    shown = 0
    selection = view = None
    wanted = output.count or not sys.stdout.isatty()
    with Interruption() as interruption, Progress(trace.capture, wanted) as progress:
        for batch in interruption.until(trace.batches()):
            progress.update()
            first = survey.frames
            survey.add(batch)
            if not len(batch):
                continue
            if selection is None or view is None:
                origin = min(
                    (file.first_time for file in trace.capture.files if file.first_time is not None), default=0
                )
                selection = selectors.selection(origin, output.times is TimeFormat.LOCAL)
                view = _view(output, paths, Clock(output.times, origin))
            rows = selection.rows(batch, naming)
            if output.limit is not None:
                rows = rows[: output.limit - shown]
            shown += len(rows)
            step = SLOW_STEP if output.tree else STEP
            for start in () if output.count else range(0, len(rows), step):
                if interruption.came:
                    break
                sys.stdout.write(view.text(FrameColumns(batch, rows[start : start + step], naming, first)))
                sys.stdout.flush()
            if shown == output.limit:
                break
    if output.count:
        print(shown)
    if not survey.frames:
        packets = sum(file.packets for file in trace.capture.files)
        _say(nothing_found(trace.traffic, ports, any_port, packets))
    elif not shown:
        _say(f"none of the {survey.frames} frames is selected")
    if shown != output.limit:
        for limit in limits(trace.capture.facts, trace.traffic, survey):
            _say(f"{limit.code}: {limit.message}")
    return INTERRUPTED if interruption.came else 0


def _view(output: Output, paths: list[str], clock: Clock) -> View:
    from dlmtrace.views.csv import FrameTable
    from dlmtrace.views.frame_list import FrameList
    from dlmtrace.views.frame_tree import FrameTree
    from dlmtrace.views.jsonl import FrameLines
    from dlmtrace.views.terminal import Terminal

    if output.form is OutputFormat.JSONL:
        return FrameLines(paths)
    if output.form is OutputFormat.CSV:
        return FrameTable(paths, clock)
    terminal = Terminal.of(sys.stdout)
    if output.tree:
        return FrameTree(clock, terminal, output.hexdump)
    return FrameList(clock, terminal, output.hexdump)


def _say(message: str) -> None:
    print(f"dlmtrace: {message}", file=sys.stderr)
