"""What the receiver's kernel expects of a stream, from what the wire shows.

The kernel's rule is one comparison: the expected number is delivered and the next one expected, everything else is
dropped (midcomms.c, protocol page §6.2; the v3 series kept what came early instead).  The difficulty is that a frame on
the wire is not yet a frame that came: the receiver's socket may be dead already.  A frame came when

* the receiver's TCP acknowledged it, or
* its connection was not dead yet: no RST had gone over it, and it was not left alone by a peer that had vanished.

An ACK of the receiver settles everything before it, whatever was assumed.
"""

from __future__ import annotations

from collections import Counter, deque
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
        self._forgotten = 0  # arrivals that are no longer in `arrivals`
        # how many arrivals had come when it showed that everything before a number was there, and the number
        self._shown: deque[tuple[int, int]] = deque()
        self._early: set[int] = set()

    def arrive(self, arrival: Arrival) -> bool:
        """A frame on the wire; was it the expected one?"""
        arrival.expected = self.expected
        self.remember(arrival)
        return self._take(arrival)

    def remember(self, arrival: Arrival) -> None:
        """Keep a frame that came when ``arrival.expected`` was expected."""
        if not self.arrivals:
            self._start = arrival.expected
            self._shown.clear()
        self.arrivals.append(arrival)
        if len(self.arrivals) > WINDOW:
            self._forget_first()

    def acknowledge(self, number: int) -> None:
        """The receiver says that it has everything before ``number``."""
        if number > self.expected and self._believe(number):
            self.recount()
        self.confirmed = max(self.confirmed, number)
        self.has(number)
        while self.arrivals and self.arrivals[0].number < self.confirmed:
            self._forget_first()

    def has(self, number: int) -> None:
        """The receiver has everything before ``number`` by now."""
        if number > self._start:
            self._shown.append((self._forgotten + len(self.arrivals), number))
        self._reach(number)

    def begin(self, first: int) -> None:
        """The receiver waits for a number before the first that was seen."""
        self.confirmed = first
        self._shown.clear()
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
        shown = deque(self._shown)
        for count, arrival in enumerate(self.arrivals, self._forgotten):
            while shown and shown[0][0] <= count:
                self._reach(shown.popleft()[1])
            self._take(arrival)
            if self.revised is not None:
                self.revised(arrival)
        for _, number in shown:
            self._reach(number)

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

    def _believe(self, number: int) -> bool:
        """Of what the receiver has, a number that passed once came then, whatever was assumed; was there any?"""
        passed = Counter(each.number for each in self.arrivals)
        doubted = [each for each in self.arrivals if not each.came and self.expected <= each.number < number]
        once = [each for each in doubted if passed[each.number] == 1]
        for each in once:
            each.came = True
        return bool(once)

    def _reach(self, number: int) -> None:
        if number > self.expected:
            self.expected = number
            self._skip_early()

    def _forget_first(self) -> None:
        self.arrivals.popleft()
        self._forgotten += 1
        self._start = self.arrivals[0].expected if self.arrivals else self.expected
        while self._shown and (self._shown[0][0] <= self._forgotten or not self.arrivals):
            self._shown.popleft()
