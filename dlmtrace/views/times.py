"""Times of packets as text, in the four ways that the commands offer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from enum import StrEnum

SECOND = 1_000_000_000


class TimeFormat(StrEnum):
    """How times are shown."""

    UTC = "utc"
    LOCAL = "local"
    RELATIVE = "relative"
    DELTA = "delta"


class Clock:
    """Turns nanoseconds since 1970 into text.

    ``origin`` is where relative times count from; delta counts from the time before, the first one from itself.
    Six digits follow the second until a time needs nine, and nine from there on, so that columns stay aligned.
    """

    def __init__(self, form: TimeFormat, origin: int = 0, digits: int = 6) -> None:
        self.form = form
        self.origin = origin
        self._digits = digits
        self._before: int | None = None
        self._second: int | None = None
        self._day = ""
        self._zone = ""

    def texts(self, times: Iterable[int]) -> list[str]:
        """One text per time, in order."""
        if self.form is TimeFormat.DELTA:
            return [self._seconds(span) for span in self._spans(times)]
        if self.form is TimeFormat.RELATIVE:
            return [self._seconds(moment - self.origin) for moment in times]
        return self._moments(times)

    def _spans(self, times: Iterable[int]) -> Iterable[int]:
        for moment in times:
            yield 0 if self._before is None else moment - self._before
            self._before = moment

    def _seconds(self, span: int) -> str:
        seconds, rest = divmod(abs(span), SECOND)
        return f"{'-' if span < 0 else ''}{seconds}.{self._fraction(rest)}"

    def _moments(self, times: Iterable[int]) -> list[str]:
        texts = []
        last, text = None, ""
        for moment in times:
            if moment != last:  # frames of one packet share its time
                last = moment
                second, rest = divmod(moment, SECOND)
                if second != self._second:
                    self._turn_to(second)
                text = f"{self._day}.{self._fraction(rest)}{self._zone}"
            texts.append(text)
        return texts

    def _fraction(self, nanoseconds: int) -> str:
        if self._digits == 6:
            if nanoseconds % 1000 == 0:
                return f"{nanoseconds // 1000:06}"
            self._digits = 9
        return f"{nanoseconds:09}"

    def _turn_to(self, second: int) -> None:
        self._second = second
        parts = time.localtime(second) if self.form is TimeFormat.LOCAL else time.gmtime(second)
        self._day = time.strftime("%Y-%m-%dT%H:%M:%S", parts)
        self._zone = "Z"
        if self.form is TimeFormat.LOCAL:
            hours, minutes = divmod(abs(parts.tm_gmtoff) // 60, 60)
            self._zone = f"{'-' if parts.tm_gmtoff < 0 else '+'}{hours:02}:{minutes:02}"


def iso(moment: int) -> str:
    """UTC as ISO 8601 with nanoseconds, as every machine-readable output has it."""
    return Clock(TimeFormat.UTC, digits=9).texts([moment])[0]
