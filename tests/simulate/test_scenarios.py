"""Scenarios worked out by hand: who sent, got, repeated and lost what, and the verdict on each reconnect.

A message takes 200 µs and passes the capture point after 100 µs; workers run at once.  So a RST that is forged 50 µs
after a message was sent reaches the receiver before the message does.
"""

from __future__ import annotations

import pytest

from dlmtrace.simulate.dialects import DIALECTS
from dlmtrace.simulate.scenario import (
    MILLISECOND,
    SECOND,
    Close,
    Crash,
    Cut,
    Join,
    Leave,
    LoseCopies,
    Outcome,
    RecreateComm,
    Reset,
    Scenario,
    Send,
    Settings,
    Step,
    run,
)
from dlmtrace.simulate.verdicts import Reconnect
from dlmtrace.wire.enums import Command

US = 1_000
EXACT = Settings(delay=200 * US, work_delay=1)
T = 100 * MILLISECOND
BEFORE_ARRIVAL = 50 * US

MERGED = [name for name in DIALECTS if name not in ("3.1", "v3")]
FAILED_SEND = ["6.2", "6.3", "6.5", "6.6", "6.7"]
NAMES_IN_OPTS = ("6.6", "6.7")


def first(dialect: str) -> int:
    """Number of the first message: from 6.6 on, NAMES and its reply have taken 0 and 1."""
    return 2 if dialect in NAMES_IN_OPTS else 0


CONFIRMED = (Send(T - 60 * MILLISECOND, 1, 2, 40, burst=40), Send(T - 40 * MILLISECOND, 2, 1, 1))
"""40 messages, and one the other way: with it, if not before, goes an ACK for all of them."""


def play(dialect: str, *steps: Step, until: int = 2 * SECOND, settings: Settings = EXACT, nodes: int = 2) -> Outcome:
    return run(Scenario({node + 1: dialect for node in range(nodes)}, steps, until=until, settings=settings))


def of(outcome: Outcome, sender: int, receiver: int) -> list[Reconnect]:
    return [entry for entry in outcome.reconnects if (entry.sender, entry.receiver) == (sender, receiver)]


@pytest.mark.parametrize("dialect", ["v3", *MERGED])
def test_a_quiet_pair(dialect: str) -> None:
    """Two crossed connections, each node sends on the one that it dialled; nothing is lost or repeated."""
    outcome = play(dialect, Send(T, 1, 2, 5), Send(T, 2, 1, 3))
    assert outcome.received(2, 1) == [0, 1, 2, 3, 4]
    assert outcome.received(1, 2) == [0, 1, 2]
    (epoch,) = outcome.streams[1, 2].epochs
    assert epoch.sent() == epoch.delivered() == list(range(5 + first(dialect)))
    assert epoch.resent() == epoch.lost() == []
    assert {t.connection for frame in epoch.frames for t in frame.transmissions} == {0}
    assert outcome.reconnects == []
    assert len(outcome.connections) == 2


@pytest.mark.parametrize("dialect", MERGED)
def test_a_reset_loses_two_messages_on_their_way_and_the_sender_repeats_them(dialect: str) -> None:
    """RST to both ends while two messages are in flight."""
    outcome = play(
        dialect,
        Send(T, 1, 2, 2, burst=2),
        Reset(T + BEFORE_ARRIVAL, (1, 2)),
        Send(T + SECOND, 1, 2, 300, burst=300),
    )
    assert outcome.received(2, 1) == list(range(302))
    start = first(dialect)
    (epoch,) = outcome.streams[1, 2].epochs
    lost_once = epoch.frames[start : start + 2]
    assert [[t.handled is None for t in frame.transmissions] for frame in lost_once] == [[True, False]] * 2
    (reconnect,) = of(outcome, 1, 2)
    assert reconnect.ended_by == "rst"
    assert reconnect.ended == T + BEFORE_ARRIVAL
    assert set(reconnect.resent) >= {start, start + 1}
    assert reconnect.at_risk == reconnect.resent
    assert reconnect.lost == ()
    assert reconnect.verdict == "safe"


