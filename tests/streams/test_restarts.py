"""Nodes that crash, come back or make their comms anew, written by hand: which records started again, if told."""

from pathlib import Path

import pytest
from scripts import SECOND, Script, frames

from dlmtrace.capture.source import WINDOW
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


@pytest.mark.parametrize("window", [WINDOW, 400])
def test_a_receiver_that_joined_before_it_ignored_what_was_sent_again_had_come_back(
    script: Script, window: int
) -> None:
    """In a batch of 400 bytes nothing happens but the poll, and that goes by columns."""
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.reset(by=script.two)
    new = script.network.connect(script.two, script.one)
    new.send(script.two, status(sender=2))
    new.send(script.one, frames(0, 1))
    new.reset(by=script.two)
    last = script.network.connect(script.two, script.one)
    last.send(script.one, fresh(0))
    assert script.verdicts(window=window) == [("c1", "c2", "unsafe"), ("c2", "c3", "inconclusive")]


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


def told(script: Script, sender: int) -> tuple[str, list[tuple[int, int]], list[list[tuple[int, int]]]]:
    """Verdict on the one reconnect of a stream, its lost numbers, and what was delivered in each epoch."""
    analysis = script.analysis()
    (record,) = [record for record in analysis.reconnects if record.sender == sender]
    (stream,) = [stream for stream in analysis.streams if stream.sender == sender]
    return record.verdict, record.lost, [epoch.delivered_ranges for epoch in stream.epochs]


@pytest.mark.parametrize("goes_on", [False, True])
def test_an_ack_of_old_numbers_shows_that_the_receiver_goes_on_with_them(script: Script, goes_on: bool) -> None:
    """Protocol page §6.2: what comes below the expected number is dropped, and the expected number acknowledged."""
    old = script.meet()
    old.send(script.one, frames(*range(6)))
    old.send(script.two, ack(2, sender=2))
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, fresh(0))
    new.send(script.two, ack(4, sender=2))  # 4 and 5 never came
    delivered = [[(0, 3)], []]
    if goes_on:
        new.send(script.one, fresh(1, 2, 3, 4, 5))
        delivered = [[(0, 3)], [(4, 5)]]  # the first that the old record waits for
    assert told(script, 1) == ("unsafe", [(4, 5)], delivered)


def test_a_late_ack_of_the_old_connection_says_nothing_of_the_new_numbers(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.send(script.two, ack(2, sender=2))
    old.reset(by=script.one)
    new = script.meet()
    new.send(script.one, fresh(0))
    old.send(script.two, ack(2, sender=2))
    new.send(script.one, fresh(1))
    assert told(script, 1) == ("inconclusive", [], [[(0, 1)], [(0, 1)]])


def test_an_ack_of_more_than_either_epoch_sent_is_no_sign_of_the_old_record(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.send(script.two, ack(2, sender=2))
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, fresh(0))
    new.send(script.two, ack(9, sender=2))
    assert script.verdicts() == [("c1", "c2", "inconclusive")]


def test_a_receiver_whose_own_numbers_go_on_takes_no_new_ones_below_the_old(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1, 2))
    old.send(script.two, back(0) + ack(2, sender=2))
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, fresh(0, 1))
    new.send(script.two, back(1))
    assert told(script, 1) == ("unsafe", [], [[(0, 2)], []])


@pytest.mark.parametrize(
    ("again", "delivered"),
    [
        ((0, 1, 2), [(0, 2)]),  # nothing was confirmed: the fresh record takes all of it
        ((1, 2), [(0, 1)]),  # number 0 is not sent again, and the fresh record waits for it
    ],
)
def test_a_receiver_that_came_back_takes_what_begins_at_0(
    script: Script, again: tuple[int, ...], delivered: list[tuple[int, int]]
) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.send(script.two, back(0))
    old.reset(by=script.two)
    new = script.meet(script.two)
    new.send(script.two, opts(0, request(b"after", sender=2)))
    new.send(script.one, frames(*again))
    verdict, _, epochs = told(script, 1)
    assert (verdict, epochs) == ("unsafe", [delivered])


def test_of_what_a_receiver_that_came_back_never_took_the_old_record_had_a_part(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1, 2))
    old.send(script.two, back(0) + ack(1, sender=2))
    old.send(script.one, frames(3), acknowledge=False)
    script.network.wait(SECOND)  # TCP would have acknowledged it
    old.reset(by=script.two)
    new = script.meet(script.two)
    new.send(script.two, opts(0, request(b"after", sender=2)))
    new.send(script.one, frames(1, 2, 3))
    verdict, lost, epochs = told(script, 1)
    assert verdict == "unsafe"
    assert (epochs, lost) == ([[(0, 2)]], [(3, 3)]), "TCP had acknowledged 1 and 2 while the old record was there"


def test_reconnects_of_several_pairs_are_numbered_as_they_began(script: Script) -> None:
    third = script.network.node(3, "10.0.0.3")
    old = {}
    for peer in (third, script.two):
        old[peer] = script.network.connect(script.one, peer)
        old[peer].send(script.one, status(sender=1) + frames(0, 1))
    for peer in (third, script.two):  # all in one batch, over two connections each
        new = script.network.connect(script.one, peer)
        new.send(script.one, fresh(0))
        new.send(peer, ack(1, sender=peer.number))
    records = sorted(script.analysis().reconnects, key=lambda record: int(record.reconnect[1:]))
    assert [(record.reconnect, record.receiver) for record in records] == [("r1", 3), ("r2", 2)]


def test_a_receiver_that_speaks_first_on_a_new_connection_may_have_started_again(script: Script) -> None:
    """It never sent a number before; the RST of the old connection comes late."""
    old = script.meet()
    old.send(script.one, frames(0, 1, 2), acknowledge=False)
    script.network.wait(SECOND)
    other = script.meet(script.two)
    other.send(script.two, back(0))
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, fresh(0))
    other.send(script.two, back(1))
    assert told(script, 1) == ("inconclusive", [], [[], [(0, 0)]])
