"""Connections that end under a stream, written by hand: what the receiver has, what came again, and the verdict."""

from pathlib import Path

import pytest
from scripts import SECOND, Script, frames

from dlmtrace.craft import ack, opts, request, status, status_reply


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script.pcap")


def test_a_frame_that_its_connection_ended_in_was_not_sent_yet(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0))
    old.send(script.one, frames(1)[:50])
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, frames(1))
    new.send(script.two, ack(2, sender=2))
    epoch = script.epoch()
    assert (epoch.frames, epoch.duplicates, epoch.delivered_ranges) == (2, 0, [(0, 1)])
    assert script.verdicts() == [("c1", "c2", "safe")]


def test_a_header_that_its_connection_ended_in_is_nothing_that_the_capture_lost(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0), acknowledge=False)
    script.network.wait(SECOND)  # it never came
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, frames(1) + frames(0)[:8])
    new.reset(by=script.two)
    script.network.wait(2 * SECOND)
    last = script.network.connect(script.one, script.two)
    last.send(script.one, frames(0, 1))
    last.send(script.two, ack(2, sender=2))
    assert script.verdicts() == [("c1", "c2", "unsafe"), ("c2", "c3", "safe")]


@pytest.mark.parametrize("other", [0x00030002, 0x00030001])
def test_nodes_that_both_number_their_frames_are_never_unprotected(script: Script, other: int) -> None:
    for _ in range(2):
        connection = script.network.connect(script.one, script.two)
        connection.send(script.one, status(sender=script.one))
        connection.send(script.two, status(sender=script.two, h_version=other))
        connection.reset(by=script.two)
    # STATUS has its own repetition; between a 3.2 and a 3.1 node nothing else protects what is to come
    assert script.verdicts() == ([] if other == 0x00030002 else [("c1", "c2", "unprotected")])


def test_what_was_sent_to_a_receiver_that_had_closed_never_came(script: Script) -> None:
    connection = script.meet()
    connection.send(script.one, frames(0))
    connection.send(script.two, ack(1, sender=2))
    connection.finish(script.two)
    connection.send(script.one, frames(1, 2), acknowledge=False)
    connection.reset(by=script.two)
    assert script.epoch().delivered_ranges == [(0, 0)]


@pytest.mark.parametrize(("confirmed", "verdict"), [(1, "inconclusive"), (3, "safe")])
def test_a_stream_that_should_have_gone_on(script: Script, confirmed: int, verdict: str) -> None:
    other, connection = script.meet(script.two), script.meet()
    connection.send(script.one, frames(0))
    other.send(script.two, ack(1, sender=2))
    connection.send(script.one, frames(1, 2))
    connection.reset(by=script.two)
    other.send(script.two, ack(confirmed, sender=2))
    assert script.verdicts() == [("c2", None, verdict)]


@pytest.mark.parametrize("pause", [SECOND // 2 + 1, 30 * SECOND])
def test_a_stream_whose_connection_outlived_a_reset(script: Script, pause: int) -> None:
    """The RST was forged and nobody took it: nothing ended, and what was under way came."""
    connection = script.meet()
    connection.send(script.one, frames(0, 1)[:-30], acknowledge=False)
    script.network.wait(SECOND // 2)
    connection.reset(by=script.two)
    script.network.wait(pause)
    connection.acknowledge(script.two)
    connection.send(script.one, frames(1)[-30:] + frames(2))
    script.network.wait(pause)
    connection.send(script.one, frames(3))
    epoch = script.epoch()
    assert (epoch.delivered_ranges, epoch.resends, epoch.frames) == ([(0, 3)], {}, 4)
    assert script.verdicts() == []
    assert len(script.analysis().connections) == 1


@pytest.mark.parametrize(("again", "verdict"), [((1, 2), "safe"), ((2,), "unsafe")])
def test_what_was_sent_to_an_end_that_a_reset_had_ended_long_ago(
    script: Script, again: tuple[int, ...], verdict: str
) -> None:
    """The RST reached the receiver alone; it answers what comes half a minute later with its own."""
    old = script.meet()
    old.send(script.one, frames(0))
    old.send(script.two, ack(1, sender=2))
    old.reset(by=script.one)
    script.network.wait(30 * SECOND)
    old.send(script.one, frames(1), acknowledge=False)
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, frames(*again))
    new.send(script.two, ack(3 if verdict == "safe" else 1, sender=2))
    assert script.verdicts() == [("c1", "c2", verdict)]
    assert script.epoch().delivered_ranges == [(0, 2 if verdict == "safe" else 0)]


def test_numbers_whose_beginning_passes_late_do_not_start_again(script: Script) -> None:
    connection = script.meet()
    connection.send(script.one, frames(2, 0, 1, 2))  # 0 … 2 had been sent over a link that was cut
    connection.send(script.two, ack(3, sender=2))
    epoch = script.epoch()
    assert (epoch.seq_first, epoch.seq_last, epoch.delivered_ranges, epoch.missing) == (0, 2, [(0, 2)], [])
    timeline = script.analysis().timeline(1, 2)
    assert timeline is not None
    assert [(span.first, span.last) for span in timeline.spans if span.kind == "resent"] == [(2, 2)]


def test_an_ack_tells_that_what_passed_behind_a_reset_came(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0))
    old.reset(by=script.two)
    old.send(script.one, frames(1), acknowledge=False)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(2, 3))
    assert script.epoch().delivered_ranges == [(0, 0)]
    new.send(script.two, ack(2, sender=2))
    assert script.epoch().delivered_ranges == [(0, 3)]


