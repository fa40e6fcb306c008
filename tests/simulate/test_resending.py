"""What is sent again, when, and in which order (protocol page §6.3, column by column)."""

from __future__ import annotations

import pytest

from dlmtrace.simulate.dialects import DIALECTS, SECOND
from dlmtrace.simulate.endpoint import Endpoint
from dlmtrace.simulate.events import Resent
from simulate.engines import ack, established, message, output, towards_3_1

MERGED = [name for name in DIALECTS if name not in ("3.1", "v3")]


def sent(dialect: str, count: int) -> Endpoint:
    """An endpoint that has sent ``count`` messages at time 0, one each second."""
    node = established(dialect)
    for number in range(count):
        node.send(message(number, node=1), number * SECOND)
    return node


@pytest.mark.parametrize("dialect", MERGED)
def test_after_a_socket_error_all_that_is_unconfirmed_goes_out_again_in_order(dialect: str) -> None:
    node = sent(dialect, 5)
    originals = node.take_output()
    node.receive(ack(2), 0)
    assert node.socket_error() == [Resent((2, 3, 4), "socket error")]
    copies = node.take_output()
    assert [copy.frame for copy in copies] == [original.frame for original in originals[2:]]  # byte for byte
    assert node.unconfirmed == (2, 3, 4)


@pytest.mark.parametrize("dialect", MERGED)
def test_a_copy_that_still_waits_is_not_queued_again(dialect: str) -> None:
    node = sent(dialect, 3)
    node.take_output()
    node.socket_error()
    first, second, third = node.take_output()
    assert node.socket_error() == []
    node.left_queue(second)  # sent, or thrown away with its page
    assert node.socket_error() == [Resent((1,), "socket error")]
    node.left_queue(first)
    node.left_queue(third)
    assert node.socket_error() == [Resent((0, 2), "socket error")]


@pytest.mark.parametrize("dialect", MERGED)
def test_the_original_leaving_the_queue_does_not_make_room_for_another_copy(dialect: str) -> None:
    node = sent(dialect, 1)
    (original,) = node.take_output()
    node.socket_error()
    node.left_queue(original)
    assert node.socket_error() == []


@pytest.mark.parametrize("dialect", MERGED)
def test_fin_is_repeated_like_any_frame_and_acks_are_not(dialect: str) -> None:
    node = established(dialect)
    node.send(message(node=1), 0)
    node.shutdown(0)
    assert output(node) == ["MSG 0", "FIN 1"]
    node.socket_error()
    assert output(node) == ["MSG 0", "FIN 1"]


@pytest.mark.parametrize("dialect", MERGED)
def test_merged_kernels_know_no_fast_retransmit_and_no_timer(dialect: str) -> None:
    node = sent(dialect, 2)
    node.take_output()
    for _ in range(5):
        assert node.receive(ack(0), 0) == []
    assert node.next_timeout() is None
    assert output(node) == []


@pytest.mark.parametrize("dialect", ["v3", *MERGED])
def test_nothing_is_repeated_to_a_3_1_peer(dialect: str) -> None:
    node = towards_3_1(dialect)
    node.send(message(node=1), 0)
    node.take_output()
    assert node.socket_error() == []
    assert output(node) == []


def test_3_1_repeats_nothing() -> None:
    node = Endpoint(1, 2, DIALECTS["3.1"])
    assert node.send(message(node=1), 0) is None
    assert output(node) == ["MSG"]
    assert node.socket_error() == []
    assert node.unconfirmed == ()


def test_v3_repeats_nothing_after_a_socket_error() -> None:
    node = sent("v3", 2)
    node.take_output()
    assert node.socket_error() == []


def test_v3_fast_retransmit_at_the_third_equal_ack_and_at_each_further_one() -> None:
    node = sent("v3", 3)
    node.take_output()
    node.receive(ack(1), 0)
    assert output(node) == []
    node.receive(ack(1), 0)
    assert output(node) == []
    assert node.receive(ack(1), 0) == [Resent((1,), "equal ACKs")]
    assert output(node) == ["MSG 1"]
    assert node.receive(ack(1), 0) == [Resent((1,), "equal ACKs")]
    assert output(node) == ["MSG 1"]
    node.receive(ack(2), 0)
    assert output(node) == []


def test_v3_timer_repeats_what_is_older_than_15_s_once_30_s_after_a_send() -> None:
    node = sent("v3", 21)  # at 0, 1, …, 20 s
    node.take_output()
    assert node.next_timeout() == 30 * SECOND
    assert node.timeout(29 * SECOND) == []
    assert node.timeout(30 * SECOND) == [Resent(tuple(range(15)), "timer")]
    assert node.next_timeout() is None  # its own expiry does not arm it again
    node.send(message(21, node=1), 40 * SECOND)
    assert node.next_timeout() == 70 * SECOND


def test_v3_timer_is_cancelled_when_the_queue_drains() -> None:
    node = sent("v3", 2)
    node.receive(ack(1), 0)
    assert node.next_timeout() is not None
    node.receive(ack(2), 0)
    assert node.next_timeout() is None


def test_v3_repeats_a_copy_although_one_still_waits() -> None:
    node = sent("v3", 1)
    node.take_output()
    for _ in range(4):
        node.receive(ack(0), 0)
    assert output(node) == ["MSG 0", "MSG 0"]
