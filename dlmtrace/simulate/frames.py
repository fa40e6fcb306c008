"""Frames as bytes: building what endpoints and their application send, reading the headers of what they receive.

Layouts come from the declarations in ``wire``, compiled to ``struct``: a scenario handles thousands of frames.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from dlmtrace.simulate.dialects import VERSION_3_1, VERSION_3_2
from dlmtrace.wire.enums import Command, MessageType, Mode, RecoveryStatus, RecoveryType, Status
from dlmtrace.wire.fields import integer_format
from dlmtrace.wire.header import MAXIMUM_LENGTH, LockspaceHeader
from dlmtrace.wire.message import MessageBody
from dlmtrace.wire.names import jhash
from dlmtrace.wire.options import Options
from dlmtrace.wire.recovery import NAMES_END, NameEntry, RecoveryBody, RecoveryConfig, RecoveryStatusRequest


def _compile(*declarations: Any) -> struct.Struct:
    """The fields of Structs, all integers, as one ``struct``."""
    formats = [integer_format(field) or "" for declaration in declarations for field in declaration.subcons]
    return struct.Struct("<" + "".join(letters[1] for letters in formats))


_HEADER = _compile(LockspaceHeader)
_OPTIONS = _compile(LockspaceHeader, Options)
_MESSAGE = _compile(LockspaceHeader, MessageBody)
_RECOVERY = _compile(LockspaceHeader, RecoveryBody)
_STATUS = _compile(RecoveryStatusRequest)
_CONFIG = _compile(RecoveryConfig)
_NAME_LENGTH = struct.Struct(integer_format(NameEntry.subcons[0]) or "")
_TYPE = struct.Struct("<I")  # m_type and rc_type: the first word behind the header

HEADER_SIZE = _HEADER.size
OPTIONS_SIZE = _OPTIONS.size
"""Bytes of a header, and of an OPTS frame before its inner frame."""

APPLICATION_LENGTH = MAXIMUM_LENGTH - OPTIONS_SIZE
"""Longest frame that OPTS can carry; a NAMES_REPLY of 3.2 has this size (protocol page §1.3)."""

VALUE_BLOCK = 32
"""rf_lvblen of the simulated lockspaces, bytes, as GFS2 has it."""

MINIMUM = {Command.MSG: _MESSAGE.size, Command.RCOM: _RECOVERY.size, Command.FIN: HEADER_SIZE}
"""Smallest h_length of a frame that OPTS carries (protocol page §1.3)."""

VERSION_TYPES = frozenset(
    {RecoveryType.STATUS, RecoveryType.NAMES, RecoveryType.STATUS_REPLY, RecoveryType.NAMES_REPLY}
)
"""The RCOM types that detect the peer's version and may be bare between two 3.2 nodes (protocol page §6.4)."""


class Header(NamedTuple):
    """The 16 bytes that a frame begins with; ``word`` is h_lockspace or h_seq."""

    version: int
    word: int
    node: int
    length: int
    command: int
    pad: int


def read_header(frame: bytes) -> Header:
    """The header of a frame of at least 16 bytes."""
    return Header._make(_HEADER.unpack_from(frame))


def inner_frame(frame: bytes) -> tuple[int, bytes]:
    """o_nextcmd of an OPTS frame, and the frame behind its options."""
    *_, command, _pad, length, _pad2 = _OPTIONS.unpack_from(frame)
    return command, frame[OPTIONS_SIZE + length :]


def type_of(frame: bytes) -> int:
    """m_type or rc_type of a bare MSG or RCOM; 0 when the frame ends before it."""
    return int(_TYPE.unpack_from(frame, HEADER_SIZE)[0]) if len(frame) >= HEADER_SIZE + _TYPE.size else 0


def split(data: bytes) -> Iterator[bytes]:
    """The whole frames at the start of ``data``, by h_length; what follows the last one is left.

    Raises ValueError for an h_length that no kernel takes.
    """
    start = 0
    while len(data) - start >= HEADER_SIZE:
        length = _HEADER.unpack_from(data, start)[3]
        if not HEADER_SIZE <= length <= MAXIMUM_LENGTH:
            raise ValueError(f"h_length {length} at byte {start}")
        if len(data) - start < length:
            return
        yield data[start : start + length]
        start += length


def header(version: int, word: int, node: int, length: int, command: int) -> bytes:
    """A header; ``word`` is h_lockspace or h_seq."""
    return _HEADER.pack(version, word, node, length, command, 0)


