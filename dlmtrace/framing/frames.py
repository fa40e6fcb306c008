"""Frames as columns: where each one lies, what carried it, and its fields by the layouts of ``wire``."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.gather import gather
from dlmtrace.transport.connections import Connection, ConnectionEvent
from dlmtrace.wire.columns import HEADER, MESSAGE, OPTIONS, RECOVERY
from dlmtrace.wire.enums import Command

Int = npt.NDArray[np.int64]

TYPE = MESSAGE["m_type"]
"""m_type and rc_type: both are the first word of their body."""

_BEGINNING = np.dtype([("header", HEADER), ("options", OPTIONS), ("inner", HEADER), ("type", TYPE)])
"""How most frames begin: DLM_OPTS without options.  All of it is gathered at once, what lies elsewhere afterwards."""
_USUAL = _BEGINNING.fields["inner"][1]  # type: ignore[index]

WHOLE, CUT, MISSING, UNFINISHED = 0, 1, 2, 3
"""State of a frame: whole; its end cut off by the snaplen; its end in a hole; the stream ended inside it.

A connection that a RST seemed to have ended may go on; a frame that was told as unfinished then is told again, whole.
"""

FRAME = np.dtype(
    [
        ("offset", "<i8"),  # of the frame's first byte in the batch's buffer
        ("length", "<i4"),  # bytes, as h_length says
        ("captured", "<i4"),  # bytes of it in the buffer, ≥ 16; = length when whole
        ("state", "u1"),
        ("side", "u1"),  # the sender: 0 client, 1 server
        ("connection", "<i4"),  # Connection.index
        ("position", "<i8"),  # stream position of its first byte
        ("first_packet", "<i8"),  # identity of the packet with its first byte
        ("last_packet", "<i8"),  # … with its last captured byte
        ("packet", "<i8"),  # … that completed it: with it and all before it, the last to arrive
        ("time", "<i8"),  # ns, of ``packet``
        ("ordinal", "<i8"),  # capture order of ``packet``
    ],
    align=True,
)

HOLE = np.dtype(
    [
        ("connection", "<i4"),
        ("side", "u1"),
        ("position", "<i8"),  # stream position of the first missing byte
        ("length", "<i8"),  # bytes missing
        ("cut", "<i8"),  # of these, cut off by the snaplen
        ("packet", "<i8"),  # identity of the first packet behind the hole
        ("time", "<i8"),
        ("ordinal", "<i8"),
    ],
    align=True,
)

SKIP = np.dtype(
    [
        ("connection", "<i4"),
        ("side", "u1"),
        ("position", "<i8"),  # stream position of the first byte skipped
        ("length", "<i8"),  # bytes skipped until a frame was found again
        ("reason", "u1"),  # see SKIP_REASONS
        ("offset", "<i8"),  # of the first byte skipped in the batch's buffer
        ("packet", "<i8"),  # identity of the packet with the first byte skipped
        ("time", "<i8"),
        ("ordinal", "<i8"),
    ],
    align=True,
)

SKIP_REASONS = ("hole", "bad length", "bad header", "started mid-stream", "stream end")
"""Why bytes belong to no frame: a hole took the frame's beginning or end; h_length below 16 or above 4096; a header
found again after a loss turned out to be none; the capture began inside a frame; the stream ended inside a header."""


class Ends(NamedTuple):
    """The ends of connections that sent a batch's frames, ascending, and which end sent each frame."""

    number: Int  # Connection.index * 2 + side
    of: Int  # for each frame, the index of its sender in ``number``
    first: Int  # for each end, the row of its first frame
    last: Int  # … of its last frame

    def first_among(self, rows: Int) -> Int:
        """For each end the first of these rows (ascending), -1 where it has none."""
        first = np.full(len(self.number), -1)
        first[self.of[rows[::-1]]] = rows[::-1]
        return first

    def last_among(self, rows: Int) -> Int:
        """For each end the last of these rows (ascending), -1 where it has none."""
        last = np.full(len(self.number), -1)
        last[self.of[rows]] = rows
        return last


