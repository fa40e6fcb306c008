"""All fields of one frame as nested values for JSON, read by the Construct declarations: exact, not fast."""

from __future__ import annotations

from typing import Any

from dlmtrace.wire.frame import parse
from dlmtrace.wire.structures import FIELDS

HEADER_KEYS = ("h_version", "h_lockspace", "h_seq", "h_nodeid", "h_length", "h_cmd", "h_pad")
"""Keys of a header in JSON: both readings of its second word, one of them null."""


def frame_fields(data: bytes, length: int) -> dict[str, Any]:
    """The structures of a frame of ``length`` bytes, of which ``data`` was captured.

    Keys: header, options, inner, message, recovery, raw, surplus, each None when the frame has no such part.  Fields
    have their kernel names; numbers of 64 bits are strings, bytes are hexadecimal, and what is empty or was not wholly
    captured is None.
    """
    frame = parse(data + bytes(length - len(data)))
    size, fields = _values("", frame, 0, len(data))
    assert size == length, "the declarations cover a frame without gap"
    body = fields["body"]
    result: dict[str, Any] = dict.fromkeys(("header", "options", "inner", "message", "recovery", "raw", "surplus"))
    result["header"] = _header(fields["header"])
    if isinstance(body, dict) and "o_nextcmd" in body:
        inner = body.pop("inner")
        result["options"] = body
        if isinstance(inner, dict):
            result["inner"] = _header(inner["header"])
            result["surplus"] = inner["surplus"]
            body = inner["body"]
        else:
            body = inner
    if isinstance(body, dict):
        result["message" if "m_type" in body else "recovery"] = body
    else:
        result["raw"] = body
    return result


def _header(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if fields is None else {key: fields.get(key) for key in HEADER_KEYS}


def _values(name: str, value: Any, offset: int, captured: int) -> tuple[int, Any]:
    """Size of a part that begins at ``offset`` of the frame, and the part as a value for JSON."""
    if isinstance(value, dict):
        size, fields = 0, {}
        for key, inside in value.items():
            inner_size, fields[key] = _values(key, inside, offset + size, captured)
            size += inner_size
        return size, fields if offset < captured or not size else None
    if isinstance(value, list):
        size, items = 0, []
        for inside in value:
            inner_size, item = _values(name, inside, offset + size, captured)
            size += inner_size
            if item is not None:
                items.append(item)
        return size, items
    if isinstance(value, bytes):
        return len(value), value.hex() if value and offset + len(value) <= captured else None
    width = FIELDS[name].size
    assert width is not None, f"{name} is a number of unknown width"
    if offset + width > captured:
        return width, None
    return width, str(int(value)) if width == 8 else int(value)