def test_v3_repairs_by_equal_acks() -> None:
    """0 and 1 are lost; 2 to 7 are ahead and acknowledged with 0, the third of which repeats 0, and so on with 1."""
    outcome = play(
        "v3",
        Send(T, 1, 2, 2, burst=2),
        Reset(T + BEFORE_ARRIVAL, (1, 2)),
        Send(T + SECOND, 1, 2, 6, every=10 * MILLISECOND),
    )
    assert outcome.received(2, 1) == list(range(8))
    (epoch,) = outcome.streams[1, 2].epochs
    assert [t.cause for t in epoch.frames[0].transmissions][:2] == ["new", "equal ACKs"]
    assert epoch.resent()[:2] == [0, 1]
    (reconnect,) = of(outcome, 1, 2)
    assert (reconnect.at_risk, reconnect.lost, reconnect.verdict) == ((0, 1), (), "safe")


def test_v3_repairs_by_timer_when_the_next_message_comes_late() -> None:
    """Nothing dials an idle connection: the message at 20 s does; at 30 s the timer repeats what is older than 15 s."""
    outcome = play(
        "v3",
        Send(T, 1, 2, 1),
        Reset(T + BEFORE_ARRIVAL, (1, 2)),
        Send(20 * SECOND, 1, 2, 1),
        until=40 * SECOND,
    )
    assert outcome.received(2, 1) == [0, 1]
    (epoch,) = outcome.streams[1, 2].epochs
    again = epoch.frames[0].transmissions[1]
    assert again.cause == "timer"
    assert 30 * SECOND <= again.written - T < 30 * SECOND + MILLISECOND


@pytest.mark.parametrize("peer", ["3.1", "5.15", "6.7"])
def test_3_1_loses_what_was_on_its_way(peer: str) -> None:
    """Towards 3.1 nobody numbers; TCP acknowledged nothing of message 1."""
    nodes: dict[int, str | object] = {1: "3.1", 2: peer}
    outcome = run(
        Scenario(
            nodes,  # type: ignore[arg-type]
            (
                Send(T, 1, 2, 1),
                Send(T + SECOND, 1, 2, 1),
                Reset(T + SECOND + BEFORE_ARRIVAL, (1, 2)),
                Send(T + 2 * SECOND, 1, 2, 2),
            ),
            until=3 * SECOND,
            settings=EXACT,
        )
    )
    assert outcome.received(2, 1) == [0, 2, 3]
    stream = outcome.streams[1, 2]
    assert not stream.reliable
    assert [frame.fate for frame in stream.bare if frame.delivered is None] == ["lost with its connection"]
    (reconnect,) = of(outcome, 1, 2)
    assert (reconnect.verdict, len(reconnect.lost)) == ("unsafe", 1)


def test_3_1_without_anything_on_its_way_is_unprotected_all_the_same() -> None:
    outcome = play("3.1", Send(T, 1, 2, 1), Reset(T + SECOND, (1, 2)), Send(T + SECOND + MILLISECOND, 1, 2, 1))
    assert outcome.received(2, 1) == [0, 1]
    assert [entry.verdict for entry in of(outcome, 1, 2)] == ["unprotected"]


@pytest.mark.parametrize("dialect", FAILED_SEND)
def test_the_kernel_bug_leaves_a_hole_that_the_next_reset_repairs(dialect: str) -> None:
    """Message 40 is lost with its connection and not repeated: 41 and 42 are ignored until another error."""
    outcome = play(
        dialect,
        *CONFIRMED,
        LoseCopies(T, 1, 2),
        Send(T, 1, 2, 1),
        Reset(T + BEFORE_ARRIVAL, (1, 2)),
        Send(T + 200 * MILLISECOND, 1, 2, 2),
        Reset(T + 400 * MILLISECOND, (1, 2)),
        Send(T + 600 * MILLISECOND, 1, 2, 1),
    )
    assert outcome.received(2, 1) == list(range(44))
    hole = first(dialect) + 40
    broken, repair = of(outcome, 1, 2)
    assert (broken.verdict, broken.lost, broken.repaired_by) == ("unsafe", (), 1)
    assert (broken.at_risk, broken.resent) == ((hole,), ())
    assert (repair.at_risk, repair.resent) == ((hole, hole + 1, hole + 2), (hole, hole + 1, hole + 2))
    ignored = outcome.streams[1, 2].epochs[0].frames[hole + 1].transmissions[0].ignored
    assert ignored is not None
    assert (ignored.sequence, ignored.expected) == (hole + 1, hole)


