"""What the receiver expects, worked out again after more was learnt: as if it had been known from the beginning."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from dlmtrace.streams.receiver import Arrival, Expectation


@dataclass(frozen=True)
class Frame:
    """A frame that passes; ``comes``: as is known in the end, does the receiver get it?"""

    number: int
    comes: bool


@dataclass(frozen=True)
class Ack:
    number: int


def expected(events: list[Frame | Ack], keeps_early: bool) -> int:
    """The kernel's rule, event by event."""
    waits, early = 0, set[int]()
    for event in events:
        if isinstance(event, Ack):
            waits = max(waits, event.number)
        elif event.comes and event.number == waits:
            waits += 1
        elif event.comes and event.number > waits and keeps_early:
            early.add(event.number)
        while waits in early:
            early.discard(waits)
            waits += 1
    return waits


numbers = st.integers(0, 6)
exchanges = st.lists(st.builds(Frame, numbers, st.booleans()) | st.builds(Ack, numbers), max_size=20)


@given(exchanges, st.booleans())
def test_what_never_came_changes_what_followed_it(events: list[Frame | Ack], keeps_early: bool) -> None:
    expectation = Expectation(0, keeps_early)
    doubted: list[tuple[Arrival, Frame]] = []
    for place, event in enumerate(events):
        if isinstance(event, Ack):
            expectation.acknowledge(event.number)
        else:
            arrival = Arrival(event.number, 0, place, 1, place, place, place)
            doubted.append((arrival, event))
            expectation.arrive(arrival)
    known = []
    for arrival, frame in doubted:
        if any(arrival is each for each in expectation.arrivals):
            arrival.came = frame.comes
            known.append(frame)
        else:
            known.append(Frame(frame.number, True))  # what an ACK has settled is doubted no more
    expectation.recount()
    rest = iter(known)
    settled = [event if isinstance(event, Ack) else next(rest) for event in events]
    assert expectation.expected == expected(settled, keeps_early)
