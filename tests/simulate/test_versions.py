"""Which frames are taken from whom, and how they are sent (protocol page §6.4)."""

from __future__ import annotations

import pytest

from dlmtrace.simulate.dialects import DIALECTS, VERSION_3_1, VERSION_3_2
from dlmtrace.simulate.endpoint import Endpoint, VersionUnknown
from dlmtrace.simulate.events import Delivered, Event, Ignored, StateChanged, VersionDetected
from dlmtrace.streams.termination import State
from simulate.engines import ack, established, fin, lookup, message, opts, output, status, towards_3_1

UP_TO_6_5 = ["v3", "5.14", "5.15", "6.1.y", "6.2", "6.3", "6.5"]
FROM_6_6 = ["6.6", "6.7"]
RELIABLE = [*UP_TO_6_5, *FROM_6_6]


@pytest.mark.parametrize("dialect", UP_TO_6_5)
@pytest.mark.parametrize("frame", [opts(0), ack(0), message(), lookup()])
def test_up_to_6_5_only_status_and_names_make_a_peer_known(dialect: str, frame: bytes) -> None:
    node = Endpoint(1, 2, DIALECTS[dialect])
    assert node.receive(frame, 0) == [Ignored("no record")]
    assert node.version is None
    assert node.receive(status(), 0) == [
        StateChanged(State.CLOSED, State.ESTABLISHED),
        VersionDetected(VERSION_3_2),
        Delivered(status(), None),
    ]


@pytest.mark.parametrize("dialect", UP_TO_6_5)
def test_up_to_6_5_a_member_is_known_and_its_first_frame_tells_the_version(dialect: str) -> None:
    node = Endpoint(1, 2, DIALECTS[dialect])
    assert node.member_added() == [StateChanged(State.CLOSED, State.ESTABLISHED)]
    assert node.receive(opts(0), 0) == [VersionDetected(VERSION_3_2), Delivered(message(0), 0)]


@pytest.mark.parametrize("dialect", FROM_6_6)
def test_from_6_6_any_first_frame_tells_the_version_and_one_of_3_2_establishes(dialect: str) -> None:
    node = Endpoint(1, 2, DIALECTS[dialect])
    assert node.receive(opts(0), 0) == [
        StateChanged(State.CLOSED, State.ESTABLISHED),
        VersionDetected(VERSION_3_2),
        Delivered(message(0), 0),
    ]
    other = Endpoint(1, 2, DIALECTS[dialect])
    old = message(0, version=VERSION_3_1)
    assert other.receive(old, 0) == [VersionDetected(VERSION_3_1), Delivered(old, None)]
    assert other.state is State.CLOSED


@pytest.mark.parametrize("dialect", RELIABLE)
def test_frames_of_another_version_are_dropped_later(dialect: str) -> None:
    node = established(dialect)
    assert node.receive(message(version=VERSION_3_1), 0) == [Ignored("version mismatch")]
    other = towards_3_1(dialect)
    assert other.receive(opts(0), 0) == [Ignored("version mismatch")]


@pytest.mark.parametrize("dialect", RELIABLE)
@pytest.mark.parametrize("version", [0x00030000, 0x00030003, 0x00040000])
def test_a_version_but_3_1_and_3_2_is_skipped(dialect: str, version: int) -> None:
    node = Endpoint(1, 2, DIALECTS[dialect])
    assert node.receive(status(version=version), 0) == [Ignored("bad version")]


@pytest.mark.parametrize("dialect", RELIABLE)
def test_nothing_but_status_and_names_can_be_sent_before_the_version_is_known(dialect: str) -> None:
    node = Endpoint(1, 2, DIALECTS[dialect])
    node.member_added()
    with pytest.raises(VersionUnknown):
        node.send(message(node=1), 0)
    node.send_stateless(status(node=1))
    assert output(node) == ["RCOM"]
    node.receive(status(), 0)
    assert node.send(message(node=1), 0) == 0


@pytest.mark.parametrize("dialect", RELIABLE)
def test_a_3_1_peer_gets_bare_frames_labelled_3_2(dialect: str) -> None:
    node = towards_3_1(dialect)
    assert node.send(message(node=1), 0) is None
    (outgoing,) = node.take_output()
    assert outgoing.frame == message(node=1)
    assert outgoing.frame[:4] == bytes.fromhex("02000300")
    assert node.shutdown(0)[-1].timed_out is False  # type: ignore[union-attr]
    assert output(node) == []  # no FIN


@pytest.mark.parametrize("dialect", RELIABLE)
@pytest.mark.parametrize("frame", [message(), lookup(), fin(0)[24:]])
def test_bare_frames_between_3_2_nodes_that_are_not_for_version_detection_are_dropped(
    dialect: str, frame: bytes
) -> None:
    node = established(dialect)
    assert node.receive(frame, 0) == [Ignored("unsupported")]


@pytest.mark.parametrize("dialect", RELIABLE)
def test_frames_of_3_1_that_3_1_does_not_know_are_dropped(dialect: str) -> None:
    node = towards_3_1(dialect)
    labelled = VERSION_3_1.to_bytes(4, "little")
    assert node.receive(labelled + opts(0)[4:], 0) == [Ignored("unsupported")]
    assert node.receive(labelled + ack(0)[4:], 0) == [Ignored("unsupported")]


def test_a_3_1_node_takes_any_minor_version_and_no_opts() -> None:
    node = Endpoint(1, 2, DIALECTS["3.1"])
    assert node.receive(message(), 0) == [Delivered(message(), None)]
    assert node.receive(opts(0), 0) == node.receive(ack(1), 0) == [Ignored("unsupported")]


def _without_a_byte(frame: bytes) -> bytes:
    length = len(frame) - 1
    return frame[:12] + length.to_bytes(2, "little") + frame[14:length]


def _with_next_command(frame: bytes, command: int) -> bytes:
    return frame[:16] + bytes([command]) + frame[17:]


@pytest.mark.parametrize("dialect", RELIABLE)
@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (_without_a_byte(opts(0, message(0))), "too small"),  # a BAST: 88 bytes are the least
        (_without_a_byte(fin(0)), "too small"),
        (_without_a_byte(opts(0, lookup()[:12] + (48).to_bytes(2, "little") + lookup()[14:48])), "too small"),
        (opts(0)[:12] + (20).to_bytes(2, "little") + opts(0)[14:20], "too small"),
        (_with_next_command(opts(0), 3), "unsupported"),
        (_with_next_command(opts(0), 4), "unsupported"),
    ],
)
def test_a_bad_opts_frame_takes_no_number_and_gets_no_ack(dialect: str, frame: bytes, reason: str) -> None:
    node = established(dialect)
    events: list[Event] = node.receive(frame, 0)
    assert [(type(event), event.reason) for event in events if isinstance(event, Ignored)] == [(Ignored, reason)]
    assert node.expected == 0
    assert output(node) == []