class FrameBatch:
    """Frames in the order in which they became complete, and what happened between them.

    ``buffer`` (uint8, TAIL zero bytes behind the last frame) is never written again.  ``frames`` has dtype FRAME,
    ``holes`` HOLE, ``skips`` SKIP, all in capture order as far as it is known; ``connections`` maps Connection.index to
    every connection that they name.  The columns below are arrays over ``frames``, made when first asked for; fields
    behind ``captured`` read as 0 or -1.
    """

    def __init__(
        self,
        buffer: npt.NDArray[np.uint8],
        frames: npt.NDArray[Any],
        holes: npt.NDArray[Any],
        skips: npt.NDArray[Any],
        events: list[ConnectionEvent],
        connections: dict[int, Connection],
    ) -> None:
        self.buffer, self.frames, self.holes, self.skips = buffer, frames, holes, skips
        self.events, self.connections = events, connections

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def header(self) -> npt.NDArray[Any]:
        """The outer headers, dtype wire.columns.HEADER."""
        return _plain(self._beginning["header"]).copy().view(HEADER)  # side by side: they are read again and again

    @cached_property
    def ends(self) -> Ends:
        """Who sent the frames."""
        if not len(self):
            nothing = np.empty(0, np.int64)
            return Ends(nothing, nothing, nothing, nothing)
        end = self.frames["connection"].astype(np.int64) * 2 + self.frames["side"]
        lowest = int(end.min())
        end -= lowest
        rows = np.arange(len(end))
        first, last = np.full(int(end.max()) + 1, -1), np.full(int(end.max()) + 1, -1)
        first[end[::-1]], last[end] = rows[::-1], rows
        present = np.flatnonzero(last >= 0)
        rank = np.zeros(len(last), np.int64)
        rank[present] = np.arange(len(present))
        return Ends(present + lowest, rank[end], first[present], last[present])

    @cached_property
    def changing(self) -> Int:
        """The rows whose h_nodeid or h_version is not that of the last frame from the same end."""
        if not len(self):
            return np.empty(0, np.int64)
        identity = self.header["h_nodeid"].astype(np.uint64) << np.uint64(32) | self.header["h_version"]
        return np.flatnonzero(identity != identity[self.ends.last][self.ends.of])

    @cached_property
    def carries(self) -> npt.NDArray[np.bool_]:
        """Is it a DLM_OPTS frame whose options header was captured?"""
        room = self.frames["captured"] >= HEADER.itemsize + OPTIONS.itemsize
        carries: npt.NDArray[np.bool_] = (self.header["h_cmd"] == Command.OPTS) & room
        return carries

    @cached_property
    def options(self) -> npt.NDArray[Any]:
        """Options headers, dtype wire.columns.OPTIONS; zero where ``carries`` is not."""
        options = _plain(self._beginning["options"]).copy()
        np.copyto(options, np.zeros(1, options.dtype), where=~self.carries)
        return options.view(OPTIONS)

    @cached_property
    def inner_offset(self) -> Int:
        """Where in the frame the header of what it carries begins: 0 for a bare frame, 24 + o_optlen in OPTS; -1 where
        that header was not captured or lies behind the frame's end."""
        inside = _USUAL + self._beginning["options"]["o_optlen"].astype(np.int64)
        offset = np.where(self.carries, inside, 0)
        cut = offset + HEADER.itemsize > self.frames["captured"]
        cut |= (self.header["h_cmd"] == Command.OPTS) & ~self.carries
        offset[np.flatnonzero(cut)] = -1
        return offset

    @cached_property
    def inner(self) -> npt.NDArray[Any]:
        """The headers at ``inner_offset``, dtype wire.columns.HEADER; zero where there is none."""
        inner = np.where(self.inner_offset == 0, _plain(self._beginning["header"]), _plain(self._beginning["inner"]))
        inner = inner.view(HEADER)
        rows = np.flatnonzero((self.inner_offset != 0) & (self.inner_offset != _USUAL))
        offset = self.inner_offset[rows]
        inner[rows] = gather(self.buffer, HEADER, self.frames["offset"][rows] + np.maximum(offset, 0))
        inner[rows[offset < 0]] = np.zeros(1, HEADER)
        return inner

    @cached_property
    def command(self) -> Int:
        """h_cmd of the carried frame, or of the frame itself when it is bare; 0 where that was not captured."""
        return self.inner["h_cmd"].astype(np.int64)

    @cached_property
    def type(self) -> Int:
        """m_type or rc_type; 0 where the frame has none."""
        at = self.inner_offset + HEADER.itemsize
        has = (self.inner_offset >= 0) & (at + TYPE.itemsize <= self.frames["captured"])
        has &= (self.command == Command.MSG) | (self.command == Command.RCOM)
        types = np.where(has, self._beginning["type"], 0).astype(np.int64)
        rows = np.flatnonzero(has & (self.inner_offset != _USUAL))
        types[rows] = gather(self.buffer, TYPE, self.frames["offset"][rows] + at[rows])
        return types

    @cached_property
    def sequence(self) -> Int:
        """h_seq of OPTS and ACK, -1 for others."""
        header = self.header
        numbered = (header["h_cmd"] == Command.OPTS) | (header["h_cmd"] == Command.ACK)
        return np.where(numbered, header["h_lockspace"].astype(np.int64), -1)

    @cached_property
    def lockspace(self) -> Int:
        """h_lockspace of MSG and RCOM, -1 for others."""
        has = (self.command == Command.MSG) | (self.command == Command.RCOM)
        return np.where(has, self.inner["h_lockspace"].astype(np.int64), -1)

    @cached_property
    def body_end(self) -> Int:
        """Where in the frame its captured body ends: what the carried header's h_length says, at most ``captured``."""
        end = self.inner_offset + self.inner["h_length"]
        return np.where(self.inner_offset < 0, 0, np.minimum(end, self.frames["captured"]))

    @cached_property
    def is_message(self) -> npt.NDArray[np.bool_]:
        """Does it hold a DLM_MSG whose fixed part was captured whole?"""
        return self._holds(Command.MSG, MESSAGE)

    @cached_property
    def is_recovery(self) -> npt.NDArray[np.bool_]:
        """Does it hold a DLM_RCOM whose fixed part was captured whole?"""
        return self._holds(Command.RCOM, RECOVERY)

    @cached_property
    def _beginning(self) -> npt.NDArray[Any]:
        return gather(self.buffer, _BEGINNING, self.frames["offset"])

    def message(self, rows: Int) -> npt.NDArray[Any]:
        """Message bodies of these rows (all must be ``is_message``), dtype wire.columns.MESSAGE."""
        return self._bodies(rows, MESSAGE)

    def recovery(self, rows: Int) -> npt.NDArray[Any]:
        """Recovery bodies of these rows (all must be ``is_recovery``), dtype wire.columns.RECOVERY."""
        return self._bodies(rows, RECOVERY)

    def bytes_of(self, row: int) -> bytes:
        """The frame as captured."""
        frame = self.frames[row]
        return self.buffer[frame["offset"] : frame["offset"] + frame["captured"]].tobytes()

    def _holds(self, command: Command, body: np.dtype[Any]) -> npt.NDArray[np.bool_]:
        room = self.body_end - self.inner_offset >= HEADER.itemsize + body.itemsize
        holds: npt.NDArray[np.bool_] = (self.command == command) & room
        return holds

    def _bodies(self, rows: Int, body: np.dtype[Any]) -> npt.NDArray[Any]:
        return gather(self.buffer, body, self.frames["offset"][rows] + self.inner_offset[rows] + HEADER.itemsize)


def _plain(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Structures as plain bytes: these are copied row by row rather than field by field."""
    return rows.view(f"V{rows.dtype.itemsize}")
