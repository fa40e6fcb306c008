"""Sequence numbers around the wrap (protocol page §6.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmtrace.simulate.dialects import DIALECTS
from dlmtrace.simulate.events import Confirmed, Delivered, Ignored
from dlmtrace.simulate.sequence import MODULUS, before, following
from simulate.engines import ack, established, message, opts, output

LAST = MODULUS - 1
MERGED = [name for name in DIALECTS if name not in ("3.1", "v3")]


@given(st.integers(0, LAST), st.integers(1, 2**31 - 1))
def test_a_number_comes_before_the_half_circle_that_follows(number: int, steps: int) -> None:
    assert before(number, following(number, steps))
    assert not before(following(number, steps), number)
    assert not before(number, number)


@pytest.mark.parametrize("dialect", MERGED)
def test_numbers_go_on_at_0_behind_the_last_one(dialect: str) -> None:
    node = established(dialect, first_sequence=LAST - 1)
    assert [node.send(message(node=1), 0) for _ in range(4)] == [LAST - 1, LAST, 0, 1]
    assert node.receive(ack(1), 0) == [Confirmed((LAST - 1, LAST, 0))]
    assert node.unconfirmed == (1,)


@pytest.mark.parametrize("dialect", MERGED)
def test_a_receiver_expects_0_behind_the_last_one(dialect: str) -> None:
    node = established(dialect, first_sequence=LAST)
    assert node.receive(opts(LAST, message(7)), 0) == [Delivered(message(7), LAST)]
    assert node.receive(opts(0, message(8)), 0) == [Delivered(message(8), 0)]


@pytest.mark.parametrize("dialect", MERGED)
def test_the_receiver_compares_plainly_and_takes_past_and_future_for_each_other_at_the_wrap(dialect: str) -> None:
    node = established(dialect, first_sequence=LAST)
    assert node.receive(opts(0), 0) == [Ignored("sequence mismatch", 0, LAST)]
    assert output(node) == [f"ACK {LAST}"]  # a future frame, acknowledged as if it were past
    node.receive(opts(LAST), 0)
    node.receive_run_ended()
    output(node)
    assert node.receive(opts(LAST), 0) == [Ignored("sequence mismatch", LAST, 0)]
    assert output(node) == []  # a past frame, not acknowledged as if it were future