def acknowledgement(node: int, expected: int) -> bytes:
    """ACK: ``node`` expects the number ``expected`` next."""
    return header(VERSION_3_2, expected, node, HEADER_SIZE, Command.ACK)


def fin(node: int) -> bytes:
    """FIN as it lies inside OPTS."""
    return header(VERSION_3_2, 0, node, HEADER_SIZE, Command.FIN)


def options(sequence: int, inner: bytes) -> bytes:
    """OPTS around ``inner``, with its number."""
    version, _, node, length, command, _ = _HEADER.unpack_from(inner)
    return _OPTIONS.pack(version, sequence, node, OPTIONS_SIZE + length, Command.OPTS, 0, command, 0, 0, 0) + inner


@lru_cache(maxsize=256)
def _names(members: tuple[int, ...], directory: int) -> tuple[tuple[bytes, int], ...]:
    """Resource names of many lengths whose directory node is ``directory``, with their hashes (protocol page §11)."""
    found: list[tuple[bytes, int]] = []
    number = 0
    while len(found) < 8:
        number += 1
        name = b"resource %d " % number + b"-" * (number * 7 % 41)
        value = jhash(name)
        if members[(value >> 16) % len(members)] == directory:
            found.append((name, value))
    return tuple(found)


def message(
    version: int, lockspace: int, node: int, peer: int, members: tuple[int, ...], number: int, process: int = 0
) -> bytes:
    """Message ``number`` of an application, one that calls for no reply; ``message_number`` reads the number back.

    BAST, down-conversion with a value block and REMOVE take turns, so that lengths vary and frames lie unaligned.
    ``members`` are the nodes of the lockspace, ascending: REMOVE goes to the directory node of its name.  ``process``
    is its m_pid.
    """
    tail = b""
    value = remote = 0
    granted, requested, blocked = Mode.PR, Mode.IV, Mode.IV
    match number % 3:
        case 0:
            kind, remote, blocked = MessageType.BAST, number + 1, Mode.EX
        case 1:
            kind, remote, granted, requested = MessageType.CONVERT, number + 1, Mode.EX, Mode.NL
            tail = bytes([number & 0xFF]) * VALUE_BLOCK
        case _:
            kind, granted = MessageType.REMOVE, Mode.NL
            names = _names(members, peer)
            tail, value = names[number // 3 % len(names)]
    flags = 0x8 if kind == MessageType.CONVERT else 0
    # fmt: off
    return _MESSAGE.pack(
        version, lockspace, node, _MESSAGE.size + len(tail), Command.MSG, 0,
        kind, peer, process, number, remote, 0, 0, flags, 0, 0, 0, value, Status.GRANTED, granted, requested,
        blocked if kind == MessageType.BAST else 0, 0, 0,
    ) + tail
    # fmt: on


def message_number(frame: bytes) -> int:
    """The number that ``message`` was given (its m_lkid)."""
    return int(_MESSAGE.unpack_from(frame)[9])


def recovery(
    version: int, lockspace: int, node: int, kind: RecoveryType, identity: int, sequence: int = 1, request: int = 0
) -> bytes:
    """An RCOM of the join: STATUS, STATUS_REPLY, NAMES or NAMES_REPLY with its rc_id (protocol page §3).

    ``sequence`` is its sender's rc_seq, ``request`` that of the request that it answers.
    """
    result = 0
    match kind:
        case RecoveryType.STATUS:
            payload = _STATUS.pack(0, 0, 0)
        case RecoveryType.STATUS_REPLY:
            result = RecoveryStatus.NODES | RecoveryStatus.DIR
            payload = _CONFIG.pack(VALUE_BLOCK, 0, 0, node, 0, 1, 0, 0)
        case RecoveryType.NAMES_REPLY:
            length = MAXIMUM_LENGTH if version == VERSION_3_1 else APPLICATION_LENGTH
            payload = _NAME_LENGTH.pack(NAMES_END).ljust(length - _RECOVERY.size, b"\0")
        case _:
            payload = b""
    # fmt: off
    return _RECOVERY.pack(
        version, lockspace, node, _RECOVERY.size + len(payload), Command.RCOM, 0,
        kind, result, identity, sequence, request,
    ) + payload
    # fmt: on


def recovery_identity(frame: bytes) -> int:
    """rc_id of an RCOM."""
    return int(_RECOVERY.unpack_from(frame)[8])


def recovery_sequence(frame: bytes) -> int:
    """rc_seq of an RCOM."""
    return int(_RECOVERY.unpack_from(frame)[9])
