"""One stream with sequence numbers: a directed node pair over all its connections, epoch by epoch.

Rules, in plain words (protocol page §6):
* Numbers start at 0, rise by one a frame, wrap, and are kept over reconnects.
* The receiver takes the expected number only (``receiver``); its ACK says that it has everything before a number.
* After the end of a connection the sender repeats what is unconfirmed; what it had queued goes out first.
* Numbers start again at 0 after an exchange of FIN, or when a node was fenced, crashed or came back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from dlmtrace.streams.numbers import MASK, RangeSet, unwrap, wire_ranges
from dlmtrace.streams.pair import VANISHED, Death, Pair
from dlmtrace.streams.receiver import Arrival, Expectation
from dlmtrace.streams.reconnecting import Resumption
from dlmtrace.streams.results import Cause, Epoch, Finding, Reconnect, Stream
from dlmtrace.streams.timeline import Timeline
from dlmtrace.transport.connections import Connection

FAR = 65_536
"""Numbers further ahead than this are no gap but nonsense (SEQ210)."""

RESEND_REACH = 4096
"""Numbers further back than this are not sent again but begin a new epoch whose start was not captured."""

STALL = 1_000_000_000
"""ns that the receiver must stand still at a hole before the stream is called stalled."""

SILENCE = 2_000_000_000
"""ns without a new connection after which a reset is called silent (CON405)."""

STARVATION, STARVATION_TIME = 300, 1_000_000_000
"""Delivered frames without an ACK that no kernel leaves (A18), and ns that this must last: one receive run of a busy
6.1 kernel was seen to take more."""

FAST_ACKS, TIMEOUT = 3, 15_000_000_000
"""The v3 series: equal ACKs that trigger a retransmission, and ns after which a frame is repeated (§6.3)."""

ERROR_REACH = 5_000_000_000
"""ns after an error on any connection of the pair during which a repeated frame is put down to it."""


@dataclass(slots=True)
class _Stall:
    """The receiver drops what comes because it waits for another number."""

    expected: int
    first: Arrival
    last: Arrival
    frames: int = 0


@dataclass(slots=True)
class _Numbering:
    """One epoch: its numbers, unwrapped."""

    first: int
    next: int
    expectation: Expectation
    result: Epoch
    started: int  # ordinal of its first frame
    missing: RangeSet = field(default_factory=RangeSet)
    fin: int | None = None
    fin_time: int = 0
    since_ack: int = 0  # expected when the last ACK came
    ack_time: int = 0  # ns, of the last ACK
    starved: bool = False
    last_ack: tuple[int, int] = (-1, 0)  # number, how many times in a row
    stall: _Stall | None = None
    repeated_acks: int = 0  # numbers that were acknowledged FAST_ACKS times in a row
    first_repeated_ack: tuple[int, Arrival] | None = None

    def note_repeated_acks(self, count: int, number: int, arrival: Arrival) -> None:
        """The ACK of ``number`` (and of others, ``count`` in all) came FAST_ACKS times in a row."""
        self.repeated_acks += count
        if self.first_repeated_ack is None:
            self.first_repeated_ack = number, arrival

    @property
    def closed(self) -> bool:
        """Was the FIN confirmed?"""
        return self.fin is not None and self.expectation.confirmed > self.fin


class Tracker:
    """Feed it the stream's frames, the receiver's ACKs and the ends of the pair's connections, in order of capture.

    ``stream`` is the result; findings go to ``report``, reconnects to ``reconnects`` as they begin, and to ``decided``
    when their verdict is final.
    """

    def __init__(
        self,
        stream: Stream,
        pair: Pair,
        keeps_early: bool,
        report: Callable[[Finding], None],
        reconnects: list[Reconnect],
        decided: Callable[[Reconnect], None],
    ) -> None:
        self.stream, self.pair, self.keeps_early = stream, pair, keeps_early
        self.report, self.reconnects, self.decided = report, reconnects, decided
        self.peer: Tracker | None = None  # the other direction
        self.numbering: _Numbering | None = None
        self.carrier: int | None = None  # of the last frame
        self.connection: Connection | None = None  # that it belongs to
        self.last: Arrival | None = None  # the last frame
        self.ends: dict[int, int] = {}  # carrier -> stream position behind the last frame
        self.open: list[Resumption] = []
        self.damaged: list[Resumption] = []  # unsafe ones, whose lost frames a later reconnect may still bring
        self.left: tuple[int, int, int, Arrival] | None = None  # connection left while alive: U, first frame elsewhere
        self.resets: list[Resumption] = []  # waiting to see whether the other direction starts again too
        self.timeline = Timeline()
        self.took_new = False  # was the last frame the first of its number?
        self._resent: Finding | None = None  # frames of one cause that came again in a row

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
        arrival.number = unwrap(number, numbering.next)
        if arrival.number != numbering.next:
            if self._starts_again(number, arrival, numbering, same):
                numbering = self._restart(number, arrival)
            elif arrival.number - numbering.next > FAR and not self._hidden(arrival.carrier, start):
                arrival.expected = numbering.expectation.expected
                self._find("SEQ210", arrival, f"sequence number {number} is far ahead of {numbering.next & MASK}")
                return
        self._see_other_restart(arrival)
        numbering.result.frames += 1
        if arrival.carrier != self.carrier:
            self._move(arrival, start, numbering)
        for resumption in self.open:
            resumption.send(arrival.number, numbering.expectation.expected)
        for resumption in self.damaged:
            if arrival.number in resumption.lost and self.open:
                resumption.record.repaired_by = self.open[-1].record.reconnect
        self._classify(arrival, start, numbering, same)
        if not numbering.expectation.arrive(arrival) and arrival.came and arrival.number > arrival.expected:
            self._stand_still(arrival, numbering)
        else:
            self._go_on(numbering, arrival.time)
        self._count_unacknowledged(arrival, numbering)
        if fin:
            self._finish_by(arrival, numbering)
        elif numbering.fin is not None and arrival.number > numbering.fin:
            self._find("FIN503", arrival, f"frame {number} follows the sender's own FIN {numbering.fin & MASK}")
        self.carrier, self.connection = arrival.carrier, connection
        self.last = arrival
        self.ends[arrival.carrier] = arrival.end
        self._judge()

    def _begin(self, number: int, arrival: Arrival) -> _Numbering:
        result = Epoch(number, number)
        self.stream.epochs.append(result)
        self.numbering = _Numbering(
            number, number, Expectation(number, self.keeps_early), result, arrival.ordinal, since_ack=number
        )
        return self.numbering

    def _classify(
        self, arrival: Arrival, start: int, numbering: _Numbering, same: Callable[[int], bool | None]
    ) -> None:
        """New, ahead of the next number, or sent before."""
        number = arrival.number
        self.took_new = number >= numbering.next or number in numbering.missing
        where = (arrival.carrier >> 1, arrival.time, arrival.packet)
        if number > numbering.next:
            self.timeline.note("missing", numbering.next, number - 1, *where)
        self.timeline.note("sent" if self.took_new else "resent", number, number, *where)
        if self.took_new:
            self.settle_resent()
        if number >= numbering.next:
            if number > numbering.next:
                self._gap(arrival, start, numbering)
            numbering.next = number + 1
            return
        if number in numbering.missing:
            numbering.missing.remove(number, number)
            return
        if number < numbering.first:
            numbering.first = numbering.result.seq_first = number
        numbering.result.duplicates += 1
        if same(number) is False:
            text = f"sequence number {number & MASK} comes again with other bytes"
            self._find("SEQ206", arrival, text, number, number)
            return
        cause = self._cause(arrival, numbering)
        numbering.result.resends[cause] = numbering.result.resends.get(cause, 0) + 1
        self._collect(arrival, _RESENT[cause], numbering)

    def _collect(self, arrival: Arrival, kind: tuple[str, str], numbering: _Numbering) -> None:
        """Frames that come again one after the other make one finding."""
        code, text = kind
        number, resent = arrival.number, self._resent
        delivered = number < numbering.expectation.expected
        if (
            resent is None
            or (resent.code, resent.message, resent.seq_last) != (code, text, number - 1 & MASK)
            or resent.connection != f"c{(arrival.carrier >> 1) + 1}"
        ):
            self.settle_resent()
            first = next((each for each in numbering.expectation.arrivals if each.number == number), None)
            resent = self._resent = self._finding(code, arrival, text, number, number)
            resent.count = 0
            resent.evidence = {"already_delivered": 0, "bytes": 0, "oldest_age_ns": first and arrival.time - first.time}
        resent.seq_last = number & MASK
        resent.count += 1
        resent.evidence["already_delivered"] += delivered
        resent.evidence["bytes"] += arrival.size

    def settle_resent(self) -> None:
        """What came again in a row is one finding."""
        if self._resent is not None:
            self._tell(self._resent)
            self._resent = None

    def _cause(self, arrival: Arrival, numbering: _Numbering) -> Cause:
        if any(arrival.number < each.upto for each in self.open) or self.resets:
            return "reconnect"
        error = self.pair.last_error
        if error is not None and arrival.time - error <= ERROR_REACH:
            return "other connection"
        if numbering.last_ack[0] == arrival.number and numbering.last_ack[1] >= FAST_ACKS:
            return "fast"
        first = next((each for each in numbering.expectation.arrivals if each.number == arrival.number), None)
        if first is not None and arrival.time - first.time >= TIMEOUT:
            return "timeout"
        return "unexplained"

    def _gap(self, arrival: Arrival, start: int, numbering: _Numbering) -> None:
        """Numbers were left out before this frame."""
        low, high = numbering.next, arrival.number - 1
        numbering.missing.add(low, high)
        if self._hidden(arrival.carrier, start):
            # The bytes went over the wire, TCP saw to it that they came: the receiver has these frames.
            if numbering.expectation.expected == low:
                numbering.expectation.expected = arrival.number
            return
        if arrival.carrier == self.carrier and not self.open:
            text = f"the numbers {_span(low, high)} were left out on a running connection"
            self._find("SEQ201", arrival, text, low, high, high - low + 1)

    def _hidden(self, carrier: int, start: int) -> bool:
        """Does the capture miss bytes between the last frame of this direction and this one?"""
        return self.pair.lost_between(carrier, self.ends.get(carrier, 0), start)

    # The receiver.

    def acknowledge(self, number: int, arrival: Arrival) -> None:
        """A DLM_ACK of the receiver."""
        numbering = self.numbering
        if numbering is None:
            self._begin(number, arrival).result.confirmed_to = number
            return
        expectation = numbering.expectation
        unwrapped = unwrap(number, expectation.confirmed)
        if unwrapped > numbering.next:
            self._beyond(unwrapped, arrival, numbering)
            return
        if unwrapped < expectation.confirmed:
            near_end = self.pair.last_error is not None and arrival.time - self.pair.last_error <= ERROR_REACH
            if not near_end:
                text = f"ACK {number} after ACK {expectation.confirmed & MASK}"
                self._find("ACK302", arrival, text, unwrapped, unwrapped)
            return
        repeated = numbering.last_ack[1] + 1 if numbering.last_ack[0] == unwrapped else 1
        numbering.last_ack = (unwrapped, repeated)
        if repeated == FAST_ACKS:
            numbering.note_repeated_acks(1, unwrapped, arrival)
        if unwrapped > expectation.confirmed:
            where = (arrival.carrier >> 1, arrival.time, arrival.packet)
            self.timeline.note("confirmed", expectation.confirmed, unwrapped - 1, *where)
        expectation.acknowledge(unwrapped)
        numbering.result.confirmed_to = number
        numbering.since_ack, numbering.starved = expectation.expected, False
        numbering.ack_time = arrival.time
        for resumption in self.open:
            resumption.confirmed_since = True
        self._go_on(numbering, arrival.time)
        self._judge()

    def _beyond(self, number: int, arrival: Arrival, numbering: _Numbering) -> None:
        """An ACK of a number that was never seen."""
        last = numbering.next - 1
        text = f"ACK {number & MASK} confirms more than was sent (up to {last & MASK})"
        holes = any(self.pair.lost_anything(carrier) for carrier in self.ends) or not self.ends
        if number - numbering.next > FAR or not holes:
            self._find("ACK301", arrival, text, numbering.next, number - 1)
            return
        numbering.missing.add(numbering.next, number - 1)
        numbering.next = number
        numbering.expectation.acknowledge(number)
        numbering.result.confirmed_to = number & MASK
        self._judge()

    def _stand_still(self, arrival: Arrival, numbering: _Numbering) -> None:
        stall = numbering.stall
        if stall is None:
            stall = numbering.stall = _Stall(numbering.expectation.expected, arrival, arrival)
        stall.frames += 1
        stall.last = arrival

    def _go_on(self, numbering: _Numbering, time: int) -> None:
        """The receiver may have got past the number that it waited for."""
        stall = numbering.stall
        if stall is None or numbering.expectation.expected <= stall.expected:
            return
        numbering.stall = None
        self._tell_stall(stall, time)

    def _tell_stall(self, stall: _Stall, until: int) -> None:
        lasted = max(until, stall.last.time) - stall.first.time
        if lasted < STALL:
            return
        self._find(
            "SEQ211",
            stall.first,
            f"the receiver waited {lasted / 1e9:.2f} s for {stall.expected & MASK} and dropped {stall.frames} frames",
            stall.expected,
            stall.expected,
            stall.frames,
            {"from": stall.first.time, "until": max(until, stall.last.time), "dropped": stall.frames},
        )

    def _count_unacknowledged(self, arrival: Arrival, numbering: _Numbering) -> None:
        waiting = numbering.expectation.expected - numbering.since_ack
        if waiting <= STARVATION or numbering.starved or not numbering.ack_time:
            return
        if arrival.time - numbering.ack_time < STARVATION_TIME:
            return
        error = self.pair.last_error
        if error is not None and error >= numbering.ack_time - ERROR_REACH:
            return  # ACKs are lost with a connection
        if self.peer is not None and self.peer.ends and not any(map(self.pair.lost_anything, self.peer.ends)):
            numbering.starved = True
            self._find("ACK304", arrival, f"{waiting} frames were delivered without an ACK", count=waiting)

    # Connections.

    def _move(self, arrival: Arrival, start: int, numbering: _Numbering) -> None:
        """The stream's frames change to another connection."""
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
        record = self._record(death, arrival)
        self.reconnects.append(record)
        carriers = [carrier for carrier in self.ends if carrier >> 1 == death.connection.index]
        uncertain = any(map(self.pair.lost_anything, carriers)) or self.pair.lost_between(arrival.carrier, 0, start)
        self._judge(next_began=True)
        self.open.append(Resumption(record, arrival.ordinal, low, upto, uncertain))
        if arrival.time - death.time >= SILENCE and upto > low:
            self._silent(death, low, upto)

    def _silent(self, death: Death, low: int, upto: int) -> None:
        finding = Finding(
            "CON405",
            f"{death.connection.name} ended ({death.kind}) with {upto - low} frames unconfirmed, "
            "and no frame followed within 2 s",
            connection=death.connection.name,
            packet=death.packet,
            time=death.time,
            seq_first=low & MASK,
            seq_last=upto - 1 & MASK,
            count=upto - low,
        )
        self._tell(finding)

    def _record(self, death: Death, arrival: Arrival | None) -> Reconnect:
        return Reconnect(
            f"r{len(self.reconnects) + 1}",
            self.stream.sender,
            self.stream.receiver,
            death.connection.name,
            None if arrival is None else f"c{(arrival.carrier >> 1) + 1}",
            death.kind,
            death.time,
            None if arrival is None else arrival.time,
            death.packet,
            None if arrival is None else arrival.packet,
        )

    def die(self, death: Death) -> None:
        """A connection of the pair ended (called after Pair.die)."""
        numbering = self.numbering
        if numbering is None:
            return
        self._doubt(death, numbering)
        if self.left is not None and self.left[0] == death.connection.index:
            _, low, upto, arrival = self.left
            self.left = None
            if numbering.expectation.confirmed < upto and death.kind != "fin":
                self._resume(death, low, upto, arrival, arrival.end)
        self._judge()

    def _doubt(self, death: Death, numbering: _Numbering) -> None:
        """Which frames of the dead connection did not come after all?"""
        waiting = [
            arrival
            for arrival in numbering.expectation.arrivals
            if arrival.carrier >> 1 == death.connection.index
            and arrival.came
            and arrival.end > death.connection.directions[arrival.carrier & 1].acknowledged
        ]
        if not waiting:
            return
        vanished = death.kind == "abandoned" or death.time - waiting[0].time > VANISHED
        gone = waiting if vanished else [arrival for arrival in waiting if arrival.ordinal > death.ordinal]
        for arrival in gone:
            arrival.came = False
        if gone:
            numbering.expectation.recount()

    # Epochs.

    def _starts_again(
        self, number: int, arrival: Arrival, numbering: _Numbering, same: Callable[[int], bool | None]
    ) -> bool:
        """Is this the first frame of a new numbering?"""
        back = numbering.next - arrival.number
        if number == 0 and numbering.next > 0:
            if numbering.closed:
                return True
            return same(arrival.number) is not True or back > RESEND_REACH
        return back > RESEND_REACH and same(arrival.number) is not True and arrival.carrier != self.carrier

    def _restart(self, number: int, arrival: Arrival) -> _Numbering:
        numbering = self.numbering
        assert numbering is not None
        death = self._death_of_current()
        if death is not None:
            self._doubt(death, numbering)
        low, upto = numbering.expectation.confirmed, numbering.next
        self._end_epoch("restart")
        if not numbering.closed and death is not None:
            text = f"the numbers start again at {number} after {upto - 1 & MASK}, with no exchange of FIN"
            self._find("SEQ207", arrival, text)
            record = self._record(death, arrival)
            self.reconnects.append(record)
            record.unconfirmed = wire_ranges([(low, upto - 1)] if upto > low else [])
            self._decide_reset(Resumption(record, arrival.ordinal, low, upto, False), arrival)
        self.numbering = None
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

    def _decide_reset(self, reset: Resumption, arrival: Arrival) -> None:
        """Both directions must start again."""
        peer = self.peer.numbering if self.peer is not None else None
        waiting = self.peer.resets if self.peer is not None else []
        if waiting:
            for other in waiting:
                self._settle_reset(other, True)
            waiting.clear()
            self._settle_reset(reset, True)
        elif peer is None or (peer.first == 0 and peer.started > arrival.ordinal):
            self._settle_reset(reset, True)
        else:
            self.resets.append(reset)

    def _see_other_restart(self, arrival: Arrival) -> None:
        """This direction goes on with its old numbers: did the other one start again alone?"""
        numbering = self.numbering
        if self.peer is None or not self.peer.resets or numbering is None or numbering.started == arrival.ordinal:
            return
        for reset in self.peer.resets:
            if reset.record.resumed is not None and arrival.time > reset.record.resumed:
                self.peer._settle_reset(reset, numbering.started > 0 and numbering.result.frames == 0)
        self.peer.resets.clear()

    def _settle_reset(self, reset: Resumption, both: bool) -> None:
        record = reset.record
        if both:
            record.verdict = "reset"
            record.reason = (
                "both directions started again at 0: what was under way was dropped, lock recovery repairs it"
            )
        else:
            record.verdict = "unsafe"
            record.reason = "the sender's numbers started again at 0, those of the other direction did not"
            record.lost, record.lost_frames = record.unconfirmed, reset.upto - reset.low
            self._tell(
                Finding(
                    "SEQ207",
                    "this direction started again at 0, the other one goes on with its old numbers",
                    connection=record.new_connection,
                    packet=record.resumed_packet,
                    time=record.resumed,
                    severity="error",
                )
            )
        self.decided(record)

    def _end_epoch(self, ended_by: Literal["fin", "restart", "open"]) -> _Numbering:
        numbering = self.numbering
        assert numbering is not None
        self.settle_resent()
        if numbering.first_repeated_ack is not None:
            number, arrival = numbering.first_repeated_ack
            text = f"{numbering.repeated_acks} numbers were acknowledged {FAST_ACKS} times in a row or more"
            self._find("ACK303", arrival, text, number, number, numbering.repeated_acks)
        if numbering.stall is not None:
            self._tell_stall(numbering.stall, numbering.stall.last.time)
            numbering.stall = None
        self._judge(over=True, restarted=ended_by == "restart")
        result, expectation = numbering.result, numbering.expectation
        result.ended_by = "fin" if numbering.closed else ended_by
        result.seq_last = numbering.next - 1 & MASK
        result.delivered = max(expectation.expected - numbering.first, 0)
        if result.delivered:
            result.delivered_ranges = wire_ranges([(numbering.first, expectation.expected - 1)])
        result.missing = wire_ranges(numbering.missing.ranges())
        unseen = numbering.missing.within(numbering.first, expectation.confirmed - 1)
        for low, high in unseen.ranges():
            text = f"{_span(low, high)} were confirmed but not captured: the capture lost them, the cluster did not"
            self._tell(Finding("CAP910", text, seq_first=low & MASK, seq_last=high & MASK, count=high - low + 1))
        return numbering

    def _finish_by(self, arrival: Arrival, numbering: _Numbering) -> None:
        if numbering.fin is not None and numbering.fin != arrival.number:
            self._find("FIN504", arrival, f"a second FIN, {arrival.number & MASK} after {numbering.fin & MASK}")
        elif numbering.fin is None:
            numbering.fin, numbering.fin_time = arrival.number, arrival.time

    def finish(self) -> None:
        """The capture is over."""
        numbering = self.numbering
        if numbering is None:
            return
        death = self.pair.deaths.get(self.carrier >> 1) if self.carrier is not None else None
        low, upto = numbering.expectation.confirmed, numbering.next
        if death is not None and death.kind != "fin" and not numbering.closed and upto > low:
            self._silent(death, low, upto)
        elif upto > low and not numbering.closed:
            text = f"{upto - low} frames were unconfirmed when the capture ended"
            self._tell(Finding("ACK305", text, seq_first=low & MASK, seq_last=upto - 1 & MASK, count=upto - low))
        self._end_epoch("open")
        for reset in self.resets:
            reset.record.reason = "the other direction was not seen again"
            self.decided(reset.record)
        self.resets.clear()

    @property
    def unsettled(self) -> bool:
        """Does anything wait for what the next frames and ACKs say?"""
        numbering = self.numbering
        return bool(
            self.open
            or self.damaged
            or self.resets
            or self.left
            or self.keeps_early
            or (self.peer is not None and self.peer.resets)
            or (numbering is not None and (numbering.stall is not None or numbering.fin is not None))
        )

    # Verdicts and findings.

    @property
    def _expectation(self) -> Expectation:
        assert self.numbering is not None
        return self.numbering.expectation

    def _judge(self, over: bool = False, restarted: bool = False, next_began: bool = False) -> None:
        """Decide what can be decided of the open reconnects."""
        still: list[Resumption] = []
        for index, resumption in enumerate(self.open):
            newest = index == len(self.open) - 1 and not next_began
            final = resumption.confirmed(self._expectation) or over
            if not final and not newest:
                final = bool(resumption.missing(self._expectation)) and resumption.went_on
            if not final or not resumption.judge(self._expectation, restarted, over):
                still.append(resumption)
            elif resumption.came_back:
                self._undo(resumption)
                self.decided(resumption.record)
            elif resumption.lost and not over:
                self.damaged.append(resumption)
            else:
                self._conclude(resumption)
        self.open = still
        for resumption in [each for each in self.damaged if over or each.repaired(self._expectation)]:
            self.damaged.remove(resumption)
            resumption.settle_damage(self._expectation)
            self._conclude(resumption)

    def _undo(self, resumption: Resumption) -> None:
        """The receiver had come back with fresh numbers: it took nothing of what was sent to it since."""
        record, expectation = resumption.record, self._expectation
        for arrival in expectation.arrivals:
            arrival.came = arrival.came and arrival.ordinal < resumption.began
        expectation.recount()
        finding = Finding(
            "SEQ207",
            "the receiver started again at 0, this direction went on with its old numbers",
            connection=record.new_connection,
            packet=record.resumed_packet,
            time=record.resumed,
            count=record.lost_frames,
            severity="error",
        )
        self._tell(finding)

    def _conclude(self, resumption: Resumption) -> None:
        record = resumption.record
        if resumption.ahead is not None and resumption.resent:
            low, high = resumption.ahead
            text = f"{_span(low, high)} went out before what was sent again, as queued frames do"
            self._tell(
                Finding(
                    "SEQ205",
                    text,
                    connection=record.new_connection,
                    packet=record.resumed_packet,
                    time=record.resumed,
                    seq_first=low & MASK,
                    seq_last=high & MASK,
                    count=high - low + 1,
                )
            )
        for low, high in record.lost:
            text = f"{_span(low, high)} were not sent again after the reconnect"
            count = (high - low & MASK) + 1
            self._tell(
                Finding(
                    "SEQ202",
                    text,
                    connection=record.new_connection,
                    packet=record.resumed_packet,
                    time=record.resumed,
                    seq_first=low,
                    seq_last=high,
                    count=count,
                )
            )
        self.decided(record)

    def _find(
        self,
        code: str,
        arrival: Arrival,
        message: str,
        first: int | None = None,
        last: int | None = None,
        count: int = 1,
        evidence: dict[str, int] | None = None,
    ) -> None:
        finding = self._finding(code, arrival, message, first, last)
        finding.count, finding.evidence = count, dict(evidence or {})
        self._tell(finding)

    def _finding(
        self, code: str, arrival: Arrival, message: str, first: int | None = None, last: int | None = None
    ) -> Finding:
        return Finding(
            code,
            message,
            connection=f"c{(arrival.carrier >> 1) + 1}",
            packet=arrival.packet,
            time=arrival.time,
            seq_first=None if first is None else first & MASK,
            seq_last=None if last is None else last & MASK,
        )

    def _tell(self, finding: Finding) -> None:
        finding.sender, finding.receiver = self.stream.sender, self.stream.receiver
        self.report(finding)


_RESENT: dict[Cause, tuple[str, str]] = {
    "reconnect": ("SEQ204", "sent again after a reconnect"),
    "other connection": ("SEQ204", "sent again after an error on one of the pair's connections"),
    "fast": ("SEQ208", "sent again on the same connection after three equal ACKs, as the v3 series does"),
    "timeout": ("SEQ209", "sent again on the same connection after 15 s, as the v3 series does"),
    "unexplained": ("SEQ203", "sent again, and nothing explains it"),
}


def _span(low: int, high: int) -> str:
    return str(low & MASK) if low == high else f"{low & MASK}–{high & MASK}"