@pytest.mark.parametrize("dialect", FAILED_SEND)
def test_the_kernel_bug_leaves_a_hole_that_nobody_repairs(dialect: str) -> None:
    outcome = play(
        dialect,
        *CONFIRMED,
        LoseCopies(T, 1, 2),
        Send(T, 1, 2, 1),
        Reset(T + BEFORE_ARRIVAL, (1, 2)),
        Send(T + 200 * MILLISECOND, 1, 2, 3),
    )
    hole = first(dialect) + 40
    (reconnect,) = of(outcome, 1, 2)
    (epoch,) = outcome.streams[1, 2].epochs
    assert outcome.received(2, 1) == list(range(40))
    assert epoch.lost() == list(range(hole, hole + 4))
    assert (reconnect.verdict, reconnect.lost, reconnect.repaired_by) == ("unsafe", (hole,), None)
    assert reconnect.also == {"inconclusive"}  # three frames without an ACK prove nothing
    assert epoch.frames[hole].fate == "lost with its connection"
    assert epoch.frames[hole + 1].fate == f"ignored by the receiver: sequence mismatch, {hole} was expected"


def test_a_hole_is_proven_when_more_is_ignored_than_any_release_leaves_unacknowledged() -> None:
    outcome = play(
        "6.7",
        *CONFIRMED,
        LoseCopies(T, 1, 2),
        Send(T, 1, 2, 1),
        Reset(T + BEFORE_ARRIVAL, (1, 2)),
        Send(T + 200 * MILLISECOND, 1, 2, 301, burst=50),
    )
    (reconnect,) = of(outcome, 1, 2)
    assert (reconnect.verdict, reconnect.also) == ("unsafe", frozenset())


@pytest.mark.parametrize("dialect", ["5.14", "5.15", "6.1.y", "6.2", "6.3", "6.5"])
def test_a_second_reset_in_the_midst_of_repeats_leaves_a_hole(dialect: str) -> None:
    """Copies that still wait are not queued again, so they go out before those that were thrown away with their page.

    60 messages are queued on two pages: 0 to 33, 34 to 59.  The first socket takes 1,000 bytes and is reset: the first
    page is thrown away, 34 to 59 stay, and copies of 0 and 1 fill their page, those of 2 to 59 the next.  The second
    socket takes 1,000 bytes and is reset: 34 to 59 and the copies of 0 and 1 are thrown away; only these two are queued
    once more, behind the others.  The receiver ignores 2 to 59, takes 0 and 1, and waits for 2 for ever.
    """
    slow = Settings(delay=5 * MILLISECOND, work_delay=1, send_buffer=1_000)
    outcome = play(
        dialect,
        Send(T, 1, 2, 60, burst=60),
        Reset(T + 2 * MILLISECOND, (1, 2)),
        Reset(T + 16 * MILLISECOND, (1, 2)),
        Send(SECOND, 1, 2, 1),
        settings=slow,
    )
    assert outcome.received(2, 1) == [0, 1]
    (epoch,) = outcome.streams[1, 2].epochs
    assert epoch.lost() == list(range(2, 61))
    last = of(outcome, 1, 2)[-1]
    assert last.verdict == "unsafe"
    transmissions = [t for f in epoch.frames for t in f.transmissions if t.connection == last.new_connection]
    transmissions.sort(key=lambda transmission: transmission.order)
    order = [transmission.outgoing.sequence for transmission in transmissions if transmission.cause != "new"]
    assert order[:60] == [*range(2, 60), 0, 1]


