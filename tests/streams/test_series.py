"""Points are thinned and marks merged without losing count of any."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlmtrace.streams.series import ACK, LEFT_OUT, MARK, MARKS, POINT, RESET, SENT, Series, Thinned, thin_points


def points(*rows: tuple[int, int, int]) -> np.ndarray:
    """Points of (time, number, kind), each of its own packet."""
    made = np.zeros(len(rows), POINT)
    for name, column in zip(("time", "number", "kind"), zip(*rows, strict=True), strict=False):
        made[name] = column
    made["packet"], made["count"] = np.arange(1, len(rows) + 1), 1
    return made


def test_the_first_and_the_last_of_a_bin_stay_and_stand_for_the_others() -> None:
    thinned = thin_points(points((0, 10, SENT), (10, 11, SENT), (20, 12, SENT), (99, 13, SENT), (100, 14, SENT)), 100)
    assert thinned[["packet", "number", "count"]].tolist() == [(1, 10, 3), (4, 13, 1), (5, 14, 1)]


def test_frames_and_acks_do_not_stand_for_each_other() -> None:
    thinned = thin_points(points((0, 10, SENT), (1, 10, ACK), (2, 11, SENT), (3, 11, ACK), (4, 12, SENT)), 100)
    assert thinned[["packet", "kind", "count"]].tolist() == [(1, SENT, 2), (2, ACK, 1), (4, ACK, 1), (5, SENT, 1)]


@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(0, 99), st.sampled_from((SENT, ACK))), min_size=1, max_size=99
    ),
    st.integers(1, 10),
)
def test_whatever_is_thinned_the_ends_stay_and_all_are_counted(rows: list[tuple[int, int, int]], capacity: int) -> None:
    rows = sorted(rows)
    thinned = Thinned()
    for row in rows:
        thinned.add(points(row), capacity)
    for kind in (SENT, ACK):
        of_kind = [row for row in rows if row[2] == kind]
        left = thinned.points[thinned.points["kind"] == kind]
        assert left["count"].sum() == len(of_kind)
        if of_kind:
            assert (left["time"][0], left["time"][-1]) == (of_kind[0][0], of_kind[-1][0])
    assert len(thinned.points) <= 2 * capacity or len(thinned.points) <= 8  # first and last, two kinds, two bins


def test_more_marks_than_can_be_shown_become_marks_that_count() -> None:
    series = Series(1, 2)
    for number in range(3 * MARKS):
        kind = RESET if number % 2 else LEFT_OUT
        series.add_marks(np.array([(number * 10**9, number, 0, kind, True, number, number, 1)], MARK))
    assert len(series.marks) <= MARKS
    for kind, first, last in ((RESET, 1, 3 * MARKS - 1), (LEFT_OUT, 0, 3 * MARKS - 2)):
        of_kind = series.marks[series.marks["kind"] == kind]
        assert of_kind["count"].sum() == 3 * MARKS / 2
        assert (of_kind["first"].min(), of_kind["last"].max()) == (first, last)
