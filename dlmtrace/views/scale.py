"""From times and numbers to places in a picture, and round values for its axes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

SECOND = 1_000_000_000
DAY = 86_400 * SECOND

_STEPS = [
    *(factor * 10**power for power in range(10) for factor in (1, 2, 5)),
    *(
        seconds * SECOND
        for seconds in (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
    ),
]
"""ns between two marks of the time axis."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values ``first`` … ``last`` lie at 0 … ``length``, a share of ``margin`` beyond them at either end."""

    first: int
    last: int
    length: float
    margin: float = 0.02

    @property
    def room(self) -> float:
        """Values from the one end of the picture to the other."""
        return max(self.last - self.first, 1) * (1 + 2 * self.margin)

    @property
    def begin(self) -> float:
        """Value at 0, relative to ``first``."""
        return -max(self.last - self.first, 1) * self.margin

    def place(self, value: int) -> float:
        """Where a value lies."""
        return ((value - self.first) - self.begin) / self.room * self.length


def number_ticks(first: int, last: int, wanted: int) -> list[int]:
    """About ``wanted`` round numbers from ``first`` to ``last``."""
    span, step = max(last - first, 1), 1
    while span / step > wanted:
        step = _next(step)
    begin = -(-first // step) * step
    return list(range(begin, last + 1, step))


def _next(step: int) -> int:
    """1, 2, 5, 10, …"""
    return step * 5 // 2 if str(step)[0] == "2" else step * 2


def time_ticks(first: int, last: int, wanted: int) -> list[tuple[int, str]]:
    """About ``wanted`` round times (ns since 1970) from ``first`` to ``last``, and their text: time of day in UTC, with
    the date where there is more than a day."""
    span = max(last - first, 1)
    step = next((each for each in _STEPS if span / each <= wanted), -(-span // DAY // wanted) * DAY)
    digits = max(0, 9 - len(str(step)) + 1) if step < SECOND else 0
    times = range(-(-first // step) * step, last + 1, step)
    return [(time, _date(time) if span > DAY else time_of_day(time, digits)) for time in times]


def _date(time: int) -> str:
    """``11-22 05:18``."""
    return datetime.fromtimestamp(time // SECOND, UTC).strftime("%m-%d %H:%M")


def time_of_day(time: int, digits: int = 6) -> str:
    """``05:18:16.157645``, with so many digits behind the point."""
    seconds, rest = divmod(time % DAY, SECOND)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest // 10 ** (9 - digits):0{digits}}" if digits else text
