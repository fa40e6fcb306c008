"""Where the records of a window begin: each record's length tells where the next one is.

Walked one by one that is a Python loop.  Where places can be guessed at which a record begins, the window is walked
as many chains in lockstep; each chain must end exactly where the next one begins, which proves the guesses, since the
first chain's start is known.  A guess that is not proved sends the window to the loop.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlmtrace.gather import Bytes, every_place

Offsets = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CHAIN = 8 << 10  # bytes a chain has to walk, about
SEARCHED = 4 << 10  # bytes in which the start of a chain is looked for
TRIES = 8
FEW_CHAINS = 12  # below that many chains the loop is faster than the lockstep


@dataclass(frozen=True, slots=True)
class Layout:
    """How records follow each other: the next one begins ``extra`` + length bytes on.

    The length is the u32 at ``length_at`` (byte order ``order``, "<" or ">"); a length outside ``smallest`` ..
    ``largest`` or no multiple of ``multiple`` is nonsense.
    """

    order: str
    length_at: int
    extra: int
    smallest: int
    largest: int
    multiple: int = 1

    def nonsense_at(self, buffer: Bytes, offset: int, end: int) -> int | None:
        """The length of the record at ``offset`` when it is nonsense; None when not, or when it lies beyond ``end``."""
        if offset + self.length_at + 4 > end:
            return None
        length: int = struct.unpack_from(self.order + "I", buffer.data, offset + self.length_at)[0]
        return None if self.smallest <= length <= self.largest and length % self.multiple == 0 else length


def likely_starts(buffer: Bytes, end: int, pattern: bytes, lead: int, is_likely: Callable[[Offsets], Flags]) -> Offsets:
    """Ascending places, some CHAIN bytes apart, at which a record may begin; 0, where one does begin, is the first.

    A candidate lies ``lead`` bytes before a match of the regular expression ``pattern``; ``is_likely`` says which
    candidates to take.
    """
    search = re.compile(pattern, re.DOTALL).search
    memory = buffer[lead:].data
    starts = [np.zeros(1, np.int64)]
    wanted = [(begin, begin + SEARCHED) for begin in range(CHAIN, end - CHAIN, CHAIN)]
    for _ in range(TRIES):
        hits = [(match.start(), limit) for begin, limit in wanted if (match := search(memory, begin, limit))]
        if not hits:
            break
        places = np.array(hits, np.int64)[:, 0]
        likely = is_likely(places)
        starts.append(places[likely])
        wanted = [(place + 1, limit) for (place, limit), taken in zip(hits, likely.tolist(), strict=True) if not taken]
    found = np.concatenate(starts)
    found.sort()
    return found


def walk(buffer: Bytes, begin: int, end: int, layout: Layout) -> tuple[list[int], int]:
    """Offsets of the whole records in ``begin`` .. ``end``, and where the first that is not whole or sane begins."""
    length_of = struct.Struct(layout.order + "I").unpack_from
    at, extra, multiple = layout.length_at, layout.extra, layout.multiple
    smallest, largest = layout.smallest, layout.largest
    memory = buffer.data
    last = end - at - 4
    offsets: list[int] = []
    offset = begin
    while offset <= last:
        length = length_of(memory, offset + at)[0]
        following = offset + extra + length
        if following > end or not smallest <= length <= largest or length % multiple:
            break
        offsets.append(offset)
        offset = following
    return offsets, offset


def walk_chains(buffer: Bytes, starts: Offsets, end: int, layout: Layout) -> tuple[Offsets, int] | None:
    """As ``walk`` from ``starts[0]``, all ``starts`` (ascending) at once; None when one of them begins no record."""
    lengths = every_place(buffer[layout.length_at :], layout.order + "u4")
    current, limits = starts[:-1], starts[1:]
    chain = np.arange(len(starts) - 1, dtype=np.min_scalar_type(len(starts)))
    found, sizes, chains = [], [], []
    while len(current) >= FEW_CHAINS:
        length = lengths[current]
        if layout.smallest and length.min() < layout.smallest:  # it may not move on at all
            return None
        found.append(current)
        sizes.append(length)
        chains.append(chain)
        current = current + layout.extra + length
        going = current < limits
        if np.count_nonzero(going) < len(going):
            stopped = ~going
            if (current[stopped] != limits[stopped]).any():
                return None
            current, limits, chain = current[going], limits[going], chain[going]
    rest = [
        *zip(chain.tolist(), current.tolist(), limits.tolist(), strict=True),
        (len(starts) - 1, int(starts[-1]), end),
    ]
    for number, start, limit in rest:
        offsets, stop = walk(buffer, start, limit, layout)
        if stop != limit and limit != end:  # the last chain ends wherever the whole records end
            return None
        found.append(np.array(offsets, np.int64))
        sizes.append(lengths[found[-1]])
        chains.append(np.full(len(offsets), number, chain.dtype))
    # Each chain's offsets ascend already; a stable sort by so small a type is a radix sort.
    together = np.concatenate(found)[np.argsort(np.concatenate(chains), kind="stable")]
    length = np.concatenate(sizes)
    if (length > layout.largest).any() or (layout.multiple > 1 and (length % layout.multiple).any()):
        return None
    return together, stop


def index(buffer: Bytes, starts: Offsets, end: int, layout: Layout) -> tuple[Offsets, int]:
    """Offsets of the whole records from ``starts[0]`` to ``end``, and where the first that is not whole or sane begins.

    ``starts`` as from ``likely_starts``; ``buffer`` reaches beyond ``end`` by a record's header at least.
    """
    found = walk_chains(buffer, starts, end, layout)
    if found is None:
        offsets, stop = walk(buffer, int(starts[0]), end, layout)
        return np.array(offsets, np.int64), stop
    return found
