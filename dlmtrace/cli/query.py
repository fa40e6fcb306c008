"""``dlmtrace query``: SQL over the tables of a capture."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dlmtrace.cli.analyze import Dialect, Dialects
from dlmtrace.cli.extras import require
from dlmtrace.cli.lockspaces import lockspaces, named
from dlmtrace.cli.options import AnyPort, LockspaceNames, Ports

if TYPE_CHECKING:
    from dlmtrace.pipeline import Trace

EXAMPLES = """
Examples:

dlmtrace query trace.pcap "SELECT sender, command, count(*) FROM frames GROUP BY ALL ORDER BY ALL"

dlmtrace query trace.pcap "SELECT code, time, message FROM findings WHERE severity = 'error'" --format csv

dlmtrace query trace.pcap "DESCRIBE frames"
"""

STANDARD_INPUT = "-"


class AnswerFormat(StrEnum):
    """What the answer is written as."""

    TEXT = "text"
    CSV = "csv"
    JSONL = "jsonl"


FilesAndQuery = Annotated[
    list[str],
    typer.Argument(metavar="FILE... SQL", help="Captures, - is standard input; then the query.", show_default=False),
]


def query(
    arguments: FilesAndQuery,
    form: Annotated[AnswerFormat, typer.Option("--format", help="Output.")] = AnswerFormat.TEXT,
    port: Ports = None,
    any_port: AnyPort = False,
    lockspace_name: LockspaceNames = None,
    dialect: Dialects = Dialect.AUTO,
) -> int:
    """Answer a query in SQL (DuckDB's) over the tables frames, connections, streams, reconnects, findings.

    The columns are in docs/tables.md; DESCRIBE frames shows those of frames.
    """
    *files, sql = arguments
    if not files or os.path.exists(sql):
        raise typer.BadParameter("captures and then a query are expected", param_hint="SQL")
    require("query", "tables", "duckdb", "pyarrow")
    from dlmtrace.pipeline import PORT, Trace
    from dlmtrace.tables.query import Database, QueryError

    names = named(lockspaces("--lockspace-name", lockspace_name or []))
    with ExitStack() as stack:
        paths = [stack.enter_context(_kept()) if file == STANDARD_INPUT else file for file in files]

        def open_trace() -> Trace:
            trace = Trace(paths, frozenset(port or (PORT,)), any_port)
            for file in trace.capture.files:
                if file.name not in files:
                    file.name = "standard input"
            return trace

        open_trace()  # complain about the files before anything about the query
        database = stack.enter_context(Database(open_trace, names, dialect.value))
        try:
            _print(database.answer(sql), form)
        except QueryError as error:
            raise typer.BadParameter(str(error), param_hint="SQL") from None
    return 0


@contextmanager
def _kept() -> Iterator[str]:
    """Standard input as a file: a query may read the capture more than once."""
    with tempfile.NamedTemporaryFile(prefix="dlmtrace-") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield kept.name


def _print(answer: Iterator[Any], form: AnswerFormat) -> None:
    from dlmtrace.tables.answer import AnswerText
    from dlmtrace.tables.texts import csv_text, csv_titles, json_lines
    from dlmtrace.views.terminal import Terminal

    view = AnswerText(Terminal.of(sys.stdout))
    for number, batch in enumerate(answer):
        if form is AnswerFormat.JSONL:
            sys.stdout.write(json_lines(batch))
        elif form is AnswerFormat.CSV:
            titles = "" if number else csv_titles(batch.schema.names)
            sys.stdout.write(titles + csv_text(batch))
        else:
            sys.stdout.write(view.text(batch))
        sys.stdout.flush()
