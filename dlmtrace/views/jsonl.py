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
from dlmtrace.views.frame_fields import HEADER_KEYS, frame_fields
from dlmtrace.views.naming import Naming
from dlmtrace.views.texts import COMMANDS, MODE, TYPES, VERSIONS, Texts
from dlmtrace.views.times import Clock, TimeFormat
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

_encode = json.JSONEncoder(separators=(",", ":")).encode
_QUOTED: Texts[str] = Texts(json.encoder.encode_basestring_ascii)  # what _encode does with a text, without its detour


def _or_null(texts: list[str]) -> list[str]:
    return [_QUOTED[text] if text else "null" for text in texts]


def _piece(**values: str | int | None) -> str:
    """Keys with their values, as JSON that ends with a comma; an empty text is null."""
    return "".join(f'"{key}":{_encode(None if value == "" else value)},' for key, value in values.items())


def _kind(kind: tuple[int, int, int, int]) -> str:
    version, outer, carried, number = kind
    return _piece(version=VERSIONS[version], command=COMMANDS[outer, carried], type=TYPES[carried, number])


def _modes(modes: tuple[int, int, int]) -> str:
    granted, requested, blocking = (MODE[mode] for mode in modes)
    return _piece(granted_mode=granted, requested_mode=requested, blocking_mode=blocking)


def _ends(naming: Naming, connection: Connection, side: int, sender: int) -> str:
    receiver = naming.nodes.node_at(connection, 1 - side)
    return _piece(
        connection=connection.name,
        transport=connection.transport,
        source=str(connection.endpoint(side)),
        destination=str(connection.endpoint(1 - side)),
        sender=sender,
        receiver=None if receiver == UNKNOWN else receiver,
    )


_KINDS: Texts[tuple[int, int, int, int]] = Texts(_kind)
_MODES: Texts[tuple[int, int, int]] = Texts(_modes)


