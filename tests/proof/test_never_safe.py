"""Random scenarios of every kind, captures that are whole and that are not: what was lost is never called safe.

The truth comes from the engines of the simulator (docs/simulator.md).  The analysis may say unsafe, or that the capture
cannot tell; safe it must not say where frames that were under way never came, or where a side's numbers started again.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulate.same_draws import same_draws, same_examples
from simulate.scenario_strategies import ACCIDENTS, scenarios, times

from dlmtrace.simulate.capture import Faults
from dlmtrace.simulate.dialects import DIALECTS
from dlmtrace.simulate.scenario import Outcome, Scenario, run
from dlmtrace.simulate.verdicts import Reconnect as TrueReconnect
from dlmtrace.streams.results import Reconnect
from proof.analysed import analyse
from proof.test_simulated import WHOLE, connection_names, numbers

FAULTS = {
    "whole": st.just(WHOLE),
    "drop": st.builds(Faults, drop=st.sampled_from([0.002, 0.01, 0.1]), seed=st.integers(0, 2**16)),
    "late": st.builds(Faults, start=times),
    "one direction": st.builds(Faults, only_from=st.sampled_from([1, 2])),
    "snaplen": st.builds(Faults, snaplen=st.sampled_from([96, 150, 400])),
}

SCENARIOS = 330
"""For each of the FAULTS, and for each others: 1,650 in all."""


def never_safe(told: Reconnect, outcome: Outcome, names: dict[int, str]) -> list[TrueReconnect]:
    """True reconnects because of which this one cannot be safe; ``names`` are those of the captured connections."""

    def name(connection: int | None) -> str | None:
        return None if connection is None else names.get(connection, "not captured")

    near = [entry for entry in outcome.reconnects if (entry.sender, entry.receiver) == (told.sender, told.receiver)]
    connections = told.old_connection, told.new_connection
    same = [entry for entry in near if (name(entry.old_connection), name(entry.new_connection)) == connections]
    if all(entry.verdict not in ("safe", "inconclusive") and "safe" not in entry.also for entry in same):
        return same
    one_of = [entry for entry in near if told.old_connection == name(entry.old_connection) or entry in same]
    unconfirmed = numbers(told.unconfirmed)
    return [entry for entry in one_of if entry.epoch >= 0 and unconfirmed & set(entry.lost)]


@pytest.mark.parametrize("missing", FAULTS)
def test_what_was_lost_is_never_called_safe(missing: str, tmp_path: Path) -> None:
    path = str(tmp_path / "capture.pcap")

    @same_examples(SCENARIOS, series=missing)
    @given(scenarios(tuple(DIALECTS), 4, ACCIDENTS), FAULTS[missing])
    def hold(scenario: Scenario, faults: Faults) -> None:
        outcome = run(scenario)
        outcome.write(path, faults)
        names = connection_names(outcome, faults)
        for record in analyse([path]).reconnects:
            if record.verdict == "safe":
                assert not (wrong := never_safe(record, outcome, names)), (record, wrong)

    with same_draws():
        hold()
