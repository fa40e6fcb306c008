"""From a known frame start, all frames of many stretches of bytes at once.

A frame begins where the one before ends (protocol page §1.2).  All places that look like a header are found by columns;
where they prove a chain without a gap from the known start, they are the frames.  A stretch that holds anything else (a
frame that only looks like one to a kernel, a name that looks like a header, trouble) is left to the exact walk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlmtrace.wire.columns import HEADER, OPTIONS, gather
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
    hits = (version[2:-1] == 3) & (version[1:-2] == 0) & (version[3:] == 0) & (version[:-3] <= 2)
    offset = np.flatnonzero(hits)
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
    carried = np.zeros(len(offset), bool)  # the header of a frame inside the OPTS frame just before
    carried[1:] = (offset[1:] - offset[:-1] == _INNER) & (end[1:] == end[:-1]) & (header["h_cmd"][:-1] == Command.OPTS)
    outer = ~carried
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
