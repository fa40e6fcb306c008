"""Sequence numbers of a stream, unwrapped to plain integers, and ranges of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from dlmtrace.streams.results import Range
from dlmtrace.transport.serial import signed

MASK = 0xFFFFFFFF


def unwrap(number: int, near: int) -> int:
    """The integer nearest to ``near`` that is ``number`` modulo 2^32 (RFC 1982)."""
    return near + int(signed(number - near & MASK))


class RangeSet:
    """A set of integers as sorted, disjoint ranges low … high, both inside."""

    def __init__(self) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []

    def add(self, low: int, high: int) -> None:
        """Put in low … high."""
        if high < low:
            return
        first = bisect_right(self._highs, low - 2)
        behind = first
        while behind < len(self._lows) and self._lows[behind] <= high + 1:
            low, high = min(low, self._lows[behind]), max(high, self._highs[behind])
            behind += 1
        self._lows[first:behind], self._highs[first:behind] = [low], [high]

    def remove(self, low: int, high: int) -> None:
        """Take out low … high."""
        kept = [piece for piece in self.ranges() for piece in _without(piece, low, high)]
        self._lows, self._highs = [piece[0] for piece in kept], [piece[1] for piece in kept]

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._lows, number) - 1
        return index >= 0 and number <= self._highs[index]

    def __bool__(self) -> bool:
        return bool(self._lows)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges())

    def ranges(self) -> list[tuple[int, int]]:
        """All ranges, in order."""
        return list(zip(self._lows, self._highs, strict=True))

    def within(self, low: int, high: int) -> RangeSet:
        """The part that lies in low … high."""
        part = RangeSet()
        for first, last in self.ranges():
            part.add(max(first, low), min(last, high))
        return part

    def outside(self, other: RangeSet) -> RangeSet:
        """The part that is not in ``other``."""
        part = RangeSet()
        part._lows, part._highs = self._lows.copy(), self._highs.copy()
        for low, high in other.ranges():
            part.remove(low, high)
        return part


def _without(piece: tuple[int, int], low: int, high: int) -> Iterable[tuple[int, int]]:
    if piece[1] < low or piece[0] > high:
        yield piece
        return
    if piece[0] < low:
        yield piece[0], low - 1
    if piece[1] > high:
        yield high + 1, piece[1]


def wire_ranges(ranges: Iterable[tuple[int, int]]) -> list[Range]:
    """Ranges as their numbers stand on the wire."""
    return [(low & MASK, high & MASK) for low, high in ranges]
