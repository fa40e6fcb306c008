"""The frames of a batch as columns of Arrow, made from whole arrays, and each only when it is asked for.

A text is made by the columns of the views, once for all frames of the batch that have the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dlmtrace.capture.packets import PACKET_BITS
from dlmtrace.gather import gather
from dlmtrace.streams.nodes import UNKNOWN
from dlmtrace.tables.arrow import Arrow
from dlmtrace.tables.schema import WIRE
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.distinct import TEXT_COLUMNS, distinct
from dlmtrace.views.texts import RESOURCES
from dlmtrace.wire.columns import HEADER, MESSAGE, OPTIONS, RECOVERY
from dlmtrace.wire.enums import Command
from dlmtrace.wire.header import SEQUENCED
from dlmtrace.wire.message import NAMED, VALUED

Int = npt.NDArray[np.int64]

_NUMBER = (1 << PACKET_BITS) - 1


class _Records(NamedTuple):
    """A structure of some frames: their places, the structures, and how many bytes of each were captured."""

    places: Int
    records: npt.NDArray[Any]
    reach: Int


def record_batch(columns: FrameColumns, paths: Sequence[str], schema: Arrow, names: Sequence[str]) -> Arrow:
    """Frames as a record batch of the columns ``names`` of ``schema``; ``paths`` are the capture files of the run."""
    parts: dict[str, _Records] = {}
    arrays = [_array(name, columns, paths, parts) for name in names]
    return pa.record_batch(arrays, schema=pa.schema([schema.field(name) for name in names], schema.metadata))


def _array(name: str, columns: FrameColumns, paths: Sequence[str], parts: dict[str, _Records]) -> Arrow:
    if name in _NUMBERS:
        values, absent = _NUMBERS[name](columns)
        return pa.array(values.astype(np.int64), mask=values == absent)
    if name in TEXT_COLUMNS:
        return _text(columns, name)
    if name in _WIRE:
        part, field = _WIRE[name]
        if part not in parts:
            parts[part] = _PARTS[part](columns)
        return _field(parts[part], field, len(columns.rows))
    if name in _TAILS:
        return _bytes(columns, *_TAILS[name](columns))
    if name == "resource":
        names = _bytes(columns, *columns.name_spans()).dictionary_encode()
        texts = [RESOURCES[data] for data in names.dictionary.to_pylist()]
        return pa.array(texts, pa.string()).take(names.indices)
    if name == "time":
        return pa.array(columns.frames["time"].astype("datetime64[ns]"))
    prefix, _, kind = name.rpartition("_")
    packets = columns.frames[f"{prefix}_packet" if prefix else "packet"]
    if kind == "file":
        return pa.array(paths, pa.string()).take(pa.array(packets >> PACKET_BITS))
    return pa.array(packets & _NUMBER)


_NUMBERS: dict[str, Callable[[FrameColumns], tuple[npt.NDArray[Any], int]]] = {
    "frame": lambda columns: (columns.numbers, -1),
    "sender": lambda columns: (columns.header["h_nodeid"], -1),
    "receiver": lambda columns: (columns.receivers, UNKNOWN),
    "position": lambda columns: (columns.frames["position"], -1),
    "length": lambda columns: (columns.frames["length"], -1),
    "captured": lambda columns: (columns.frames["captured"], -1),
    "sequence": lambda columns: (columns.batch.sequence[columns.rows], -1),
}
"""Columns of numbers: the values, and which of them stands for none."""


def _text(columns: FrameColumns, name: str) -> Arrow:
    if not len(columns.rows):
        return pa.array([], pa.string())
    texts, code = distinct(columns, name)
    return pa.array([text or None for text in texts], pa.string()).take(pa.array(code))


def _message(columns: FrameColumns) -> _Records:
    places, records = columns.messages
    return _Records(places, records, columns.reach[places])


def _recovery(columns: FrameColumns) -> _Records:
    places = np.flatnonzero(columns.command == Command.RCOM)
    return _Records(places, gather(columns.batch.buffer, RECOVERY, columns.body[places]), columns.reach[places])


def _recovered_lock(columns: FrameColumns) -> _Records:
    places, records = columns.recovered_locks
    return _Records(places, records, columns.reach[places] - RECOVERY.itemsize)


def _inside(columns: FrameColumns, has: npt.NDArray[np.bool_], layout: np.dtype[Any], behind: Int | int) -> _Records:
    """A structure that begins ``behind`` bytes behind the outer header."""
    at = np.broadcast_to(HEADER.itemsize + behind, len(columns.rows))
    places = np.flatnonzero(has & (at < columns.frames["captured"]))
    records = gather(columns.batch.buffer, layout, columns.frames["offset"][places] + at[places])
    return _Records(places, records, columns.frames["captured"][places] - at[places])


def _whole(places: npt.NDArray[np.bool_], records: npt.NDArray[Any]) -> _Records:
    found = np.flatnonzero(places)
    return _Records(found, records[found], np.full(len(found), records.dtype.itemsize))


_PARTS: dict[str, Callable[[FrameColumns], _Records]] = {
    "lockspace header": lambda columns: _whole(~np.isin(columns.header["h_cmd"], tuple(SEQUENCED)), columns.header),
    "sequence header": lambda columns: _whole(np.isin(columns.header["h_cmd"], tuple(SEQUENCED)), columns.header),
    "header": lambda columns: _whole(np.ones(len(columns.rows), np.bool_), columns.header),
    "options": lambda columns: _inside(columns, columns.header["h_cmd"] == Command.OPTS, OPTIONS, 0),
    "inner": lambda columns: _inside(
        columns,
        columns.batch.carries[columns.rows],
        HEADER,
        OPTIONS.itemsize + columns.batch.options["o_optlen"][columns.rows].astype(np.int64),
    ),
    "message": _message,
    "recovery": _recovery,
    "lock": _recovered_lock,
}


def _wire_columns() -> dict[str, tuple[str, str]]:
    """For each column of a field: the part, and the field's name in its layout."""
    places = {fields.prefix + name: (fields.part, name) for fields in WIRE for name in fields.names}
    return {**places, "h_lockspace": ("lockspace header", "h_lockspace"), "h_seq": ("sequence header", "h_lockspace")}


