"""Prints docs/formats.md from the declarations: ``python -m dlmtrace.wire.document > docs/formats.md``."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import Any

import construct as C

from dlmtrace.wire import enums
from dlmtrace.wire.fields import Bounded, Field, fields_of
from dlmtrace.wire.header import Header
from dlmtrace.wire.structures import STRUCTURES

INTRODUCTION = """\
# Formats on the wire

Printed from the declarations in `dlmtrace/wire/` by `python -m dlmtrace.wire.document`; do not edit.
Offsets and sizes are bytes, from the start of the structure; empty where they depend on the data.  Integers are
little-endian unless they say `be`.  `§` points into the [protocol page](protocol.md).
"""


def lines() -> Iterator[str]:
    """The page, line by line."""
    yield INTRODUCTION
    for structure in STRUCTURES:
        yield f"## {structure.title} (§{structure.section})\n"
        yield from _table(structure.declaration)
        yield ""
    yield "## Names of values\n"
    for name, values in vars(enums).items():
        if isinstance(values, type) and issubclass(values, (IntEnum, IntFlag)) and values.__module__ == enums.__name__:
            yield f"### {name}\n"
            yield f"{_first_sentence(values)}\n"
            yield from _names(values)
            yield ""


def _table(declaration: Any) -> Iterator[str]:
    yield "| offset | size | field | type | meaning |"
    yield "|---:|---:|---|---|---|"
    for field in fields_of(declaration):
        offset = "" if field.offset is None else field.offset
        size = "" if field.size is None else field.size
        yield f"| {offset} | {size} | `{field.name}` | {_type(field)} | {field.meaning} |"


def _type(field: Field) -> str:
    if field.size is None or not field.integer:
        return _shape(field.declaration)
    text = f"{'s' if field.signed else 'u'}{8 * field.size}{' be' if field.big_endian else ''}"
    return text if field.values is None else f"{text} [{field.values.__name__}](#{field.values.__name__.lower()})"


def _shape(declaration: Any) -> str:
    while isinstance(declaration, C.Renamed):
        declaration = declaration.subcon
    if isinstance(declaration, (Bounded, Header)):
        return "structure"
    return "list" if isinstance(declaration, (C.Array, C.GreedyRange, C.Select)) else "bytes"


def _first_sentence(values: type) -> str:
    return (values.__doc__ or "").split("\n")[0]


def _names(values: type[IntEnum] | type[IntFlag]) -> Iterator[str]:
    yield "| value | name |"
    yield "|---:|---|"
    for member in values:
        yield f"| {hex(member) if issubclass(values, IntFlag) else int(member)} | {member.name} |"


if __name__ == "__main__":
    print("\n".join(lines()).rstrip())
