"""The exact walk, frame by frame, for bytes that are not plainly a chain of frames: after holes and cuts, at the start
of a capture, at headers that a kernel would not take.

Where the last frame start is certain, the walk goes by h_length alone, as the kernel does (midcomms.c, protocol page
§1.3): a wrong version or command does not end it, an h_length below 16 or above 4096 does.  Where framing was lost, a
frame start is taken only from the signature of §1.4: a plausible header with a plausible one behind it, or one with the
version and node id that this direction is known by.  The header of a frame inside an OPTS frame has that signature too,
so a bare MSG, RCOM or FIN is not taken for a start where it may be one of those.  All of this depends on the stream
alone, not on how much of it is at hand: where more bytes may come that could tell, the search waits for them.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field

from dlmtrace.framing.frames import CUT, MISSING, UNFINISHED, WHOLE
from dlmtrace.wire.columns import HEADER, OPTIONS
from dlmtrace.wire.enums import Command
from dlmtrace.wire.header import MAXIMUM_LENGTH
from dlmtrace.wire.signature import NEWEST, looks_like_header

_FIELDS = struct.Struct("<IIIHBB")  # of HEADER; a test holds the two together
_NOT_OPTIONS = (Command.MSG, Command.RCOM, Command.FIN)
_CARRIED = HEADER.itemsize + OPTIONS.itemsize  # where in an OPTS frame the header of what it carries lies

HOLE, BAD_LENGTH, BAD_HEADER, MID_STREAM, STREAM_END = range(5)
"""Indexes of SKIP_REASONS."""


class Sync(enum.IntEnum):
    """How sure the place of the next frame is."""

    LOST = 0  # unknown
    FOUND = 1  # from the signature
    CERTAIN = 2  # from the beginning of the connection on


@dataclass(slots=True)
class Framing:
    """What is known of one direction's framing between two batches."""

    sync: Sync
    reason: int = MID_STREAM  # why it is lost
    expected: int | None = None  # stream position of the next frame, where that lies behind the bytes that have come
    identity: tuple[int, int] | None = None  # (h_version, h_nodeid) of the frames so far
    carries_options: bool = False  # has it sent OPTS or ACK?
    sent_bare: bool = False  # has it sent MSG, RCOM or FIN bare?
    before: bytes = b""  # while it is lost: what came before the next bytes, as far as a search looks back


@dataclass(slots=True)
class Found:
    """What one stretch gave: frames (offset, length, captured, state), skips (offset, length, reason), and the offset
    from which on bytes wait for more."""

    frames: list[tuple[int, int, int, int]] = field(default_factory=list)
    skips: list[tuple[int, int, int]] = field(default_factory=list)
    stop: int = 0

    def skip(self, offset: int, length: int, reason: int) -> None:
        """Bytes that belong to no frame; neighbours of one reason become one."""
        if length <= 0:
            return
        if self.skips and self.skips[-1][2] == reason and self.skips[-1][0] + self.skips[-1][1] == offset:
            offset, length = self.skips[-1][0], self.skips.pop()[1] + length
        self.skips.append((offset, length, reason))


def is_plausible(header: tuple[int, ...]) -> bool:
    """Does it look like the header of a frame of protocol 3.0 … 3.2 (protocol page §1.4)?"""
    version, _, _, length, command, pad = header
    return looks_like_header(version, length, command, pad)


def walk(data: memoryview, low: int, high: int, position: int, framing: Framing, closed: int | None) -> Found:
    """Frames of the contiguous bytes ``data[low:high]``, of which the first has stream position ``position``.

    ``closed``: None when the next bytes of the stream may follow later, else the state that an unfinished frame at the
    end gets (CUT, MISSING, UNFINISHED).  ``framing`` is brought up to date.
    """
    found = Found()
    base = position - low
    at = low
    if framing.expected is not None:
        at = min(framing.expected - base, high)
        if at < low:
            framing.sync, framing.reason, at = Sync.LOST, HOLE, low
            framing.before = b""
        found.skip(low, at - low, HOLE)
        if framing.sync and framing.expected - base > high:
            found.stop = high
            return found
        framing.expected = None
    lost = at  # where that began, if it is
    while True:
        if framing.sync is Sync.LOST:
            start, sure = _search(data, lost, at, high, framing, closed is not None)
            found.skip(at, start - at, framing.reason)
            at = start
            if not sure:
                framing.before = (framing.before + bytes(data[lost:at][-_CARRIED:]))[-_CARRIED:]
                break
            framing.sync = Sync.FOUND
        if high - at < HEADER.itemsize:
            break
        header = _FIELDS.unpack_from(data, at)
        version, _, node, length, command, _ = header
        if not HEADER.itemsize <= length <= MAXIMUM_LENGTH:
            framing.sync, framing.reason = Sync.LOST, BAD_LENGTH
        elif framing.sync is Sync.FOUND and not is_plausible(header):
            framing.sync, framing.reason = Sync.LOST, BAD_HEADER
        if framing.sync is Sync.LOST:
            found.skip(at, 1, framing.reason)
            framing.before, lost = bytes(_CARRIED), at  # the frames before do not reach further
            at += 1
            continue
        if at + length > high:
            break
        found.frames.append((at, length, length, WHOLE))
        _learn(framing, version, node, command)
        at += length
    if closed is not None and at < high:
        at = _leave(data, at, high, base, framing, closed, found)
    elif closed is not None and framing.sync:
        framing.expected = base + high
    found.stop = at
    return found


