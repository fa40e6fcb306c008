"""Round values for axes, and times of the day."""

import pytest

from dlmtrace.views.scale import DAY, Scale, number_ticks, time_of_day, time_ticks

SECOND = 1_000_000_000


def test_both_ends_lie_inside_the_margins() -> None:
    scale = Scale(100, 200, 1040, 0.02)
    assert [scale.place(value) for value in (100, 150, 200)] == pytest.approx([20, 520, 1020])


def test_a_single_value_has_a_place() -> None:
    assert 0 <= Scale(7, 7, 100).place(7) <= 100


@pytest.mark.parametrize(
    ("first", "last", "ticks"),
    [
        (0, 7787, [0, 2000, 4000, 6000]),
        (795, 821, [795, 800, 805, 810, 815, 820]),
        (3, 3, [3]),
        (0, 60_000, [0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000]),
        (2**32 - 30, 2**32 + 60, [4294967280, 4294967300, 4294967320, 4294967340]),
    ],
)
def test_numbers_on_the_axis_are_round(first: int, last: int, ticks: list[int]) -> None:
    assert number_ticks(first, last, 7) == ticks


@pytest.mark.parametrize(
    ("first", "last", "ticks"),
    [
        (18_794_100_000, 18_811_300_000, ["05:13:15", "05:13:20", "05:13:25", "05:13:30"]),
        (0, 2_000, ["00:00:00.0000", "00:00:00.0005", "00:00:00.0010", "00:00:00.0015", "00:00:00.0020"]),
        (0, 3_600_000_000, ["00:00:00", "00:15:00", "00:30:00", "00:45:00", "01:00:00"]),
        (0, 6 * 86_400_000_000, ["01-01 00:00", "01-03 00:00", "01-05 00:00", "01-07 00:00"]),
    ],
)
def test_times_on_the_axis_are_round_and_have_the_digits_that_they_need(
    first: int, last: int, ticks: list[str]
) -> None:  # microseconds of the day
    assert [text for _, text in time_ticks(first * 1000, last * 1000, 5)] == ticks


def test_a_time_of_the_day_forgets_the_day() -> None:
    assert time_of_day(20_000 * DAY + 3_661 * SECOND + 7_000) == "01:01:01.000007"