def test_what_went_out_before_the_repeats_may_be_older_than_the_capture(script: Script) -> None:
    """8 and 9 may have been under way on the old connection before its capture began; they come ahead of their turn."""
    old = script.network.connect(script.one, script.two, handshake=False)
    old.send(script.one, frames(3, 4), acknowledge=False)
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(8, 9, 3, 4, 5, 6, 7))
    new.send(script.two, ack(8, sender=2))
    assert script.verdicts() == [("c1", "c2", "inconclusive")]
    new.send(script.one, frames(8, 9))
    new.send(script.two, ack(10, sender=2))
    assert script.verdicts() == [("c1", "c2", "safe")]


def test_what_was_only_queued_when_the_connection_ended_is_not_its_loss(script: Script) -> None:
    """4 and 5 are left out at first, and pass behind the hole that 2 and 3 leave."""
    old = script.meet()
    old.send(script.one, frames(0, 1, 2, 3), acknowledge=False)
    script.network.wait(SECOND)  # they never came
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(6, 2, 3, 0, 1, 4, 5, 7))
    new.send(script.two, ack(2, sender=2))
    (record,) = [record for record in script.analysis().reconnects if record.sender == 1]
    assert (record.verdict, record.lost) == ("unsafe", [(2, 3)])


def test_what_waits_behind_a_gap_of_a_dead_connection_was_under_way(script: Script) -> None:
    """It is told when the connection is over, a second after its end: then the stream has gone on long ago."""
    old = script.meet()
    old.send(script.one, frames(0), acknowledge=False)
    (packet,) = old.send(script.one, frames(1), acknowledge=False)
    script.network.lose(packet)
    old.send(script.one, frames(2), acknowledge=False)
    old.reset(by=script.two)
    script.network.wait(SECOND // 2)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(0))
    new.send(script.two, ack(1, sender=2))
    script.network.wait(2 * SECOND)
    new.send(script.one, frames(1))
    assert script.verdicts(window=300) == [("c1", "c2", "inconclusive")]
    new.send(script.one, frames(2))
    new.send(script.two, ack(3, sender=2))
    assert script.verdicts(window=300) == [("c1", "c2", "safe")]


def test_a_receiver_that_waited_for_what_passes_at_last(script: Script) -> None:
    """0 and 1 were lost inside the sender, and 2 and 3 dropped: they come again only with the next error."""
    old = script.meet()
    old.send(script.one, frames(2, 3))
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(0, 1))
    assert script.epoch().delivered_ranges == [(0, 1)]
    new.send(script.one, frames(2))
    assert script.epoch().delivered_ranges == [(0, 2)]


def test_what_tcp_repeats_on_a_connection_that_was_closed_does_not_lead_the_stream_back(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0))
    (packet,) = old.send(script.one, frames(1), acknowledge=False)
    script.network.lose(packet)
    old.finish(script.one)
    new = script.meet()
    new.send(script.one, frames(2))
    old.retransmit(packet)
    old.acknowledge(script.two)
    assert script.verdicts() == [("c1", "c2", "inconclusive")]


