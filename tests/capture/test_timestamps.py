"""Interface clocks of pcapng against exact fractions."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlmtrace.capture.timestamps import nanoseconds


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(0, 255), st.integers(-(2**31), 2**31))
def test_whole_nanoseconds_rounded_down(units: list[int], resolution: int, offset: int) -> None:
    exponent = resolution & 0x7F
    unit = Fraction(1, 2**exponent) if resolution & 0x80 else Fraction(1, 10**exponent)
    exact = [int(Fraction(count) * unit * 1_000_000_000 // 1) + offset * 1_000_000_000 for count in units]
    got = nanoseconds(np.array(units, np.uint64), resolution, offset).tolist()
    # What int64 cannot hold wraps: equal modulo 2^64, and equal where it can.
    assert [time % 2**64 for time in got] == [time % 2**64 for time in exact]


def test_an_offset_beyond_every_time_does_not_raise() -> None:
    assert len(nanoseconds(np.array([0], np.uint64), 6, 2**63 - 1)) == 1
