"""``dlmtrace info``: what is in a capture."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

from dlmtrace.cli.lockspaces import lockspaces, named
from dlmtrace.cli.options import AnyPort, Files, Ports

EXAMPLES = """
Examples:

dlmtrace info trace.pcap.zst

dlmtrace info ring.pcap* --lockspace alpha --format json | jq .nodes
"""


class InfoFormat(StrEnum):
    """What the answer is written as."""

    TEXT = "text"
    JSON = "json"


def info(
    files: Files,
    port: Ports = None,
    any_port: AnyPort = False,
    lockspace: Annotated[
        list[str] | None,
        typer.Option(
            "--lockspace",
            "--lockspace-name",
            metavar="NAME",
            help="Show this lockspace by name.",
        ),
    ] = None,
    form: Annotated[InfoFormat, typer.Option("--format", help="Output, see docs/info.md.")] = InfoFormat.TEXT,
) -> int:
    """Show what is in a capture: files, frames by kind, nodes, connections, and what the capture misses."""
    from dlmtrace.cli.interruption import INTERRUPTED, Interruption
    from dlmtrace.cli.progress import Progress
    from dlmtrace.pipeline import PORT, Trace
    from dlmtrace.streams.limits import limits, nothing_found
    from dlmtrace.streams.survey import Survey
    from dlmtrace.views.info import Run, information
    from dlmtrace.views.info_text import plain_text, print_tables
    from dlmtrace.views.naming import Naming
    from dlmtrace.views.terminal import Terminal

    names = named(lockspaces("--lockspace", lockspace or []))
    ports = frozenset(port or (PORT,))
    trace = Trace(files, ports, any_port)
    survey = Survey()
    with Interruption() as interruption, Progress(trace.capture, wanted=True) as progress:
        for batch in interruption.until(trace.batches()):
            survey.add(batch)
            progress.update()
    capture = trace.capture
    naming = Naming(survey.nodes, names, [file.name for file in capture.files])
    found = information(Run(capture.files, trace.traffic, survey, naming, limits(capture.facts, trace.traffic, survey)))
    terminal = Terminal.of(sys.stdout)
    if form is InfoFormat.JSON:
        print(json.dumps(found, indent=2))
    elif terminal.width is None:
        sys.stdout.write(plain_text(found))
    else:
        print_tables(found, terminal)
    if not survey.frames:
        print(
            f"dlmtrace: {nothing_found(trace.traffic, ports, any_port, found['capture']['packets'])}", file=sys.stderr
        )
    return INTERRUPTED if interruption.came else 0