def test_number_0_behind_a_wrap_that_was_left_out_at_first(script: Script) -> None:
    last = 2**32 - 1
    old = script.meet()
    old.send(script.one, frames(last))
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, frames(1, 2))  # queued when the connection broke: they go out first
    new.send(script.one, frames(last, 0, 1, 2))
    new.send(script.two, ack(3, sender=2))
    epoch = script.epoch()
    assert (epoch.seq_first, epoch.seq_last, epoch.delivered_ranges, epoch.missing) == (last, 2, [(last, 2)], [])
    assert script.verdicts() == [("c1", "c2", "safe")]


def test_a_stream_that_begins_on_a_connection_that_is_dead(script: Script) -> None:
    other, connection = script.meet(script.two), script.meet()
    connection.reset(by=script.two)
    connection.send(script.one, frames(0))
    other.send(script.two, ack(1, sender=2))
    assert script.verdicts() == [("c2", None, "safe")]


def test_what_was_queued_but_not_sent_when_the_connection_ended_needs_no_confirmation(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0))
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, frames(2))  # 1 was in the page that the sender threw away
    new.send(script.one, frames(0, 1, 2))
    new.send(script.two, ack(1, sender=2))
    assert script.verdicts() == [("c1", "c2", "safe")]


def test_what_came_again_only_ahead_of_its_turn_is_lost(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1, 2), acknowledge=False)
    script.network.wait(SECOND)  # they never came
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, frames(2))  # dropped: 0 is expected
    new.send(script.one, frames(0, 1))
    new.send(script.two, ack(2, sender=2))
    new.send(script.one, frames(3))
    assert script.epoch().delivered_ranges == [(0, 1)]
    assert script.verdicts() == [("c1", "c2", "unsafe")]
    (record,) = [record for record in script.analysis().reconnects if record.sender == 1]
    assert record.lost == [(2, 2)]
    new.reset(by=script.two)
    script.meet().send(script.one, frames(2, 3))  # nobody confirms them before the end
    assert script.epoch().delivered_ranges == [(0, 3)]
    (first,) = [record for record in script.analysis().reconnects if record.reconnect == "r1"]
    assert (first.verdict, first.lost, first.repaired_by) == ("unsafe", [], "r2")


def test_a_sender_that_may_have_come_back_with_the_bytes_that_it_sent_first(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1))
    old.reset(by=script.two)
    new = script.meet()  # it polls, as it does when it joins
    new.send(script.one, frames(0))
    new.send(script.two, ack(2, sender=2))
    assert script.verdicts() == [("c1", "c2", "inconclusive")]


FRESH = opts(0, request(b"fresh", sender=2))


@pytest.mark.parametrize(
    ("answer", "delivered", "verdict"),
    [
        (FRESH, 0, "unsafe"),  # its own numbers start again: it expects 0, and takes nothing
        (ack(0, sender=2) * 3, 0, "unsafe"),  # a v3 node says for every frame that it waits for 0
        (status(sender=2), 1, "inconclusive"),  # it may have come back
        (ack(2, sender=2), 1, "safe"),
        (status(sender=2) + ack(2, sender=2), 1, "safe"),  # a recovery: it goes on with the numbers that it had
    ],
)
def test_a_receiver_that_may_have_come_back(script: Script, answer: bytes, delivered: int, verdict: str) -> None:
    old = script.meet()
    old.send(script.one, frames(0))
    old.send(script.two, opts(0, request(b"before", sender=2)) + ack(1, sender=2))
    old.send(script.one, ack(1))
    old.reset(by=script.two)
    new = script.network.connect(script.two, script.one)
    new.send(script.one, frames(1))
    new.send(script.two, answer)
    new.send(script.one, frames(2))
    assert script.verdicts()[0] == ("c1", "c2", verdict)
    if verdict == "unsafe":
        assert script.epoch().delivered_ranges == [(0, delivered)]