@pytest.mark.parametrize("dialect", MERGED)
def test_an_orderly_close_throws_a_page_away_that_was_sent_in_part(dialect: str) -> None:
    """The socket had room for 1,000 bytes; the rest of the page goes with the close, and nothing is repeated."""
    narrow = Settings(delay=200 * US, work_delay=1, send_buffer=1_000)
    outcome = play(
        dialect, Send(T, 1, 2, 30, burst=30), Close(T + 10 * US, 1, 2), Send(T + SECOND, 1, 2, 1), settings=narrow
    )
    (reconnect,) = of(outcome, 1, 2)
    (epoch,) = outcome.streams[1, 2].epochs
    assert reconnect.ended_by == "fin"
    assert reconnect.verdict == "unsafe"
    fates = {frame.fate for frame in epoch.frames if frame.delivered is None and not frame.seen}
    assert fates == {"discarded with its queue page"}
    assert epoch.lost()[0] == reconnect.lost[0]
    assert epoch.frames[-1].fate.startswith("ignored")


@pytest.mark.parametrize("dialect", MERGED)
def test_after_an_orderly_close_with_everything_delivered_the_stream_goes_on(dialect: str) -> None:
    outcome = play(
        dialect, Send(T, 1, 2, 2), Close(T + SECOND, 1, 2), Send(T + SECOND + T, 1, 2, 300, burst=300), until=3 * SECOND
    )
    assert outcome.received(2, 1) == list(range(302))
    (reconnect,) = of(outcome, 1, 2)
    assert (reconnect.ended_by, reconnect.resent, reconnect.verdict) == ("fin", (), "safe")


@pytest.mark.parametrize("dialect", [*MERGED, "v3"])
def test_a_reset_that_is_lost_behind_the_capture_point_is_no_reconnect(dialect: str) -> None:
    """What waits then comes when the link is back; only a reader of the packets might think that something ended."""
    cut = Cut(T, 2, SECOND)
    outcome = play(dialect, cut, Send(T + US, 1, 2, 5), Reset(T + MILLISECOND, (1, 2), 1, (2,)), until=5 * SECOND)
    assert outcome.received(2, 1) == list(range(5))
    assert all((each.apparent, each.lost) == (True, ()) for each in outcome.reconnects)
    assert {each.ended_by for each in outcome.connections} == {"open"}
    assert any(each.reset is not None and each.broken is None for each in outcome.connections)


def test_a_capture_that_ends_with_the_reset_cannot_tell() -> None:
    outcome = play("6.7", Send(T, 1, 2, 5), Reset(T + 10 * MILLISECOND, (1, 2)), until=T + 10 * MILLISECOND + 10 * US)
    (reconnect,) = of(outcome, 1, 2)
    assert reconnect.new_connection is None
    assert reconnect.at_risk[-5:] == (2, 3, 4, 5, 6)
    assert (reconnect.lost, reconnect.verdict) == ((), "inconclusive")  # all were delivered, but who would know


@pytest.mark.parametrize("dialect", MERGED)
def test_a_crash_that_is_fenced_resets_both_streams(dialect: str) -> None:
    outcome = play(
        dialect,
        Send(T, 1, 2, 5),
        Send(T, 2, 1, 5),
        Crash(SECOND, 2, boots=3 * SECOND, fenced=2 * SECOND),
        Send(SECOND + T, 1, 2, 2),
        Send(4 * SECOND, 1, 2, 3),
        Send(4 * SECOND, 2, 1, 3),
        until=5 * SECOND,
    )
    assert outcome.received(2, 1) == [0, 1, 2]
    for key in ((1, 2), (2, 1)):
        old, new = outcome.streams[key].epochs
        assert old.ended_by == "restart"
        assert new.sent() == new.delivered() == list(range(first(dialect) + 3))
        assert [entry.verdict for entry in of(outcome, *key)] == ["reset"]
    assert outcome.streams[1, 2].epochs[0].lost() == [5 + first(dialect), 6 + first(dialect)]


