"""One reconnect of a stream with sequence numbers, from the end of the old connection to its verdict.

The rules (docs/findings.md, the reconnect verdict), with U the numbers that had been sent and not confirmed:
safe when every one of U is confirmed; unsafe when one of them is neither sent again nor delivered while the stream
went on past it; inconclusive while neither can be said.  A stream that goes on without repeating anything proves
nothing by itself: its frames may have come, and only the next acknowledgement tells.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dlmtrace.streams.numbers import RangeSet, wire_ranges
from dlmtrace.streams.receiver import Expectation
from dlmtrace.streams.results import Reconnect


@dataclass(slots=True)
class Resumption:
    """A reconnect under judgement.  ``low`` … ``upto`` - 1 are U."""

    record: Reconnect
    began: int  # ordinal of the first frame on the new connection
    low: int
    upto: int
    uncertain: bool  # does a hole of the capture hide part of the evidence?
    resent: RangeSet = field(default_factory=RangeSet)
    went_on: bool = False  # was a number at or above `upto` sent since?
    ahead: tuple[int, int] | None = None  # numbers sent before the first repeated one
    confirmed_since: bool = False  # did the receiver acknowledge anything since?
    came_back: bool = False  # the receiver had started again, the sender went on with the old numbers
    lost: RangeSet = field(default_factory=RangeSet)  # once the verdict is unsafe

    def send(self, number: int, expected: int) -> None:
        """A frame of the stream after the reconnect; ``expected`` is what the receiver waits for."""
        if number >= self.upto:
            self.went_on = True
            if not self.resent:
                self.ahead = (self.ahead[0] if self.ahead else number, number)
        elif number >= self.low:
            self.resent.add(number, number)
            if number < expected:
                self.record.already_delivered += 1

    def missing(self, expectation: Expectation) -> RangeSet:
        """Members of U that were neither sent again nor delivered nor confirmed."""
        rest = RangeSet()
        rest.add(max(self.low, expectation.confirmed, expectation.expected), self.upto - 1)
        return rest.outside(self.resent)

    def confirmed(self, expectation: Expectation) -> bool:
        """Is every member of U confirmed?"""
        return expectation.confirmed >= self.upto

    def judge(self, expectation: Expectation, epoch_restarted: bool, over: bool) -> bool:
        """Give the verdict if it can be given; ``over``: nothing more comes of this epoch."""
        record = self.record
        record.unconfirmed = wire_ranges([(self.low, self.upto - 1)] if self.upto > self.low else [])
        record.resent = wire_ranges(self.resent.ranges())
        if self.confirmed(expectation):
            record.verdict = "safe"
            record.reason = _safe_reason(self)
            return True
        missing = self.missing(expectation)
        if missing and self.went_on and not self.uncertain:
            self._lose(missing)
            record.reason = f"{len(missing)} unconfirmed frames were not sent again, and the stream went on past them"
            return True
        if over and epoch_restarted and self.resent and not self.confirmed_since and not self.uncertain:
            rest = RangeSet()
            rest.add(max(self.low, expectation.confirmed), self.upto - 1)
            self._lose(rest)
            self.came_back = True
            record.reason = "the receiver came back with fresh numbers: nothing that was sent again was ever confirmed"
            return True
        if over:
            record.verdict = "inconclusive"
            record.reason = _open_reason(self, missing)
        return over

    def _lose(self, lost: RangeSet) -> None:
        self.record.verdict, self.lost = "unsafe", lost
        self.record.lost, self.record.lost_frames = wire_ranges(lost.ranges()), len(lost)

    def repaired(self, expectation: Expectation) -> bool:
        """Has the receiver confirmed everything that was lost?"""
        return all(high < expectation.confirmed for _, high in self.lost.ranges())

    def settle_damage(self, expectation: Expectation) -> None:
        """What is lost in the end: not what a later reconnect brought."""
        if self.repaired(expectation):
            self.record.lost, self.record.lost_frames = [], 0
            if self.record.repaired_by is not None:
                self.record.reason += f"; {self.record.repaired_by} repaired it, but locks stood still in between"
        else:
            self.record.repaired_by = None


def _safe_reason(resumption: Resumption) -> str:
    count = resumption.upto - resumption.low
    if not count:
        return "every frame had been confirmed when the connection ended"
    again = len(resumption.resent)
    how = f"{again} of them after they were sent again" if again else "without being sent again"
    return f"all {count} unconfirmed frames were confirmed later, {how}"


def _open_reason(resumption: Resumption, missing: RangeSet) -> str:
    if resumption.uncertain:
        return "the capture has a hole where the evidence would be"
    if missing:
        return f"{len(missing)} unconfirmed frames were not sent again, but the stream did not go on past them either"
    return "the capture ends before the receiver confirms the frames that were under way"
