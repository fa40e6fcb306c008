"""What a capture holds, counted batch by batch: frames by kind, version and lockspace, connections, holes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.nodes import LIMIT, NodeTable
from dlmtrace.transport.connections import Connection

LISTED = 1000
"""Connections that are kept one by one; the others are only counted."""

FEW = 8
"""Values that are counted one by one, without sorting: most captures have no more versions, states or lockspaces."""

_CODES = 8 * 8 * 16
"""Kinds with h_cmd and carried h_cmd below 8 and a type below 16: all that a kernel sends."""


class Kind(NamedTuple):
    """What a frame is: h_cmd, h_cmd of what it carries (its own when bare, 0 when not captured), m_type or rc_type."""

    command: int
    carried: int
    type: int


@dataclass(slots=True)
class Gaps:
    """Holes in the streams, and bytes that belong to no frame."""

    holes: int = 0
    hole_bytes: int = 0
    cut_bytes: int = 0  # of these, cut off by the snaplen
    first_packet: int | None = None  # identity of the first packet behind a hole
    skips: Counter[int] = field(default_factory=Counter)  # by reason
    skipped_bytes: Counter[int] = field(default_factory=Counter)  # by reason


class Survey:
    """Takes in batches and keeps counts; memory does not grow with the capture."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0  # of whole frames, or as much of them as was captured
        self.kinds: Counter[Kind] = Counter()
        self.versions: Counter[int] = Counter()
        self.lockspaces: Counter[int] = Counter()
        self.states: Counter[int] = Counter()
        self.gaps = Gaps()
        self.nodes = NodeTable()
        self.connections: list[Connection] = []
        self.more_connections = 0
        self.frames_by_end = np.zeros(2 * LISTED, np.int64)  # by Connection.index * 2 + side

    def add(self, batch: FrameBatch) -> None:
        """Count the frames, holes and connections of a batch."""
        for event in batch.events:
            if event.kind == "open":
                if event.connection.index < LISTED:
                    self.connections.append(event.connection)
                else:
                    self.more_connections += 1
        self._add_gaps(batch)
        self.nodes.learn(batch)
        frames = batch.frames
        if not len(frames):
            return
        self.frames += len(frames)
        self.bytes += int(frames["captured"].sum())
        ends = batch.ends
        listed = ends.number < 2 * LISTED
        self.frames_by_end[ends.number[listed]] += np.bincount(ends.of)[listed]
        _count(self.versions, batch.header["h_version"])
        _count(self.states, frames["state"])
        self._add_kinds(batch)
        lockspaces = batch.lockspace
        _count(self.lockspaces, lockspaces[lockspaces >= 0])

    def _add_kinds(self, batch: FrameBatch) -> None:
        outer, carried, number = batch.header["h_cmd"].astype(np.int64), batch.command, batch.type
        if outer.max() < 8 and carried.max() < 8 and number.max() < 16:
            counts = np.bincount(outer << 7 | carried << 4 | number, minlength=_CODES)
            for code in np.flatnonzero(counts).tolist():
                self.kinds[Kind(code >> 7, code >> 4 & 7, code & 15)] += int(counts[code])
            return
        kinds, frequencies = np.unique(np.stack((outer, carried, number)), axis=1, return_counts=True)
        for kind, frequency in zip(kinds.T.tolist(), frequencies.tolist(), strict=True):
            _admit(self.kinds, Kind(*kind), frequency)

    def _add_gaps(self, batch: FrameBatch) -> None:
        gaps, holes = self.gaps, batch.holes
        if len(holes):
            gaps.holes += len(holes)
            gaps.hole_bytes += int(holes["length"].sum())
            gaps.cut_bytes += int(holes["cut"].sum())
            if gaps.first_packet is None:
                gaps.first_packet = int(holes["packet"][0])
        for reason, length in zip(batch.skips["reason"].tolist(), batch.skips["length"].tolist(), strict=True):
            gaps.skips[reason] += 1
            gaps.skipped_bytes[reason] += length


def _count(counter: Counter[int], values: npt.NDArray[np.integer]) -> None:
    left = len(values)
    for known in list(counter)[:FEW]:
        count = int(np.count_nonzero(values == known))
        counter[known] += count
        left -= count
        if not left:
            return
    unknown = values[~np.isin(values, list(counter)[:FEW])]
    for number, frequency in Counter(unknown.tolist()).items():  # np.unique takes 20 ms to import what it never uses
        _admit(counter, number, frequency)


def _admit(counter: Counter[Any], key: Any, count: int) -> None:
    if key in counter or len(counter) < LIMIT:
        counter[key] += count
