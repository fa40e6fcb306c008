"""Frames as JSON lines: every field of every frame, schema ``dlmtrace.frame/1`` (docs/decode.md).

Whole frames of the common kinds, nearly all of a capture, become text column by column; every other frame goes through
the Construct declarations.  Both give the same line for the same frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PACKET_BITS
from dlmtrace.framing.frames import WHOLE
from dlmtrace.gather import gather
from dlmtrace.streams.nodes import UNKNOWN
from dlmtrace.transport.connections import Connection
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.distinct import distinct, distinct_by, ends
from dlmtrace.views.frame_fields import HEADER_KEYS, frame_fields
from dlmtrace.views.json_lines import Characters, JsonLines, text
from dlmtrace.views.resource_column import resources
from dlmtrace.wire.columns import HEADER, LOCK, MESSAGE, OPTIONS, RECOVERY, STATUS_REQUEST
from dlmtrace.wire.enums import Command, RecoveryType
from dlmtrace.wire.message import NAMED, VALUED

SCHEMA = "dlmtrace.frame/1"

Int = npt.NDArray[np.int64]


class _Payload(NamedTuple):
    """What stands behind the fixed part of an RCOM: a record, then a tail; no tail: bytes without a structure."""

    fixed: np.dtype[Any] | None
    tail: str | None


_PAYLOADS = {
    RecoveryType.STATUS: _Payload(STATUS_REQUEST, "rest"),
    RecoveryType.NAMES: _Payload(None, "last_name"),
    RecoveryType.LOOKUP: _Payload(None, "lookup_name"),
    RecoveryType.LOCK: _Payload(LOCK, "rl_lvb"),
    RecoveryType.LOOKUP_REPLY: _Payload(None, None),
    RecoveryType.LOCK_REPLY: _Payload(LOCK, "rl_lvb"),
}
"""Those that come in numbers when a lockspace recovers; the others hold lists."""

_LONGEST = 512
"""Bytes of a frame of a common kind; a longer one would widen the column of all."""

_TAILS = ("m_name", "m_lvb", "m_other")
"""What the bytes behind the fixed part of a message are."""
_encode = json.JSONEncoder(separators=(",", ":")).encode


def _ends(columns: FrameColumns) -> list[str]:
    """Keys of a frame's connection, its direction and its sender with their values, as JSON that ends with a comma."""

    def ends(connection: Connection, side: int, sender: int) -> str:
        receiver = columns.naming.nodes.node_at(connection, 1 - side)
        values = {
            "connection": connection.name,
            "transport": connection.transport,
            "source": str(connection.endpoint(side)),
            "destination": str(connection.endpoint(1 - side)),
            "sender": sender,
            "receiver": None if receiver == UNKNOWN else receiver,
        }
        return _encode(values)[1:-1] + ","

    return columns.by_sender(ends)


