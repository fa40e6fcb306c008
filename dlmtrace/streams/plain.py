"""Runs of a stream in which nothing happens: numbers that follow each other on the one connection that carries them,
all expected, and ACKs that rise.  They go by columns; what is not plain goes frame by frame through the tracker.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.numbers import MASK
from dlmtrace.streams.receiver import Arrival
from dlmtrace.streams.resends import FAST_ACKS
from dlmtrace.streams.silence import STARVATION, STARVATION_TIME
from dlmtrace.streams.tracker import Tracker
from dlmtrace.transport.serial import signed

Int = npt.NDArray[np.int64]

UNACKNOWLEDGED_WINDOW = 4096
"""Frames remembered of a stream whose receiver was never heard."""


@dataclass(slots=True)
class Run:
    """What one batch holds of a stream: its numbered frames and the receiver's ACKs (rows of the batch, ascending)."""

    tracker: Tracker
    carrier: int  # of the frames; -1: more than one
    frames: Int
    acks: Int


def is_plain(run: Run, batch: FrameBatch) -> bool:
    """Can the run be taken by columns?"""
    tracker, numbering = run.tracker, run.tracker.numbering
    if not len(run.frames) and not len(run.acks):
        return True
    if numbering is None or tracker.unsettled or numbering.expectation.expected != numbering.next:
        return False
    if len(run.frames):
        if run.carrier != tracker.carrier or run.carrier >> 1 in tracker.pair.deaths:
            return False
        expected = numbering.next + np.arange(len(run.frames)) & MASK
        if not (batch.sequence[run.frames] == expected).all():
            return False
    before = np.searchsorted(run.frames, run.acks)  # frames before each ACK
    numbers = _acknowledged(run, batch)
    confirmed = numbering.expectation.confirmed
    if len(numbers) and (numbers[0] < confirmed or (np.diff(numbers) < 0).any()):
        return False
    if (numbers > numbering.next + before).any():
        return False
    return not _starves(run, batch, before)


def _starves(run: Run, batch: FrameBatch, before: Int) -> bool:
    """Does the receiver deliver too much for too long without an ACK?  ``before``: frames before each ACK."""
    numbering = run.tracker.numbering
    assert numbering is not None
    if not len(run.frames):
        return False
    delivered = np.concatenate(([numbering.since_ack - numbering.next], before, [len(run.frames)]))
    long = np.diff(delivered) > STARVATION
    if not numbering.ack_time or numbering.starved:
        long[0] = False  # no ACK was seen yet, or it is known already
    if not long.any():
        return False
    time = batch.frames["time"]
    moments = np.concatenate(([numbering.ack_time], time[run.acks], [time[run.frames[-1]]]))
    return bool((np.diff(moments)[long] >= STARVATION_TIME).any())


def take(run: Run, batch: FrameBatch) -> None:
    """Take a plain run."""
    tracker, numbering = run.tracker, run.tracker.numbering
    if numbering is None or not (len(run.frames) or len(run.acks)):
        return
    tracker.resends.settle()
    expectation, count = numbering.expectation, len(run.frames)
    first = numbering.next
    numbering.result.frames += count
    numbering.next += count
    expectation.expected += count
    numbers = _acknowledged(run, batch)
    if count:
        tracker.timeline.note("sent", first, first + count - 1, run.carrier >> 1, *_moment(batch, run.frames[0]))
    if len(numbers) and numbers[-1] > expectation.confirmed:
        heard_on = int(batch.frames["connection"][run.acks[-1]])
        moment = _moment(batch, run.acks[-1])
        tracker.timeline.note("confirmed", expectation.confirmed, int(numbers[-1]) - 1, heard_on, *moment)
    confirmed = int(numbers[-1]) if len(numbers) else expectation.confirmed
    heard = numbering.result.confirmed_to is not None or len(numbers) > 0
    kept = min(count, numbering.next - confirmed if heard else UNACKNOWLEDGED_WINDOW)
    rows = run.frames[count - kept :]
    frames = batch.frames[rows]
    ends = (frames["position"] + frames["length"]).tolist()
    columns = (ends, *(frames[name].tolist() for name in ("length", "ordinal", "packet", "time")))
    for number, (end, size, ordinal, packet, time) in enumerate(zip(*columns, strict=True), numbering.next - kept):
        arrival = Arrival(number, run.carrier, end, size, ordinal, packet, time, True, number)
        expectation.remember(arrival)
    if count:
        last = batch.frames[run.frames[-1]]
        end, time = int(last["position"] + last["length"]), int(last["time"])
        where = (run.carrier, end, int(last["length"]), int(last["ordinal"]), int(last["packet"]), time)
        tracker.last = Arrival(numbering.next - 1, *where, True, numbering.next - 1)
        tracker.ends[run.carrier] = end
    if len(numbers):
        tracker.silence.hear(numbering, first + int(np.searchsorted(run.frames, run.acks[0])))
        expectation.acknowledge(confirmed)
        numbering.result.confirmed_to = confirmed & MASK
        _count_repeated_acks(run, batch, numbers)
        numbering.since_ack = first + int(np.searchsorted(run.frames, run.acks[-1]))
        numbering.ack_time = int(batch.frames["time"][run.acks[-1]])


def _moment(batch: FrameBatch, row: int) -> tuple[int, int]:
    return int(batch.frames["time"][row]), int(batch.frames["packet"][row])


def _count_repeated_acks(run: Run, batch: FrameBatch, numbers: Int) -> None:
    """Runs of equal ACKs, the one before this batch included."""
    numbering = run.tracker.numbering
    assert numbering is not None
    if numbers[0] != numbering.last_ack[0] and (np.diff(numbers) > 0).all():
        numbering.last_ack = (int(numbers[-1]), 1)
        return
    starts = np.flatnonzero(np.concatenate(([True], np.diff(numbers) != 0)))
    lengths = np.diff(np.append(starts, len(numbers)))
    before = numbering.last_ack[1] if numbering.last_ack[0] == numbers[0] else 0
    lengths[0] += before
    reached = lengths >= FAST_ACKS
    reached[0] &= before < FAST_ACKS
    if reached.any():
        first = int(np.flatnonzero(reached)[0])
        row = batch.frames[run.acks[min(starts[first] + FAST_ACKS - 1, len(numbers) - 1)]]
        place = int(row["connection"]) * 2 + int(row["side"]), 0, int(row["length"]), int(row["ordinal"])
        arrival = Arrival(0, *place, int(row["packet"]), int(row["time"]))
        numbering.note_repeated_acks(int(reached.sum()), int(numbers[starts[first]]), arrival)
    numbering.last_ack = (int(numbers[-1]), int(lengths[-1]))


def _acknowledged(run: Run, batch: FrameBatch) -> Int:
    """The numbers of the ACKs, unwrapped."""
    numbering = run.tracker.numbering
    assert numbering is not None
    confirmed = numbering.expectation.confirmed
    unwrapped: Int = confirmed + signed(batch.sequence[run.acks] - confirmed & MASK)
    return unwrapped
