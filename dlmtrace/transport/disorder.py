"""The usual disorder of TCP, of all directions of a batch at once: segments that came wholly before, and others that
swapped places but leave no gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlmtrace.transport.assembly import Assembly
from dlmtrace.transport.direction import Receiver
from dlmtrace.transport.reorder import Arrivals
from dlmtrace.transport.repeats import Repetition
from dlmtrace.transport.serial import signed

Int = npt.NDArray[np.int64]

_SPAN = 1 << 34
"""From one direction's place in the common order to the next one's: more than positions and lengths come to."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows ``low`` … ``high`` of a batch are those of a direction that is plain; none of them was cut."""

    key: int
    receiver: Receiver
    low: int
    high: int


def put_in_order(
    groups: list[Group], arrivals: Arrivals, length: Int, out: Assembly
) -> tuple[list[Repetition], list[Group]]:
    """Deliver what these groups bring; gives what came again, and the groups in which there is more to it.

    Positions of ``arrivals`` are sequence numbers; nothing is done to the groups that are given back.
    """
    if not groups:
        return [], []
    receivers = [group.receiver for group in groups]
    of = np.repeat(np.arange(len(groups)), [group.high - group.low for group in groups])
    rows = np.concatenate([np.arange(group.low, group.high) for group in groups])
    size = length[rows]
    base = np.arange(len(groups)) * _SPAN  # stands for what each receiver expects
    sequence = np.array([receiver.sequence for receiver in receivers])
    place = base[of] + signed(arrivals.position[rows] - sequence[of])
    loaded = np.flatnonzero(size)
    order = loaded[np.argsort(place[loaded], kind="stable")]
    begin, end, owner = place[order], place[order] + size[order], of[order]
    covered = np.maximum(_before(end), base[owner])  # by what lies before
    fresh = end > covered
    index = np.arange(len(order))
    over = np.maximum.accumulate(np.where(fresh, index, -1))  # what covers each that is not fresh
    inside = ~fresh & (over >= 0) & (owner[over] == owner) & (order < order[over])  # then the first copy is this one
    odd = np.zeros(len(groups), bool)
    odd[owner[(fresh & (begin != covered)) | inside]] = True

    sent = np.array([receiver.statistics.sent - receiver.expected for receiver in receivers]) + base
    reached = np.where(size > 0, place + size, np.iinfo(np.int64).min)
    before = np.maximum(_before(reached), sent[of])
    highest = np.maximum(np.maximum.accumulate(reached)[np.cumsum(np.bincount(of)) - 1], sent) - base
    keep_alives = np.bincount(of[(size == 0) & (place == before - 1)], minlength=len(groups)).tolist()
    kept, again = order[fresh], np.sort(order[~fresh])
    out_of_order = np.bincount(of[kept][place[kept] < before[kept]], minlength=len(groups)).tolist()
    start = np.array([receiver.expected for receiver in receivers]) - base  # from places to stream positions
    fresh_rows, repeated = arrivals.take(rows[kept]), arrivals.take(rows[again])
    fresh_rows.position[:] = (place + start[of])[kept]
    repeated.position[:] = (place + start[of])[again]
    before_again = (before + start[of])[again]
    bounds = np.searchsorted(of[kept], np.arange(len(groups) + 1)).tolist()
    again_bounds = np.searchsorted(of[again], np.arange(len(groups) + 1)).tolist()
    total = np.concatenate(([0], np.cumsum(size[kept])))[bounds].tolist()

    repetitions, left = [], []
    for number, group in enumerate(groups):
        if odd[number]:
            left.append(group)
            continue
        receiver, statistics = group.receiver, group.receiver.statistics
        statistics.sent = receiver.expected + int(highest[number])
        statistics.keep_alives += keep_alives[number]
        statistics.out_of_order += out_of_order[number]
        own = fresh_rows.between(bounds[number], bounds[number + 1])
        first, last = again_bounds[number], again_bounds[number + 1]
        if first < last:
            present = Arrivals.concatenate([*out.delivered(receiver), own])
            came = repeated.between(first, last)
            repetitions.append(Repetition(receiver, came, before_again[first:last], present))
        if len(own):
            out.add(receiver, [receiver.continue_plainly(own, total[number + 1] - total[number])])
    return repetitions, left


def _before(values: Int) -> Int:
    """For each the highest of all before it."""
    highest = np.maximum.accumulate(values)
    return np.concatenate((np.full(1, np.iinfo(np.int64).min), highest[:-1]))[: len(values)]
