"""From a known frame start, all frames of many stretches of bytes at once.

A frame begins where the one before ends (protocol page §1.2).  All places that look like a header are found by columns;
where they prove a chain without a gap from the known start, they are the frames.  A stretch that holds anything else (a
frame that only looks like one to a kernel, a name that looks like a header, trouble) is left to the exact walk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlmtrace.gather import gather
from dlmtrace.wire.columns import HEADER, OPTIONS
from dlmtrace.wire.enums import Command
from dlmtrace.wire.header import MAXIMUM_LENGTH

Int = npt.NDArray[np.int64]

_INNER = HEADER.itemsize + OPTIONS.itemsize


@dataclass(slots=True)
class Chains:
    """``offset``, ``length`` of the whole frames, ``stretch`` the index of their stretch (all in stream order).
    ``proved[i]``: stretch i is all frames, up to ``stop[i]``, where an unfinished one begins (or its end)."""

    offset: Int
    length: Int
    stretch: Int
    stop: Int
    proved: npt.NDArray[np.bool_]


def plausible_headers(buffer: npt.NDArray[np.uint8], end: int) -> tuple[Int, npt.NDArray[np.void]]:
    """Offsets below ``end`` where a header of protocol 3.0 … 3.2 may begin (protocol page §1.4), and these headers."""
    version = buffer[: end + 3]
    hits = np.zeros(-(-end // 8) * 8, bool)
    np.equal(version[2:-1], 3, out=hits[:end])
    hits[:end] &= version[1:-2] == 0
    hits[:end] &= version[3:] == 0
    hits[:end] &= version[:-3] <= 2
    eights = np.flatnonzero(hits.view(np.uint64))  # most of the bytes are none: look at eight at a time
    row, column = np.nonzero(hits.reshape(-1, 8)[eights])
    offset = eights[row] * 8 + column
    header = gather(buffer, HEADER, offset)
    length = header["h_length"]
    good = (header["h_pad"] == 0) & (length >= HEADER.itemsize) & (length <= MAXIMUM_LENGTH)
    good &= (header["h_cmd"] >= Command.MSG) & (header["h_cmd"] <= Command.FIN)
    return offset[good], header[good]


def chain(buffer: npt.NDArray[np.uint8], low: Int, high: Int) -> Chains:
    """Frames of the stretches low[i] … high[i] of ``buffer`` (in order, disjoint), each beginning at low[i]."""
    offset, header = plausible_headers(buffer, int(high[-1]))
    stretch = np.searchsorted(low, offset, "right") - 1
    inside = (stretch >= 0) & (offset + HEADER.itemsize <= high[stretch])
    offset, header, stretch = offset[inside], header[inside], stretch[inside]
    length = header["h_length"].astype(np.int64)
    end = offset + length
    outer = _outermost(offset, end, stretch)
    offset, length, end, stretch = offset[outer], length[outer], end[outer], stretch[outer]
    if not len(offset):
        return Chains(offset, length, stretch, low.copy(), high - low < HEADER.itemsize)
    first = np.searchsorted(stretch, np.arange(len(low)))
    last = np.searchsorted(stretch, np.arange(len(low)), "right") - 1
    some = last >= first
    first, last = np.minimum(first, len(offset) - 1), np.maximum(last, 0)
    joined = (end[:-1] == offset[1:]) | (stretch[:-1] != stretch[1:])
    breaks = np.concatenate(([0], np.cumsum(~joined)))
    ends = np.where(some, end[last], low)
    rest = high - ends
    unfinished = some & (rest < 0)
    proved = ~some | ((offset[first] == low) & (breaks[last] == breaks[first]))
    proved &= rest < HEADER.itemsize
    stop = np.where(unfinished, offset[last], ends)
    whole = proved[stretch] & ~((np.arange(len(offset)) == last[stretch]) & unfinished[stretch])
    return Chains(offset[whole], length[whole], stretch[whole], stop, proved)


def _outermost(offset: Int, end: Int, stretch: Int) -> npt.NDArray[np.bool_]:
    """Which of these headers do not lie inside the frame of an earlier one, as the header that OPTS carries does, and
    bytes of a name, LVB or number that happen to look like one."""
    keep = np.ones(len(offset), bool)
    inside = (offset[1:] < end[:-1]) & (stretch[1:] == stretch[:-1])
    carried = inside & (end[1:] == end[:-1])
    keep[1:] = ~carried
    rest = np.flatnonzero(keep)
    offset, end, stretch = offset[rest], end[rest], stretch[rest]
    frame = -1  # the one whose inside is being dropped
    for row in np.flatnonzero((offset[1:] < end[:-1]) & (stretch[1:] == stretch[:-1])).tolist():
        if row <= frame:
            continue
        frame = row
        while frame + 1 < len(rest) and offset[frame + 1] < end[row] and stretch[frame + 1] == stretch[row]:
            frame += 1
            keep[rest[frame]] = False
    return keep