def test_number_0_that_was_left_out_at_first_is_no_new_beginning(script: Script) -> None:
    """The page that held it was thrown away with a connection; the next error brings it."""
    old = script.meet()
    old.send(script.one, frames(1, 2))
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(0, 1, 2, 3))
    new.send(script.two, ack(4, sender=2))
    (stream,) = [stream for stream in script.analysis().streams if stream.sender == 1]
    assert [(epoch.seq_first, epoch.seq_last, epoch.delivered_ranges) for epoch in stream.epochs] == [(0, 3, [(0, 3)])]


@pytest.mark.parametrize(("acks", "delivered"), [(1, [(5, 7)]), (3, [])])
def test_a_receiver_that_waits_for_a_number_before_the_first_that_was_seen(
    script: Script, acks: int, delivered: list[tuple[int, int]]
) -> None:
    """One ACK of it may have been under way when the capture began; a receiver that repeats it takes nothing else."""
    connection = script.meet()
    for number in (5, 6, 7):
        connection.send(script.one, frames(number))
        if number < 5 + acks:
            connection.send(script.two, ack(3, sender=2))
    assert script.epoch().delivered_ranges == delivered
    assert [finding.code for finding in script.analysis().findings if finding.code.startswith("ACK3")] == (["ACK305"])


@pytest.mark.parametrize(("brought", "lost"), [((), [(2, 4)]), ((2,), [(3, 4)]), ((2, 3, 4), [])])
def test_what_the_first_new_frame_leaves_out_behind_the_repeats(
    script: Script, brought: tuple[int, ...], lost: list[tuple[int, int]]
) -> None:
    """2 to 4 had been handed to the old connection, and never passed; what a later reconnect brings is not lost."""
    old = script.meet()
    old.send(script.one, frames(0, 1), acknowledge=False)
    old.reset(by=script.two)
    new = script.meet()
    new.send(script.one, frames(0, 1, 5))
    new.send(script.two, ack(2, sender=2))
    new.reset(by=script.two)
    third = script.meet()
    third.send(script.one, frames(*brought, 6))
    analysis = script.analysis()
    (first,) = [record for record in analysis.reconnects if record.reconnect == "r1"]
    assert (first.verdict, first.lost) == ("unsafe", lost)


def test_what_came_again_on_a_dead_connection_was_not_ahead_of_its_turn(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0, 1, 2), acknowledge=False)
    script.network.wait(SECOND)  # they never came
    old.reset(by=script.two)
    dead = script.network.connect(script.one, script.two)
    dead.reset(by=script.two)
    dead.send(script.one, frames(0, 1, 2, 3), acknowledge=False)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(0, 1, 2, 3))
    assert script.verdicts() == [("c1", "c2", "inconclusive"), ("c2", "c3", "inconclusive")]
    new.send(script.two, ack(4, sender=2))
    assert script.verdicts() == [("c1", "c2", "safe"), ("c2", "c3", "safe")]


@pytest.mark.parametrize(("refused", "delivered"), [(True, [(0, 0)]), (False, [(0, 1)])])
def test_a_frame_that_crossed_the_close_of_its_receiver(
    script: Script, refused: bool, delivered: list[tuple[int, int]]
) -> None:
    """Its FIN acknowledges all that it took; what comes behind it is answered with a RST."""
    connection = script.meet()
    connection.send(script.one, frames(0))
    connection.send(script.one, frames(1), acknowledge=False)
    connection.finish(script.two)
    if refused:
        connection.reset(by=script.two)
    else:
        connection.acknowledge(script.two)  # it only closed its own direction
    assert script.epoch().delivered_ranges == delivered


def test_a_close_that_a_forged_reset_follows_is_a_close_all_the_same(script: Script) -> None:
    """Nobody took the first RST; the second answers what came to a node that had closed."""
    connection = script.meet()
    connection.send(script.one, frames(0))
    connection.finish(script.two)
    connection.reset(by=script.two)
    script.network.wait(SECOND)
    connection.acknowledge(script.two)
    connection.acknowledge(script.one)
    connection.send(script.one, frames(1), acknowledge=False)
    connection.reset(by=script.two)
    assert script.epoch().delivered_ranges == [(0, 0)]


