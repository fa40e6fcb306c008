"""``dlmtrace export``: frames and analysis as tables in files."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dlmtrace.cli.analyze import Dialect, Dialects
from dlmtrace.cli.extras import require
from dlmtrace.cli.lockspaces import lockspaces, named
from dlmtrace.cli.options import AnyPort, Files, LockspaceNames, Ports

EXAMPLES = """
Examples:

dlmtrace export trace.pcap -o tables

dlmtrace export ring.pcap* -o tables --format csv --lockspace-name alpha
"""


class TableFormat(StrEnum):
    """What the tables are written as."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


def export(
    files: Files,
    directory: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Directory for the files; made if need be.")
    ],
    form: Annotated[TableFormat, typer.Option("--format", help="Kind of the files.")] = TableFormat.PARQUET,
    port: Ports = None,
    any_port: AnyPort = False,
    lockspace_name: LockspaceNames = None,
    dialect: Dialects = Dialect.AUTO,
) -> int:
    """Write frames, connections, streams, reconnects and findings as tables, see docs/tables.md."""
    require("export", "tables", "pyarrow")
    from dlmtrace.cli.progress import Progress
    from dlmtrace.pipeline import PORT, Trace
    from dlmtrace.streams.limits import nothing_found
    from dlmtrace.tables.files import TableFiles
    from dlmtrace.tables.run import read_tables
    from dlmtrace.tables.schema import TABLES

    names = named(lockspaces("--lockspace-name", lockspace_name or []))
    ports = frozenset(port or (PORT,))
    trace = Trace(files, ports, any_port)
    rows = dict.fromkeys(TABLES, 0)
    with TableFiles(directory, form.value) as written, Progress(trace.capture, wanted=True) as progress:
        columns = [column.name for column in TABLES["frames"]]
        for table, batch in read_tables(trace, names, dialect.value, TABLES, columns):
            written.write(table, batch)
            rows[table] += batch.num_rows
            progress.update()
    for table, path in written.paths.items():
        print(f"{path}: {rows[table]} row{'' if rows[table] == 1 else 's'}")
    if not rows["frames"]:
        packets = sum(file.packets for file in trace.capture.files)
        print(f"dlmtrace: {nothing_found(trace.traffic, ports, any_port, packets)}", file=sys.stderr)
    return 0
