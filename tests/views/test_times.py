"""Times as text: what `date` and a pocket calculator say about the same numbers."""

import time

import pytest

from dlmtrace.views.times import Clock, TimeFormat, iso

# date -u -d @1795324413.682567 +%FT%T.%NZ
FIRST = 1_795_324_413_682_567_000
FIRST_TEXT = "2026-11-22T05:13:33.682567Z"


def test_utc_has_microseconds_as_captures_do() -> None:
    assert Clock(TimeFormat.UTC).texts([FIRST, FIRST, FIRST + 10**9]) == [
        FIRST_TEXT,
        FIRST_TEXT,
        "2026-11-22T05:13:34.682567Z",
    ]


def test_nanoseconds_appear_with_the_first_time_that_needs_them_and_stay() -> None:
    clock = Clock(TimeFormat.UTC)
    assert clock.texts([FIRST, FIRST + 1, FIRST + 1000]) == [
        FIRST_TEXT,
        "2026-11-22T05:13:33.682567001Z",
        "2026-11-22T05:13:33.682568000Z",
    ]


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Berlin", "2026-11-22T06:13:33.682567+01:00"),
        ("America/St_Johns", "2026-11-22T01:43:33.682567-03:30"),
        ("Asia/Kathmandu", "2026-11-22T10:58:33.682567+05:45"),
    ],
)
def test_local_time_carries_its_offset(monkeypatch: pytest.MonkeyPatch, zone: str, text: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert Clock(TimeFormat.LOCAL).texts([FIRST]) == [text]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_relative_counts_from_the_origin_and_may_be_negative() -> None:
    clock = Clock(TimeFormat.RELATIVE, origin=FIRST)
    assert clock.texts([FIRST, FIRST + 1_500_000_000, FIRST - 250_000_000]) == ["0.000000", "1.500000", "-0.250000"]


def test_delta_counts_from_the_time_before_over_several_calls() -> None:
    clock = Clock(TimeFormat.DELTA)
    assert clock.texts([FIRST, FIRST + 1000]) == ["0.000000", "0.000001"]
    assert clock.texts([FIRST + 3000, FIRST]) == ["0.000002", "-0.000003"]


def test_machines_always_get_nanoseconds() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000000000Z"
    assert iso(-1) == "1969-12-31T23:59:59.999999999Z"
