"""Properties of every simulation, whatever happens in it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings

from dlmtrace.simulate.dialects import DIALECTS
from dlmtrace.simulate.scenario import MILLISECOND, SECOND, Crash, LoseCopies, Reset, Scenario, Send, Settings, run
from simulate.same_draws import same_draws
from simulate.scenario_strategies import MERGED, reset_scenarios, scenarios

RELIABLE = tuple(name for name in DIALECTS if name != "3.1")


@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(scenarios())
def test_no_epoch_delivers_out_of_order_and_nothing_is_confirmed_that_was_not_delivered(scenario: Scenario) -> None:
    outcome = run(scenario)
    restarted = any(isinstance(step, Crash) and step.fenced is None for step in scenario.steps)
    for stream in outcome.streams.values():
        for epoch in stream.epochs:
            delivered = [frame for frame in epoch.frames if frame.delivered is not None]
            times = [frame.delivered for frame in delivered if frame.delivered is not None]
            assert times == sorted(times)
            if not restarted:  # else the receiver's old numbers seem to confirm the new ones
                assert {frame for frame in epoch.frames if frame.confirmed is not None} <= set(delivered)


@same_draws()
@hypothesis_settings(
    deadline=None, max_examples=150, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
@given(reset_scenarios(MERGED))
def test_merged_kernels_deliver_every_message_once_and_in_order_whatever_is_reset(scenario: Scenario) -> None:
    outcome = run(scenario)
    for sender, receiver in ((1, 2), (2, 1)):
        sent = sum(step.count for step in scenario.steps if isinstance(step, Send) and step.sender == sender)
        assert outcome.received(receiver, sender) == list(range(sent))
        assert outcome.streams[sender, receiver].epochs[0].lost() == []
    for entry in outcome.reconnects:  # a reset in the midst of repeats may leave a hole until the next one
        assert entry.verdict in ("safe", "inconclusive") or entry.repaired_by is not None


@pytest.mark.parametrize(("apart", "repaired"), [(20_000, False), (SECOND, True)])
def test_a_backlog_is_repaired_by_one_error_at_a_time(apart: int, repaired: bool) -> None:
    """80 messages wait behind a hole.  The error of one connection has them repeated on the other one; when that breaks
    too with a page half sent, its copies are queued behind those that wait, and come too late."""
    at = 100 * MILLISECOND
    steps = (
        Send(at, 1, 2, 40, burst=40),
        LoseCopies(2 * at, 1, 2),
        Send(2 * at, 1, 2, 1),
        Reset(2 * at + 50_000, (1, 2), carrying=1),
        Send(3 * at, 1, 2, 80, burst=80),
        Reset(4 * at, (1, 2), carrying=2),
        Reset(4 * at + apart, (1, 2), carrying=1),
        Send(4 * SECOND, 1, 2, 3),
    )
    outcome = run(Scenario({1: "6.2", 2: "6.2"}, steps, 6 * SECOND, settings=Settings(work_delay=1, send_buffer=1000)))
    received = outcome.received(2, 1)
    assert received == list(range(len(received)))
    assert (len(received) == 124) == repaired
    assert bool(outcome.streams[1, 2].epochs[0].lost()) != repaired


@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(scenarios())
def test_verdicts_agree_with_what_was_lost(scenario: Scenario) -> None:
    outcome = run(scenario)
    for entry in outcome.reconnects:
        if entry.verdict == "safe":
            assert entry.lost == ()
        if entry.repaired_by is not None:
            mine = [
                other
                for other in outcome.reconnects
                if (other.sender, other.receiver) == (entry.sender, entry.receiver)
            ]
            assert mine.index(entry) < entry.repaired_by < len(mine)
        assert set(entry.resent) <= set(entry.at_risk)
        assert set(entry.lost) <= set(entry.at_risk) or entry.epoch == -1


@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(scenarios(RELIABLE))
def test_no_message_comes_twice_or_out_of_order(scenario: Scenario) -> None:
    """Whatever the dialect; a node that came back unnoticed counts its messages from 0 again."""
    assume(not any(isinstance(step, Crash) and step.fenced is None for step in scenario.steps))
    outcome = run(scenario)
    for sender, receiver in outcome.streams:
        received = outcome.received(receiver, sender)
        assert received == sorted(set(received))
