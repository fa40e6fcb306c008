"""A closer look at payload that comes again: a retransmission, a packet captured more than once, or other bytes.

A packet that the capture holds twice (``-i any``, a mirror port, two vantage points merged) left its sender once: the
copies have the same TCP header (checksum and window of the hop apart) and IPv4 identification.  A retransmission is a
new transmission: its identification or its timestamps differ.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import Segments
from dlmtrace.transport.direction import Receiver
from dlmtrace.transport.pieces import Pieces
from dlmtrace.transport.reorder import Arrivals

Int = npt.NDArray[np.int64]

HISTORY_BYTES = 8 << 20
"""Captured bytes whose first copies are remembered for comparison."""

COPY_SPAN = 2_000_000_000
"""ns between two captures of one packet, at most (clocks of two vantage points differ)."""

SEGMENTATION_SPAN = 64
"""IPv4 identifications that one large segment may become when it is cut for the wire behind the capture point."""


@dataclass(slots=True)
class _Headers:
    """Where the headers of a batch's segments lie."""

    buffer: npt.NDArray[np.uint8]
    ordinal: Int
    network: Int
    transport: Int

    def of(self, ordinal: int) -> tuple[int, bytes] | None:
        """Identification (-1 for IPv6) and the TCP header from the sequence number on, ports and checksum left out."""
        at = int(np.searchsorted(self.ordinal, ordinal))
        if at == len(self.ordinal) or self.ordinal[at] != ordinal:
            return None
        network, transport = int(self.network[at]), int(self.transport[at])
        header = self.buffer[transport : transport + 60].tobytes()
        end = (header[12] >> 4) * 4
        identification = -1
        if self.buffer[network] >> 4 == 4:
            identification = int(self.buffer[network + 4]) << 8 | int(self.buffer[network + 5])
        return identification, header[8:12] + header[20:end]


@dataclass(slots=True)
class _Remembered:
    headers: _Headers
    pieces: Pieces
    runs: dict[tuple[int, int], list[tuple[int, int]]]  # (connection, side) -> rows of pieces
    bytes: int


class Repeats:
    """First copies of the last few batches, and the comparison of later ones with them."""

    def __init__(self) -> None:
        self._history: deque[_Remembered] = deque()
        self._bytes = 0

    def remember(self, batch: PacketBatch, segments: Segments, pieces: Pieces) -> None:
        """Keep this batch's deliveries for comparison."""
        runs: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for run in pieces.runs:
            runs.setdefault((run.connection.index, run.side), []).append((run.start, run.stop))
        size = len(segments.buffer)
        self._history.append(_Remembered(_headers(batch, segments), pieces, runs, size))
        self._bytes += size
        while self._bytes > HISTORY_BYTES and len(self._history) > 1:
            self._bytes -= self._history.popleft().bytes

    def examine(
        self,
        receiver: Receiver,
        repeated: Arrivals,
        kept: Arrivals,
        buffers: dict[int, npt.NDArray[np.uint8]],
        batch: PacketBatch,
        segments: Segments,
    ) -> None:
        """Count each repeated row of a direction: a copy, a retransmission, late, with other bytes.

        ``kept`` are the rows (stream order, disjoint) that the direction holds now, of this batch and waiting ones.
        """
        statistics = receiver.statistics
        headers = _headers(batch, segments)
        remembered = list(reversed(self._history))
        for row in range(len(repeated)):
            low = int(repeated.position[row])
            high = low + int(repeated.length[row])
            ordinal = int(repeated.ordinal[row])
            late = receiver.late_bytes(low, high)
            if late:
                statistics.late_bytes += late
                continue
            if high - low == 1:
                statistics.keep_alives += 1
                continue
            data = buffers[int(repeated.buffer[row])][int(repeated.offset[row]) :][: high - low]
            first: tuple[int, int, _Headers | None] | None = None  # ordinal, time, headers of the first copy
            differing = 0
            for at in _overlapping(kept.position, kept.length, 0, len(kept), low, high):
                if int(kept.ordinal[at]) == ordinal:
                    continue
                source = buffers[int(kept.buffer[at])]
                differing += _differing(data, low, source, kept.offset, kept.position, kept.length, at)
                first = first or (int(kept.ordinal[at]), int(kept.time[at]), None)
            for entry in remembered:
                for start, stop in entry.runs.get((receiver.connection.index, receiver.side), ()):
                    pieces = entry.pieces
                    for at in _overlapping(pieces.position, pieces.length, start, stop, low, high):
                        source = pieces.buffers[int(pieces.buffer[at])]
                        differing += _differing(data, low, source, pieces.offset, pieces.position, pieces.length, at)
                        first = first or (int(pieces.ordinal[at]), int(pieces.time[at]), entry.headers)
            statistics.conflicting_bytes += differing
            if first is not None and not differing:
                mine = headers.of(ordinal)
                theirs = next(
                    (
                        found
                        for where in (first[2], headers, *(entry.headers for entry in remembered))
                        if where is not None and (found := where.of(first[0])) is not None
                    ),
                    None,
                )
                if mine and theirs and _one_packet(mine, theirs, abs(int(repeated.time[row]) - first[1])):
                    statistics.captured_again += 1
                    continue
            statistics.retransmitted_segments += 1
            statistics.retransmitted_bytes += high - low


def _headers(batch: PacketBatch, segments: Segments) -> _Headers:
    return _Headers(segments.buffer, segments.row + batch.first, segments.network, segments.transport)


def _overlapping(position: Int, length: Int, start: int, stop: int, low: int, high: int) -> range:
    """Rows of the sorted, disjoint ``position[start:stop]`` that share a byte with low … high."""
    first = start + int(np.searchsorted(position[start:stop], low, "right")) - 1
    if first < start or int(position[first] + length[first]) <= low:
        first += 1
    return range(first, start + int(np.searchsorted(position[start:stop], high)))


def _differing(
    data: npt.NDArray[np.uint8],
    low: int,
    source: npt.NDArray[np.uint8],
    offset: Int,
    position: Int,
    length: Int,
    at: int,
) -> int:
    """How many bytes of ``data`` (at stream position ``low``) differ from row ``at``."""
    begin = max(low, int(position[at]))
    end = min(low + len(data), int(position[at] + length[at]))
    mine = data[begin - low : end - low]
    theirs = source[int(offset[at]) + begin - int(position[at]) :][: end - begin]
    return int((mine != theirs).sum())


def _one_packet(mine: tuple[int, bytes], theirs: tuple[int, bytes], apart: int) -> bool:
    """Are these two captures of one transmission?"""
    if mine[1] != theirs[1] or apart > COPY_SPAN:
        return False
    if min(mine[0], theirs[0]) > 0:
        return mine[0] - theirs[0] & 0xFFFF < SEGMENTATION_SPAN
    return len(mine[1]) > 4 or apart < 1_000_000  # no identification: the timestamps tell, else only nearness
