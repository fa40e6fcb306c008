"""What Construct read in frames, in the form in which each other reader of the declarations gives the same."""

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from scapy.packet import NoPayload, Packet, Raw

from dlmtrace.views.columns import FrameColumns
from dlmtrace.wire import columns as layouts

Rows = list[Any]
Records = npt.NDArray[Any]
Int = npt.NDArray[np.int64]

PAYLOADS = (
    ("rs_flags", layouts.STATUS_REQUEST),
    ("rf_num_slots", layouts.CONFIG),
    ("rl_lkid", layouts.LOCK),
)
"""A field that only this payload of DLM_RCOM has, and the layout of the payload."""

PAYLOAD, SLOTS, SLOT = 48, 80, 16
"""Where payload and slots begin behind the start of a DLM_RCOM frame, and the size of a slot (protocol page §3)."""

WIDE = frozenset({"rc_id", "rc_seq", "rc_seq_reply", "rs_unused2", "rf_unused2", "ro_unused2"})
"""Fields of 64 bits, which JSON has as strings."""

TAILS = ("m_name", "m_lvb", "m_other")


def fields(part: Any) -> dict[str, Any]:
    """The fields of a frame, a body or a payload; none where it stayed bytes or there is no such part."""
    return part if isinstance(part, dict) else {}


def carried(frame: Any) -> dict[str, Any]:
    """The frame in OPTS (without fields when too little of it is there), or the frame itself."""
    return fields(fields(frame["body"]).get("inner", frame))


def column_pairs(columns: FrameColumns, frames: list[Any]) -> Iterator[tuple[str, Rows, Rows]]:
    """A name, what the columns hold under it, and what Construct read: frame by frame, for everything fixed in size."""
    batch, rows = columns.batch, columns.rows
    headers = [frame["header"] for frame in frames]
    yield "header", batch.header[rows].tolist(), [_header_row(header) for header in headers]
    outer_bodies = [fields(frame["body"]) for frame in frames]
    yield from _where("options", batch.carries[rows], rows, batch.options.__getitem__, outer_bodies, "o_nextcmd")

    inner_headers = [carried(frame).get("header", {}) for frame in frames]
    inside = batch.inner_offset[rows] >= 0
    yield from _where("inner", inside, rows, batch.inner.__getitem__, inner_headers, "h_cmd", _header_row)
    bodies = [fields(carried(frame).get("body")) for frame in frames]
    yield from _where("message", batch.is_message[rows], rows, batch.message, bodies, "m_type")
    yield from _where("recovery", batch.is_recovery[rows], rows, batch.recovery, bodies, "rc_type")

    starts = (batch.frames["offset"] + batch.inner_offset)[rows].tolist()
    payloads = [(start, fields(body.get("rc_buf"))) for start, body in zip(starts, bodies, strict=True)]
    structures = [
        (layout, [(start + PAYLOAD, payload) for start, payload in payloads if field in payload])
        for field, layout in PAYLOADS
    ]
    slots = [
        (start + SLOTS + SLOT * index, slot)
        for start, payload in payloads
        for index, slot in enumerate(payload.get("slots", ()))
    ]
    for layout, found in (*structures, (layouts.SLOT, slots)):
        records = layouts.gather(batch.buffer, layout, np.array([offset for offset, _ in found], np.int64))
        yield str(layout.names), records.tolist(), _rows(layout, [container for _, container in found])

    derived = zip(*(column[rows].tolist() for column in (batch.command, batch.type, batch.sequence)), strict=True)
    read = zip(
        (header.get("h_cmd", 0) for header in inner_headers),
        (_type(carried(frame)) for frame in frames),
        (header.get("h_seq", -1) for header in headers),
        strict=True,
    )
    yield "command, type, sequence", list(derived), list(read)


def _type(frame: dict[str, Any]) -> int:
    """m_type or rc_type, 0 for a frame without; a body that is not all there stays bytes, but may begin with it."""
    body = frame.get("body", b"")
    if isinstance(body, dict):
        return int(body["m_type"] if "m_type" in body else body.get("rc_type", 0))
    return int.from_bytes(body[:4], "little") if len(body) >= 4 and frame["header"]["h_cmd"] in (1, 2) else 0


