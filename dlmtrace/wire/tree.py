"""A parsed frame as a tree of named byte ranges, for people and for tools that colour a hex dump."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlmtrace.wire.names import resource_text
from dlmtrace.wire.recovery import result_text
from dlmtrace.wire.structures import FIELDS

RESOURCE_NAMES = frozenset({"m_name", "n_name", "last_name", "lookup_name"})
"""Fields whose bytes are a resource name."""


@dataclass(frozen=True, slots=True)
class Part:
    """One node of the tree.

    ``offset`` and ``size`` are bytes, from the start of the frame; ``depth`` is 0 for header, body and surplus.
    ``value`` is the number or the bytes, None for a structure or a list, whose parts follow with a greater depth.
    ``text`` is the value as people read it (safe to print), ``meaning`` what the field says.
    """

    depth: int
    name: str
    offset: int
    size: int
    value: int | bytes | None
    text: str
    meaning: str


def parts(frame: Any) -> Iterator[Part]:
    """The parts of a container from ``wire.frame.parse``, parents before children, in wire order.

    Parts without bytes are left out; those with a value cover the frame without gap or overlap.
    """
    offset = 0
    for name, value in frame.items():
        yield from _parts(name, value, offset, 0, frame)
        offset += _size(name, value)


def _parts(name: str, value: Any, offset: int, depth: int, owner: Any) -> Iterator[Part]:
    size = _size(name, value)
    if not size:
        return
    meaning = FIELDS[name].meaning if name in FIELDS else ""
    if not isinstance(value, (dict, list)):
        yield Part(depth, name, offset, size, value, _text(name, value, owner), meaning)
        return
    yield Part(depth, name, offset, size, None, "", meaning)
    children = value.items() if isinstance(value, dict) else ((f"{name}[{i}]", item) for i, item in enumerate(value))
    for child, inside in children:
        yield from _parts(child, inside, offset, depth + 1, value)
        offset += _size(child, inside)


def _size(name: str, value: Any) -> int:
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(_size(child, inside) for child, inside in value.items())
    if isinstance(value, list):
        return sum(_size("", item) for item in value)
    size = FIELDS[name].size
    assert size is not None, f"{name} is a number of unknown width"
    return size


def _text(name: str, value: int | bytes, owner: Any) -> str:
    if not isinstance(value, bytes):
        return result_text(owner.rc_type, value) if name == "rc_result" else FIELDS[name].text(value)
    if name == "rl_name":
        return resource_text(value[: owner.rl_namelen])
    if name in RESOURCE_NAMES:
        return resource_text(value)
    return value.hex() if any(value) else f"{len(value)} zero bytes"
