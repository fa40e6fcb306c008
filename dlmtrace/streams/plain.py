"""Runs of a stream in which nothing happens: numbers that follow each other on the one connection that carries them,
all expected, and ACKs that rise.  They go by columns, all streams of a batch at once; what is not plain goes frame by
frame through the tracker.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from dlmtrace.wire.enums import Command

Int = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

UNACKNOWLEDGED_WINDOW = 4096
"""Frames remembered of a stream whose receiver was never heard."""


@dataclass(slots=True)
class Run:
    """What one batch holds of a stream: its numbered frames and the receiver's ACKs (rows of the batch, ascending)."""

    tracker: Tracker
    carrier: int  # of the frames; -1: more than one
    frames: Int
    acks: Int


class _Groups:
    """Rows of all runs, one run's behind the other's."""

    def __init__(self, groups: Sequence[Int]) -> None:
        self.rows = np.concatenate(groups)
        self.count = np.array([len(group) for group in groups])
        self.stop = np.cumsum(self.count)
        self.start = self.stop - self.count
        self.of = np.repeat(np.arange(len(groups)), self.count)  # for each row the index of its run
        self.rank = np.arange(len(self.rows)) - self.start[self.of]  # … and its index in that


class PlainRuns:
    """The runs of a batch, one of each stream; ``plain[i]``: can run i be taken by columns?"""

    def __init__(self, runs: Sequence[Run], batch: FrameBatch) -> None:
        self._runs, self._batch = runs, batch
        self._frames, self._acks = _Groups([run.frames for run in runs]), _Groups([run.acks for run in runs])
        numberings = [run.tracker.numbering for run in runs]
        self._next = np.array([0 if each is None else each.next for each in numberings])
        self._confirmed = np.array([0 if each is None else each.expectation.confirmed for each in numberings])
        self.plain = np.array([_is_ready(run) for run in runs])
        self._numbers = self._acknowledged()
        self._before = self._frames_before_acks()
        frames, acks = self._frames, self._acks
        wrong = batch.sequence[frames.rows] != (self._next[frames.of] + frames.rank & MASK)
        wrong |= batch.command[frames.rows] == Command.FIN
        self.plain[frames.of[wrong]] = False
        least = np.concatenate(([0], self._numbers[:-1]))
        least[acks.start[acks.count > 0]] = self._confirmed[acks.count > 0]
        wrong = (self._numbers < least) | (self._numbers > self._next[acks.of] + self._before)
        self.plain[acks.of[wrong]] = False
        for index in np.flatnonzero(self.plain & self._delivers_much()).tolist():
            self.plain[index] = not self._starves(index)

    def take(self, chosen: Sequence[int]) -> None:
        """Take these runs, which must be plain."""
        chosen = [each for each in chosen if self._frames.count[each] or self._acks.count[each]]
        confirmed, kept = self._left(chosen)
        frames, acks = self._frames, self._acks
        tails = self._places(frames.rows[frames.rank >= (frames.count - kept)[frames.of]])
        tail_stop = np.cumsum(kept).tolist()
        first, last = (self._ends(frames, at) for at in (frames.start, frames.stop - 1))
        heard = self._ends(acks, acks.stop - 1)
        with_acks = np.flatnonzero(acks.count)
        first_heard, last_heard = (
            dict(zip(with_acks.tolist(), self._before[at[with_acks]].tolist(), strict=True))
            for at in (acks.start, acks.stop - 1)
        )
        old = np.bincount(acks.of[self._numbers <= self._confirmed[acks.of]], minlength=len(self._runs))
        rising = self._ends(acks, np.minimum(acks.start + old, acks.stop - 1))  # the first ACK of something new
        counts = frames.count.tolist()
        last_ack, reached = self._repeated_acks()
        for index in chosen:
            run, count = self._runs[index], counts[index]
            tracker, numbering = run.tracker, run.tracker.numbering
            assert numbering is not None
            expectation, begin = numbering.expectation, numbering.next
            tracker.resends.settle()
            numbering.result.frames += count
            numbering.next += count
            expectation.expected += count
            if count:
                _, _, _, packet, time = first[index]
                until = last[index][4]
                tracker.timeline.note("sent", begin, begin + count - 1, run.carrier >> 1, time, packet, until)
                tail = tails[tail_stop[index] - int(kept[index]) : tail_stop[index]]
                if len(tail) < count:
                    expectation.has(numbering.next - len(tail))
                for number, place in enumerate(tail, numbering.next - len(tail)):
                    expectation.remember(Arrival(number, run.carrier, *place, True, number))
                tracker.last = Arrival(numbering.next - 1, run.carrier, *last[index], True, numbering.next - 1)
                tracker.ends[run.carrier] = last[index][0]
            if not len(run.acks):
                continue
            number = confirmed[index]
            _, _, _, packet, time = rising[index]
            until = heard[index][4]
            if number > expectation.confirmed:
                on = int(self._batch.frames["connection"][run.acks[-1]])
                tracker.timeline.note("confirmed", expectation.confirmed, number - 1, on, time, packet, until)
            tracker.silence.hear(numbering, begin + first_heard[index])
            expectation.acknowledge(number)
            numbering.result.confirmed_to = number & MASK
            if index in reached:
                repeated, number, ack = reached[index]
                seen = numbering.first_repeated_ack
                numbering.note_repeated_acks(repeated, number, seen[1] if seen else self._arrival(ack))
            numbering.last_ack = last_ack[index]
            numbering.since_ack = begin + last_heard[index]
            numbering.ack_time = until

    def _acknowledged(self) -> Int:
        """The numbers of the ACKs, unwrapped."""
        confirmed = self._confirmed[self._acks.of]
        numbers: Int = confirmed + signed(self._batch.sequence[self._acks.rows] - confirmed & MASK)
        return numbers

    def _frames_before_acks(self) -> Int:
        """For each ACK how many frames of its run came before it."""
        size, frames, acks = len(self._batch), self._frames, self._acks
        at = np.searchsorted(frames.of * size + frames.rows, acks.of * size + acks.rows)
        before: Int = at - frames.start[acks.of]
        return before

    def _delivers_much(self) -> Flags:
        """The runs with more than STARVATION frames between two ACKs."""
        acks = self._acks
        since = np.array([each.since_ack if (each := run.tracker.numbering) else 0 for run in self._runs]) - self._next
        heard = acks.count > 0
        before = np.concatenate(([0], self._before[:-1]))
        before[acks.start[heard]] = since[heard]
        much = np.zeros(len(self._runs), bool)
        much[acks.of[self._before - before > STARVATION]] = True
        last = since.copy()
        last[heard] = self._before[acks.stop[heard] - 1]
        much |= self._frames.count - last > STARVATION
        return much

    def _starves(self, index: int) -> bool:
        """Does the receiver deliver too much for too long without an ACK?"""
        run = self._runs[index]
        numbering = run.tracker.numbering
        assert numbering is not None
        if not len(run.frames):
            return False
        before = self._before[self._acks.start[index] : self._acks.stop[index]]
        delivered = np.concatenate(([numbering.since_ack - numbering.next], before, [len(run.frames)]))
        long = np.diff(delivered) > STARVATION
        if not numbering.ack_time or numbering.starved:
            long[0] = False  # no ACK was seen yet, or it is known already
        time = self._batch.frames["time"]
        moments = np.concatenate(([numbering.ack_time], time[run.acks], [time[run.frames[-1]]]))
        return bool((np.diff(moments)[long] >= STARVATION_TIME).any())

    def _left(self, chosen: Sequence[int]) -> tuple[list[int], Int]:
        """For each run what is confirmed in the end, and how many of its frames are not; 0 for runs not chosen."""
        frames, acks = self._frames, self._acks
        confirmed, heard = self._confirmed.copy(), acks.count > 0
        confirmed[heard] = self._numbers[acks.stop[heard] - 1]
        kept = np.zeros(len(self._runs), np.int64)
        for index in chosen:
            numbering = self._runs[index].tracker.numbering
            assert numbering is not None
            known = heard[index] or numbering.result.confirmed_to is not None
            left = self._next[index] + frames.count[index] - confirmed[index] if known else UNACKNOWLEDGED_WINDOW
            kept[index] = min(frames.count[index], left)
        return confirmed.tolist(), kept

    def _places(self, rows: Int) -> list[tuple[int, int, int, int, int]]:
        """Stream position behind a frame, its size, ordinal, packet, time."""
        frames = self._batch.frames
        end = frames["position"][rows] + frames["length"][rows]
        return list(
            zip(
                end.tolist(),
                *(frames[name][rows].tolist() for name in ("length", "ordinal", "packet", "time")),
                strict=True,
            )
        )

    def _ends(self, groups: _Groups, at: Int) -> dict[int, tuple[int, int, int, int, int]]:
        """By run the place of the row ``at`` of ``groups``, where the run has rows."""
        runs = np.flatnonzero(groups.count)
        return dict(zip(runs.tolist(), self._places(groups.rows[at[runs]]), strict=True))

    def _repeated_acks(self) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int, int]]]:
        """By run with ACKs: the last number and how many times in a row it came, the ACKs before this batch included;
        and where numbers came FAST_ACKS times: how many, the first of them, and index of that ACK."""
        acks, numbers = self._acks, self._numbers
        runs = np.flatnonzero(acks.count)
        if not len(runs):
            return {}, {}
        begins = np.concatenate(([True], numbers[1:] != numbers[:-1]))
        begins[acks.start[runs]] = True
        start = np.flatnonzero(begins)
        length = np.diff(np.append(start, len(numbers)))
        held = [(each.last_ack if (each := self._runs[run].tracker.numbering) else (-1, 0)) for run in runs.tolist()]
        number, times = np.array(held).T
        first = np.searchsorted(start, acks.start[runs])
        before = np.where(numbers[acks.start[runs]] == number, times, 0)
        length[first] += before
        enough = length >= FAST_ACKS
        enough[first] &= before < FAST_ACKS
        last = np.searchsorted(start, acks.stop[runs]) - 1
        last_ack = zip(numbers[start[last]].tolist(), length[last].tolist(), strict=True)
        of, places = acks.of[start], np.flatnonzero(enough)
        count = np.bincount(of[places], minlength=len(self._runs))
        earliest = np.zeros(len(self._runs), np.int64)
        earliest[of[places[::-1]]] = places[::-1]
        reached = {}
        for run in np.flatnonzero(count).tolist():
            begin = int(start[earliest[run]])
            reached[run] = int(count[run]), int(numbers[begin]), min(begin + FAST_ACKS, int(acks.stop[run])) - 1
        return dict(zip(runs.tolist(), last_ack, strict=True)), reached

    def _arrival(self, ack: int) -> Arrival:
        row = self._batch.frames[self._acks.rows[ack]]
        carrier = int(row["connection"]) * 2 + int(row["side"])
        return Arrival(0, carrier, 0, int(row["length"]), int(row["ordinal"]), int(row["packet"]), int(row["time"]))


def _is_ready(run: Run) -> bool:
    """Would the tracker have nothing to do but to count?"""
    tracker, numbering = run.tracker, run.tracker.numbering
    if not len(run.frames) and not len(run.acks):
        return True
    if numbering is None or tracker.unsettled or numbering.expectation.expected != numbering.next:
        return False
    return not len(run.frames) or (run.carrier == tracker.carrier and run.carrier >> 1 not in tracker.pair.deaths)