@pytest.mark.parametrize("dialect", MERGED)
def test_a_crash_that_nobody_noticed_leaves_the_old_numbers_to_a_new_boot(dialect: str) -> None:
    outcome = play(
        dialect,
        *CONFIRMED,
        Crash(SECOND, 2, boots=SECOND + T),
        Send(2 * SECOND, 1, 2, 3),
        until=4 * SECOND,
    )
    assert outcome.received(2, 1) == []
    (reconnect,) = of(outcome, 1, 2)
    assert reconnect.verdict == "unsafe"
    assert reconnect.reason == "the receiver's numbers started again, the sender's did not"
    last = outcome.streams[1, 2].epochs[0].frames[-1].transmissions[-1].ignored
    assert last is not None
    assert last.expected == 0


@pytest.mark.parametrize("dialect", MERGED)
def test_comms_recreated_on_both_sides_start_both_streams_again(dialect: str) -> None:
    outcome = play(
        dialect,
        Send(T, 1, 2, 5),
        Send(T, 2, 1, 5),
        RecreateComm(SECOND, (1, 2)),
        Send(SECOND + T, 1, 2, 1),
        Send(SECOND + T, 2, 1, 1),
    )
    for key in ((1, 2), (2, 1)):
        assert [epoch.ended_by for epoch in outcome.streams[key].epochs] == ["restart", "open"]
        assert [entry.verdict for entry in of(outcome, *key)] == ["reset"]


@pytest.mark.parametrize("dialect", ["v3", *MERGED])
def test_a_leave_and_a_second_join(dialect: str) -> None:
    """FIN both ways ends the epochs; the next ones begin at 0 without any reconnect in between."""
    outcome = play(
        dialect,
        Send(T, 1, 2, 2),
        Send(T, 2, 1, 2),
        Leave(SECOND, 2),
        Join(2 * SECOND, 2),
        Send(3 * SECOND, 1, 2, 1),
        until=4 * SECOND,
    )
    for key in ((1, 2), (2, 1)):
        before = outcome.streams[key].epochs[0]
        assert before.ended_by == "fin"
        assert before.frames[-1].command == Command.FIN
        assert before.lost() == []
    after = outcome.streams[1, 2].epochs[1]
    assert after.sent()[0] == 0
    assert outcome.received(2, 1) == [0, 1, 2]
    assert outcome.reconnects == []


def test_a_cut_that_heals_in_time_is_no_reconnect() -> None:
    outcome = play("5.15", Cut(T, 2, 500 * MILLISECOND), Send(T, 1, 2, 10), Send(T, 2, 1, 10))
    assert outcome.received(2, 1) == outcome.received(1, 2) == list(range(10))
    assert outcome.reconnects == []


def test_what_a_cut_swallowed_before_the_capture_point_leaves_a_hole_in_the_capture_of_a_dead_connection() -> None:
    """Node 1 sends 0 into its cut link and misses the RST; later its ACK for 0 comes behind the bytes of its own 0."""
    outcome = play(
        "5.14",
        Cut(T, 1, 3 * SECOND),
        Send(T, 2, 1, 1),
        Reset(T + MILLISECOND, (1, 2), reaches=(2,)),
        Send(T + 3 * MILLISECOND, 1, 2, 1),
        until=8 * SECOND,
    )
    assert outcome.received(1, 2) == outcome.received(2, 1) == [0]
    swallowed = outcome.streams[1, 2].epochs[0].frames[0].transmissions[0]
    assert swallowed.seen is None
    assert outcome.connections[swallowed.connection].holes
    assert all("inconclusive" in (entry.verdict, *entry.also) for entry in outcome.reconnects)


