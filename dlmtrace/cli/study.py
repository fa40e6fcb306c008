"""What the commands that draw have in common: a capture is read to its end, analysed, and its series collected."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dlmtrace.cli.interruption import Interruption
from dlmtrace.cli.node_names import node_names
from dlmtrace.cli.progress import Progress
from dlmtrace.findings.catalogue import SEVERITIES, severity
from dlmtrace.findings.outcome import Outcome
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.pipeline import PORT, Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.collector import Collector
from dlmtrace.streams.limits import nothing_found
from dlmtrace.streams.results import Dialect, Finding
from dlmtrace.views.analysis import FrameCounts, Run
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.naming import Naming
from dlmtrace.views.places import Places
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import TimeFormat


@dataclass(frozen=True, slots=True)
class Study:
    """A run that is over, for drawing.  ``findings`` come gravest first, then by time."""

    run: Run
    trace: Trace
    collector: Collector
    findings: list[Finding]
    places: Places
    interrupted: bool


def study(
    files: Sequence[str], port: Sequence[int] | None, any_port: bool, dialect: Dialect, nodes: Path | None
) -> Study:
    """Read captures.  Tells on standard error when there is no DLM in them."""
    names = node_names(nodes)
    ports = frozenset(port or (PORT,))
    trace, analysis, counts, outcome = Trace(files, ports, any_port), Analysis(dialect), FrameCounts(), Outcome()
    naming = Naming(analysis.nodes, {}, files)

    def describe(batch: FrameBatch, rows: npt.NDArray[np.int64]) -> list[str]:
        columns = FrameColumns(batch, rows, naming)
        words = zip(columns.commands, columns.types, columns.resources, strict=True)
        return [" ".join(filter(None, each)) for each in words]

    collector = Collector(analysis, describe)
    with Progress(trace.capture, wanted=True) as progress, Interruption() as interruption:
        for batch in interruption.until(trace.batches()):
            counts.add(batch)
            analysis.feed(batch)
            collector.add(batch)
            progress.update()
    analysis.finish(trace.capture.facts, trace.traffic)
    collector.finish()
    for finding in analysis.findings:
        outcome.add(finding)
    for reconnect in analysis.reconnects:
        outcome.judge(reconnect)
    outcome.empty = not counts.total
    if outcome.empty:
        packets = sum(file.packets for file in trace.capture.files)
        print(f"dlmtrace: {nothing_found(trace.traffic, ports, any_port, packets)}", file=sys.stderr)
    run = Run(trace.capture.files, trace.traffic.dlm_packets, counts, analysis, outcome)
    findings = sorted(analysis.findings, key=lambda each: (SEVERITIES.index(severity(each)), each.time or 0))
    places = Places(Terminal(), TimeFormat.UTC, trace.capture.files, names)
    return Study(run, trace, collector, findings, places, interruption.came)
