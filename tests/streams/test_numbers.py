"""Sequence numbers round the wrap, and sets of ranges against plain sets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dlmtrace.streams.numbers import RangeSet, unwrap, wire_ranges

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(st.integers(0, 1 << 40), st.integers(-(1 << 31), (1 << 31) - 1))
def test_unwrap_gives_the_nearest(near: int, distance: int) -> None:
    assert unwrap((near + distance) & 0xFFFFFFFF, near) == near + distance


def test_ranges_over_the_wrap_keep_their_wire_numbers() -> None:
    assert wire_ranges([((1 << 32) - 2, (1 << 32) + 1)]) == [(0xFFFFFFFE, 1)]


@given(ranges, ranges, ranges)
def test_a_range_set_is_a_set(added, removed, other) -> None:
    numbers, plain = RangeSet(), set[int]()
    for low, high in added:
        numbers.add(low, high)
        plain |= set(range(low, high + 1))
    for low, high in removed:
        numbers.remove(low, high)
        plain -= set(range(low, high + 1))
    rest, others = RangeSet(), set[int]()
    for low, high in other:
        rest.add(low, high)
        others |= set(range(low, high + 1))

    def members(of: RangeSet) -> set[int]:
        return {number for low, high in of.ranges() for number in range(low, high + 1)}

    assert members(numbers) == plain
    assert len(numbers) == len(plain)
    assert bool(numbers) == bool(plain)
    assert members(numbers.outside(rest)) == plain - others
    assert members(numbers.within(10, 30)) == {number for number in plain if 10 <= number <= 30}
    assert all(number in numbers for number in plain)
    bounds = numbers.ranges()
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(bounds)), "ranges touch"
