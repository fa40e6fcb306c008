"""The columns of the tables of ``export`` and ``query``; ``python -m dlmtrace.tables.schema`` prints docs/tables.md's.

Nothing is declared twice: what a frame's lines of JSON have in common comes from ``views.schema``, the fields of the
wire from ``wire``, and the other tables from ``views.analysis_schema``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from dlmtrace.views.analysis_schema import OBJECTS
from dlmtrace.views.frame_fields import HEADER_KEYS
from dlmtrace.views.schema import KEYS, Key
from dlmtrace.wire.message import MessageBody
from dlmtrace.wire.options import Options
from dlmtrace.wire.recovery import RecoveryBody, RecoveryLock
from dlmtrace.wire.structures import FIELDS

SCHEMA = "dlmtrace.tables/1"

_TIMES = frozenset({"time", "opened", "closed", "ended", "resumed"})
_UNITS = {
    **dict.fromkeys(_TIMES, "ns, UTC"),
    **dict.fromkeys(("position", "length", "captured", "bytes", "hole_bytes", "tcp_retransmitted_bytes"), "bytes"),
    **dict.fromkeys(("h_length", "inner_h_length", "o_optlen", "rl_namelen"), "bytes"),
    "evidence": "JSON object",
}
_INNER = "inner_"
"""Stands before the names of the fields of the header that OPTS carries."""


class Column(NamedTuple):
    """A column, or a field of a nested one.

    ``type`` is Arrow's name of it; ``list<struct>`` and ``struct`` have ``fields``.  A column that is not ``nullable``
    has a value in every row.
    """

    name: str
    type: str
    nullable: bool
    unit: str
    meaning: str
    fields: tuple[Column, ...] = ()

    @property
    def full_type(self) -> str:
        """The type with the fields of its structures."""
        inside = ", ".join(f"{field.name}: {field.full_type}" for field in self.fields)
        return self.type.replace("struct", f"struct<{inside}>")


class WireFields(NamedTuple):
    """Columns made of the fields of one wire structure.

    ``part`` is what of a frame they belong to; columns are called ``prefix`` and the field's name.
    """

    part: str
    prefix: str
    names: tuple[str, ...]


def _names(declaration: Any, *without: str) -> tuple[str, ...]:
    return tuple(field.name for field in declaration.subcons if field.name not in without)


WIRE = (
    WireFields("header", "", HEADER_KEYS),
    WireFields("options", "", _names(Options)),
    WireFields("inner", _INNER, tuple(name for name in HEADER_KEYS if name != "h_seq")),
    WireFields("message", "", _names(MessageBody)),
    WireFields("recovery", "", _names(RecoveryBody)),
    WireFields("lock", "", _names(RecoveryLock, "rl_name")),
)
"""The numbers of a frame as they are on the wire; rl_name is in ``resource_bytes``."""

TAILS = (
    Column(
        "resource_bytes", "binary", True, "", "Name of the resource as it is on the wire, in whatever frame carries it"
    ),
    Column("m_lvb", "binary", True, "", FIELDS["m_lvb"].meaning),
    Column("m_other", "binary", True, "", FIELDS["m_other"].meaning),
    Column("rc_buf", "binary", True, "", "RCOM: all bytes behind the fixed part"),
)
"""What has no fixed length; null when it is empty or was not wholly captured."""

_SCALARS = {"string": "string", "number": "int64", "boolean": "bool", "object": "string"}
_RANGE = (
    Column("first", "int64", False, "", "first number of the range"),
    Column("last", "int64", False, "", "last number of the range"),
)


def _frame_columns() -> Iterator[Column]:
    names = [key.name for key in KEYS]
    yield from (_column("frames", key) for key in KEYS[names.index("schema") + 1 : names.index("header")])
    for fields in WIRE:
        for name in fields.names:
            field = FIELDS[name]
            assert field.size is not None
            kind = f"{'int' if field.signed else 'uint'}{8 * field.size}"
            nullable = fields.part != "header" or name in ("h_lockspace", "h_seq")
            column = fields.prefix + name
            yield Column(column, kind, nullable, _UNITS.get(column, ""), field.meaning)
    yield from TAILS


def _column(path: str, key: Key) -> Column:
    """The column for a key of JSON: ``path`` is that of the object that has it."""
    below = f"{path}.{key.name}"
    kind = _SCALARS.get(key.kind.split()[0], "")
    fields: tuple[Column, ...] = ()
    if key.name in _TIMES:
        kind = "timestamp[ns]"
    elif below in OBJECTS:
        kind, fields = "struct", tuple(_column(below, inside) for inside in OBJECTS[below])
    elif f"{below}[]" in OBJECTS:
        kind, fields = "list<struct>", tuple(_column(f"{below}[]", inside) for inside in OBJECTS[f"{below}[]"])
    elif "[first, last]" in key.kind:
        kind, fields = "list<struct>", _RANGE
    elif key.kind == "array of strings":
        kind = "list<string>"
    return Column(key.name, kind, "or null" in key.kind, _UNITS.get(key.name, ""), key.meaning, fields)


TABLES: dict[str, tuple[Column, ...]] = {
    "frames": tuple(_frame_columns()),
    **{
        name: tuple(_column(f"{name}[]", key) for key in OBJECTS[f"{name}[]"])
        for name in ("connections", "streams", "reconnects", "findings")
    },
}
"""The columns of every table, in order."""


def lines() -> Iterator[str]:
    """The columns, line by line."""
    for table, columns in TABLES.items():
        yield f"\n### {table}\n"
        yield "| column | type | null | unit | what |"
        yield "|---|---|---|---|---|"
        yield from _rows("", columns)


def _rows(prefix: str, columns: tuple[Column, ...]) -> Iterator[str]:
    for column in columns:
        null = "yes" if column.nullable else ""
        yield f"| `{prefix}{column.name}` | {column.type} | {null} | {column.unit} | {column.meaning} |"
        yield from _rows(f"{prefix}{column.name}.", column.fields)


if __name__ == "__main__":
    print("\n".join(lines()))
