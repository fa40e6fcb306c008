"""Streams that start again at 0 without FIN: a reset when both directions do, unsafe when one does alone."""

from __future__ import annotations

from collections.abc import Callable

from dlmtrace.streams.numbering import Numbering
from dlmtrace.streams.numbers import MASK, unwrap, wire_ranges
from dlmtrace.streams.pair import Death
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
        self._started = -1  # ordinal of the first frame of the last reset
        self._since = 0  # ns, from when on the receiver's record may be a new one, too
        self._old: Numbering | None = None  # the epoch before that

    def begin(
        self, record: Reconnect, death: Death, old: Numbering, since: int, started: int, other: Resets | None
    ) -> None:
        """This direction started again with frame ``started`` (ordinal), behind the ``old`` numbers; the receiver's
        record may have done so, too, from ``since`` (ns) on."""
        low, upto = old.expectation.confirmed, old.next
        self._started, self._old, self._since = started, old, since
        record.unconfirmed = wire_ranges([(low, upto - 1)] if upto > low else [])
        reset = Resumption(record, death.ordinal, low, upto, False, death.time)
        if other is not None and (other.waiting or other._started > death.ordinal):
            other.settle(both=True)
            self._settle(reset, both=True)
        else:
            self.waiting.append(reset)

    def acknowledge(self, number: int, numbering: Numbering) -> None:
        """The receiver expects ``number`` (as on the wire): below its last ACK it is of a record that started again."""
        below = any(unwrap(number, reset.low) < reset.low for reset in self.waiting)
        if below and unwrap(number, numbering.expectation.confirmed) <= numbering.next:
            self.settle(both=True)

    def may_be_kept(self, number: int) -> bool:
        """Is an ACK of ``number`` (as on the wire) what the receiver may say with the record that it had before?"""
        return any(reset.low <= unwrap(number, reset.low) <= reset.upto for reset in self.waiting)

    def are_alone(self, back: Numbering) -> bool:
        """Do the numbers of the other direction show that its record is older than the reset?"""
        return bool(self.waiting) and back.since < self._since

    def keep(self, numbering: Numbering, expected: int | None = None) -> None:
        """The receiver goes on with its old record: it says that it waits for ``expected``, or its own numbers go on;
        ``numbering`` is the new one."""
        assert self._old is not None
        if not any(self._lost_since(reset.since) for reset in self.waiting):
            if expected is not None:
                self._old.confirm_late(expected)
            numbering.keep(self._old.expectation.expected & MASK)
        self.settle(both=False)

    def settle(self, both: bool) -> None:
        """The other direction was seen: it started again too, or went on with its old numbers."""
        for reset in self.waiting:
            self._settle(reset, both)
        self.waiting.clear()

    def finish(self) -> None:
        """The capture is over."""
        for reset in self.waiting:
            reset.record.reason = "the capture does not show whether the other direction started again, too"
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
            record.reason = "the sender's numbers started again at 0, the receiver goes on with the old ones"
            low = reset.low if self._old is None else max(reset.low, self._old.expectation.expected)
            if reset.upto > low:
                record.lost, record.lost_frames = wire_ranges([(low, reset.upto - 1)]), reset.upto - low
            text = "this direction started again at 0, the receiver goes on with its old numbers"
            self._reporter.of_reconnect("SEQ207", record, text, severity="error")
        self._decided(record)