def _leave(data: memoryview, at: int, high: int, base: int, framing: Framing, closed: int, found: Found) -> int:
    """The bytes at the end of a stretch that no more bytes follow."""
    if framing.sync and high - at >= HEADER.itemsize:
        length = _FIELDS.unpack_from(data, at)[3]
        found.frames.append((at, length, high - at, closed))
        framing.expected = base + at + length
        return high
    reason = framing.reason
    if framing.sync:
        reason = STREAM_END if closed == UNFINISHED else HOLE
        framing.sync, framing.reason = Sync.LOST, HOLE
    found.skip(at, high - at, reason)
    return high


def _learn(framing: Framing, version: int, node: int, command: int) -> None:
    framing.identity = (version, node)
    if command in (Command.OPTS, Command.ACK):
        framing.carries_options = True
    else:
        framing.sent_bare = True


def _search(data: memoryview, lost: int, at: int, high: int, framing: Framing, closed: bool) -> tuple[int, bool]:
    """The first frame start from ``at`` on, and whether it is one for sure; if not, all before it surely is none.

    ``lost``: where framing was lost, or the bytes begin that came after that.
    """
    pattern = b"\x00\x03\x00"  # upper three bytes of h_version
    raw = data.obj if isinstance(data.obj, bytes) else bytes(data)
    while True:
        hit = raw.find(pattern, at + 1, high)
        if hit < 0:
            rest = high if closed else max(at, high - HEADER.itemsize + 1)
            return rest, False
        at = hit - 1
        if high - at < HEADER.itemsize:
            return (high, False) if closed else (at, False)
        header = _FIELDS.unpack_from(data, at)
        if is_plausible(header):
            before = framing.before + raw[max(lost, at - _CARRIED) : at]
            if not _may_be_carried(before[-_CARRIED:], header, framing):
                verdict = _is_start(data, at, high, header, framing, closed)
                if verdict is not None:
                    return at, verdict
        at += 1


def _is_start(
    data: memoryview, at: int, high: int, header: tuple[int, ...], framing: Framing, closed: bool
) -> bool | None:
    """Is the plausible header at ``at`` a frame's?  True, None for no, False for more bytes needed."""
    version, _, node, length, _, _ = header
    behind = at + length
    if behind + HEADER.itemsize <= high:
        following = _FIELDS.unpack_from(data, behind)
        return True if is_plausible(following) and following[0] == version and following[2] == node else None
    if not closed:
        return False
    return framing.identity == (version, node) or behind == high or None


def _may_be_carried(before: bytes, header: tuple[int, ...], framing: Framing) -> bool:
    """May this be the header of a frame inside an OPTS frame whose own header was not taken for a start, or is not
    there?  ``before``: the bytes before it, _CARRIED of them or as many as there are."""
    version, _, _, _, command, _ = header
    if command not in _NOT_OPTIONS or version != NEWEST:
        return False
    if len(before) == _CARRIED:
        outer = _FIELDS.unpack_from(before)
        return is_plausible(outer) and outer[4] == Command.OPTS
    if framing.sent_bare and not framing.carries_options:
        return False
    if len(before) >= OPTIONS.itemsize:
        return before[-OPTIONS.itemsize :] == bytes((command,)) + bytes(OPTIONS.itemsize - 1)
    return True


__all__ = ["CUT", "MISSING", "UNFINISHED", "Found", "Framing", "Sync", "is_plausible", "walk"]