_WIRE = _wire_columns()


def _field(part: _Records, name: str, count: int) -> Arrow:
    """A field of a structure, null in the frames that do not have it or where it was not captured."""
    kind, offset = part.records.dtype.fields[name][:2]  # type: ignore[index]
    captured = part.reach >= offset + kind.itemsize
    values, absent = np.zeros(count, kind.newbyteorder("=")), np.ones(count, np.bool_)
    values[part.places[captured]] = part.records[name][captured]
    absent[part.places[captured]] = False
    return pa.array(values, mask=absent)


def _tail(columns: FrameColumns, has: npt.NDArray[np.bool_], fixed: int) -> tuple[Int, Int]:
    """Where in the buffer the bytes behind ``fixed`` ones of a body begin and end, if all of it was captured."""
    has = has & (columns.reach == columns.body_length) & (columns.reach > fixed)
    return np.where(has, columns.body + fixed, 0), np.where(has, columns.body + columns.body_length, 0)


def _of_type(columns: FrameColumns, types: frozenset[Any]) -> npt.NDArray[np.bool_]:
    of_type: npt.NDArray[np.bool_] = np.isin(columns.type, tuple(types)) & (columns.command == Command.MSG)
    return of_type


_TAILS: dict[str, Callable[[FrameColumns], tuple[Int, Int]]] = {
    "resource_bytes": lambda columns: columns.name_spans(),
    "m_lvb": lambda columns: _tail(columns, _of_type(columns, VALUED), MESSAGE.itemsize),
    "m_other": lambda columns: _tail(
        columns, (columns.command == Command.MSG) & ~_of_type(columns, VALUED | NAMED), MESSAGE.itemsize
    ),
    "rc_buf": lambda columns: _tail(columns, columns.command == Command.RCOM, RECOVERY.itemsize),
}
"""Columns of bytes: where in the batch's buffer each begins and ends; empty ones are none."""


def _bytes(columns: FrameColumns, start: Int, stop: Int) -> Arrow:
    lengths = stop - start
    ends = np.zeros(len(start) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    data = columns.batch.buffer[np.repeat(start - ends[:-1], lengths) + np.arange(ends[-1])]
    present = np.packbits(lengths > 0, bitorder="little")
    return pa.Array.from_buffers(
        pa.binary(), len(start), [pa.py_buffer(present), pa.py_buffer(ends), pa.py_buffer(data)]
    )
