"""First copies of numbered frames, to compare those that come again; by reference, bounded."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.gather import Bytes

Int = npt.NDArray[np.int64]

REMEMBERED_BYTES = 32 << 20
"""Bytes of frames that are kept for comparison."""


class Batches:
    """The last batches, by serial."""

    def __init__(self) -> None:
        self._batches: dict[int, tuple[Bytes, Int, Int]] = {}  # buffer, offset and size of each frame
        self._bytes = 0
        self.serial = 0

    def add(self, batch: FrameBatch) -> None:
        """One more; the oldest ones go."""
        self.serial += 1
        frames = batch.frames
        self._batches[self.serial] = batch.buffer, frames["offset"].copy(), frames["captured"].copy()
        self._bytes += len(batch.buffer)
        while self._bytes > REMEMBERED_BYTES and len(self._batches) > 1:
            self._bytes -= len(self._batches.pop(next(iter(self._batches)))[0])

    def bytes_of(self, serial: int, row: int) -> bytes | None:
        """A frame as captured, None when its batch is gone."""
        if serial not in self._batches:
            return None
        buffer, offset, size = self._batches[serial]
        return buffer[offset[row] : offset[row] + size[row]].tobytes()

    @property
    def oldest(self) -> int:
        """Serial of the oldest that is kept."""
        return next(iter(self._batches), self.serial)


class FirstCopies:
    """Where the first frame of each number of a stream's epoch lies: runs of numbers that follow each other."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._runs: deque[tuple[int, int, list[int] | Int]] = deque()  # serial, first number, rows

    def add(self, number: int, row: int) -> None:
        """This number is this row of the present batch."""
        serial = self._batches.serial
        if self._runs:
            last_serial, first, rows = self._runs[-1]
            if last_serial == serial and first + len(rows) == number and isinstance(rows, list):
                rows.append(row)
                return
        self._add(number, [row])

    def add_run(self, number: int, rows: Int) -> None:
        """The numbers from ``number`` on are these rows of the present batch."""
        self._add(number, rows)

    def _add(self, number: int, rows: list[int] | Int) -> None:
        self._runs.append((self._batches.serial, number, rows))
        while self._runs[0][0] < self._batches.oldest:
            self._runs.popleft()

    def find(self, number: int) -> bytes | None:
        """The frame of this number."""
        for serial, first, rows in reversed(self._runs):
            if first <= number < first + len(rows):
                return self._batches.bytes_of(serial, int(rows[number - first]))
        return None

    def clear(self) -> None:
        """A new epoch began."""
        self._runs.clear()
