"""What is missing between two nodes: a receiver stands still at a number (SEQ211), delivers without an ACK (ACK304), or
no connection follows a dead one (CON405).

The first two are told when the next ACK comes, or none can come any more, and only when the capture has lost nothing
since the last one.
"""

from __future__ import annotations

from dlmtrace.streams.numbering import Numbering, Stall
from dlmtrace.streams.numbers import MASK
from dlmtrace.streams.pair import Death, Pair
from dlmtrace.streams.receiver import Arrival
from dlmtrace.streams.reporter import Reporter
from dlmtrace.streams.resends import ERROR_REACH
from dlmtrace.streams.results import Finding

STALL = 1_000_000_000
"""ns that the receiver must stand still at a hole before the stream is called stalled."""

STARVATION, STARVATION_TIME = 300, 1_000_000_000
"""Delivered frames without an ACK that no kernel leaves (A18), and ns that this must last: one receive run of a busy
6.1 kernel was seen to take more."""

NO_CONNECTION = 2_000_000_000
"""ns without a new connection after which a reset is called silent (CON405)."""


class Silence:
    """Of one stream."""

    def __init__(self, pair: Pair, reporter: Reporter) -> None:
        self._pair, self._reporter = pair, reporter

    def stand_still(self, arrival: Arrival, numbering: Numbering) -> None:
        """A frame came and was dropped, because the receiver waits for an earlier one."""
        stall = numbering.stall
        if stall is None:
            waiting = numbering.expectation.arrivals
            since = min(arrival.time, numbering.ack_time or arrival.time, waiting[0].time if waiting else arrival.time)
            stall = numbering.stall = Stall(numbering.expectation.expected, arrival, arrival, since)
        stall.frames += 1
        stall.last = arrival

    def go_on(self, numbering: Numbering, time: int) -> None:
        """The receiver may have got past the number that it waited for."""
        stall = numbering.stall
        if stall is not None and numbering.expectation.expected > stall.expected:
            numbering.stall = None
            self._tell_stall(stall, time)

    def _tell_stall(self, stall: Stall, until: int) -> None:
        until = max(until, stall.last.time)
        lasted = until - stall.first.time
        if lasted < STALL or self._pair.lost_since(stall.since):
            return
        self._reporter.find(
            "SEQ211",
            stall.first,
            f"the receiver waited {lasted / 1e9:.2f} s for {stall.expected & MASK} and dropped {stall.frames} frames",
            stall.expected,
            stall.expected,
            stall.frames,
            {"from": stall.first.time, "until": until, "dropped": stall.frames},
        )

    def count(self, arrival: Arrival, numbering: Numbering) -> None:
        """A frame was sent: how long has there been no ACK?"""
        waiting = numbering.expectation.expected - numbering.since_ack
        if waiting <= STARVATION or numbering.starved or not numbering.ack_time:
            return
        if arrival.time - numbering.ack_time < STARVATION_TIME:
            return
        error = self._pair.last_error
        if error is None or error < numbering.ack_time - ERROR_REACH:  # ACKs are lost with a connection
            numbering.starved = arrival

    def hear(self, numbering: Numbering, expected: int) -> None:
        """An ACK comes when the receiver expects ``expected``, or none can come any more."""
        first, numbering.starved = numbering.starved, None
        if first is not None and not self._pair.lost_since(numbering.ack_time):
            waiting = expected - numbering.since_ack
            self._reporter.find("ACK304", first, f"{waiting} frames were delivered without an ACK", count=waiting)

    def after(self, death: Death, low: int, upto: int) -> None:
        """No connection followed for long, with ``low`` … ``upto`` - 1 unconfirmed."""
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
        self._reporter.tell(finding)

    def end(self, numbering: Numbering) -> None:
        """Nothing more comes."""
        self.hear(numbering, numbering.expectation.expected)
        if numbering.stall is not None:
            self._tell_stall(numbering.stall, numbering.stall.last.time)
            numbering.stall = None
