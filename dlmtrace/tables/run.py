"""A capture read once, as record batches of the tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from dlmtrace.findings.outcome import Outcome
from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.nodes import NodeTable
from dlmtrace.streams.results import Dialect
from dlmtrace.tables.arrow import Arrow, arrow_schema
from dlmtrace.tables.frames import record_batch
from dlmtrace.tables.records import table_batches
from dlmtrace.views.analysis import FrameCounts, Run
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.naming import Naming

STEP = 32_768
"""Frames in a record batch at most: 88 columns of them take some 20 MiB."""


def read_tables(
    trace: Trace, lockspaces: Mapping[int, str], dialect: Dialect, wanted: Collection[str], columns: Sequence[str]
) -> Iterator[tuple[str, Arrow]]:
    """Record batches of the ``wanted`` tables, each behind the table's name.

    ``frames``, of which only these ``columns``, come while the capture is read, the others at its end.  Frames alone
    need no analysis.
    """
    schema = arrow_schema("frames")
    analysis = None if set(wanted) == {"frames"} else Analysis(dialect)
    nodes = NodeTable() if analysis is None else analysis.nodes
    counts = FrameCounts()
    naming = Naming(nodes, lockspaces, [file.name for file in trace.capture.files])
    for batch in trace.batches():
        first = counts.total
        counts.add(batch)
        if analysis is None:
            nodes.learn(batch)
        else:
            analysis.feed(batch)
        for start in range(0, len(batch), STEP) if "frames" in wanted else ():
            rows = np.arange(start, min(start + STEP, len(batch)))
            frames = FrameColumns(batch, rows, naming, first)
            yield "frames", record_batch(frames, [file.name for file in trace.capture.files], schema, columns)
    if analysis is not None:
        analysis.finish(trace.capture.facts, trace.traffic)
        run = Run(trace.capture.files, trace.traffic.dlm_packets, counts, analysis, Outcome())
        for table in wanted:
            if table != "frames":
                yield from ((table, rows) for rows in table_batches(table, run))
