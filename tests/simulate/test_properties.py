"""Properties of every simulation, whatever happens in it."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings

from dlmtrace.simulate.dialects import DIALECTS
from dlmtrace.simulate.scenario import Crash, Scenario, Send, run
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
