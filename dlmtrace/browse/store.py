"""The frames of a run on disk, to be read again anywhere: memory does not grow with the capture.

Frames come out of reordered segments and compressed files, so that most have no place of their own in the capture.
Two temporary files therefore hold what the stages have found: one a record for each frame, the other the frames' bytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import TAIL
from dlmtrace.framing.frames import FRAME, HOLE, SKIP, FrameBatch
from dlmtrace.transport.connections import Connection

Int = npt.NDArray[np.int64]

CHUNK = 16_384
"""Frames that a search reads at once."""


class FrameStore:
    """One thread adds batches, others read: ``count`` frames are there, numbered from 0.

    Raises OSError when the disk is full.
    """

    def __init__(self) -> None:
        self.count = 0
        self.connections: dict[int, Connection] = {}
        self._records = tempfile.TemporaryFile(prefix="dlmtrace-", buffering=0)  # noqa: SIM115, gone with the process
        self._bytes = tempfile.TemporaryFile(prefix="dlmtrace-", buffering=0)  # noqa: SIM115, gone with the process
        self._size = 0

    def add(self, batch: FrameBatch) -> None:
        """Append the frames of a batch."""
        frames = batch.frames.copy()
        lengths = frames["captured"].astype(np.int64)
        before = np.cumsum(lengths) - lengths
        places = np.repeat(frames["offset"] - before, lengths) + np.arange(int(lengths.sum()))
        frames["offset"] = self._size + before
        self._bytes.write(batch.buffer[places].data)
        self._records.write(frames.data)
        self.connections.update(batch.connections)
        self._size += len(places)
        self.count += len(frames)

    def rows(self, first: int, last: int) -> FrameBatch:
        """The frames ``first`` … ``last`` - 1."""
        return self._batch(self.records(first, last))

    def chosen(self, rows: Int) -> FrameBatch:
        """These frames, in that order."""
        return self._batch(np.concatenate([self.records(row, row + 1) for row in rows.tolist()]))

    def records(self, first: int, last: int) -> npt.NDArray[Any]:
        """The records (dtype FRAME) of these frames; their offsets are places in the file of bytes."""
        data = os.pread(self._records.fileno(), (last - first) * FRAME.itemsize, first * FRAME.itemsize)
        return np.frombuffer(data, FRAME).copy()

    def chunks(self, first: int = 0) -> Iterator[tuple[int, FrameBatch]]:
        """The frames from ``first`` to the last that is there, in batches, each with the number of its first frame."""
        while first < self.count:
            last = min(first + CHUNK, self.count)
            yield first, self.rows(first, last)
            first = last

    def chunks_before(self, last: int) -> Iterator[tuple[int, FrameBatch]]:
        """The same backwards, from ``last`` - 1."""
        while last > 0:
            first = max(last - CHUNK, 0)
            yield first, self.rows(first, last)
            last = first

    def _batch(self, frames: npt.NDArray[Any]) -> FrameBatch:
        lengths = frames["captured"].astype(np.int64)
        ends = np.cumsum(lengths)
        size = int(ends[-1]) if len(frames) else 0
        buffer = np.zeros(size + TAIL, np.uint8)
        start = frames["offset"] - (ends - lengths)
        runs = np.flatnonzero(np.diff(start, prepend=-1))  # frames whose bytes follow each other are one read
        for run, behind in zip(runs.tolist(), [*runs[1:].tolist(), len(frames)], strict=True):
            low, high = int(ends[run] - lengths[run]), int(ends[behind - 1])
            data = os.pread(self._bytes.fileno(), high - low, int(frames["offset"][run]))
            buffer[low:high] = np.frombuffer(data, np.uint8)
        frames["offset"] = ends - lengths
        return FrameBatch(buffer, frames, np.empty(0, HOLE), np.empty(0, SKIP), [], self.connections)
