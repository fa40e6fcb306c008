"""What the transport yields: ordered payload per connection direction, each byte once, with holes and provenance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import TAIL
from dlmtrace.gather import Bytes, every_place
from dlmtrace.transport.connections import Connection, ConnectionEvent

Int = npt.NDArray[np.int64]

BLOCK = 256
"""Bytes that are copied at once when slices are joined; at most TAIL."""


@dataclass(slots=True)
class Run:
    """Pieces ``start:stop`` are those of one direction of one connection, in stream order."""

    connection: Connection
    side: int
    start: int
    stop: int
    ended: bool = False  # nothing more comes on this direction
    tail_hole: int = 0  # bytes missing behind the last piece, known from the other side's acknowledgement or a cut
    tail_cut: int = 0  # of these, cut off by the snaplen


@dataclass(slots=True)
class Pieces:
    """Slices of captured payload in stream order, grouped by direction; all arrays have the same length.

    A hole is not a piece: ``hole[i]`` bytes are missing between the piece before and piece i (of which ``cut[i]`` were
    cut off by the snaplen).  No byte is invented.
    """

    buffers: dict[int, Bytes]
    buffer: Int  # key of buffers
    offset: Int
    length: Int  # bytes, ≥ 1
    position: Int  # stream position of the first byte
    hole: Int
    cut: Int
    ordinal: Int  # of the packet that carried it
    packet: Int
    time: Int
    runs: list[Run] = field(default_factory=list)
    events: list[ConnectionEvent] = field(default_factory=list)
    waiting: dict[tuple[int, int], int] = field(default_factory=dict)
    """(connection, side) → lowest ordinal of what waits behind a gap that may prove to be a hole any moment."""


def joined(buffers: dict[int, Bytes], buffer: Int, offset: Int, length: Int) -> Bytes:
    """The bytes of slices of ``buffers`` back to back, TAIL zero bytes behind.

    Keys above 0 are buffers of packets, with TAIL bytes behind the last slice.  Slices are short and many, so those of
    the newest such buffer, which should be most, are copied by columns: blocks of BLOCK bytes, in order, where a block
    that runs over the end of its slice is overwritten by what comes next.  The others follow one by one.
    """
    ends = np.cumsum(length)
    total = int(ends[-1]) if len(ends) else 0
    whole = np.empty(total + TAIL, np.uint8)
    main = max((1, *buffers))
    in_main = buffer == main
    if in_main.any():
        target, source, size = (ends - length)[in_main], offset[in_main], length[in_main]
        blocks = -(-size // BLOCK)
        behind = np.cumsum(blocks)
        to = np.arange(int(behind[-1])) * BLOCK + np.repeat(target - (behind - blocks) * BLOCK, blocks)
        to_blocks, from_blocks = (every_place(each, f"V{BLOCK}") for each in (whole, buffers[main]))
        to_blocks[to] = from_blocks[to + np.repeat(source - target, blocks)]
    for row in np.flatnonzero(~in_main).tolist():
        end, size = int(ends[row]), int(length[row])
        start = int(offset[row])
        whole[end - size : end] = buffers[int(buffer[row])][start : start + size]
    whole[total:] = 0
    return whole
