"""Streams that start again at 0 without FIN: a reset when both directions do, unsafe when one does alone."""

from __future__ import annotations

from collections.abc import Callable

from dlmtrace.streams.numbering import Numbering
from dlmtrace.streams.receiver import Arrival
from dlmtrace.streams.reconnecting import Resumption
from dlmtrace.streams.reporter import Reporter
from dlmtrace.streams.results import Reconnect


class Resets:
    """The resets of one direction; ``waiting`` are those whose other direction was not seen yet."""

    def __init__(
        self, reporter: Reporter, decided: Callable[[Reconnect], None], lost_since: Callable[[int], bool]
    ) -> None:
        self._reporter, self._decided, self._lost_since = reporter, decided, lost_since
        self.waiting: list[Resumption] = []

    def begin(self, reset: Resumption, other: Resets | None, peer: Numbering | None, arrival: Arrival) -> None:
        """This direction started again at ``arrival``; ``peer`` is the other direction's present epoch."""
        if other is not None and other.waiting:
            other.settle(both=True)
            self._settle(reset, both=True)
        elif peer is None or (peer.first == 0 and peer.started > arrival.ordinal):
            self._settle(reset, both=True)
        else:
            self.waiting.append(reset)

    def settle(self, both: bool) -> None:
        """The other direction was seen: it started again too, or went on with its old numbers."""
        for reset in self.waiting:
            self._settle(reset, both)
        self.waiting.clear()

    def finish(self) -> None:
        """The capture is over."""
        for reset in self.waiting:
            reset.record.reason = "the other direction was not seen again"
            self._decided(reset.record)
        self.waiting.clear()

    def _settle(self, reset: Resumption, both: bool) -> None:
        record = reset.record
        if both:
            record.verdict = "reset"
            record.reason = (
                "both directions started again at 0: what was under way was dropped, lock recovery repairs it"
            )
        elif self._lost_since(reset.since):
            record.reason = "the capture may have lost the other direction's new beginning"
        else:
            record.verdict = "unsafe"
            record.reason = "the sender's numbers started again at 0, those of the other direction did not"
            record.lost, record.lost_frames = record.unconfirmed, reset.upto - reset.low
            text = "this direction started again at 0, the other one goes on with its old numbers"
            self._reporter.of_reconnect("SEQ207", record, text, severity="error")
        self._decided(record)