class FrameLines:
    """Makes the lines of a run over the capture files ``paths``."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._clock = Clock(TimeFormat.UTC, digits=9)
        self._paths = [_encode(path) for path in paths]

    def text(self, columns: FrameColumns) -> str:
        """One line per frame of ``columns``, each with its line feed."""
        if not len(columns.rows):
            return ""
        lines = [f"{place}{fields}\n" for place, fields in zip(self._summaries(columns), _fields(columns), strict=True)]
        return "".join(lines)

    def _summaries(self, columns: FrameColumns) -> list[str]:
        """The first part of each line: where the frame was, and the columns that the frame list has too."""
        frames = columns.frames
        template = _Template(len(frames))
        template.literal(f'{{"schema":"{SCHEMA}",')
        template.integers("frame", columns.numbers)
        for prefix in ("", "first_", "last_"):
            identities = frames[f"{prefix}packet"]
            template.texts(f"{prefix}file", [self._paths[file] for file in (identities >> PACKET_BITS).tolist()])
            template.integers(f"{prefix}packet", identities & ((1 << PACKET_BITS) - 1))
        template.texts("time", [f'"{time}"' for time in self._clock.texts(frames["time"].tolist())])
        template.pieces(columns.by_sender(partial(_ends, columns.naming)))
        for key in ("position", "length", "captured"):
            template.integers(key, frames[key])
        template.texts("state", _or_null(columns.states))
        template.texts("sequence", [text or "null" for text in columns.sequences])
        header = columns.header
        kinds = (header["h_version"], header["h_cmd"], columns.command, columns.type)
        template.pieces([_KINDS[kind] for kind in zip(*(numbers.tolist() for numbers in kinds), strict=True)])
        template.texts("lockspace", _or_null(columns.lockspaces))
        template.texts("resource", _or_null(columns.resources))
        template.pieces([_MODES[modes] for modes in columns.mode_numbers])
        template.texts("result", _or_null(columns.results))
        template.texts("flags", _or_null(columns.flags))
        return template.lines()


def _fields(columns: FrameColumns) -> list[str]:
    """The second part of each line: the structures of the frame, up to the closing brace."""
    texts = [""] * len(columns.rows)
    left = np.ones(len(columns.rows), bool)
    for carried in (False, True):
        plain = _plain(columns, carried)
        alone = plain & (columns.reach == 0) & (columns.command == (Command.FIN if carried else Command.ACK))
        groups = [(plain & columns.batch.is_message[columns.rows], _fill_message), (alone, _fill_nothing)]
        recovery = plain & columns.batch.is_recovery[columns.rows]
        for number, payload in _PAYLOADS.items():
            size = 0 if payload.fixed is None else payload.fixed.itemsize
            of_type = recovery & (columns.type == number) & (columns.reach >= RECOVERY.itemsize + size)
            groups.append((of_type, partial(_fill_recovery, payload)))
        for places, fill in groups:
            left &= ~places
            group = np.flatnonzero(places)
            for place, text in zip(group.tolist(), _structures(columns, group, carried, fill), strict=True):
                texts[place] = text
    for place in np.flatnonzero(left).tolist():
        texts[place] = _encode(frame_fields(columns.bytes_of(place), int(columns.frames["length"][place])))[1:]
    return texts


def _plain(columns: FrameColumns, carried: bool) -> npt.NDArray[np.bool_]:
    """Whole frames whose declared lengths all agree: bare ones, or OPTS without options."""
    inside = HEADER.itemsize + OPTIONS.itemsize if carried else 0
    length = columns.frames["length"]
    plain: npt.NDArray[np.bool_] = columns.frames["state"] == WHOLE
    plain &= (columns.header["h_cmd"] == Command.OPTS) == carried
    plain &= columns.inner_offset == inside
    plain &= columns.reach + HEADER.itemsize + inside == length
    plain &= columns.batch.inner["h_length"][columns.rows] == length - inside
    return plain


def _structures(
    columns: FrameColumns, places: Int, carried: bool, fill: Callable[[_Template, FrameColumns, Int], None]
) -> list[str]:
    """Text of the structures of frames of one shape; ``fill`` writes the message and the recovery."""
    if not len(places):
        return []
    template = _Template(len(places))
    sequenced = carried or columns.command[places[0]] == Command.ACK
    template.header("header", columns.header[places], sequenced)
    if carried:
        rows = columns.rows[places]
        template.literal('"options":{')
        template.record(columns.batch.options[rows])
        template.literal('"o_opts":{"options":[],"unread":null}},')
        template.header("inner", columns.batch.inner[rows], False)
    else:
        template.literal('"options":null,"inner":null,')
    fill(template, columns, places)
    template.literal('"raw":null,"surplus":null}')
    return template.lines()


def _fill_nothing(template: _Template, columns: FrameColumns, places: Int) -> None:
    template.literal('"message":null,"recovery":null,')


def _fill_message(template: _Template, columns: FrameColumns, places: Int) -> None:
    template.literal('"message":{')
    template.record(gather(columns.batch.buffer, MESSAGE, columns.body[places]))
    tails = columns.hexadecimal(places, MESSAGE.itemsize)
    named, valued = (np.isin(columns.type[places], tuple(types)).tolist() for types in (NAMED, VALUED))
    kinds = [0 if name else 1 if value else 2 for name, value in zip(named, valued, strict=True)]
    for number, key in enumerate(("m_name", "m_lvb", "m_other")):
        template.texts(key, [tail if kind == number else "null" for tail, kind in zip(tails, kinds, strict=True)])
    template.close()
    template.literal('"recovery":null,')


def _fill_recovery(payload: _Payload, template: _Template, columns: FrameColumns, places: Int) -> None:
    template.literal('"message":null,"recovery":{')
    template.record(gather(columns.batch.buffer, RECOVERY, columns.body[places]))
    skip = RECOVERY.itemsize
    if payload.tail is None:
        template.texts("rc_buf", columns.hexadecimal(places, skip))
        template.close()
        return
    template.literal('"rc_buf":{')
    if payload.fixed is not None:
        records = gather(columns.batch.buffer, payload.fixed, columns.body[places] + skip)
        template.record(records)
        skip += payload.fixed.itemsize
    template.texts(payload.tail, columns.hexadecimal(places, skip))
    template.close()
    template.close()


class _Template:
    """A template for the text of frames of one shape, and the columns that fill it.

    A column that is the same in all of them goes into the template: most fields of a batch are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pieces: list[str] = []
        self._columns: list[list[Any]] = []

    def literal(self, text: str) -> None:
        """Text that every line has."""
        self._pieces.append(text.replace("%", "%%"))

    def texts(self, key: str, values: list[str]) -> None:
        """A key whose values are JSON already."""
        if values.count(values[0]) == len(values):
            self.literal(f'"{key}":{values[0]},')
        else:
            self._pieces.append(f'"{key}":%s,')
            self._columns.append(values)

    def pieces(self, values: list[str]) -> None:
        """Several keys with their values, as JSON that ends with a comma."""
        self._pieces.append("%s")
        self._columns.append(values)

    def integers(self, key: str, values: npt.NDArray[Any]) -> None:
        """A key with numbers; unsigned ones of 64 bits as strings, because many readers of JSON round beyond 2^53."""
        form = f'"{key}":"%d",' if values.dtype == np.uint64 else f'"{key}":%d,'
        if (values == values[0]).all():
            self._pieces.append(form % int(values[0]))
        else:
            self._pieces.append(form)
            self._columns.append(values.tolist())

    def record(self, records: npt.NDArray[Any]) -> None:
        """The fields of structured records, under their own names."""
        for field in records.dtype.names or ():
            if records.dtype[field].kind == "V":
                self.texts(field, [f'"{data.tobytes().hex()}"' for data in records[field]])
            else:
                self.integers(field, records[field])

    def header(self, key: str, records: npt.NDArray[Any], sequenced: bool) -> None:
        """An object with headers (dtype HEADER); ``sequenced`` says which reading their second word has."""
        self.literal(f'"{key}":{{')
        for field in HEADER_KEYS:
            if field == ("h_lockspace" if sequenced else "h_seq"):
                self.literal(f'"{field}":null,')
            else:
                self.integers(field, records["h_lockspace" if field == "h_seq" else field])
        self.close()

    def close(self) -> None:
        """The end of the object that was opened last."""
        self._pieces[-1] = self._pieces[-1].removesuffix(",")
        self._pieces.append("},")

    def lines(self) -> list[str]:
        """The filled template, once per frame."""
        template = "".join(self._pieces)
        if not self._columns:
            return [template % ()] * self._count
        return [template % row for row in zip(*self._columns, strict=True)]
