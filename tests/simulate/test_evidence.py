"""What a capture leaves open about frames and restarts, in scenarios worked out by hand."""

from __future__ import annotations

import pytest

from dlmtrace.simulate.frames import recovery_sequence
from dlmtrace.simulate.scenario import (
    MILLISECOND,
    SECOND,
    Close,
    Crash,
    Cut,
    Leave,
    LoseCopies,
    RecreateComm,
    Reset,
    Scenario,
    Send,
    run,
)
from simulate.test_scenarios import US, T, first, of, play


@pytest.mark.parametrize(("silence", "undecided"), [(150, [0]), (250, [])])
def test_tcp_must_be_silent_for_long_before_a_reset_shows_that_a_frame_never_came(
    silence: int, undecided: list[int]
) -> None:
    """Node 2 is cut off when the message passes; TCP would acknowledge within 200 ms."""
    outcome = play(
        "6.3",
        Cut(T, 2, SECOND),
        Send(T, 1, 2, 1),
        Reset(T + silence * MILLISECOND, (1, 2)),
        until=T + 300 * MILLISECOND,
    )
    (epoch,) = outcome.streams[1, 2].epochs
    assert (epoch.sent(), epoch.delivered(), epoch.undecided()) == ([0], [], undecided)


@pytest.mark.parametrize(("lived", "undecided"), [(300, [0]), (2_000, [])])
def test_a_node_that_crashes_may_have_taken_what_it_did_not_acknowledge(lived: int, undecided: list[int]) -> None:
    """The message comes after 200 µs, and is acknowledged 500 µs later."""
    outcome = play("6.5", Send(T, 1, 2, 1), Crash(T + lived * US, 2, T + 9 * SECOND), until=T + SECOND)
    (epoch,) = outcome.streams[1, 2].epochs
    assert (epoch.sent(), epoch.delivered(), epoch.undecided()) == ([0], [0], undecided)


def test_a_copy_of_the_fin_that_comes_when_the_record_was_reset_is_nothing_that_started_again() -> None:
    """Two RSTs leave node 2 with a copy of its FIN behind the FIN; node 1 has finished with the first."""
    outcome = play(
        "6.6",
        Send(T, 1, 2, 31, burst=31),
        Reset(T + 25 * MILLISECOND, (1, 2)),
        Reset(T + 50 * MILLISECOND, (1, 2), reaches=(1,)),
        Leave(SECOND, 1),
        until=3 * SECOND,
    )
    assert {epoch.ended_by for stream in outcome.streams.values() for epoch in stream.epochs} == {"fin"}
    assert {entry.verdict for entry in outcome.reconnects} == {"safe"}
    assert any(len(frame.transmissions) > 1 for frame in outcome.streams[2, 1].epochs[0].frames[-1:])


@pytest.mark.parametrize(
    ("dialect", "back", "also"),
    [
        ("6.5", 0, {"inconclusive"}),  # node 2 sends nothing, and an ACK only after 257 frames
        ("6.5", 1, set()),  # its own numbers start again, too
        ("6.3", 0, set()),  # it acknowledges the new 0 with 1, and had acknowledged more
    ],
)
def test_what_shows_that_both_records_started_again(dialect: str, back: int, also: set[str]) -> None:
    """The comm is made anew between 3 messages and 1."""
    steps = [Send(T, 1, 2, 3), RecreateComm(T + SECOND, (1, 2)), Send(T + 2 * SECOND, 1, 2, 1)]
    steps += [Send(T, 2, 1, back), Send(T + 2 * SECOND, 2, 1, back)]
    outcome = play(dialect, *steps, until=T + 3 * SECOND)
    (reconnect,) = of(outcome, 1, 2)
    assert first(dialect) == 0
    assert (reconnect.verdict, reconnect.also) == ("reset", also)


def test_acks_of_new_numbers_say_nothing_of_a_stream_that_may_be_older_than_the_capture() -> None:
    """Message 0 is thrown away before it passes, 1 passes; then the comm is made anew, where 5.14 confirms each."""
    steps = (LoseCopies(T, 1, 2), Reset(T, (1, 2)), Send(T + MILLISECOND, 1, 2, 1), Send(2 * T, 1, 2, 1))
    outcome = run(
        Scenario({1: "6.2", 2: "5.14"}, (*steps, RecreateComm(3 * T, (1, 2)), Send(4 * T, 1, 2, 4, every=MILLISECOND)))
    )
    old, new = outcome.streams[1, 2].epochs
    assert (old.sent(), old.delivered(), old.undecided()) == ([1], [], [1])
    assert (new.delivered(), new.undecided()) == ([0, 1, 2, 3], [])


