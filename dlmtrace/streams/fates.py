"""What became of chosen frames: which were sent again, which the receiver's kernel took, which never came.

A frame with a sequence number is known by the direction that carried it and the stream position behind it.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from dlmtrace.streams.receiver import Arrival

if TYPE_CHECKING:
    from dlmtrace.streams.tracker import Tracker

Key = tuple[int, int]
"""Connection index * 2 + side, and the stream position behind the frame."""


class Fate(Enum):
    """What became of a frame, as far as the analysis can tell."""

    TAKEN = "taken"  # the receiver's kernel took it
    IGNORED = "ignored"  # it came, but the receiver expected another number
    LOST = "lost"  # it never came: its connection died first


class Fates:
    """``watch`` frames before their batch is fed to an Analysis; what became of them is final when that is finished."""

    def __init__(self) -> None:
        self._arrivals: dict[Key, Arrival | None] = {}
        self._resent: set[Key] = set()
        self._early: set[Key] = set()
        self._lost: set[Key] = set()

    def watch(self, key: Key) -> None:
        """Remember what becomes of this frame."""
        self._arrivals[key] = None

    def forget(self, key: Key) -> None:
        """Nobody wants to know any more."""
        self._arrivals.pop(key, None)
        for noted in (self._resent, self._early, self._lost):
            noted.discard(key)

    def pass_by(self, arrival: Arrival, tracker: Tracker) -> None:
        """A frame that the tracker of its stream has just been sent."""
        key = arrival.carrier, arrival.end
        if key not in self._arrivals:
            return
        self._arrivals[key] = arrival
        if not tracker.took_new and tracker.numbering is not None and arrival.number < tracker.numbering.next:
            self._resent.add(key)
        if tracker.acknowledgements.keeps_early and arrival.number > arrival.expected:
            self._early.add(key)

    def note(self, arrival: Arrival) -> None:
        """More was learnt about a frame."""
        key = arrival.carrier, arrival.end
        if key in self._arrivals:
            self._arrivals[key] = arrival

    def lose(self, key: Key) -> None:
        """A frame without a number did not come."""
        if key in self._arrivals:
            self._lost.add(key)

    def was_sent_before(self, key: Key) -> bool:
        """Did the frame repeat a number?"""
        return key in self._resent

    def of(self, key: Key, numbered: bool) -> Fate | None:
        """What became of a watched frame; None when nothing tells: of one without a number, only that it is lost."""
        if key in self._lost:
            return Fate.LOST
        arrival = self._arrivals.get(key)
        if not numbered:
            return None
        if arrival is None:  # it went by columns: it was the next number and nothing happened
            return Fate.TAKEN
        if not arrival.came:
            return Fate.LOST
        return Fate.TAKEN if arrival.number == arrival.expected or key in self._early else Fate.IGNORED
