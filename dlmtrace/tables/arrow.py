"""The schema in Arrow, and how the rest of the program asks for pyarrow."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from dlmtrace.tables.schema import SCHEMA, TABLES, Column

Arrow = Any
"""An array, record batch, schema or table of pyarrow, which has no annotations."""


def arrow_schema(table: str) -> Arrow:
    """Schema of a table; its metadata name ``dlmtrace.tables/1``, its fields' metadata unit and meaning."""
    return pa.schema([_field(column) for column in TABLES[table]], metadata={"schema": SCHEMA, "table": table})


def _field(column: Column) -> Arrow:
    about = {"meaning": column.meaning, **({"unit": column.unit} if column.unit else {})}
    return pa.field(column.name, _type(column), column.nullable, about)


def _type(column: Column) -> Arrow:
    if column.type.endswith("struct>") or column.type == "struct":
        inside = pa.struct([_field(field) for field in column.fields])
        return pa.list_(pa.field("item", inside, False)) if column.type.startswith("list") else inside
    if column.type == "list<string>":
        return pa.list_(pa.field("item", pa.string(), False))
    return pa.timestamp("ns") if column.type == "timestamp[ns]" else pa.type_for_alias(column.type)