@pytest.mark.parametrize(("closes", "records"), [(False, []), (True, ["unprotected"])])
def test_a_3_1_node_that_joins_anew_goes_on_with_nothing(closes: bool, records: list[str]) -> None:
    """The comm is made anew, or one connection is closed in order, and messages follow."""
    between = Close(2 * T, 1, 2) if closes else RecreateComm(2 * T, (1, 2))
    outcome = play("3.1", Send(T, 1, 2, 3), between, Send(3 * T, 1, 2, 1), until=4 * T)
    assert [entry.verdict for entry in of(outcome, 1, 2)] == records


def test_a_3_1_node_that_did_not_notice_a_crash_goes_on() -> None:
    """Its answer to the poll of the new boot goes over the dead connection, and is refused."""
    outcome = play("3.1", Send(T, 2, 1, 3), Crash(2 * T, 1, SECOND), Send(SECOND + T, 2, 1, 1), until=2 * SECOND)
    assert [(entry.verdict, entry.ended_by) for entry in of(outcome, 2, 1)] == [("unsafe", "rst")]


@pytest.mark.parametrize(("dialect", "differ"), [("6.1.y", False), ("6.7", True)])
def test_each_boot_counts_its_recoveries_from_a_number_of_its_own(dialect: str, differ: bool) -> None:
    """Protocol page §3.1: rc_seq begins at 0, from 6.3 on at random."""
    outcome = play(dialect, Crash(T, 1, SECOND), until=2 * SECOND)
    sent = [frame.transmissions[0].outgoing for frame in outcome.streams[1, 2].bare]
    counts = {each.incarnation: recovery_sequence(each.frame) for each in sent}
    assert (counts[0] != counts[1]) is differ


def test_an_ack_of_the_old_record_shows_that_it_was_kept() -> None:
    """Node 1 begins at 0 again when its second poll, after 5 s, is answered; node 2 drops that, and acknowledges the
    number that it waits for."""
    steps = Send(T, 1, 2, 3), Crash(2 * T, 1, SECOND), Send(SECOND + T, 1, 2, 2)
    outcome = play("5.14", *steps, until=9 * SECOND)
    old, new = outcome.streams[1, 2].epochs
    (reconnect,) = of(outcome, 1, 2)
    assert (reconnect.verdict, reconnect.also, reconnect.lost) == ("unsafe", set(), ())
    assert (old.delivered(), new.sent(), new.delivered(), new.undecided()) == ([0, 1, 2], [0, 1], [], [])
    assert (old.confirmed(), new.confirmed()) == ([0, 1, 2], [])


def test_an_ack_that_a_fresh_record_would_say_shows_nothing() -> None:
    """Node 2 waits for 1, and gets 0: it drops that, and acknowledges 1, as a new record would."""
    steps = Send(T, 1, 2, 1), Crash(2 * T, 1, SECOND), Send(SECOND + T, 1, 2, 1)
    outcome = play("5.14", *steps, until=9 * SECOND)
    _, new = outcome.streams[1, 2].epochs
    (reconnect,) = of(outcome, 1, 2)
    assert (reconnect.verdict, reconnect.also) == ("unsafe", {"inconclusive"})
    assert (new.sent(), new.delivered(), new.undecided()) == ([0], [], [0])


@pytest.mark.parametrize("count", [0, 1])
def test_what_a_receiver_that_came_back_ignores(count: int) -> None:
    """Message 0 was confirmed, 1 is sent to the fresh record; only node 2's own new numbers would show that it is."""
    steps = Send(T, 1, 2, 1), Send(T, 2, 1, 1), Crash(2 * T, 2, SECOND), Send(SECOND + T, 1, 2, 1)
    outcome = play("5.14", *steps, Send(SECOND + T, 2, 1, count), Send(8 * SECOND, 1, 2, 1), until=9 * SECOND)
    (epoch,) = outcome.streams[1, 2].epochs
    (reconnect,) = of(outcome, 1, 2)
    assert (epoch.sent(), epoch.delivered(), epoch.undecided()) == ([0, 1, 2], [0], [] if count else [1, 2])
    assert (reconnect.verdict, reconnect.also) == ("unsafe", set() if count else {"inconclusive"})


def test_a_receiver_that_came_back_and_takes_everything_from_the_first_number_on() -> None:
    """Nothing was confirmed, so that all of it is sent again: the new record has what the old one had."""
    steps = Send(T, 1, 2, 3), Crash(T + 20 * MILLISECOND, 2, SECOND), Send(SECOND + T, 1, 2, 300)
    outcome = play("6.5", *steps, until=2 * SECOND)
    (epoch,) = outcome.streams[1, 2].epochs
    (reconnect,) = of(outcome, 1, 2)
    assert (reconnect.at_risk, reconnect.lost) == ((0, 1, 2), ())
    assert (reconnect.verdict, reconnect.also) == ("safe", {"unsafe", "inconclusive"})
    assert len(epoch.delivered()) == 303
