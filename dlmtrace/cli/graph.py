"""``dlmtrace graph``: the time-sequence graph of a stream, as a picture or in the terminal."""

from __future__ import annotations

import os
import shutil
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dlmtrace.cli.analyze import Dialect, Dialects, Nodes
from dlmtrace.cli.arguments import bad, stream_of
from dlmtrace.cli.extras import require
from dlmtrace.cli.interruption import INTERRUPTED
from dlmtrace.cli.options import AnyPort, Files, Ports

if TYPE_CHECKING:
    from dlmtrace.streams.series import Series
    from dlmtrace.views.places import Places

EXAMPLES = """
Examples:

dlmtrace graph trace.pcap --stream 1-2 --terminal

dlmtrace graph trace.pcap --stream '1→2' -o out.svg

dlmtrace graph ring.pcap* --stream 1-2 -o out.png
"""


class PictureFormat(StrEnum):
    """What a picture is written as, by the ending of its name."""

    SVG = ".svg"
    PNG = ".png"


def graph(
    files: Files,
    stream: Annotated[str, typer.Option("--stream", "-s", metavar="STREAM", help="Sender and receiver: 1-2 or 1→2.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The picture: .svg or .png; - is SVG to the output."),
    ] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Draw with characters.")] = False,
    port: Ports = None,
    any_port: AnyPort = False,
    dialect: Dialects = Dialect.AUTO,
    nodes: Nodes = None,
) -> int:
    """Draw the time-sequence graph of a stream: frames, resends, ACKs, gaps, and how its connections came and went."""
    if (output is None) == (not terminal):
        raise typer.BadParameter("choose one: a picture (-o FILE) or --terminal", param_hint="--output")
    form = PictureFormat.SVG
    if output is not None and str(output) != "-":
        if output.suffix.lower() not in [each.value for each in PictureFormat]:
            raise bad("--output", str(output), "a name that ends in .svg or .png")
        form = PictureFormat(output.suffix.lower())
    if form is PictureFormat.PNG:
        require("graph -o FILE.png", "png", "resvg_py")
    if output is not None:
        output.parent.stat()  # a directory that is not there is told before the capture is read
    pair = stream_of(stream)
    if pair is None:
        raise bad("--stream", stream, "two node ids, such as 1-2 or 1→2")
    from dlmtrace.cli.study import study
    from dlmtrace.views.graph import graph as graph_of
    from dlmtrace.views.graph_svg import standalone
    from dlmtrace.views.graph_text import drawn
    from dlmtrace.views.terminal import Terminal

    studied = study(files, port, any_port, dialect.value, nodes)
    series = _chosen(studied.collector.series, pair, studied.places)
    rows = [(None, finding) for finding in studied.findings]
    shown = graph_of(series, studied.places, CAPACITY, reconnects=studied.run.analysis.reconnects, findings=rows)
    if output is None:
        size = shutil.get_terminal_size() if sys.stdout.isatty() else os.terminal_size((100, 30))
        print("\n".join(drawn(shown, Terminal.of(sys.stdout), size.columns, min(size.lines - 2, 40))))
    elif str(output) == "-":
        sys.stdout.write(standalone(shown))
    else:
        if form is PictureFormat.PNG:
            output.write_bytes(_png(standalone(shown, dark=False)))
        else:
            output.write_text(standalone(shown), encoding="utf-8")
        print(f"{output}: stream {studied.places.stream(series.sender, series.receiver)}")
    return INTERRUPTED if studied.interrupted else 0


CAPACITY = 20_000
"""Points of a picture."""


def _chosen(series: list[Series], pair: tuple[int, int], places: Places) -> Series:
    drawable = [each for each in series if len(each.points)]
    for each in drawable:
        if (each.sender, each.receiver) == pair:
            return each
    there = ", ".join(places.stream(each.sender, each.receiver) for each in drawable) or "none"
    raise bad("--stream", places.stream(*pair), f"a stream of this capture; there are {there}")


def _png(svg: str) -> bytes:
    """The picture at twice its size, so that it stays sharp."""
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=2, sans_serif_family="DejaVu Sans"))