def _where(
    name: str,
    has: npt.NDArray[np.bool_],
    rows: Int,
    read: Callable[[Int], Records],
    containers: list[Any],
    field: str,
    row_of: Callable[[Any], Any] | None = None,
) -> Iterator[tuple[str, Rows, Rows]]:
    """Columns and Construct must find a structure in the same frames (known by one ``field``), and read it alike."""
    found = [field in container for container in containers]
    yield f"has {name}", has.tolist(), found
    records = read(rows[has])
    present = [container for container, here in zip(containers, found, strict=True) if here]
    yield name, records.tolist(), list(map(row_of, present)) if row_of else _rows(records.dtype, present)


def _rows(layout: np.dtype[Any], containers: list[Any]) -> Rows:
    return list(map(itemgetter(*layout.names or ()), containers))


def _header_row(header: Any) -> Any:
    return (_SEQUENCED if "h_seq" in header else _NAMED)(header)


_NAMED = itemgetter(*layouts.HEADER.names or ())
_SEQUENCED = itemgetter(*layouts.SEQUENCE_HEADER.names or ())


def json_record(frame: Any) -> dict[str, Any]:
    """The structures of a frame as its JSON line should hold them (docs/decode.md)."""
    record: dict[str, Any] = dict.fromkeys(("options", "inner", "message", "recovery", "raw", "surplus"))
    record["header"] = _json_header(frame["header"])
    body = frame["body"]
    if "o_nextcmd" in fields(body):
        record["options"] = {name: _json(name, value) for name, value in body.items() if name != "inner"}
        inner = fields(body["inner"])
        record["inner"] = _json_header(inner["header"]) if inner else None
        body = inner["body"] if inner else body["inner"]
    if isinstance(body, bytes):
        record["raw"] = _json("", body)
    elif "m_type" in body:
        record["message"] = {**body, **{tail: _json(tail, body[tail]) for tail in TAILS}}
    else:
        record["recovery"] = _json("", body)
    return record


def _json_header(header: Any) -> dict[str, Any]:
    return {"h_lockspace": None, "h_seq": None, **header}


def _json(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json(key, inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [_json("", inside) for inside in value]
    if isinstance(value, bytes):
        return value.hex() or None
    return str(int(value)) if name in WIDE else value


def is_part_of(seen: Any, whole: Any) -> bool:
    """Does the JSON of a cut frame hold what the whole frame's would, with null or a shorter list where bytes lack?"""
    if isinstance(seen, dict):
        return seen.keys() == whole.keys() and all(is_part_of(value, whole[key]) for key, value in seen.items())
    if isinstance(seen, list):
        return len(seen) <= len(whole) and all(map(is_part_of, seen, whole))
    return seen is None or bool(seen == whole)


def values_in(record: Any) -> int:
    """Numbers and bytes that a JSON value holds."""
    if isinstance(record, dict):
        return sum(map(values_in, record.values()))
    if isinstance(record, list):
        return sum(map(values_in, record))
    return record is not None


def scapy_pairs(frame: Any, packet: Packet) -> Iterator[tuple[Any, Any]]:
    """The fields of each layer as scapy dissected them, and as Construct read them."""
    body = frame["body"]
    if isinstance(body, bytes):
        yield packet.fields, {**frame["header"]}
        yield bytes(packet.payload), body
    elif "o_nextcmd" in body:
        values = {**frame["header"], **body, **body["o_opts"]}
        del values["o_opts"], values["inner"]
        yield packet.fields, values
        if isinstance(body["inner"], bytes):
            yield bytes(packet.payload), body["inner"]
        else:
            yield from scapy_pairs(body["inner"], packet.payload)
    elif "m_type" in body:
        yield packet.fields, {**frame["header"], **body}
        yield type(packet.payload), NoPayload
    else:
        values = {**frame["header"], **body}
        payload = values.pop("rc_buf")
        yield packet.fields, values
        yield from _scapy_payload(payload, packet.payload)


def _scapy_payload(payload: Any, packet: Packet) -> Iterator[tuple[Any, Any]]:
    """The payload of a DLM_RCOM; a name that is not there has no layer."""
    if isinstance(packet, (NoPayload, Raw)):
        yield bytes(packet), payload if isinstance(payload, bytes) else b"".join(payload.values())
        return
    values = {**payload}
    seen = {**packet.fields}
    for name in ("slots", "entries"):
        if name in values:
            values[name] = [{**item} for item in values[name]]
            seen[name] = [item.fields for item in seen[name]]
    yield seen, values
