"""One epoch of a stream: its numbers, what the receiver expects, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dlmtrace.streams.numbers import MASK, RangeSet, unwrap, wire_ranges
from dlmtrace.streams.receiver import Arrival, Expectation
from dlmtrace.streams.results import Epoch


@dataclass(slots=True)
class Stall:
    """The receiver drops what comes because it waits for another number."""

    expected: int
    first: Arrival
    last: Arrival
    since: int  # ns, when the number that it waits for may have been sent at the earliest
    frames: int = 0


@dataclass(slots=True)
class Numbering:
    """One epoch: its numbers, unwrapped."""

    first: int
    next: int
    expectation: Expectation
    result: Epoch
    started: int  # ordinal of its first frame
    since: int  # ns, of its first frame
    begin_seen: bool = False  # did the capture hold the beginning of the connection on which the first frame came?
    missing: RangeSet = field(default_factory=RangeSet)
    fin: int | None = None
    fin_time: int = 0
    since_ack: int = 0  # expected when the last ACK came
    ack_time: int = 0  # ns, of the last ACK
    starved: Arrival | None = None  # the frame with which it was too long without an ACK
    last_ack: tuple[int, int] = (-1, 0)  # number, how many times in a row
    acks_of_first: int = 0  # of the first number, in a row, although later ones had been confirmed
    stall: Stall | None = None
    ahead: tuple[int, Arrival] | None = None  # highest ACK of numbers not seen yet, and its first such frame
    repeated_acks: int = 0  # numbers that were acknowledged FAST_ACKS times in a row
    first_repeated_ack: tuple[int, Arrival] | None = None
    kept: int | None = None  # what the receiver waited for when this epoch began, where its record is an older one

    def note_repeated_acks(self, count: int, number: int, arrival: Arrival) -> None:
        """The ACK of ``number`` (and of others, ``count`` in all) came FAST_ACKS times in a row."""
        self.repeated_acks += count
        if self.first_repeated_ack is None:
            self.first_repeated_ack = number, arrival

    def repeat_ack(self, number: int) -> int:
        """How many times in a row this number was acknowledged, with the ACK that has just come."""
        self.last_ack = number, self.last_ack[1] + 1 if self.last_ack[0] == number else 1
        return self.last_ack[1]

    def begin_at(self, number: int) -> None:
        """The receiver waits for a number before the first that was seen, and takes nothing else."""
        self.missing.add(number, self.first - 1)
        self.first = number
        self.result.seq_first = self.result.confirmed_to = number & MASK
        self.expectation.begin(number)

    def keep(self, expected: int) -> None:
        """The receiver's record did not start again: it waits for ``expected`` (as on the wire), and takes nothing
        before."""
        self.kept = unwrap(expected, self.next)
        self.ahead = None
        self.expectation.wait_for(self.kept)

    def confirm_late(self, expected: int) -> None:
        """The epoch is over, but the receiver still says that it waits for ``expected`` (as on the wire)."""
        number = unwrap(expected, self.expectation.confirmed)
        for arrival in self.expectation.arrivals:
            arrival.came = arrival.came and arrival.number < number
        self.expectation.recount()
        self.expectation.acknowledge(number)
        self.result.confirmed_to = expected
        self.conclude("restart")

    def lose_until(self, number: int) -> None:
        """The numbers before ``number`` were confirmed: those not seen were sent, and the capture lost them."""
        if number > self.next:
            self.missing.add(self.next, number - 1)
            self.next = number
        self.expectation.acknowledge(number)
        self.result.confirmed_to = number & MASK

    @property
    def closed(self) -> bool:
        """Was the FIN confirmed?"""
        return self.fin is not None and self.expectation.confirmed > self.fin

    def conclude(self, ended_by: Literal["restart", "open"]) -> None:
        """Nothing more comes: fill in the result."""
        result, expected = self.result, self.expectation.expected
        result.ended_by = "fin" if self.closed else ended_by
        result.seq_last = self.next - 1 & MASK
        taken = self.first if self.kept is None else max(self.first, self.kept)
        result.delivered = max(expected - taken, 0)
        if result.delivered:
            result.delivered_ranges = wire_ranges([(taken, expected - 1)])
        result.missing = wire_ranges(self.missing.ranges())

    def unseen(self) -> RangeSet:
        """Numbers that were confirmed and never seen."""
        return self.missing.within(self.first, self.expectation.confirmed - 1)
