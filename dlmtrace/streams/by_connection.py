"""The numbers of a stream connection by connection: what one side sent on one of them, and which ACKs.

A stream is a node pair's; here it is seen as somebody sees it who looks at one connection only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.numbers import MASK, RangeSet, wire_ranges
from dlmtrace.streams.results import Range
from dlmtrace.transport.connections import Connection
from dlmtrace.transport.serial import signed
from dlmtrace.wire.enums import Command

LISTED = 1000
"""Connections that are kept one by one; the others are only counted."""

Int = npt.NDArray[np.int64]


@dataclass(slots=True)
class Sent:
    """What one side sent on one connection."""

    frames: int = 0
    numbered: int = 0  # of these, with a sequence number of their own
    again: int = 0  # of these, with a number that this connection had carried before
    acks: int = 0
    last_ack: int | None = None
    _numbers: RangeSet = field(default_factory=RangeSet)  # unwrapped
    _last: int | None = None
    _highest: int = -1

    @property
    def numbers(self) -> list[Range]:
        """Numbers that the connection carried, as ranges in order; what lies between two ranges is a gap."""
        return wire_ranges(self._numbers.ranges())

    @property
    def gaps(self) -> list[Range]:
        """Numbers between the lowest and the highest that the connection did not carry."""
        return wire_ranges((before[1] + 1, behind[0] - 1) for before, behind in pairwise(self._numbers.ranges()))

    def add_numbers(self, numbers: Int) -> None:
        """Take in h_seq of some frames, in the order in which they came."""
        before = int(numbers[0]) if self._last is None else self._last
        steps = signed(np.diff(numbers, prepend=before & MASK) & MASK)
        unwrapped = before + np.cumsum(steps)
        self._last = int(unwrapped[-1])
        self.numbered += len(numbers)
        starts = np.flatnonzero(np.diff(unwrapped, prepend=unwrapped[0] - 2) != 1)
        ends = np.append(starts[1:], len(unwrapped)) - 1
        for low, high in zip(unwrapped[starts].tolist(), unwrapped[ends].tolist(), strict=True):
            if low <= self._highest:
                self.again += len(self._numbers.within(low, high))
            self._numbers.add(low, high)
            self._highest = max(self._highest, high)


class ByConnection:
    """Takes in batches; ``sent[connection index, side]`` for the first LISTED connections."""

    def __init__(self) -> None:
        self.connections: dict[int, Connection] = {}
        self.more_connections = 0
        self.sent: dict[tuple[int, int], Sent] = {}

    def add(self, batch: FrameBatch) -> None:
        """Take in the frames of a batch."""
        for event in batch.events:
            if event.kind == "open":
                if event.connection.index < LISTED:
                    self.connections[event.connection.index] = event.connection
                else:
                    self.more_connections += 1
        frames = batch.frames
        ends = frames["connection"].astype(np.int64) * 2 + frames["side"]
        order = np.argsort(ends, kind="stable")
        order = order[ends[order] < 2 * LISTED]
        commands, numbers = batch.header["h_cmd"][order], batch.sequence[order]
        starts = np.flatnonzero(np.diff(ends[order], prepend=-1))
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=False):
            end = int(ends[order[start]])
            sent = self.sent.setdefault((end >> 1, end & 1), Sent())
            sent.frames += stop - start
            numbered = commands[start:stop] == Command.OPTS
            if numbered.any():
                sent.add_numbers(numbers[start:stop][numbered])
            acks = numbers[start:stop][commands[start:stop] == Command.ACK]
            if len(acks):
                sent.acks += len(acks)
                sent.last_ack = int(acks[-1])
