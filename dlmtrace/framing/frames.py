"""Frames as columns: where each one lies, what carried it, and its fields by the layouts of ``wire``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.transport.connections import Connection, ConnectionEvent

WHOLE, CUT, MISSING, UNFINISHED = 0, 1, 2, 3
"""State of a frame: whole; its end cut off by the snaplen; its end in a hole; the stream ended inside it."""

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
    ]
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
    ]
)

SKIP = np.dtype(
    [
        ("connection", "<i4"),
        ("side", "u1"),
        ("position", "<i8"),  # stream position of the first byte skipped
        ("length", "<i8"),  # bytes skipped until a frame was found again
        ("reason", "u1"),  # see SKIP_REASONS
        ("packet", "<i8"),  # identity of the packet with the first byte skipped
        ("time", "<i8"),
        ("ordinal", "<i8"),
    ]
)

SKIP_REASONS = ("hole", "bad length", "started mid-stream", "not DLM")


@dataclass(eq=False)
class FrameBatch:
    """Frames in the order in which they became complete, and what happened between them.

    ``buffer`` (uint8, TAIL zero bytes behind the last frame) is never written again.  ``frames`` has dtype FRAME,
    ``holes`` HOLE, ``skips`` SKIP; ``connections`` maps Connection.index to every connection that they name.
    """

    buffer: npt.NDArray[np.uint8]
    frames: npt.NDArray[Any]
    holes: npt.NDArray[Any]
    skips: npt.NDArray[Any]
    events: list[ConnectionEvent]
    connections: Mapping[int, Connection]
