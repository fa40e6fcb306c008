"""Tables as files in a directory: Parquet, CSV or JSON lines."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from dlmtrace.tables.arrow import Arrow, arrow_schema
from dlmtrace.tables.schema import TABLES
from dlmtrace.tables.texts import csv_text, csv_titles, json_lines

GROUP = 100_000
"""Rows of a row group of Parquet: so many are kept before they are written."""

STEP = 4096
"""Rows that become text at once: more would take memory for nothing."""


class TableFile(Protocol):
    """One file; record batches come in order."""

    def write(self, batch: Arrow) -> None:
        """Some rows."""

    def close(self) -> None:
        """There are no more."""


class _Parquet:
    def __init__(self, path: Path, schema: Arrow) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._batches: list[Arrow] = []
        self._rows = 0

    def write(self, batch: Arrow) -> None:
        self._batches.append(batch)
        self._rows += batch.num_rows
        if self._rows >= GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._batches, self._schema))
        self._batches, self._rows = [], 0


class _Csv:
    def __init__(self, path: Path, schema: Arrow) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._file.write(csv_titles(schema.names))

    def write(self, batch: Arrow) -> None:
        for start in range(0, batch.num_rows, STEP):
            self._file.write(csv_text(batch.slice(start, STEP)))

    def close(self) -> None:
        self._file.close()


class _JsonLines:
    def __init__(self, path: Path, schema: Arrow) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, batch: Arrow) -> None:
        for start in range(0, batch.num_rows, STEP):
            self._file.write(json_lines(batch.slice(start, STEP)))

    def close(self) -> None:
        self._file.close()


_KINDS: dict[str, Callable[[Path, Arrow], TableFile]] = {"parquet": _Parquet, "csv": _Csv, "jsonl": _JsonLines}


class TableFiles:
    """All tables as files ``frames.parquet``, … of a directory, which is made if need be.

    They get their names when all are whole; until then, and after a failure, files of these names stay as they were.
    Raises OSError.
    """

    def __init__(self, directory: Path, form: str) -> None:
        self.paths = {table: directory / f"{table}.{form}" for table in TABLES}
        self._directory, self._kind = directory, _KINDS[form]
        self._files: dict[str, TableFile] = {}

    def __enter__(self) -> TableFiles:
        self._directory.mkdir(parents=True, exist_ok=True)
        for table, path in self.paths.items():
            self._files[table] = self._kind(_partial(path), arrow_schema(table))
        return self

    def write(self, table: str, batch: Arrow) -> None:
        """Some rows of a table."""
        self._files[table].write(batch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        for path in self.paths.values():
            if error is None:
                os.replace(_partial(path), path)
            else:
                _partial(path).unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
