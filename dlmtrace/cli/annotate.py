"""``dlmtrace annotate``: a capture with the findings as comments on its packets."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dlmtrace.cli.analyze import Dialect, Dialects, Ignore, Level, MinSeverity, Nodes, Select, selected
from dlmtrace.cli.arguments import bad
from dlmtrace.cli.node_names import node_names
from dlmtrace.cli.options import AnyPort, Ports
from dlmtrace.views.times import TimeFormat

EXAMPLES = """
Examples:

dlmtrace annotate trace.pcap.zst -o trace.pcapng

dlmtrace annotate trace.pcap -o trace.pcapng --min-severity warning --ignore CAP
"""


def annotate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Capture: pcap or pcapng, plain or compressed (gzip, zstd, xz, bzip2, lz4); - is standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The pcapng file to write.", show_default=False)
    ],
    port: Ports = None,
    any_port: AnyPort = False,
    dialect: Dialects = Dialect.AUTO,
    nodes: Nodes = None,
    select: Select = None,
    ignore: Ignore = None,
    min_severity: MinSeverity = Level.NOTE,
) -> int:
    """Copy a capture to pcapng, its packets as they are, with findings as packet comments and the verdict on top.

    Wireshark shows the comments in place (filter: frame.comment), the verdict under Capture File Properties.
    """
    from dlmtrace.cli.analysis_output import Intake
    from dlmtrace.cli.interruption import INTERRUPTED, Interruption
    from dlmtrace.cli.progress import Progress
    from dlmtrace.pipeline import PORT, Trace
    from dlmtrace.streams.analysis import Analysis
    from dlmtrace.views.analysis import FrameCounts, Run
    from dlmtrace.views.analysis_text import many
    from dlmtrace.views.annotated import write_annotated
    from dlmtrace.views.annotations import Annotations
    from dlmtrace.views.places import Places
    from dlmtrace.views.terminal import Terminal

    codes = selected(select or [], ignore or [])
    given, output = output, output.resolve()
    if output.exists() and file != "-" and os.path.exists(file) and output.samefile(file):
        raise typer.BadParameter("it is the capture itself", param_hint="--output")
    if output.exists() and not output.is_file():
        raise bad("--output", str(output), "a file that can be replaced")
    with _twice_readable(file, output.parent) as path, _written_whole(output) as unfinished:
        trace = Trace([path], frozenset(port or (PORT,)), any_port)
        analysis, counts = Analysis(dialect.value), FrameCounts()
        annotations = Annotations(Places(Terminal(), TimeFormat.UTC, trace.capture.files, node_names(nodes)))
        intake = Intake(analysis, annotations, codes, min_severity.value, None)
        with Interruption() as interruption, Progress(trace.capture, wanted=True) as progress:
            for batch in interruption.until(trace.batches()):
                counts.add(batch)
                analysis.feed(batch)
                intake.take()
                progress.update()
        if interruption.came:
            return INTERRUPTED
        analysis.finish(trace.capture.facts, trace.traffic)
        intake.take()
        intake.outcome.empty = not counts.total
        annotations.finish(Run(trace.capture.files, trace.traffic.dlm_packets, counts, analysis, intake.outcome))
        comments = annotations.comments()
        with unfinished.open("wb") as target:
            size = trace.capture.files[0].bytes
            refused = write_annotated(path, size, target, annotations.about, comments)
    written = len(comments) - len(refused)
    print(f"{given}: {annotations.verdict}; {many(written, 'packet')} with comments")
    if refused:
        listed = f"{many(len(refused), 'packet')}, the first is packet {refused[0]}"
        print(f"dlmtrace: simple packet blocks take no comments: left out on {listed}", file=sys.stderr)
    return 0


@contextmanager
def _twice_readable(file: str, directory: Path) -> Iterator[str]:
    """Path of a file that can be read from its beginning again: a pipe is first written to a file in ``directory``."""
    if file != "-" and not (os.path.exists(file) and stat.S_ISFIFO(os.stat(file).st_mode)):
        yield file
        return
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory(prefix=".dlmtrace-", dir=directory) as temporary:
        path = os.path.join(temporary, "standard input")
        with open(0 if file == "-" else file, "rb", closefd=file != "-") as source, open(path, "wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        yield path


@contextmanager
def _written_whole(output: Path) -> Iterator[Path]:
    """A path to write to, which becomes ``output`` when all went well; else nothing is left."""
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        yield unfinished
        if unfinished.exists():
            unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
