"""First copies of numbered frames, to compare those that come again; by reference, bounded."""

from __future__ import annotations

from collections import deque

from dlmtrace.framing.frames import FrameBatch

REMEMBERED_BYTES = 32 << 20
"""Bytes of frames that are kept for comparison."""


class Batches:
    """The last batches, by serial."""

    def __init__(self) -> None:
        self._batches: dict[int, FrameBatch] = {}
        self._bytes = 0
        self.serial = 0

    def add(self, batch: FrameBatch) -> None:
        """One more; the oldest ones go."""
        self.serial += 1
        self._batches[self.serial] = batch
        self._bytes += len(batch.buffer)
        while self._bytes > REMEMBERED_BYTES and len(self._batches) > 1:
            self._bytes -= len(self._batches.pop(next(iter(self._batches))).buffer)

    def bytes_of(self, serial: int, row: int) -> bytes | None:
        """A frame as captured, None when its batch is gone."""
        batch = self._batches.get(serial)
        return None if batch is None else batch.bytes_of(row)

    @property
    def oldest(self) -> int:
        """Serial of the oldest that is kept."""
        return next(iter(self._batches), self.serial)


class FirstCopies:
    """Where the first frame of each number of a stream's epoch lies: runs of numbers that follow each other."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._runs: deque[tuple[int, int, list[int]]] = deque()  # serial, first number, rows

    def add(self, number: int, rows: list[int]) -> None:
        """The numbers from ``number`` on are these rows of the present batch."""
        serial = self._batches.serial
        if self._runs and self._runs[-1][0] == serial and self._runs[-1][1] + len(self._runs[-1][2]) == number:
            self._runs[-1][2].extend(rows)
            return
        self._runs.append((serial, number, rows))
        while self._runs[0][0] < self._batches.oldest:
            self._runs.popleft()

    def find(self, number: int) -> bytes | None:
        """The frame of this number."""
        for serial, first, rows in reversed(self._runs):
            if first <= number < first + len(rows):
                return self._batches.bytes_of(serial, rows[number - first])
        return None

    def clear(self) -> None:
        """A new epoch began."""
        self._runs.clear()