class FrameLines:
    """Makes the lines of a run over the capture files ``paths``."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = [_encode(path) for path in paths]

    def text(self, columns: FrameColumns) -> str:
        """One line per frame of ``columns``, each with its line feed."""
        if not len(columns.rows):
            return ""
        summaries = self._summaries(columns)
        parts = _structures_by_shape(columns)
        start = summaries.shape[1]
        lines = np.zeros((len(summaries), start + max((part.shape[1] for _, part in parts), default=0)), np.uint8)
        lines[:, :start] = summaries
        left = np.ones(len(lines), bool)
        for places, part in parts:
            lines[places, start : start + part.shape[1]] = part
            left[places] = False
        texts: list[str] = []
        end = 0
        for place in np.flatnonzero(left).tolist():
            fields = frame_fields(columns.bytes_of(place), int(columns.frames["length"][place]))
            texts += text(lines[end : place + 1]), _encode(fields)[1:], "\n"
            end = place + 1
        return "".join([*texts, text(lines[end:])])

    def _summaries(self, columns: FrameColumns) -> Characters:
        """The first part of each line: where the frame was, and the columns that the frame list has too."""
        frames = columns.frames
        lines = JsonLines(len(frames))
        lines.literal(f'{{"schema":"{SCHEMA}",')
        lines.integers("frame", columns.numbers)
        for prefix in ("", "first_", "last_"):
            identities = frames[f"{prefix}packet"]
            lines.choices(f"{prefix}file", self._paths, identities >> PACKET_BITS)
            lines.integers(f"{prefix}packet", identities & ((1 << PACKET_BITS) - 1))
        lines.moments("time", frames["time"])
        lines.pieces(*distinct_by(columns, ends(columns), _ends))
        for key in ("position", "length", "captured"):
            lines.integers(key, frames[key])
        _texts(lines, columns, "state")
        lines.integers("sequence", columns.batch.sequence[columns.rows], absent=-1)
        for key in ("version", "command", "type", "lockspace"):
            _texts(lines, columns, key)
        lines.column("resource", resources(columns.batch.buffer, *columns.name_spans()))
        for key in ("granted_mode", "requested_mode", "blocking_mode", "result", "flags"):
            _texts(lines, columns, key)
        return lines.characters()


def _texts(lines: JsonLines, columns: FrameColumns, key: str) -> None:
    """A text column; an empty text is null."""
    texts, code = distinct(columns, key)
    lines.choices(key, [_encode(text or None) for text in texts], code)


def _structures_by_shape(columns: FrameColumns) -> list[tuple[Int, Characters]]:
    """The second part of the lines of frames of a common kind: their structures, up to the line feed."""
    parts = []
    for carried in (False, True):
        plain = _plain(columns, carried)
        alone = plain & (columns.reach == 0) & (columns.command == (Command.FIN if carried else Command.ACK))
        shapes = [(alone, _fill_nothing)]
        message = plain & columns.batch.is_message[columns.rows]
        named, valued = (message & np.isin(columns.type, tuple(types)) for types in (NAMED, VALUED))
        for key, frames in zip(_TAILS, (named, valued, message & ~named & ~valued), strict=True):
            shapes.append((frames, partial(_fill_message, key)))
        recovery = plain & columns.batch.is_recovery[columns.rows]
        for number, payload in _PAYLOADS.items():
            size = 0 if payload.fixed is None else payload.fixed.itemsize
            of_type = recovery & (columns.type == number) & (columns.reach >= RECOVERY.itemsize + size)
            shapes.append((of_type, partial(_fill_recovery, payload)))
        for frames, fill in shapes:
            places = np.flatnonzero(frames)
            if len(places):
                parts.append((places, _structures(columns, places, carried, fill)))
    return parts


def _plain(columns: FrameColumns, carried: bool) -> npt.NDArray[np.bool_]:
    """Whole frames whose declared lengths all agree, none of them long: bare ones, or OPTS without options."""
    inside = HEADER.itemsize + OPTIONS.itemsize if carried else 0
    length = columns.frames["length"]
    plain: npt.NDArray[np.bool_] = columns.frames["state"] == WHOLE
    plain &= length <= _LONGEST
    plain &= (columns.header["h_cmd"] == Command.OPTS) == carried
    plain &= columns.inner_offset == inside
    plain &= columns.reach + HEADER.itemsize + inside == length
    plain &= columns.batch.inner["h_length"][columns.rows] == length - inside
    return plain


def _structures(
    columns: FrameColumns, places: Int, carried: bool, fill: Callable[[JsonLines, FrameColumns, Int], None]
) -> Characters:
    """The structures of frames of one shape; ``fill`` writes the message and the recovery."""
    lines = JsonLines(len(places))
    sequenced = carried or columns.command[places[0]] == Command.ACK
    _header(lines, "header", columns.header[places], sequenced)
    if carried:
        rows = columns.rows[places]
        lines.literal('"options":{')
        lines.record(columns.batch.options[rows])
        lines.literal('"o_opts":{"options":[],"unread":null}},')
        _header(lines, "inner", columns.batch.inner[rows], False)
    else:
        lines.literal('"options":null,"inner":null,')
    fill(lines, columns, places)
    lines.literal('"raw":null,"surplus":null}\n')
    return lines.characters()


def _header(lines: JsonLines, key: str, records: npt.NDArray[Any], sequenced: bool) -> None:
    """Headers (dtype HEADER); ``sequenced`` says which reading their second word has."""
    lines.literal(f'"{key}":{{')
    for field in HEADER_KEYS:
        if field == ("h_lockspace" if sequenced else "h_seq"):
            lines.literal(f'"{field}":null,')
        else:
            lines.integers(field, records["h_lockspace" if field == "h_seq" else field])
    lines.close()


def _fill_nothing(lines: JsonLines, columns: FrameColumns, places: Int) -> None:
    lines.literal('"message":null,"recovery":null,')


def _fill_message(tail: str, lines: JsonLines, columns: FrameColumns, places: Int) -> None:
    lines.literal('"message":{')
    lines.record(gather(columns.batch.buffer, MESSAGE, columns.body[places]))
    for key in _TAILS:
        if key == tail:
            _tail(lines, key, columns, places, MESSAGE.itemsize)
        else:
            lines.literal(f'"{key}":null,')
    lines.close()
    lines.literal('"recovery":null,')


def _fill_recovery(payload: _Payload, lines: JsonLines, columns: FrameColumns, places: Int) -> None:
    lines.literal('"message":null,"recovery":{')
    lines.record(gather(columns.batch.buffer, RECOVERY, columns.body[places]))
    skip = RECOVERY.itemsize
    if payload.tail is None:
        _tail(lines, "rc_buf", columns, places, skip)
        lines.close()
        return
    lines.literal('"rc_buf":{')
    if payload.fixed is not None:
        records = gather(columns.batch.buffer, payload.fixed, columns.body[places] + skip)
        lines.record(records)
        skip += payload.fixed.itemsize
    _tail(lines, payload.tail, columns, places, skip)
    lines.close()
    lines.close()


def _tail(lines: JsonLines, key: str, columns: FrameColumns, places: Int, skip: int) -> None:
    """The bodies of whole frames behind their first ``skip`` bytes."""
    body = columns.body[places]
    lines.hexadecimal(key, columns.batch.buffer, body + skip, body + columns.body_length[places])
