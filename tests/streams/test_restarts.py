"""Nodes that crash, come back or make their comms anew, written by hand: which records started again, if told."""

from pathlib import Path

import pytest
from scripts import SECOND, Script, frames

from dlmtrace.capture.source import Capture
from dlmtrace.craft import ack, opts, request, status


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script.pcap")


def fresh(*numbers: int, sender: int = 1) -> bytes:
    """Frames of a numbering that started again: other bytes than those of the one before."""
    return b"".join(opts(number, request(b"after %d" % number, sender=sender)) for number in numbers)


def back(*numbers: int) -> bytes:
    """Node 2's first frames."""
    return b"".join(opts(number, request(b"from 2: %d" % number, sender=2)) for number in numbers)


def test_an_ack_below_the_last_one_shows_that_the_receiver_started_again_too(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.send(script.two, ack(2, sender=2) + back(0))
    old.close()
    new = script.meet()
    new.send(script.one, fresh(0))
    new.send(script.two, ack(1, sender=2))  # a record that had not started again would say 2
    assert script.verdicts() == [("c1", "c2", "reset")]
    new.send(script.two, fresh(0, sender=2))  # the other direction, when this one is settled already
    assert script.verdicts(1) == script.verdicts(2) == [("c1", "c2", "reset")]


@pytest.mark.parametrize("acknowledged", [None, 2])
def test_a_sender_that_started_again_says_nothing_of_a_receiver_that_never_sent(
    script: Script, acknowledged: int | None
) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.send(script.two, ack(2, sender=2))
    old.close()
    new = script.meet()
    new.send(script.one, fresh(0, 1))
    if acknowledged is not None:
        new.send(script.two, ack(acknowledged, sender=2))  # as both a fresh record says, and one that took nothing
    assert script.verdicts() == [("c1", "c2", "inconclusive")]


def test_what_began_only_after_the_crash_does_not_go_on_with_old_numbers(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.send(script.two, ack(2, sender=2))
    old.close()
    new = script.meet()
    new.send(script.two, back(0))
    new.send(script.one, fresh(0))
    new.send(script.two, back(1))
    assert script.verdicts() == [("c1", "c2", "inconclusive")]


def test_what_the_fin_of_a_receiver_that_then_resets_did_not_acknowledge_never_came(script: Script) -> None:
    connection = script.meet()
    connection.send(script.one, frames(0))
    connection.send(script.one, frames(1), acknowledge=False)  # crosses the FIN, and is answered with RST
    connection.finish(script.two)
    connection.reset(by=script.two)
    assert script.epoch().delivered_ranges == [(0, 0)]


def test_what_tcp_repeated_in_vain_never_came_though_its_sender_closed(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0))
    packet = old.send(script.one, frames(1), acknowledge=False)[-1]
    old.finish(script.one)
    script.network.wait(SECOND)
    old.retransmit(packet)
    new = script.meet()
    new.send(script.one, fresh(0))
    assert script.epoch().delivered_ranges == [(0, 0)]


def test_a_receiver_that_joins_after_a_later_reset_had_not_come_back_before(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(0, 1))  # nothing was said of them
    new.reset(by=script.two)
    last = script.network.connect(script.two, script.one)
    last.send(script.two, status(sender=2))
    last.send(script.one, fresh(0))
    assert script.verdicts() == [("c1", "c2", "inconclusive"), ("c2", "c3", "inconclusive")]


@pytest.mark.parametrize("window", [4 << 20, 400])
def test_a_receiver_that_joined_before_it_ignored_what_was_sent_again_had_come_back(
    script: Script, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a batch of 400 bytes nothing happens but the poll, and that goes by columns."""
    begin = Capture.__init__
    monkeypatch.setattr(Capture, "__init__", lambda self, paths: begin(self, paths, window))
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.reset(by=script.two)
    new = script.network.connect(script.two, script.one)
    new.send(script.two, status(sender=2))
    new.send(script.one, frames(0, 1))
    new.reset(by=script.two)
    last = script.network.connect(script.two, script.one)
    last.send(script.one, fresh(0))
    assert script.verdicts() == [("c1", "c2", "unsafe"), ("c2", "c3", "inconclusive")]


def test_a_receiver_that_polls_when_the_new_connection_is_over_took_what_was_confirmed(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0))
    old.send(script.two, ack(1, sender=2))
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(1), acknowledge=False)
    new.reset(by=script.two)
    last = script.network.connect(script.two, script.one)
    last.send(script.two, status(sender=2))
    assert script.verdicts()[0] == ("c1", "c2", "safe")
