"""What the receiver's kernel expects of a stream, from what the wire shows.

The kernel's rule is one comparison: the expected number is delivered and the next one expected, everything else is
dropped (midcomms.c, protocol page §6.2; the v3 series kept what came early instead).  The difficulty is that a frame on
the wire is not yet a frame that came: the receiver's socket may be dead already.  A frame came when

* the receiver's TCP acknowledged it, or
* its connection was not dead yet: no RST had gone over it, and it was not left alone by a peer that had vanished.

An ACK of the receiver settles everything before it, whatever was assumed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 65_536
"""Frames above the last acknowledgement that are remembered (design page, Bounds)."""


@dataclass(slots=True)
class Arrival:
    """One frame with a sequence number, as it passed the capture point."""

    number: int  # unwrapped
    carrier: int  # connection index * 2 + side
    end: int  # stream position behind it
    size: int  # bytes
    ordinal: int
    packet: int
    time: int  # ns
    came: bool = True  # did the receiver's kernel get it, as far as is known now?
    expected: int = 0  # what the receiver expected when it came


class Expectation:
    """The expected number and how it came to be.

    ``expected``: everything before it was delivered.  ``confirmed``: the highest acknowledgement.  ``arrivals``: frames
    not below ``confirmed`` in order of capture, so that the expectation can be worked out again when it turns out that
    some of them never came; ``revised`` is told each of them then.
    """

    def __init__(self, first: int, keeps_early: bool, revised: Callable[[Arrival], None] | None = None) -> None:
        self.expected = first
        self.confirmed = first
        self.keeps_early = keeps_early  # the v3 series queues frames of the future
        self.revised = revised
        self.arrivals: deque[Arrival] = deque()
        self._start = first  # expected before the first of `arrivals`
        self._early: set[int] = set()

    def arrive(self, arrival: Arrival) -> bool:
        """A frame on the wire; was it the expected one?"""
        self.remember(arrival)
        return self._take(arrival)

    def remember(self, arrival: Arrival) -> None:
        """Keep a frame whose place in the expectation is known."""
        self.arrivals.append(arrival)
        if len(self.arrivals) > WINDOW:
            self._start = max(self._start, self._forget_first())

    def acknowledge(self, number: int) -> None:
        """The receiver says that it has everything before ``number``."""
        self.confirmed = max(self.confirmed, number)
        if number > self.expected:
            self.expected = number
            self._skip_early()
        while self.arrivals and self.arrivals[0].number < self.confirmed:
            self.arrivals.popleft()
        self._start = max(self._start, self.confirmed)

    def begin(self, first: int) -> None:
        """The receiver waits for a number before the first that was seen."""
        self.confirmed = first
        self.wait_for(first)

    def wait_for(self, number: int) -> None:
        """The receiver waited for this number when the first of ``arrivals`` came."""
        self._start = number
        self.recount()

    def kept_early(self, acknowledged: int) -> bool:
        """Does an ACK show that frames were kept that came while another one was waited for, as the v3 series does?"""
        waited = self.expected
        early = {each.number for each in self.arrivals if each.came and each.number > each.expected}
        late = {each.number for each in self.arrivals if each.came and each.number <= each.expected}
        return waited in late and any(
            number in early and number not in late for number in range(waited + 1, acknowledged)
        )

    def recount(self) -> None:
        """Work the expectation out again after ``came`` of some arrivals changed."""
        self.expected = self._start
        self._early.clear()
        for arrival in self.arrivals:
            self._take(arrival)
            if self.revised is not None:
                self.revised(arrival)

    def _take(self, arrival: Arrival) -> bool:
        arrival.expected = self.expected
        if not arrival.came:
            return False
        if arrival.number != self.expected:
            if self.keeps_early and arrival.number > self.expected:
                self._early.add(arrival.number)
            return False
        self.expected += 1
        self._skip_early()
        return True

    def _skip_early(self) -> None:
        while self.expected in self._early:
            self._early.discard(self.expected)
            self.expected += 1

    def _forget_first(self) -> int:
        first = self.arrivals.popleft()
        return first.number + 1 if first.came and first.number == first.expected else first.expected
