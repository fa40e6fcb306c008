"""Reconnects of a stream with sequence numbers, from the end of the old connection to its verdict.

The rules (docs/findings.md, the reconnect verdict), with U the numbers that had been sent and not confirmed:
safe when every one of U is confirmed; unsafe when one of them is neither sent again nor delivered while the stream
went on past it; inconclusive while neither can be said.  A stream that goes on without repeating anything proves
nothing by itself: its frames may have come, and only the next acknowledgement tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dlmtrace.streams.numbers import MASK, RangeSet, wire_ranges
from dlmtrace.streams.pair import Death
from dlmtrace.streams.receiver import Arrival, Expectation
from dlmtrace.streams.reporter import Reporter, span
from dlmtrace.streams.results import Reconnect, Stream
from dlmtrace.streams.silence import STALL

HIDDEN = "the capture has a hole where the evidence would be"
DOUBLED = "number 0 came again after the sender polled as a node does that comes back: it may have started again"


@dataclass(slots=True)
class Resumption:
    """A reconnect under judgement.  ``low`` … ``upto`` - 1 are U, and what the first new frame behind it left out.

    Of the latter, what follows later is new, and needs no confirmation.
    """

    record: Reconnect
    began: int  # ordinal of the first frame on the new connection; of a reset, of the end of the old one
    low: int
    upto: int
    uncertain: bool  # does a hole of the capture hide part of the evidence?
    since: int  # ns, when the first of U was sent, or the connection ended
    resent: RangeSet = field(default_factory=RangeSet)
    early: RangeSet = field(default_factory=RangeSet)  # of these, ahead of what the receiver expected
    went_on: int | None = None  # ns, when a number at or above `upto` was sent first
    went_past: bool = False  # and was that behind what was sent again, or did the receiver acknowledge anything since?
    ahead: tuple[int, int] | None = None  # numbers sent before the first repeated one
    confirmed_since: bool = False  # did the receiver acknowledge anything since?
    suspect: bool = False  # may it have stood still for a while, and a loss of the capture hide that?
    settles: int = 0  # ns, until when other frames of the pair may show that the capture lost some
    waits: bool = False  # has no frame come since, that could show that the capture lost some?
    polled: bool = False  # did the receiver poll, as a node does that comes back, before the new connection ended?
    ended: bool = False  # did the new connection end?
    came_back: bool = False  # the receiver had started again, the sender went on with the old numbers
    lost: RangeSet = field(default_factory=RangeSet)  # once the verdict is unsafe
    sent: int | None = None  # first number that had not been sent when the connection ended; None: not below ``upto``
    doubled: bool = False  # may a number that came again be the first of a new numbering?
    headless: bool = False  # did the old connection begin before the capture, so that more was under way than was seen?

    def send(self, arrival: Arrival, expected: int) -> None:
        """A frame of the stream, told after the reconnect; ``expected`` is what the receiver waits for."""
        number, came = arrival.number, arrival.came
        if arrival.ordinal < self.began:  # it waited behind a gap: one of U
            self.upto = max(self.upto, number + 1)
            self.sent = None if self.sent is None else max(self.sent, number + 1)
            return
        self.waits = False
        if number >= self.upto:
            self.went_on = arrival.time if self.went_on is None else self.went_on
            self.went_past = self.went_past or bool(self.resent)
            if not self.resent:
                self.ahead = (self.ahead[0] if self.ahead else number, number)
        elif number >= self.low:
            self.went_past = False
            self.resent.add(number, number)
            if expected < number < self.queued and came:
                self.early.add(number, number)  # dropped, unless the receiver keeps what comes early
            else:
                self.early.remove(number, number)
            if number < expected:
                self.record.already_delivered += 1

    @property
    def queued(self) -> int:
        """First number below ``upto`` that had not been sent when the connection ended; ``upto`` if there is none."""
        return self.upto if self.sent is None else min(self.sent, self.upto)

    def missing(self, expectation: Expectation) -> RangeSet:
        """Members of U that were neither sent again in their turn nor delivered nor confirmed."""
        rest = RangeSet()
        rest.add(max(self.low, expectation.confirmed, expectation.expected), self.upto - 1)
        return rest.outside(self.resent if expectation.keeps_early else self.resent.outside(self.early))

    def confirmed(self, expectation: Expectation) -> bool:
        """Is every member of U confirmed, and what may have been one?"""
        ahead = self.ahead[1] if self.headless and self.ahead is not None and self.resent else -1
        if expectation.confirmed <= ahead:
            return False
        left_out = RangeSet()
        left_out.add(max(self.queued, expectation.confirmed), self.upto - 1)
        return expectation.confirmed >= self.queued and not left_out.outside(self.resent)

    def judge(self, expectation: Expectation, epoch_restarted: bool, over: bool, cut_off: int | None) -> bool:
        """Give the verdict if it can be given; ``over``: nothing more comes of this epoch, because the capture ended in
        the midst of it at ``cut_off`` (ns), or because it ended itself."""
        record = self.record
        record.unconfirmed = wire_ranges([(self.low, self.upto - 1)] if self.upto > self.low else [])
        record.resent = wire_ranges(self.resent.ranges())
        if self.confirmed(expectation):
            if self.doubled:
                record.verdict, record.reason = "inconclusive", DOUBLED
                return True
            hidden = self.suspect and self.uncertain
            record.verdict = "inconclusive" if hidden else "safe"
            record.reason = HIDDEN if hidden else _safe_reason(self)
            return True
        missing = self.missing(expectation)
        if missing and self._left_out(cut_off) and not self.uncertain:
            self._lose(missing)
            record.reason = f"{len(missing)} unconfirmed frames were not sent again, and the stream went on past them"
            return True
        unheard = self.resent and self.polled and not self.confirmed_since
        if over and epoch_restarted and unheard and not self.uncertain:
            self.fail(expectation)
            return True
        if over:
            record.verdict = "inconclusive"
            record.reason = _open_reason(self, missing)
        return over

    def _left_out(self, cut_off: int | None) -> bool:
        """Did the stream go on past what was not sent again?  What was queued does so, and the rest follows at once."""
        if self.went_on is None:
            return False
        return cut_off is None or self.went_past or cut_off - self.went_on >= STALL

    def fail(self, expectation: Expectation) -> None:
        """The receiver came back with fresh numbers, and takes only what begins at 0."""
        waits = -1  # until it gets number 0
        for arrival in [each for each in expectation.arrivals if each.ordinal >= self.began]:
            if arrival.number == waits or (waits < 0 and not arrival.number & MASK):
                waits = arrival.number + 1
            elif arrival.number > waits:
                arrival.came = False
        expectation.recount()
        left_out, lost, record = RangeSet(), RangeSet(), self.record
        left_out.add(self.queued, self.upto - 1)
        for low, high in [(self.low, self.queued - 1), *left_out.outside(self.resent).ranges()]:
            lost.add(max(low, expectation.expected), high)
        self._lose(lost)
        self.came_back = True
        record.unconfirmed = wire_ranges([(self.low, self.upto - 1)] if self.upto > self.low else [])
        record.resent = wire_ranges(self.resent.ranges())
        record.reason = "the receiver came back with fresh numbers: nothing that was sent again was ever confirmed"

    def _lose(self, lost: RangeSet) -> None:
        self.record.verdict, self.lost = "unsafe", lost
        self.record.lost, self.record.lost_frames = wire_ranges(lost.ranges()), len(lost)

    def repaired(self, expectation: Expectation) -> bool:
        """Has the receiver confirmed everything that was lost?"""
        return all(high < expectation.confirmed for _, high in self.lost.ranges())

    def settle_damage(self, expectation: Expectation) -> None:
        """What is lost in the end: not what a later reconnect brought, confirmed or not."""
        record = self.record
        left = self.lost.within(expectation.expected, self.upto)
        record.lost, record.lost_frames = wire_ranges(left.ranges()), len(left)
        if left:
            record.repaired_by = None
        elif record.repaired_by is not None:
            record.reason += f"; {record.repaired_by} repaired it, but locks stood still in between"


def begin(numbers: Iterator[int], stream: Stream, death: Death, arrival: Arrival | None) -> Reconnect:
    """The next of ``numbers``: a connection of the stream ended, and it went on with ``arrival``, or not at all."""
    return Reconnect(
        f"r{next(numbers)}",
        stream.sender,
        stream.receiver,
        death.connection.name,
        None if arrival is None else f"c{(arrival.carrier >> 1) + 1}",
        death.kind,
        death.time,
        None if arrival is None else arrival.time,
        death.packet,
        None if arrival is None else arrival.packet,
    )


class Judgement:
    """The reconnects of one stream that wait for their verdict, in order.

    ``damaged`` are unsafe ones whose lost frames a later reconnect may still bring.  ``held`` have all of U confirmed,
    but the receiver was not heard since: it may have come back with fresh numbers, and take nothing.
    """

    def __init__(
        self, reporter: Reporter, decided: Callable[[Reconnect], None], lost_since: Callable[[int], bool]
    ) -> None:
        self._reporter, self._decided, self._lost_since = reporter, decided, lost_since
        self.open: list[Resumption] = []
        self.damaged: list[Resumption] = []
        self.held: list[Resumption] = []
        self._now = 0  # ns
        self.cut_off: int | None = None  # ns, when the capture ended although the stream may go on
        self.came_back = False  # did the receiver's own numbers, or its ACKs, start again since it was heard?
        self.polled = 0  # ns, when it last sent RCOM STATUS, as a node does that comes back

    @property
    def pending(self) -> bool:
        """Does any wait?"""
        return bool(self.open or self.damaged or self.held)

    def begin(self, resumption: Resumption, last: Arrival | None, ended: bool) -> None:
        """The stream goes on after ``last``, its last frame so far; has the new connection ``ended`` already?"""
        resumption.ended = ended
        resumption.polled = last is not None and self.polled > last.time
        self.open.append(resumption)

    def covers(self, number: int) -> bool:
        """Was the number under way when one of the connections ended, or queued then?"""
        return any(number < each.upto or (each.ahead is not None and number <= each.ahead[1]) for each in self.open)

    def send(self, arrival: Arrival, expected: int, leaves_out: bool) -> None:
        """A frame of the stream; ``expected`` is what the receiver waits for; ``leaves_out``: numbers before it were
        never sent."""
        number = arrival.number
        self._now = max(self._now, arrival.time)
        if leaves_out and self.open and self.open[-1].went_on is None:
            self.open[-1].upto = max(self.open[-1].upto, number)
        for resumption in self.open:
            resumption.send(arrival, expected)
        for resumption in self.damaged:
            if number in resumption.lost and self.open:
                resumption.record.repaired_by = self.open[-1].record.reconnect

    def acknowledge(self, time: int) -> None:
        """The receiver acknowledged something at ``time`` (ns)."""
        self._now = max(self._now, time)
        for resumption in self.open:
            resumption.confirmed_since = True
            resumption.went_past = resumption.went_past or resumption.went_on is not None
        self.came_back = False
        for resumption in self.held:
            self._conclude(resumption)
        self.held.clear()

    def poll(self, time: int) -> None:
        """The receiver sent RCOM STATUS at ``time`` (ns)."""
        self.polled = time
        for resumption in self.open + self.held:
            resumption.polled = resumption.polled or not resumption.ended

    def double(self) -> None:
        """Number 0 came again, and may be the first of a new numbering."""
        for resumption in self.open:
            resumption.doubled = True

    def end(self, expectation: Expectation) -> None:
        """The connection that carries the stream ended; a receiver that comes back does so behind it."""
        self.suspect(expectation)
        for resumption in self.open + self.held:
            resumption.ended = True

    def suspect(self, expectation: Expectation) -> None:
        """The connection that carries the stream ended, or the receiver confirms: what the stream had gone on past was
        lost for a while, or came although nothing showed it."""
        for resumption in self.open:
            if resumption.went_on is not None and resumption.missing(expectation):
                resumption.suspect = resumption.waits = True

    def judge(
        self, expectation: Expectation, over: bool = False, restarted: bool = False, next_began: bool = False
    ) -> None:
        """Decide what can be decided.  ``over``: the epoch ended, ``restarted``: without FIN; ``next_began``: another
        reconnect of the stream begins."""
        still: list[Resumption] = []
        if over:
            self._release(expectation)
        for index, resumption in enumerate(self.open):
            newest = index == len(self.open) - 1 and not next_began
            waits = newest and (resumption.waits or self._now < resumption.settles)
            final = (resumption.confirmed(expectation) and not waits) or over
            if not final and not newest:
                resumption.suspect = True  # nothing but a later reconnect may have repaired it
                final = bool(resumption.missing(expectation)) and resumption.went_on is not None
            if final and (resumption.suspect or not resumption.confirmed(expectation)):
                resumption.uncertain = resumption.uncertain or self._lost_since(resumption.since)
            if not final or not resumption.judge(expectation, restarted, over, self.cut_off):
                still.append(resumption)
            elif resumption.came_back:
                self._tell_return(resumption.record)
            elif resumption.lost and not over:
                self.damaged.append(resumption)
            elif not over and not resumption.confirmed_since:
                self.held.append(resumption)
            else:
                self._conclude(resumption)
        self.open = still
        for resumption in [each for each in self.damaged if over or each.repaired(expectation)]:
            self.damaged.remove(resumption)
            resumption.settle_damage(expectation)
            self._conclude(resumption)

    def _release(self, expectation: Expectation) -> None:
        """The receiver was not heard again."""
        unheard = [each for each in self.open if not each.confirmed_since and not each.ended]
        silent = self.held + (unheard if self.came_back else [])
        self.open = [each for each in self.open if each not in silent]
        self.held.clear()
        for resumption in silent:
            if self._lost_since(resumption.since):
                resumption.record.verdict, resumption.record.reason = "inconclusive", HIDDEN
            elif self.came_back and not resumption.ended:
                resumption.fail(expectation)
                self._tell_return(resumption.record)
                continue
            elif resumption.polled and resumption.record.verdict == "safe":
                resumption.record.verdict = "inconclusive"
                resumption.record.reason = "the receiver polls as a node does that comes back, and was not heard since"
            self._conclude(resumption)

    def _tell_return(self, record: Reconnect) -> None:
        """The receiver had come back with fresh numbers: it took nothing of what was sent to it since."""
        text = "the receiver started again at 0, this direction went on with its old numbers"
        self._reporter.of_reconnect("SEQ207", record, text, count=record.lost_frames, severity="error")
        self._decided(record)

    def _conclude(self, resumption: Resumption) -> None:
        record = resumption.record
        if resumption.ahead is not None and resumption.resent:
            low, high = resumption.ahead
            text = f"{span(low, high)} went out before what was sent again, as queued frames do"
            self._reporter.of_reconnect("SEQ205", record, text, low & MASK, high & MASK, high - low + 1)
        for low, high in record.lost if self.cut_off is None else []:  # else the next reconnect may bring them
            text = f"{span(low, high)} were not sent again after the reconnect"
            self._reporter.of_reconnect("SEQ202", record, text, low, high, (high - low & MASK) + 1)
        self._decided(record)


def _safe_reason(resumption: Resumption) -> str:
    count = resumption.upto - resumption.low
    if not count:
        return "every frame had been confirmed when the connection ended"
    again = len(resumption.resent)
    if count == 1:
        return (
            f"the only unconfirmed frame was confirmed later, {'after it was' if again else 'without being'} sent again"
        )
    how = f"{again} of them after they were sent again" if again else "without being sent again"
    return f"all {count} unconfirmed frames were confirmed later, {how}"


def _open_reason(resumption: Resumption, missing: RangeSet) -> str:
    if resumption.uncertain:
        return HIDDEN
    if missing and resumption.went_on is not None:
        return f"{len(missing)} unconfirmed frames were not sent again so far: the capture ends where they still may be"
    if missing:
        return f"{len(missing)} unconfirmed frames were not sent again, but the stream did not go on past them either"
    return "the capture ends before the receiver confirms the frames that were under way"