def test_a_reset_of_the_connection_that_carries_no_data_of_a_stream_is_no_reconnect_of_it() -> None:
    """From 6.2 on it makes the node repeat on the healthy connection what is unconfirmed."""
    outcome = play("6.7", Send(T, 1, 2, 2), Reset(T + SECOND // 2, (1, 2), carrying=2), Send(T + SECOND, 1, 2, 1))
    assert of(outcome, 1, 2) == []
    (epoch,) = outcome.streams[1, 2].epochs
    assert epoch.resent() == [0, 1, 2, 3]
    assert [t.cause for t in epoch.frames[3].transmissions] == ["new", "socket error"]
    assert outcome.received(2, 1) == [0, 1, 2]


def test_a_reset_for_the_receiver_alone_is_found_out_by_the_next_message() -> None:
    outcome = play(
        "6.1.y",
        Send(T, 1, 2, 1),
        Reset(T + SECOND // 2, (1, 2), carrying=1, reaches=(2,)),
        Send(T + SECOND, 1, 2, 2),
    )
    assert outcome.received(2, 1) == [0, 1, 2]
    (reconnect,) = of(outcome, 1, 2)
    assert reconnect.verdict == "safe"


def test_three_nodes_keep_their_pairs_apart() -> None:
    outcome = play(
        "6.7", Send(T, 1, 2, 3), Send(T, 3, 1, 4), Reset(T + SECOND // 2, (1, 2)), Send(T + SECOND, 1, 2, 1), nodes=3
    )
    assert outcome.received(2, 1) == [0, 1, 2, 3]
    assert outcome.received(1, 3) == [0, 1, 2, 3]
    assert {(entry.sender, entry.receiver) for entry in outcome.reconnects} <= {(1, 2), (2, 1)}


def test_numbers_that_wrap_are_no_restart() -> None:
    start = 2**32 - 4
    outcome = run(
        Scenario(
            {1: "5.15", 2: "5.15"},
            (Send(T, 1, 2, 6), Reset(T + SECOND, (1, 2)), Send(T + SECOND, 1, 2, 2)),
            settings=EXACT,
            first_sequence=start,
        )
    )
    (epoch,) = outcome.streams[1, 2].epochs
    assert epoch.sent() == epoch.delivered() == [2**32 - 4, 2**32 - 3, 2**32 - 2, 2**32 - 1, 0, 1, 2, 3]
    assert {entry.verdict for entry in outcome.reconnects} <= {"safe"}


def test_the_same_scenario_gives_the_same_capture() -> None:
    scenario = Scenario(
        {1: "6.7", 2: "6.7"},
        (Send(T, 1, 2, 50), Reset(T + 20 * MILLISECOND, (1, 2))),
        settings=Settings(jitter=50 * US, loss=0.02),
    )
    captures = [
        [(time, segment.position, segment.payload) for time, segment in run(scenario).network.captured]
        for _ in range(2)
    ]
    assert captures[0] == captures[1]


@pytest.mark.parametrize(("until", "undecided"), [(50, []), (150, [0]), (250, [])])
def test_what_had_passed_the_capture_point_but_not_come_when_the_capture_ends(until: int, undecided: list[int]) -> None:
    nodes = {1: "6.1.y", 2: "6.1.y"}
    outcome = run(Scenario(nodes, (Send(T, 1, 2, 1),), until=T + until * US, settings=EXACT))
    (epoch,) = outcome.streams[1, 2].epochs
    assert epoch.undecided() == undecided
    assert epoch.delivered() == ([0] if until == 250 else [])


def test_no_frame_is_sent_again_in_another_life_of_the_record() -> None:
    steps = (Send(T, 1, 2, 3), RecreateComm(2 * T, (1, 2)), Send(4 * T, 1, 2, 3))
    outcome = run(Scenario({1: "6.7", 2: "6.7"}, steps))
    frames = [{each.transmissions[0].outgoing.frame for each in epoch.frames} for epoch in outcome.streams[1, 2].epochs]
    assert [len(each) for each in frames] == [5, 5]  # NAMES and the reply to NAMES come first
    assert not frames[0] & frames[1]
