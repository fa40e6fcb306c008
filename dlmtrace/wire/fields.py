"""Pieces from which the wire structures are declared, and the list of fields that other readers draw on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from io import BytesIO
from typing import Any

import construct as C


class Number(C.Subconstruct):  # type: ignore[misc]
    """An integer that people read in its own way: parsed and built as ``subcon`` does, shown by ``text``."""

    def text(self, value: int) -> str:
        raise NotImplementedError


class Enumerated(Number):
    """A number with names: parses to a member of ``values``, or to the plain number when it has no name."""

    def __init__(self, subcon: Any, values: type[IntEnum]) -> None:
        super().__init__(subcon)
        self.values = values
        self._members = values._value2member_map_

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        value = self.subcon._parsereport(stream, context, path)
        return self._members.get(value, value)

    def text(self, value: int) -> str:
        member = self._members.get(value)
        return str(value) if member is None else member.name


class Flags(Number):
    """A bit mask with names.

    Parses to the plain number: construct's FlagsEnum would lose bits without a name, and IntFlag remembers every
    combination that it ever saw, so that memory would grow with what a peer sends.
    """

    def __init__(self, subcon: Any, values: type[IntFlag]) -> None:
        super().__init__(subcon)
        self.values = values

    def text(self, value: int) -> str:
        """Names joined by ``|``, bits without a name as one hexadecimal number, ``0`` for none."""
        bits = value & ((1 << 8 * self.sizeof()) - 1)
        names = [flag.name or "" for flag in self.values if bits & flag.value]
        rest = bits & ~sum(flag.value for flag in self.values)
        return "|".join(names + [hex(rest)] * bool(rest)) or "0"


class Version(Number):
    """h_version: major number in the high half, minor in the low half."""

    def text(self, value: int) -> str:
        return f"{value >> 16}.{value & 0xFFFF}"


class Hexadecimal(Number):
    """A number that people write in hexadecimal: lock ids, hashes, addresses."""

    def text(self, value: int) -> str:
        return hex(value)


class Bounded(C.Subconstruct):  # type: ignore[misc]
    """``subcon`` on the next ``length(context)`` bytes, or on what is left of them when the data ends before.

    What ``subcon`` cannot read stays the bytes that it is, and bytes are built as they are: so nothing that a peer
    sends is refused or changed.
    """

    def __init__(self, length: Callable[[Any], int], subcon: Any) -> None:
        super().__init__(subcon)
        self.length = length

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        data = stream.read(max(self.length(context), 0))
        try:
            return self.subcon._parsereport(BytesIO(data), context, path)
        except C.ConstructError:
            return data

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        if isinstance(obj, bytes):
            stream.write(obj)
            return obj
        return self.subcon._build(obj, stream, context, path)

    def _sizeof(self, context: Any, path: str) -> int:
        raise C.SizeofError(path=path)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a wire structure.

    ``offset`` and ``size`` are bytes from the start of the structure; None where they depend on the data (a tail).
    ``integer`` is false for raw bytes and for nested structures; ``signed`` and ``big_endian`` speak of integers only.
    ``values`` is the table of names (IntEnum: one value, IntFlag: bits), ``meaning`` the text for documentation.
    """

    name: str
    offset: int | None
    size: int | None
    integer: bool
    signed: bool
    big_endian: bool
    values: type[IntEnum] | type[IntFlag] | None
    meaning: str
    declaration: Any

    def text(self, value: int) -> str:
        """The integer ``value`` as people read it: a name, names of flags, hexadecimal, or the number."""
        number = _unwrap(self.declaration)
        return number.text(value) if isinstance(number, Number) else str(value)


def _unwrap(declaration: Any) -> Any:
    """The construct behind its name and documentation."""
    while isinstance(declaration, C.Renamed):
        declaration = declaration.subcon
    return declaration


def integer_format(declaration: Any) -> str | None:
    """Format of an integer in the letters of ``struct`` ("<L", ">H", …; standard sizes), None for anything else."""
    while isinstance(declaration, (C.Renamed, Number)):
        declaration = declaration.subcon
    return declaration.fmtstr if isinstance(declaration, C.FormatField) else None


def fields_of(struct: Any) -> Iterator[Field]:
    """Fields of a Struct in wire order, those of variable size included."""
    offset: int | None = 0
    for declaration in struct.subcons:
        try:
            size = declaration.sizeof()
        except (C.SizeofError, AttributeError):  # AttributeError: the size asks for a value that was not parsed
            size = None
        inside = _unwrap(declaration)
        letters = integer_format(declaration)
        yield Field(
            name=declaration.name,
            offset=offset,
            size=size,
            integer=letters is not None,
            signed=letters is not None and letters[1].islower(),
            big_endian=letters is not None and letters[0] == ">",
            values=inside.values if isinstance(inside, (Enumerated, Flags)) else None,
            meaning=declaration.docs,
            declaration=declaration,
        )
        offset = None if offset is None or size is None else offset + size
