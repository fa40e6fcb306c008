"""Frames that come again: why, and how many in a row."""

from __future__ import annotations

from dlmtrace.streams.numbering import Numbering
from dlmtrace.streams.numbers import MASK
from dlmtrace.streams.pair import Pair
from dlmtrace.streams.receiver import Arrival
from dlmtrace.streams.reporter import Reporter
from dlmtrace.streams.results import Cause, Finding

FAST_ACKS, TIMEOUT = 3, 15_000_000_000
"""The v3 series: equal ACKs that trigger a retransmission, and ns after which a frame is repeated (§6.3)."""

ERROR_REACH = 5_000_000_000
"""ns after an error on any connection of the pair during which a repeated frame is put down to it."""

_RESENT: dict[Cause, tuple[str, str]] = {
    "reconnect": ("SEQ204", "sent again after a reconnect"),
    "other connection": ("SEQ204", "sent again after an error on one of the pair's connections"),
    "fast": ("SEQ208", "sent again on the same connection after three equal ACKs, as the v3 series does"),
    "timeout": ("SEQ209", "sent again on the same connection after 15 s, as the v3 series does"),
    "unexplained": ("SEQ203", "sent again, and nothing explains it"),
}


class Resends:
    """Frames of one cause that come again one after the other make one finding."""

    def __init__(self, pair: Pair, reporter: Reporter) -> None:
        self._pair, self._reporter = pair, reporter
        self._growing: Finding | None = None

    def cause(self, arrival: Arrival, numbering: Numbering, after_reconnect: bool) -> Cause:
        """Why a frame comes again."""
        if after_reconnect:
            return "reconnect"
        error = self._pair.last_error
        if error is not None and arrival.time - error <= ERROR_REACH:
            return "other connection"
        if numbering.last_ack[0] == arrival.number and numbering.last_ack[1] >= FAST_ACKS:
            return "fast"
        first = _first(arrival, numbering)
        if first is not None and arrival.time - first.time >= TIMEOUT:
            return "timeout"
        return "unexplained"

    def collect(self, cause: Cause, arrival: Arrival, numbering: Numbering) -> None:
        """One more."""
        code, text = _RESENT[cause]
        number, growing = arrival.number, self._growing
        if (
            growing is None
            or (growing.code, growing.message, growing.seq_last) != (code, text, number - 1 & MASK)
            or growing.connection != f"c{(arrival.carrier >> 1) + 1}"
        ):
            self.settle()
            first = _first(arrival, numbering)
            growing = self._growing = self._reporter.at(code, arrival, text, number, number)
            growing.count = 0
            age = None if first is None else arrival.time - first.time
            growing.evidence = {"already_delivered": 0, "bytes": 0, "oldest_age_ns": age}
        growing.seq_last = number & MASK
        growing.count += 1
        growing.evidence["already_delivered"] += number < numbering.expectation.expected
        growing.evidence["bytes"] += arrival.size

    def settle(self) -> None:
        """The run is over."""
        if self._growing is not None:
            self._reporter.tell(self._growing)
            self._growing = None


def _first(arrival: Arrival, numbering: Numbering) -> Arrival | None:
    """The first frame of this number, if it is remembered."""
    return next((each for each in numbering.expectation.arrivals if each.number == arrival.number), None)
