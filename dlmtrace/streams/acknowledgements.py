"""What the receiver's ACKs say of a stream's numbers (protocol page §6.3): an ACK confirms every number before it.

One that steps back is told (ACK302), one of numbers that were not seen is kept until the next frame tells whether the
capture lost them or nobody sent them (ACK301), and one in the midst of a standstill may show that the receiver queues
frames of the future, as the v3 series does.
"""

from __future__ import annotations

from collections.abc import Mapping

from dlmtrace.streams.numbering import Numbering
from dlmtrace.streams.numbers import MASK, unwrap
from dlmtrace.streams.pair import Pair
from dlmtrace.streams.receiver import Arrival
from dlmtrace.streams.reconnecting import Judgement
from dlmtrace.streams.reporter import Reporter
from dlmtrace.streams.resends import ERROR_REACH, FAST_ACKS
from dlmtrace.streams.resets import Resets
from dlmtrace.streams.results import Dialect
from dlmtrace.streams.silence import Silence
from dlmtrace.streams.timeline import Timeline

FAR = 65_536
"""Numbers further ahead than this are no gap but nonsense (SEQ210)."""


class Acknowledgements:
    """Of one stream; ``carriers`` are those of its frames."""

    def __init__(
        self,
        reporter: Reporter,
        pair: Pair,
        judgement: Judgement,
        resets: Resets,
        silence: Silence,
        timeline: Timeline,
        carriers: Mapping[int, int],
        dialect: Dialect,
    ) -> None:
        self._reporter, self._pair, self._carriers = reporter, pair, carriers
        self._judgement, self._resets, self._silence, self._timeline = judgement, resets, silence, timeline
        self._learns_dialect = dialect == "auto"
        self.keeps_early = dialect == "v3"  # does the receiver queue frames of the future?

    def take(self, number: int, arrival: Arrival, numbering: Numbering) -> None:
        """A DLM_ACK."""
        expectation = numbering.expectation
        self._resets.acknowledge(number, numbering)
        unwrapped = unwrap(number, expectation.confirmed)
        if unwrapped > numbering.next:
            if numbering.kept is not None:
                numbering.keep(number)
            else:
                self._beyond(unwrapped, arrival, numbering)
            return
        if unwrapped < numbering.first == expectation.confirmed:
            if numbering.repeat_ack(unwrapped) == FAST_ACKS:
                numbering.begin_at(unwrapped)
            return
        if unwrapped < expectation.confirmed:
            self._step_back(unwrapped, arrival, numbering)
            return
        numbering.acks_of_first = 0
        if numbering.repeat_ack(unwrapped) == FAST_ACKS:
            numbering.note_repeated_acks(1, unwrapped, arrival)
        if unwrapped > expectation.confirmed:
            where = (arrival.carrier >> 1, arrival.time, arrival.packet)
            self._timeline.note("confirmed", expectation.confirmed, unwrapped - 1, *where)
        learns = self._learns_dialect and numbering.stall is not None and expectation.kept_early(unwrapped)
        if learns and not self._lost_anything():
            self.keeps_early = expectation.keeps_early = True
        self._silence.hear(numbering, expectation.expected)
        self._judgement.suspect(expectation)
        if numbering.missing.within(expectation.confirmed, unwrapped - 1):
            self._pair.lose_until(arrival.time)
        expectation.acknowledge(unwrapped)
        numbering.result.confirmed_to = number
        numbering.since_ack = expectation.expected
        numbering.ack_time = arrival.time
        self._judgement.acknowledge(arrival.time)
        self._silence.go_on(numbering, arrival.time)
        self._judgement.judge(expectation)

    def _step_back(self, number: int, arrival: Arrival, numbering: Numbering) -> None:
        """An ACK of less than was confirmed before."""
        numbering.acks_of_first += number == numbering.first
        if numbering.acks_of_first == FAST_ACKS:
            self._judgement.came_back = True  # it waits for the first number, and keeps saying so (v3)
        if self._pair.last_error is None or arrival.time - self._pair.last_error > ERROR_REACH:
            text = f"ACK {number & MASK} after ACK {numbering.expectation.confirmed & MASK}"
            self._reporter.find("ACK302", arrival, text, number, number)

    def _beyond(self, number: int, arrival: Arrival, numbering: Numbering) -> None:
        """An ACK of a number that was never seen: was it lost by the capture, or never sent?  The next frame tells."""
        lossy = not self._carriers or self._lost_anything()
        if self._resets.may_be_kept(number & MASK) and arrival.carrier >> 1 in self._pair.deaths:
            return  # of the epoch before
        if lossy and number - numbering.next <= FAR:
            self.lose_until(number, arrival, numbering)
            self._judgement.judge(numbering.expectation)
        elif numbering.ahead is None or number > numbering.ahead[0]:
            numbering.ahead = number, arrival if numbering.ahead is None else numbering.ahead[1]

    def settle(self, arrival: Arrival, numbering: Numbering, running: bool) -> None:
        """A new frame comes after an ACK of numbers that were not seen; ``running``: nothing is missing before it on
        the connection that the stream uses."""
        assert numbering.ahead is not None
        acknowledged, ack = numbering.ahead
        numbering.ahead = None
        if arrival.number >= acknowledged:
            self.lose_until(acknowledged, ack, numbering)
            return
        died = self._pair.last_error is not None and self._pair.last_error >= ack.time - ERROR_REACH
        contiguous = running and arrival.number == numbering.next
        if contiguous and self._resets.may_be_kept(acknowledged & MASK):
            self._resets.keep(numbering, acknowledged & MASK)
        elif contiguous and not died:
            text = f"ACK {acknowledged & MASK} confirms more than was sent (up to {arrival.number - 1 & MASK})"
            self._reporter.find("ACK301", ack, text, numbering.next, acknowledged - 1)
        elif acknowledged - numbering.next <= FAR:
            self.lose_until(acknowledged, ack, numbering)

    def conclude(self, numbering: Numbering) -> None:
        """No frame comes after an ACK of numbers that were not seen."""
        if numbering.ahead is not None and self._resets.may_be_kept(numbering.ahead[0] & MASK):
            self._resets.keep(numbering, numbering.ahead[0] & MASK)
        elif numbering.ahead is not None:
            self.lose_until(*numbering.ahead, numbering)

    def lose_until(self, number: int, ack: Arrival, numbering: Numbering) -> None:
        """Frames before ``number`` passed unseen before ``ack``, and others may have passed with them."""
        self._pair.lose_until(ack.time)
        self._judgement.suspect(numbering.expectation)
        numbering.lose_until(number)

    def _lost_anything(self) -> bool:
        return any(map(self._pair.lost_anything, self._carriers))
