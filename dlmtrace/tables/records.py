"""The tables of the analysis in Arrow, made from the records of ``analyze --format json``: no truth of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from dlmtrace.tables.arrow import Arrow, arrow_schema
from dlmtrace.tables.schema import TABLES, Column
from dlmtrace.views.analysis import Run, connection_records, finding_record, reconnect_record, stream_record

BATCH = 10_000
"""Rows of these tables in a record batch at most."""


def table_batch(table: str, records: Sequence[dict[str, Any]]) -> Arrow:
    """Records of JSON as a record batch of ``table``."""
    rows = [{column.name: _value(column, record[column.name]) for column in TABLES[table]} for record in records]
    return pa.RecordBatch.from_pylist(rows, arrow_schema(table))


def table_batches(table: str, run: Run) -> Iterator[Arrow]:
    """A table of the analysis of a run that is over."""
    records: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "connections": lambda: connection_records(run),
        "streams": lambda: map(stream_record, run.streams),
        "reconnects": lambda: map(reconnect_record, run.analysis.reconnects),
        "findings": lambda: (finding_record(finding, run.files) for finding in run.analysis.findings),
    }
    rows: list[dict[str, Any]] = []
    for record in records[table]():
        rows.append(record)
        if len(rows) == BATCH:
            yield table_batch(table, rows)
            rows.clear()
    yield table_batch(table, rows)


def _value(column: Column, value: Any) -> Any:
    """A value of JSON as the column has it: times as ns since 1970, ranges as structures, free objects as text."""
    if value is None:
        return None
    if column.type == "timestamp[ns]":
        second, fraction = value[:-1].split(".")
        return int(datetime.fromisoformat(f"{second}Z").timestamp()) * 1_000_000_000 + int(fraction)
    if column.type == "list<struct>":
        return [_structure(column, item) for item in value]
    if column.type == "struct":
        return _structure(column, value)
    return json.dumps(value) if isinstance(value, dict) else value


def _structure(column: Column, value: Any) -> dict[str, Any]:
    if isinstance(value, list):  # a range
        value = dict(zip((field.name for field in column.fields), value, strict=True))
    return {field.name: _value(field, value[field.name]) for field in column.fields}
