"""SQL over the tables of a capture: DuckDB asks for the columns that a query needs, and only these are made.

Frames are never held: DuckDB takes them a record batch at a time while the capture is read, as often as the query
names the table.  What DuckDB itself keeps (sorting, grouping, joins) is bounded by MEMORY; beyond it goes to disk.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from dlmtrace.pipeline import Trace
from dlmtrace.streams.results import Dialect
from dlmtrace.tables.arrow import Arrow, arrow_schema
from dlmtrace.tables.run import read_tables
from dlmtrace.tables.schema import TABLES

MEMORY = "1GB"
"""What DuckDB may hold in memory."""
ROWS = 8192
"""Rows of an answer that are fetched at once."""


class QueryError(Exception):
    """The query cannot be answered; the message is one line."""


class Database:
    """The tables of the capture that ``open_trace`` opens, each time anew.

    SQL has no access to files, to the network, to further extensions and to Python's variables.
    """

    def __init__(self, open_trace: Callable[[], Trace], lockspaces: Mapping[int, str], dialect: Dialect) -> None:
        self._open_trace, self._lockspaces, self._dialect = open_trace, lockspaces, dialect
        self._analysis: dict[str, list[Arrow]] = {}
        self._analysing = threading.Lock()  # DuckDB scans tables in threads of its own

    def __enter__(self) -> Database:
        self._worker = ThreadPoolExecutor(1)
        self._overflow = tempfile.TemporaryDirectory(prefix="dlmtrace-")
        settings: dict[str, str | bool | int | float | list[str]] = {
            "enable_external_access": "false",
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": MEMORY,
            "temp_directory": self._overflow.name,
        }
        self._connection = duckdb.connect(":memory:", config=settings)
        self._connection.execute("SET lock_configuration = true")
        for table in TABLES:
            self._connection.register(table, _Table(arrow_schema(table), partial(self._scan, table)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.shutdown()
        self._connection.close()
        self._overflow.cleanup()

    def answer(self, query: str) -> Iterator[Arrow]:
        """The answer as record batches, at least one.  Raises QueryError."""
        try:
            statements = self._connection.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise QueryError("one query is expected: SELECT, WITH, FROM, DESCRIBE or SUMMARIZE")
            reader = self._interruptible(lambda: self._connection.sql(query).to_arrow_reader(ROWS))
            batch = self._interruptible(lambda: next(reader, None))
            yield pa.RecordBatch.from_pylist([], reader.schema) if batch is None else batch
            while batch is not None and (batch := self._interruptible(lambda: next(reader, None))) is not None:
                yield batch
        except (duckdb.Error, pa.ArrowException) as error:
            raise QueryError(" ".join(str(error).split("\n\n")[0].split())) from None

    def _interruptible(self, work: Callable[[], Arrow]) -> Arrow:
        """What ``work`` gives, done in a thread: DuckDB would not hear of Ctrl-C before it has finished."""
        done = self._worker.submit(work)
        try:
            return done.result()
        except KeyboardInterrupt:
            while not done.done():
                self._connection.interrupt()  # one that comes before the query begins is forgotten
                wait([done], timeout=0.1)
            raise

    def _scan(self, table: str, columns: Sequence[str]) -> Iterator[Arrow]:
        if table == "frames":
            trace = self._open_trace()
            for _, batch in read_tables(trace, self._lockspaces, self._dialect, ("frames",), columns):
                yield batch
            return
        with self._analysing:
            if not self._analysis:
                wanted = [name for name in TABLES if name != "frames"]
                self._analysis = {name: [] for name in wanted}
                for name, batch in read_tables(self._open_trace(), self._lockspaces, self._dialect, wanted, ()):
                    self._analysis[name].append(batch)
        yield from (batch.select(columns) for batch in self._analysis[table])


class _Table(ds.Dataset):  # type: ignore[misc]
    """A table as DuckDB scans one of Arrow: it says which columns it needs, and which rows it does not."""

    def __init__(self, schema: Arrow, scan: Callable[[Sequence[str]], Iterator[Arrow]]) -> None:
        self._schema, self._scan = schema, scan

    @property
    def schema(self) -> Arrow:
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, filter: Any = None, **options: Any) -> Arrow:
        """A scan of ``columns`` (None: all), of the rows for which ``filter`` is true (None: all)."""
        shown = self._schema.names if columns is None else list(columns)
        named = set(shown).union(re.findall(r"\w+", str(filter)))
        made = [name for name in self._schema.names if name in named]
        schema = pa.schema([self._schema.field(name) for name in made])
        batches = (batch.replace_schema_metadata() for batch in self._scan(made))
        return ds.Scanner.from_batches(batches, schema=schema, columns=shown, filter=filter)
