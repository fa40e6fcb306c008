"""One stream with sequence numbers: a directed node pair over all its connections, epoch by epoch.

Rules, in plain words (protocol page §6):
* Numbers start at 0, rise by one a frame, wrap, and are kept over reconnects.
* The receiver takes the expected number only (``receiver``); its ACK says that it has everything before a number.
* After the end of a connection the sender repeats what is unconfirmed; what it had queued goes out first.
* Numbers start again at 0 after an exchange of FIN, or when a node was fenced, crashed or came back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from dlmtrace.streams.acknowledgements import FAR, Acknowledgements
from dlmtrace.streams.numbering import Numbering
from dlmtrace.streams.numbers import MASK, unwrap
from dlmtrace.streams.pair import REMEMBERED, Death, Pair
from dlmtrace.streams.receiver import Arrival, Expectation
from dlmtrace.streams.reconnecting import Judgement, Resumption, begin
from dlmtrace.streams.reporter import Reporter, span
from dlmtrace.streams.resends import FAST_ACKS, Resends
from dlmtrace.streams.resets import Resets
from dlmtrace.streams.results import Dialect, Epoch, Finding, Reconnect, Stream
from dlmtrace.streams.silence import NO_CONNECTION, STALL, Silence
from dlmtrace.streams.timeline import Timeline
from dlmtrace.transport.connections import Connection
from dlmtrace.transport.ending import LINGER
from dlmtrace.wire.columns import HEADER, OPTIONS

RESEND_REACH = 4096
"""Numbers further back than this are not sent again but begin a new epoch whose start was not captured."""

SMALLEST_FRAME = HEADER.itemsize + OPTIONS.itemsize + HEADER.itemsize
"""Bytes of an OPTS frame that carries a bare header, as FIN does."""

GAP = LINGER * 3 // 2
"""ns from the end of a connection until what waits behind a gap of it is told: when it is over; packets may be
disordered."""

OLD = 512
"""Numbers below the last ACK that no sender repeats: at most 256 ACKs are saved up, and one may be lost."""


class Tracker:
    """Feed it the stream's frames, the receiver's ACKs and the ends of the pair's connections, in order of capture.

    ``stream`` is the result; findings go to ``report``; reconnects take the next of ``numbers`` as they begin, and
    go to ``decided`` when their verdict is final.
    """

    def __init__(
        self,
        stream: Stream,
        pair: Pair,
        dialect: Dialect,
        report: Callable[[Finding], None],
        numbers: Iterator[int],
        decided: Callable[[Reconnect], None],
    ) -> None:
        self.stream, self.pair = stream, pair
        self._numbers = numbers
        self.peer: Tracker | None = None  # the other direction
        self.numbering: Numbering | None = None
        self.carrier: int | None = None  # of the last frame
        self.connection: Connection | None = None  # that it belongs to
        self.last: Arrival | None = None  # the last frame
        self.ends: dict[int, int] = {}  # carrier -> stream position behind the last frame, of the last REMEMBERED ones
        self.reporter = Reporter(stream, report)
        self.silence = Silence(pair, self.reporter)
        self.judgement = Judgement(self.reporter, decided, pair.lost_since)
        self.resends = Resends(pair, self.reporter)
        self.resets = Resets(self.reporter, decided, pair.lost_since)
        self.left: tuple[int, int, int, Arrival] | None = None  # connection left while alive: U, first frame elsewhere
        self.stopped: tuple[Death, int] | None = None  # of the last frame's connection, and the low end of U then
        self.timeline = Timeline()
        self.acknowledgements = Acknowledgements(
            self.reporter, pair, self.judgement, self.resets, self.silence, self.timeline, self.ends, dialect
        )
        self.took_new = False  # was the last frame the first of its number?
        self.polled = False  # did the sender poll, as a node does that comes back, since its last new number?
        self.doubled = False  # and did number 0 come again since?
        self.revised: Callable[[Arrival], None] | None = None  # is told of frames of which more was learnt

    # Frames.

    def send(
        self,
        number: int,
        arrival: Arrival,
        start: int,
        connection: Connection,
        fin: bool,
        same: Callable[[int], bool | None],
    ) -> None:
        """A DLM_OPTS frame with h_seq ``number``; ``start`` is its stream position, ``arrival.number`` is set here.

        ``same(n)`` compares it with the first frame of unwrapped number n: None when that is not remembered.
        """
        self.took_new = False
        numbering = self.numbering
        if numbering is None:
            numbering = self._begin(number, arrival)
            numbering.begin_seen = connection.directions[arrival.carrier & 1].begin_seen
        if arrival.ordinal < numbering.started:
            return  # of the epoch before: it waited behind a hole
        arrival.number = unwrap(number, numbering.next)
        if numbering.ahead is not None and arrival.number >= numbering.next:
            # a segment that came behind a later one had been sent before it, unseen or lost on its way
            disordered = connection.directions[arrival.carrier & 1].out_of_order > 0
            running = arrival.carrier == self.carrier and not disordered and not self._hidden(arrival.carrier, start)
            self.acknowledgements.settle(arrival, numbering, running)
        if arrival.number != numbering.next:
            if self._starts_again(number, arrival, connection, numbering, same):
                numbering = self._restart(number, arrival)
            elif arrival.number - numbering.next > FAR and not self._hidden(arrival.carrier, start):
                arrival.expected = numbering.expectation.expected
                self.reporter.find(
                    "SEQ210", arrival, f"sequence number {number} is far ahead of {numbering.next & MASK}"
                )
                return
        if self.peer is not None and self.peer.resets.are_alone(numbering):
            assert self.peer.numbering is not None
            self.peer.resets.keep(self.peer.numbering)  # this direction goes on with its old numbers
            self.judgement.came_back = True
        numbering.result.frames += 1
        late = arrival.carrier in self.ends and self.pair.outlived(arrival.carrier, self.carrier)
        if arrival.carrier != self.carrier and not late:
            self._move(arrival, start, numbering)
        leaves_out = arrival.number > numbering.next and not self._hidden(arrival.carrier, start)
        self.judgement.send(arrival, numbering.expectation.expected, leaves_out)
        self._classify(arrival, start, numbering, same)
        if not numbering.expectation.arrive(arrival) and arrival.came and arrival.number > arrival.expected:
            self.silence.stand_still(arrival, numbering)
        else:
            self.silence.go_on(numbering, arrival.time)
        self.silence.count(arrival, numbering)
        if fin:
            self._finish_by(arrival, numbering)
        elif numbering.fin is not None and arrival.number > numbering.fin:
            self.reporter.find("FIN503", arrival, f"frame {number} follows the sender's own FIN {numbering.fin & MASK}")
        if not late:
            self.carrier, self.connection = arrival.carrier, connection
        self.last, self.ends[arrival.carrier] = arrival, arrival.end
        if len(self.ends) > REMEMBERED:
            del self.ends[next(iter(self.ends))]
        self.judgement.judge(self._expectation)

    def _begin(self, number: int, arrival: Arrival) -> Numbering:
        result = Epoch(number, number)
        self.stream.epochs.append(result)
        expectation = Expectation(number, self.acknowledgements.keeps_early, self.revised)
        self.numbering = Numbering(number, number, expectation, result, arrival.ordinal, arrival.time, since_ack=number)
        return self.numbering

    def _classify(self, arrival: Arrival, start: int, numbering: Numbering, same: Callable[[int], bool | None]) -> None:
        """New, ahead of the next number, or sent before."""
        number = arrival.number
        self.took_new = number >= numbering.next or number < numbering.first or number in numbering.missing
        where = (arrival.carrier >> 1, arrival.time, arrival.packet)
        if number > numbering.next:
            self.timeline.note("missing", numbering.next, number - 1, *where)
        self.timeline.note("sent" if self.took_new else "resent", number, number, *where)
        if self.took_new:
            self.resends.settle()
        if number >= numbering.next:
            if number > numbering.next:
                self._gap(arrival, start, numbering)
            numbering.next = number + 1
            self.polled = self.doubled = False
            return
        if number in numbering.missing:
            numbering.missing.remove(number, number)
            return
        unseen = number < numbering.first
        if unseen:
            if numbering.begin_seen and numbering.first == numbering.expectation.confirmed:
                numbering.expectation.begin(number)  # it waited for this one while the others came
            numbering.missing.add(number + 1, numbering.first - 1)
            numbering.first = numbering.result.seq_first = number
        if self.polled and not number & MASK:
            self.doubled = True
            self.judgement.double()
        numbering.result.duplicates += 1
        if same(number) is False:
            if not self.pair.lost_anything(arrival.carrier):  # a new beginning may be what the capture lost
                text = f"sequence number {number & MASK} comes again with other bytes"
                self.reporter.find("SEQ206", arrival, text, number, number)
            return
        after_reconnect = bool(self.resets.waiting) or self.judgement.covers(arrival.number)
        cause = self.resends.cause(arrival, numbering, after_reconnect)
        if unseen and cause == "unexplained":
            numbering.result.duplicates -= 1  # the first sight of a number from before the capture began
            return
        numbering.result.resends[cause] = numbering.result.resends.get(cause, 0) + 1
        self.resends.collect(cause, arrival, numbering)

    def _gap(self, arrival: Arrival, start: int, numbering: Numbering) -> None:
        """Numbers were left out before this frame."""
        low, high = numbering.next, arrival.number - 1
        numbering.missing.add(low, high)
        if self._hidden(arrival.carrier, start):
            # The bytes went over the wire, TCP saw to it that they came: the receiver has these frames.
            if numbering.expectation.expected == low:
                numbering.expectation.has(arrival.number)
            return
        before = arrival.time if self.last is None else self.last.time
        if arrival.carrier == self.carrier and not self.judgement.open and not self.pair.lost_since(before):
            text = f"the numbers {span(low, high)} were left out on a running connection"
            self.reporter.find("SEQ201", arrival, text, low, high, high - low + 1)

    def _hidden(self, carrier: int, start: int) -> bool:
        """Does the capture miss bytes between the last frame of this direction and this one?"""
        last = self.ends.get(carrier, 0)  # behind `start` where a part of the last frame is missing, too (SCTP)
        return last > start or self.pair.lost_between(carrier, last, start) > 0

    def acknowledge(self, number: int, arrival: Arrival) -> None:
        """A DLM_ACK of the receiver."""
        if self.numbering is None:
            self._begin(number, arrival).result.confirmed_to = number
        else:
            self.acknowledgements.take(number, arrival, self.numbering)

    # Connections.

    def _move(self, arrival: Arrival, start: int, numbering: Numbering) -> None:
        """The stream's frames change to another connection."""
        new = self.pair.deaths.get(arrival.carrier >> 1)
        self.stopped = None if new is None else (new, numbering.expectation.confirmed)
        if self.carrier is None or self.carrier >> 1 == arrival.carrier >> 1:
            return
        old = self.carrier >> 1
        upto = max(numbering.next, arrival.number)
        low = numbering.expectation.confirmed
        death = self.pair.deaths.get(old)
        if death is None:
            self.left = (old, low, upto, arrival)
        else:
            self._resume(death, low, upto, arrival, start)

    def _resume(self, death: Death, low: int, upto: int, arrival: Arrival, start: int) -> None:
        record = begin(self._numbers, self.stream, death, arrival)
        carriers = [carrier for carrier in self.ends if carrier >> 1 == death.connection.index]
        hidden = self.pair.lost_between(arrival.carrier, 0, start)
        uncertain = any(map(self.pair.lost_anything, carriers)) or hidden > 0
        self.judgement.judge(self._expectation, next_began=True)
        directions = [death.connection.directions[carrier & 1] for carrier in carriers]
        headless = not all(direction.begin_seen for direction in directions)
        sent = None if self.numbering is None else self.numbering.next
        waiting = self._expectation.arrivals
        since = min(death.time, waiting[0].time) if waiting else death.time
        resumption = Resumption(
            record, arrival.ordinal, low, upto, uncertain, since, sent=sent, doubled=self.doubled, headless=headless
        )
        if any(each.sent > each.bytes + each.hole_bytes for each in directions):
            resumption.settles = death.time + GAP  # what waits behind the gap may be under way, too
        if 0 < hidden >= (arrival.number & MASK) * SMALLEST_FRAME:
            resumption.suspect = True  # the numbers may have started again where the capture has a hole
        if arrival.time - death.time >= NO_CONNECTION and upto > low:
            self.silence.after(death, low, upto)
            resumption.suspect = True  # a connection between them may be what the capture lost
            resumption.settles = max(resumption.settles, arrival.time + STALL)
        self.judgement.begin(resumption, self.last, ended=arrival.carrier >> 1 in self.pair.deaths)

    def die(self, death: Death) -> None:
        """A connection of the pair ended (called after Pair.die)."""
        numbering = self.numbering
        if numbering is None:
            return
        self._doubt(death, numbering)
        if self.carrier is not None and self.carrier >> 1 == death.connection.index:
            self.stopped = self.stopped or (death, numbering.expectation.confirmed)
            self.judgement.end(numbering.expectation)
        if self.left is not None and self.left[0] == death.connection.index:
            _, low, upto, arrival = self.left
            self.left = None
            if numbering.expectation.confirmed < upto and death.kind != "fin":
                self._resume(death, low, upto, arrival, arrival.end)
        self.judgement.judge(self._expectation)

    def survive(self, connection: Connection) -> None:
        """A connection of the pair was reset and went on: what was sent on it came, or will come (called after
        Pair.survive)."""
        ended = connection.index in self.pair.deaths
        if self.stopped is not None and self.stopped[0].connection is connection and not ended:
            self.stopped = None
        if self.numbering is None:
            return
        expectation = self.numbering.expectation
        for arrival in expectation.arrivals:
            arrival.came = arrival.came or arrival.carrier >> 1 == connection.index
        expectation.recount()

    def _doubt(self, death: Death, numbering: Numbering) -> None:
        """Some frames of the dead connection may not have come after all."""
        gone = self.pair.never_came(death, numbering.expectation.arrivals)
        for arrival in gone:
            arrival.came = False
        if gone:
            numbering.expectation.recount()

    # Epochs.

    def _begin_hidden(self, arrival: Arrival, connection: Connection) -> bool:
        """Is this the first frame of its connection with a number, and does the capture miss anything before it?"""
        lost = self.pair.lost_between(arrival.carrier, 0, arrival.end - arrival.size) > 0
        return arrival.carrier not in self.ends and (lost or not connection.directions[arrival.carrier & 1].begin_seen)

    def _starts_again(
        self,
        number: int,
        arrival: Arrival,
        connection: Connection,
        numbering: Numbering,
        same: Callable[[int], bool | None],
    ) -> bool:
        """Is this the first frame of a new numbering?"""
        back = numbering.next - arrival.number
        old = back > numbering.next - numbering.expectation.confirmed + OLD
        if back > 0 and (old or same(arrival.number) is False) and self._begin_hidden(arrival, connection):
            return True  # the capture lost number 0
        at_first = arrival.number < numbering.first == numbering.expectation.confirmed
        over_wrap = 0 < arrival.number - numbering.next <= FAR
        left_out = ((at_first or over_wrap) and not self.polled) or arrival.number in numbering.missing
        if number == 0 and numbering.next > 0 and not left_out:
            if numbering.closed:
                return True
            return same(arrival.number) is not True or back > RESEND_REACH
        return back > RESEND_REACH and same(arrival.number) is not True and arrival.carrier != self.carrier

    def _restart(self, number: int, arrival: Arrival) -> Numbering:
        numbering = self.numbering
        assert numbering is not None
        death = self._death_of_current()
        if death is not None:
            self._doubt(replace(death, time=arrival.time) if death.kind == "fin" else death, numbering)
        upto = numbering.next
        self._end_epoch("restart")
        if not numbering.closed and death is not None and self.last is not None:
            text = f"the numbers start again at {number} after {upto - 1 & MASK}, with no exchange of FIN"
            self.reporter.find("SEQ207", arrival, text)
            record = begin(self._numbers, self.stream, death, arrival)
            other = None if self.peer is None else self.peer.resets
            since = self.pair.opened_between(self.last.time, death.time)
            self.resets.begin(record, death, numbering, since, arrival.ordinal, other)
        self.numbering = self.stopped = None
        numbering = self._begin(number, arrival)
        arrival.number = number
        self.carrier = None
        return numbering

    def _death_of_current(self) -> Death | None:
        """How the connection of the last frame ended; one that was just left alone was abandoned."""
        if self.connection is None or self.last is None:
            return None
        known = self.pair.deaths.get(self.connection.index)
        return known or Death(self.connection, "abandoned", self.last.ordinal, self.last.packet, self.last.time)

    def _end_epoch(self, ended_by: Literal["restart", "open"]) -> None:
        numbering = self.numbering
        assert numbering is not None
        self.resends.settle()
        self.acknowledgements.conclude(numbering)
        if numbering.first_repeated_ack is not None:
            number, arrival = numbering.first_repeated_ack
            text = f"{numbering.repeated_acks} numbers were acknowledged {FAST_ACKS} times in a row or more"
            self.reporter.find("ACK303", arrival, text, number, number, numbering.repeated_acks)
        self.silence.end(numbering)
        self.judgement.judge(numbering.expectation, over=True, restarted=ended_by == "restart")
        numbering.conclude(ended_by)
        for low, high in numbering.unseen().ranges():
            text = f"{span(low, high)} were confirmed but not captured: the capture lost them, the cluster did not"
            self.reporter.of_range("CAP910", text, low, high)

    def _finish_by(self, arrival: Arrival, numbering: Numbering) -> None:
        if numbering.fin is not None and numbering.fin != arrival.number:
            self.reporter.find("FIN504", arrival, f"a second FIN, {arrival.number & MASK} after {numbering.fin & MASK}")
        elif numbering.fin is None:
            numbering.fin, numbering.fin_time = arrival.number, arrival.time

    def finish(self) -> None:
        """The capture is over."""
        numbering = self.numbering
        if numbering is None:
            return
        closed = self.pair.deaths.get(self.carrier >> 1) if self.carrier is not None else None
        low, upto = numbering.expectation.confirmed, numbering.next
        if closed is not None and closed.kind != "fin" and not numbering.closed and upto > low:
            self.silence.after(closed, low, upto)
        elif upto > low and not numbering.closed:
            text = f"{upto - low} frames were unconfirmed when the capture ended"
            self.reporter.of_range("ACK305", text, low, upto - 1)
        if self.stopped is not None and upto > self.stopped[1] and numbering.fin is None:
            death, low = self.stopped
            record = begin(self._numbers, self.stream, death, None)
            self.judgement.open.append(Resumption(record, death.ordinal, low, upto, uncertain=False, since=death.time))
        if numbering.fin is None or closed is None or closed.kind != "fin":
            self.judgement.cut_off = max(numbering.ack_time, 0 if self.last is None else self.last.time)
        self._end_epoch("open")
        self.resets.finish()

    @property
    def unsettled(self) -> bool:
        """Does anything wait for what the next frames and ACKs say?"""
        numbering = self.numbering
        return bool(
            self.judgement.pending
            or self.resets.waiting
            or self.left
            or self.acknowledgements.keeps_early
            or (self.peer is not None and self.peer.resets.waiting)
            or (numbering is not None and (numbering.stall or numbering.ahead or numbering.fin is not None))
        )

    @property
    def _expectation(self) -> Expectation:
        assert self.numbering is not None
        return self.numbering.expectation
