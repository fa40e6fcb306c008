"""scapy fields generated from the Construct declarations of ``wire``: names, offsets, widths and tables live there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntFlag
from io import BytesIO
from typing import Any

import construct as C
from scapy.fields import EnumField, Field, FlagsField, PacketListField, StrField, StrFixedLenField
from scapy.packet import Packet

from dlmtrace.wire import fields as wire
from dlmtrace.wire.names import escape, resource_text

Count = Callable[[Any], int]
"""A number that a packet's other fields give: a length, a count, the kind of what follows."""


class NumberField(Field):  # type: ignore[misc]
    """An integer, shown as ``wire`` shows it; None is filled in on build."""

    __slots__ = ["field", "fill"]

    def __init__(self, field: wire.Field, default: int | None, fill: Count | None) -> None:
        super().__init__(field.name, default, wire.integer_format(field.declaration))
        self.field = field
        self.fill = fill

    def i2m(self, pkt: Packet, x: int | None) -> int:
        if x is None:
            return self.fill(pkt) if self.fill else 0
        return x

    def i2repr(self, pkt: Packet, x: int | None) -> str:
        return "None" if x is None else self.field.text(x)


class NamedField(EnumField):  # type: ignore[misc]
    """An integer with names; None is filled in on build."""

    __slots__ = ["fill"]

    def __init__(self, field: wire.Field, default: int | None, fill: Count | None) -> None:
        super().__init__(field.name, default, field.values, wire.integer_format(field.declaration))
        self.fill = fill

    def i2m(self, pkt: Packet, x: int | None) -> int:
        if x is None:
            return self.fill(pkt) if self.fill else 0
        return x


def _name_repr(value: bytes) -> str:
    """The bytes, and behind them what a GFS2 name means."""
    text = resource_text(value)
    return repr(value) if text == escape(value) else f"{value!r} ({text})"


class FixedBytesField(StrFixedLenField):  # type: ignore[misc]
    """Bytes of fixed size; zeros behind a shorter value."""

    def __init__(self, field: wire.Field) -> None:
        super().__init__(field.name, b"", field.size)

    def i2repr(self, pkt: Packet, x: bytes) -> str:
        return _name_repr(x.rstrip(b"\0"))


class TailField(StrField):  # type: ignore[misc]
    """Bytes whose number the declaration knows from the fields before; at most what is left of the frame."""

    __slots__ = ["declaration", "limit"]

    def __init__(self, field: wire.Field, limit: Count | None) -> None:
        super().__init__(field.name, b"")
        self.declaration = field.declaration
        self.limit = limit

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, bytes]:
        stream = BytesIO(s[: self.limit(pkt)] if self.limit else s)
        value: bytes = self.declaration.parse_stream(stream, **pkt.fields)
        return s[stream.tell() :], value

    def i2repr(self, pkt: Packet, x: bytes) -> str:
        return _name_repr(x)


class BitsField(FlagsField):  # type: ignore[misc]
    """Named bits, built as the plain number: scapy's own value makes an object at each step."""

    def i2m(self, pkt: Packet, x: Any) -> int:
        return int(super().i2m(pkt, x))


class StructuresField(PacketListField):  # type: ignore[misc]
    """Structures one behind the other, as many as the declaration of the list reads; none when they do not fit."""

    __slots__ = ["declaration", "item", "limit"]

    def __init__(self, field: wire.Field, item: Any, packet: type[Packet], limit: Count | None) -> None:
        super().__init__(field.name, [], packet)
        self.declaration = field.declaration
        self.item = item
        self.limit = limit

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, list[Packet]]:
        stream = BytesIO(s[: self.limit(pkt)] if self.limit else s)
        try:
            items = self.declaration.parse_stream(stream, **pkt.fields)
        except C.ConstructError:
            return s, []
        return s[stream.tell() :], [self.cls(self.item.build(item), _parent=pkt) for item in items]


def scapy_fields(
    declaration: Any,
    defaults: Mapping[str, Any] | None = None,
    *,
    fills: Mapping[str, Count] | None = None,
    lists: Mapping[str, tuple[Any, type[Packet]]] | None = None,
    limits: Mapping[str, Count] | None = None,
) -> list[Any]:
    """``fields_desc`` of a Construct Struct.

    ``defaults``: other defaults than 0 and b"".  ``fills``: fields that are None by default, and their value on build.
    ``lists``: for each list in the Struct, the declaration and the packet class of its items.  ``limits``: bytes that
    a list or tail may take at most where other data follows in the frame.
    """
    defaults, fills, lists, limits = defaults or {}, fills or {}, lists or {}, limits or {}
    description: list[Any] = []
    for field in wire.fields_of(declaration):
        if field.name in lists:
            description.append(StructuresField(field, *lists[field.name], limits.get(field.name)))
        elif field.size is None:
            description.append(TailField(field, limits.get(field.name)))
        elif not field.integer:
            description.append(FixedBytesField(field))
        else:
            fill = fills.get(field.name)
            description.append(_integer(field, defaults.get(field.name, None if fill else 0), fill))
    return description


def _integer(field: wire.Field, default: int | None, fill: Count | None) -> Any:
    if field.values is None:
        return NumberField(field, default, fill)
    if issubclass(field.values, IntFlag):
        bits = 8 * (field.size or 0)
        little = bits > 8 and not field.big_endian
        # a negative number of bits is scapy's way to say little-endian
        return BitsField(
            field.name, default, -bits if little else bits, {flag.value: flag.name for flag in field.values}
        )
    return NamedField(field, default, fill)
