"""Frames of all directions in capture order over batches: what a hole still keeps back holds back what came after it.

Which frames lie behind a gap is known only when the gap is filled or proves to be a hole, up to 200 ms of capture time
later; ACKs and ends of connections that came in between must not overtake them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import TAIL
from dlmtrace.framing.frames import FrameBatch

HELD_BYTES = 32 << 20
"""Bytes of frames that are held back at most (a capture without times cannot say that 200 ms are over)."""


class CaptureOrder:
    """Feed it a framer's batches; it gives them back with rows moved from one to the next where that is needed."""

    def __init__(self) -> None:
        self._held: FrameBatch | None = None
        self._begun = False

    def feed(self, batch: FrameBatch, settled: int | None) -> Iterator[FrameBatch]:
        """What is settled (``Framer.settled``) of this batch and of those before.

        The first frames wait until a whole batch can be given: it tells who is who.
        """
        held, self._held = self._held, None
        if held is not None:
            batch = _joined(held, batch)
        begun, self._begun = self._begun, self._begun or len(batch) > 0
        if settled is None or len(batch.buffer) > HELD_BYTES:
            yield batch
            return
        if not begun:
            self._held = batch
            return
        upto = int(np.searchsorted(batch.frames["ordinal"], settled))
        holes, skips = batch.holes["ordinal"] < settled, batch.skips["ordinal"] < settled
        events = [event.ordinal < settled for event in batch.events]
        kept = (batch.frames[upto:].copy(), batch.holes[~holes], batch.skips[~skips])
        later = list(compress(batch.events, (not each for each in events)))
        if later or any(map(len, kept)):
            self._held = _without_lead(FrameBatch(batch.buffer, *kept, later, batch.connections))
        ready = (batch.frames[:upto], batch.holes[holes], batch.skips[skips])
        yield FrameBatch(batch.buffer, *ready, list(compress(batch.events, events)), batch.connections)


def _without_lead(batch: FrameBatch) -> FrameBatch:
    """The batch with a buffer that holds little more than its frames and the bytes it skipped."""
    frames, skips = batch.frames, batch.skips
    offset = np.concatenate((frames["offset"], skips["offset"]))
    low = int(offset.min(initial=len(batch.buffer) - TAIL))
    high = int((offset + np.concatenate((frames["captured"], skips["length"]))).max(initial=low))
    frames["offset"] -= low
    skips["offset"] -= low
    return FrameBatch(
        batch.buffer[low : high + TAIL].copy(), frames, batch.holes, skips, batch.events, batch.connections
    )


def _joined(first: FrameBatch, second: FrameBatch) -> FrameBatch:
    """Two batches as one, in capture order."""
    frames, skips = second.frames.copy(), second.skips.copy()
    frames["offset"] += len(first.buffer)
    skips["offset"] += len(first.buffer)
    frames, skips = _merged(first.frames, frames), _sorted(np.concatenate((first.skips, skips)))
    holes = _sorted(np.concatenate((first.holes, second.holes)))
    events = sorted(first.events + second.events, key=lambda event: event.ordinal)
    buffer = np.concatenate((first.buffer, second.buffer))
    return FrameBatch(buffer, frames, holes, skips, events, first.connections | second.connections)


def _merged(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The rows of both by ordinal; each has its own in this order, and few of the second belong before the first's."""
    if not len(first):
        return second
    behind = int(np.searchsorted(second["ordinal"], first["ordinal"][-1], "right"))
    return np.concatenate((_sorted(np.concatenate((first, second[:behind]))), second[behind:]))


def _sorted(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return rows[np.argsort(rows["ordinal"], kind="stable")]
