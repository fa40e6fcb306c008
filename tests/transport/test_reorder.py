"""Sorting segments: the first copy of each byte wins, whatever the order and the overlap."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlmtrace.transport.reorder import Arrivals, Ranges, sort_out

segment = st.tuples(st.integers(0, 40), st.integers(1, 15))


def arrivals(segments: list[tuple[int, int]]) -> Arrivals:
    """Segments in order of arrival, each with 100 bytes of the buffer for itself."""
    count = np.arange(len(segments), dtype=np.int64)
    position = np.array([place for place, _ in segments], np.int64)
    length = np.array([length for _, length in segments], np.int64)
    return Arrivals.of(position, length, 0, count * 100, count, count, count)


@given(st.lists(segment, min_size=1, max_size=12), st.integers(0, 20))
def test_every_byte_comes_from_the_first_segment_that_brought_it(segments, start):
    owner: dict[int, tuple[int, int]] = {}
    repeated = set()
    for row, (place, length) in enumerate(segments):
        for byte in range(length):
            if place + byte < start or place + byte in owner:
                repeated.add(row)
            else:
                owner[place + byte] = (row, row * 100 + byte)
    result = sort_out(arrivals(segments), start)
    got = {}
    for position, length, offset, ordinal in zip(
        result.kept.position, result.kept.length, result.kept.offset, result.kept.ordinal, strict=True
    ):
        for byte in range(length):
            assert position + byte not in got
            got[position + byte] = (ordinal, offset + byte)
    assert got == owner
    assert list(result.kept.position) == sorted(result.kept.position)
    assert set(result.repeated) == repeated


@given(st.lists(segment, max_size=10), st.integers(0, 60))
def test_ranges_are_the_union_of_what_they_were_made_of(intervals, position):
    low = np.array([place for place, _ in intervals], np.int64)
    ranges = Ranges.union(low, low + np.array([length for _, length in intervals], np.int64))
    covered = {place + byte for place, length in intervals for byte in range(length)}
    assert ranges.count_below(np.array([position]))[0] == sum(byte < position for byte in covered)
    end = position
    while end in covered:
        end += 1
    low = position
    while low - 1 in covered:
        low -= 1
    assert ranges.around(position) == (low, end)
    above = ranges.above(position)
    assert sum(above.high - above.low) == sum(byte >= position for byte in covered)
