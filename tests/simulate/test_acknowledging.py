"""When ACKs are sent and what they do (protocol page §5, receive cases of §6.2)."""

from __future__ import annotations

import pytest

from dlmtrace.simulate.dialects import DIALECTS
from dlmtrace.simulate.endpoint import Endpoint
from dlmtrace.simulate.events import Confirmed, Delivered, Ignored, Queued
from simulate.engines import ack, established, fin, message, opts, output

MERGED = [name for name in DIALECTS if name not in ("3.1", "v3")]
PER_RUN = ["5.15", "6.1.y", "6.2", "6.3"]
COUNTED = ["6.5", "6.6", "6.7"]


def receive_run(endpoint: Endpoint, *frames: bytes) -> list[str]:
    """Hand over the frames of one receive run; returns what the endpoint then sends."""
    for frame in frames:
        endpoint.receive(frame, 0)
    endpoint.receive_run_ended()
    return output(endpoint)


def test_v3_acknowledges_expected_future_and_past_frames_alike() -> None:
    node = established("v3")
    assert node.receive(opts(0), 0) == [Delivered(message(0), 0)]
    assert output(node) == ["ACK 1"]
    assert node.receive(opts(2), 0) == [Queued(2, 1)]
    assert output(node) == ["ACK 1"]
    assert node.receive(opts(0), 0) == [Ignored("sequence mismatch", 0, 1)]
    assert output(node) == ["ACK 1"]


def test_v3_delivers_what_waited_when_its_turn_comes() -> None:
    node = established("v3")
    for sequence in (2, 1, 4):
        node.receive(opts(sequence), 0)
    assert node.receive(opts(0), 0) == [Delivered(message(number), number) for number in (0, 1, 2)]
    assert output(node)[-1] == "ACK 3"
    assert node.expected == 3


def test_5_14_acknowledges_each_expected_frame() -> None:
    node = established("5.14")
    assert receive_run(node, opts(0), opts(1)) == ["ACK 1", "ACK 2"]


@pytest.mark.parametrize("dialect", PER_RUN)
def test_one_ack_at_the_end_of_a_run(dialect: str) -> None:
    node = established(dialect)
    assert receive_run(node, opts(0), opts(1), opts(2)) == ["ACK 3"]
    assert receive_run(node) == []
    assert receive_run(node, opts(3)) == ["ACK 4"]


@pytest.mark.parametrize("dialect", PER_RUN)
def test_no_ack_at_the_end_of_a_run_outside_established(dialect: str) -> None:
    node = established(dialect)
    node.shutdown(0)
    assert output(node) == ["FIN 0"]
    assert receive_run(node, opts(0)) == []


@pytest.mark.parametrize("dialect", COUNTED)
def test_a_one_way_stream_gets_an_ack_for_more_than_256_frames(dialect: str) -> None:
    node = established(dialect)
    assert receive_run(node, *(opts(sequence) for sequence in range(256))) == []
    assert receive_run(node, opts(256)) == ["ACK 257"]
    assert receive_run(node, *(opts(sequence) for sequence in range(257, 513))) == []
    assert receive_run(node, opts(513)) == ["ACK 514"]


@pytest.mark.parametrize(("dialect", "order"), [("6.5", ["MSG 1", "ACK 33"]), ("6.7", ["ACK 33", "MSG 1"])])
def test_a_frame_sent_carries_an_ack_along_when_more_than_32_are_due(dialect: str, order: list[str]) -> None:
    node = established(dialect)
    receive_run(node, *(opts(sequence) for sequence in range(32)))
    node.send(message(node=1), 0)
    assert output(node) == ["MSG 0"]
    receive_run(node, opts(32))
    node.send(message(node=1), 0)
    assert output(node) == order
    node.send(message(node=1), 0)
    assert output(node) == ["MSG 2"]


@pytest.mark.parametrize("dialect", MERGED)
def test_the_future_is_dropped_without_ack(dialect: str) -> None:
    node = established(dialect)
    assert node.receive(opts(1), 0) == [Ignored("sequence mismatch", 1, 0)]
    assert receive_run(node, opts(7)) == []
    assert node.expected == 0


@pytest.mark.parametrize("dialect", MERGED)
def test_the_past_is_dropped_and_acknowledged_at_once(dialect: str) -> None:
    node = established(dialect)
    receive_run(node, opts(0), opts(1))
    assert node.receive(opts(0), 0) == [Ignored("sequence mismatch", 0, 2)]
    assert output(node) == ["ACK 2"]
    assert receive_run(node, opts(0), opts(1)) == ["ACK 2", "ACK 2"]


@pytest.mark.parametrize("dialect", MERGED)
def test_a_fin_takes_a_number_and_is_acknowledged_at_once(dialect: str) -> None:
    node = established(dialect)
    receive_run(node, opts(0))
    node.receive(fin(1), 0)
    assert output(node) == ["ACK 2"]


@pytest.mark.parametrize("dialect", ["v3", *MERGED])
def test_an_ack_confirms_everything_below_it(dialect: str) -> None:
    node = established(dialect)
    assert [node.send(message(number, node=1), 0) for number in range(4)] == [0, 1, 2, 3]
    assert node.receive(ack(3), 0) == [Confirmed((0, 1, 2))]
    assert node.unconfirmed == (3,)


@pytest.mark.parametrize("dialect", ["v3", *MERGED])
def test_an_ack_at_or_below_the_oldest_changes_nothing(dialect: str) -> None:
    node = established(dialect)
    for number in range(3):
        node.send(message(number, node=1), 0)
    node.receive(ack(2), 0)
    assert node.receive(ack(2), 0) == node.receive(ack(1), 0) == []
    assert node.unconfirmed == (2,)


@pytest.mark.parametrize("dialect", MERGED)
def test_an_ack_beyond_what_was_sent_confirms_everything(dialect: str) -> None:
    node = established(dialect)
    node.send(message(node=1), 0)
    assert node.receive(ack(1_000), 0) == [Confirmed((0,))]


@pytest.mark.parametrize("dialect", MERGED)
def test_an_ack_takes_no_number_and_is_not_acknowledged(dialect: str) -> None:
    node = established(dialect)
    receive_run(node, opts(0), opts(0))
    node.receive(ack(0), 0)
    assert output(node) == []
    assert node.send(message(node=1), 0) == 0
