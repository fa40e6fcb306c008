"""What the transport yields: ordered payload per connection direction, each byte once, with holes and provenance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dlmtrace.transport.connections import Connection, ConnectionEvent

Int = npt.NDArray[np.int64]


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

    buffers: dict[int, npt.NDArray[np.uint8]]
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
