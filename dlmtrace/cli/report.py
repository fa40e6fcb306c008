"""``dlmtrace report``: everything about a capture on one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dlmtrace.cli.analyze import Dialect, Dialects, Nodes
from dlmtrace.cli.interruption import INTERRUPTED
from dlmtrace.cli.options import AnyPort, Files, Ports

EXAMPLES = """
Examples:

dlmtrace report trace.pcap -o report.html

dlmtrace report ring.pcap* --nodes names.txt -o report.html
"""


def report(
    files: Files,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page; - is standard output.", show_default=False)
    ],
    port: Ports = None,
    any_port: AnyPort = False,
    dialect: Dialects = Dialect.AUTO,
    nodes: Nodes = None,
) -> int:
    """Write a page with the verdict, the cluster, graphs, reconnects and findings; it needs nothing else."""
    from dlmtrace.cli.study import study
    from dlmtrace.views.report.page import Report, page
    from dlmtrace.views.report.verdict import verdict
    from dlmtrace.wire.names import escape

    output.parent.stat()  # a directory that is not there is told before the capture is read
    studied = study(files, port, any_port, dialect.value, nodes)
    made = page(Report(studied.run, studied.collector, studied.findings, studied.places))
    if str(output) == "-":
        sys.stdout.write(made)
    else:
        output.write_text(made, encoding="utf-8")
        told = verdict(studied.run, studied.findings, studied.places)
        print(f"{output}: {told.word}: {escape(told.sentence)}")
    return INTERRUPTED if studied.interrupted else 0