def test_a_connection_that_ended_inside_a_frame_hides_nothing(script: Script) -> None:
    old = script.meet()
    old.send(script.one, frames(0))
    old.send(script.two, ack(1, sender=2))
    old.send(script.one, frames(1), acknowledge=False)
    old.send(script.one, frames(2)[:10], acknowledge=False)
    script.network.wait(SECOND)
    old.reset(by=script.two)
    script.network.wait(2 * SECOND)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(3, 4))
    new.send(script.two, ack(1, sender=2))
    assert script.verdicts() == [("c1", "c2", "unsafe")]


@pytest.mark.parametrize(("acknowledge", "verdict", "frames_hit"), [(True, "unprotected", 0), (False, "unsafe", 1)])
def test_a_frame_of_3_1_that_was_sent_in_part(script: Script, acknowledge: bool, verdict: str, frames_hit: int) -> None:
    """What counts is whether TCP acknowledged the bytes that were sent."""
    old = script.network.connect(script.one, script.two)
    old.send(script.one, status(sender=1, h_version=0x00030001))
    old.send(script.two, status_reply(sender=2, h_version=0x00030001))
    message = bytes(request(b"resource", sender=1, h_version=0x00030001))
    old.send(script.one, message)
    old.send(script.one, message[:40], acknowledge=acknowledge)
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, message)
    (record,) = script.analysis().reconnects
    assert (record.verdict, record.lost_frames) == (verdict, frames_hit)


def test_number_0_behind_numbers_that_were_left_out_before_the_wrap(script: Script) -> None:
    last = 2**32 - 1
    old = script.meet()
    old.send(script.one, frames(last - 2))
    old.send(script.two, ack(last - 1, sender=2))
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(0, 1))  # queued when the connection broke: they go out first
    new.send(script.one, frames(last - 1, last, 0, 1))
    new.send(script.two, ack(2, sender=2))
    epoch = script.epoch()
    assert (epoch.seq_first, epoch.seq_last, epoch.delivered_ranges) == (last - 2, 1, [(last - 2, 1)])


def bare(*numbers: int) -> bytes:
    """Node 1's frames of 3.1."""
    return b"".join(bytes(request(b"resource %d" % number, sender=1, h_version=0x00030001)) for number in numbers)


def joins(script: Script) -> bytes:
    """What node 1 begins with when it has booted."""
    return bytes(status(sender=script.one, h_version=0x00030001))


@pytest.mark.parametrize(
    ("end", "verdicts"),
    [
        ("reset", [("c1", "c2", "unsafe")]),  # the peer sends, and the new boot knows nothing of the connection
        ("nothing", [("c1", "c2", "unsafe")]),
        ("fin", []),  # the peer closes in order: nothing went on
    ],
)
def test_a_3_1_node_that_crashed_leaves_its_connection_alone(
    script: Script, end: str, verdicts: list[tuple[str, str, str]]
) -> None:
    """Its new boot dials before anything ends the old connection."""
    old = script.network.connect(script.one, script.two)
    old.send(script.one, joins(script))
    old.send(script.two, status_reply(sender=2, h_version=0x00030001))
    old.send(script.one, bare(0), acknowledge=False)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, joins(script))
    if end == "reset":
        old.reset(by=script.one)
    elif end == "fin":
        old.finish(script.two)
    new.send(script.one, bare(1))
    assert script.verdicts() == verdicts


def test_what_tcp_repeats_does_not_lead_a_3_1_stream_back(script: Script) -> None:
    old = script.network.connect(script.one, script.two)
    old.send(script.one, joins(script) + bare(0))
    old.send(script.two, status_reply(sender=2, h_version=0x00030001))
    (packet,) = old.send(script.one, bare(1), acknowledge=False)
    script.network.lose(packet)
    old.finish(script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, bare(2))
    old.retransmit(packet)
    old.reset(by=script.two)
    assert script.verdicts() == [("c1", "c2", "unsafe")]


def test_a_3_1_stream_that_leaves_two_connections_alone(script: Script) -> None:
    for number in range(3):
        connection = script.network.connect(script.one, script.two)
        connection.send(script.one, joins(script) + bare(number))
        connection.send(script.two, status_reply(sender=2, h_version=0x00030001))
    assert script.verdicts() == [("c1", "c2", "unprotected"), ("c2", "c3", "unprotected")]
