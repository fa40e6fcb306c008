"""The 16 bytes that every frame begins with, in their two readings (protocol page §1.1, fs/dlm/dlm_internal.h)."""

from __future__ import annotations

from typing import Any

import construct as C

from dlmtrace.wire.enums import Command
from dlmtrace.wire.fields import Enumerated, Hexadecimal, Version

MAXIMUM_LENGTH = 4096
"""Largest h_length that a kernel takes, bytes (DEFAULT_BUFFER_SIZE, later DLM_MAX_SOCKET_BUFSIZE; §1.3)."""


def _header(second: Any) -> Any:
    return C.Struct(
        "h_version"
        / Version(C.Int32ul)
        * "Protocol version of the sender: major number in the high half, minor in the low",
        second,
        "h_nodeid" / C.Int32ul * "Node id of the sender",
        "h_length" / C.Int16ul * "Bytes of this frame, these 16 included; for OPTS the options and inner frame too",
        "h_cmd" / Enumerated(C.Int8ul, Command) * "What the frame is",
        "h_pad" / C.Int8ul * "Zero",
    )


LockspaceHeader = _header(
    "h_lockspace" / Hexadecimal(C.Int32ul) * "Global id of the lockspace; 0 in the inner header of a FIN"
)
"""Header of MSG, RCOM and FIN, bare or inside OPTS."""

SequenceHeader = _header(
    "h_seq" / C.Int32ul * "OPTS: number of this frame in its direction; ACK: the next number that its sender expects"
)
"""Header of OPTS and ACK."""

SEQUENCED = frozenset({Command.OPTS, Command.ACK})
"""Commands whose second word is h_seq."""


class Header(C.Construct):  # type: ignore[misc]
    """Either reading: parsed by h_cmd, built as the header given says."""

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        start = stream.tell()
        header = LockspaceHeader._parsereport(stream, context, path)
        if header.h_cmd in SEQUENCED:
            stream.seek(start)
            header = SequenceHeader._parsereport(stream, context, path)
        return header

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        return (SequenceHeader if "h_seq" in obj else LockspaceHeader)._build(obj, stream, context, path)

    def _sizeof(self, context: Any, path: str) -> int:
        return LockspaceHeader.sizeof()  # type: ignore[no-any-return]
