"""From a known frame start, all frames of many stretches of bytes at once.

A frame begins where the one before ends (protocol page §1.2).  Most segments begin with a frame, so chains are walked
from all of them in lockstep; where a chain arrives just where the next one began, both are proved.  Where segments cut
frames, all places that look like a header are found instead, and prove themselves in the same way: by forming a chain
without a gap from the known start.  A stretch that holds anything else (a frame that only looks like one to a kernel,
trouble) is left to the exact walk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlmtrace.gather import every_place, gather
from dlmtrace.wire.columns import HEADER, OPTIONS
from dlmtrace.wire.signature import look_like_headers

Int = npt.NDArray[np.int64]

LENGTH: np.dtype[np.uint16] = HEADER.fields["h_length"][0]  # type: ignore[index]
LENGTH_OFFSET: int = HEADER.fields["h_length"][1]  # type: ignore[index]


@dataclass(slots=True)
class Chains:
    """``offset``, ``length`` of the whole frames, ``stretch`` the index of their stretch (all in stream order).
    ``proved[i]``: stretch i is all frames, up to ``stop[i]``, where an unfinished one begins (or its end)."""

    offset: Int
    length: Int
    stretch: Int
    stop: Int
    proved: npt.NDArray[np.bool_]


def places_like_headers(buffer: npt.NDArray[np.uint8], end: int) -> tuple[Int, npt.NDArray[np.void]]:
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
    good = look_like_headers(header)
    return offset[good], header[good]


def chain(buffer: npt.NDArray[np.uint8], low: Int, high: Int, begins: Int) -> Chains:
    """Frames of the stretches low[i] … high[i] of ``buffer`` (in order, disjoint), each beginning at low[i].

    ``begins`` are places where a frame is likely to begin: where segments begin (rising).
    """
    header = gather(buffer, HEADER, begins)
    carried = np.zeros(len(begins), bool)  # may that be the header inside an OPTS frame, whose options end just there?
    behind = np.flatnonzero(begins >= OPTIONS.itemsize)
    options = every_place(buffer, "<u8")[begins[behind] - OPTIONS.itemsize]
    carried[behind] = options == header["h_cmd"][behind]
    likely = look_like_headers(header) & ~carried
    likely[1:] &= begins[1:] != begins[:-1]  # where a row has no byte
    places = begins[likely]
    if 2 * len(places) < len(begins):
        return _by_signature(buffer, low, high)
    chains = _in_lockstep(buffer, low, high, places)
    rest = np.flatnonzero(~chains.proved)
    if not len(rest):
        return chains
    others = _by_signature(buffer, low[rest], high[rest])
    offset = np.concatenate((chains.offset, others.offset))
    order = np.argsort(offset, kind="stable")
    length = np.concatenate((chains.length, others.length))[order]
    stretch = np.concatenate((chains.stretch, rest[others.stretch]))[order]
    chains.stop[rest], chains.proved[rest] = others.stop, others.proved
    return Chains(offset[order], length, stretch, chains.stop, chains.proved)


def _in_lockstep(buffer: npt.NDArray[np.uint8], low: Int, high: Int, likely: Int) -> Chains:
    """Chains from every likely place, a frame of each a round, up to where the next chain began."""
    at = np.searchsorted(likely, low)
    known = likely[np.minimum(at, len(likely) - 1)] == low
    starts = np.insert(likely, at[~known], low[~known])
    of_stretch = np.searchsorted(low, starts, "right") - 1
    inside = (of_stretch >= 0) & (starts < high[of_stretch])
    starts, of_stretch = starts[inside], of_stretch[inside]
    end = high[of_stretch]
    limit = np.minimum(np.append(starts[1:], high[-1]), end)
    lengths = every_place(buffer, LENGTH)
    cursor, active = starts.copy(), np.arange(len(starts))
    count = np.zeros(len(starts), np.int64)
    rounds = []
    while len(active):
        at = cursor[active]
        behind = at + lengths[at + LENGTH_OFFSET]
        last = end[active]
        whole = (behind <= last) & (behind >= at + HEADER.itemsize) & (at + HEADER.itemsize <= last)
        if not whole.all():
            active, at, behind = active[whole], at[whole], behind[whole]
        rounds.append((active, at))
        count[active] += 1
        cursor[active] = behind
        active = active[behind < limit[active]]
    first = np.cumsum(count) - count
    offset = np.empty(int(count.sum()), np.int64)
    for number, (chains, at) in enumerate(rounds):
        offset[first[chains] + number] = at
    stretch = np.repeat(of_stretch, count)
    header = gather(buffer, HEADER, offset)
    proved = np.ones(len(low), bool)
    proved[stretch[~look_like_headers(header)]] = False
    joined = (cursor[:-1] == starts[1:]) | (of_stretch[:-1] != of_stretch[1:])
    proved[of_stretch[:-1][~joined]] = False
    stop = low.copy()
    stop[of_stretch] = cursor  # of several chains of a stretch the last one counts
    rest = high - stop
    begun = np.flatnonzero(rest >= HEADER.itemsize)
    unfinished = gather(buffer, HEADER, stop[begun])
    proved[begun] &= look_like_headers(unfinished) & (unfinished["h_length"] > rest[begun])
    whole = proved[stretch]
    return Chains(offset[whole], header["h_length"].astype(np.int64)[whole], stretch[whole], stop, proved)


def _by_signature(buffer: npt.NDArray[np.uint8], low: Int, high: Int) -> Chains:
    """Chains of everything that looks like a header."""
    offset, header = places_like_headers(buffer, int(high[-1]))
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
