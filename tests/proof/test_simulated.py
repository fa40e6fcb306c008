"""Random scenarios of the simulator: the analysis of their captures agrees with the truth.

The truth comes from the engines that sent and took the frames, not from packets (docs/simulator.md).  No capture
here lost a packet: no verdict may differ, no frame may be missed or too many among the delivered and the repeated ones,
except where the page says that packets cannot tell.
"""

from pathlib import Path

import pytest
from hypothesis import given
from simulate.same_draws import same_draws, same_examples
from simulate.scenario_strategies import ACCIDENTS, scenarios

from dlmtrace.simulate.capture import Faults, kept
from dlmtrace.simulate.dialects import DIALECTS
from dlmtrace.simulate.scenario import Outcome, Scenario, run
from dlmtrace.simulate.sequence import MODULUS
from dlmtrace.simulate.verdicts import Reconnect as TrueReconnect
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.results import Range, Reconnect
from proof.analysed import Pair, analyse

WHOLE = Faults()

SCENARIOS = 150
"""Of each of the CLUSTERS, and of each others: 2,250 in all."""

NUMBERED = tuple(name for name in DIALECTS if name != "3.1")
RESTARTS = ("fenced", "not fenced", "recreated")

CLUSTERS = [
    *(((name,), ACCIDENTS) for name in DIALECTS),
    (NUMBERED, ACCIDENTS),
    (tuple(DIALECTS), ACCIDENTS),
    (NUMBERED, ("not fenced",)),
    (("3.1",), RESTARTS),
    (tuple(DIALECTS), RESTARTS),
]
"""Dialects, and what befalls nodes that speak them."""


def numbers(ranges: list[Range]) -> set[int]:
    """All numbers of ranges, which may go over the wrap."""
    return {number % MODULUS for low, high in ranges for number in range(low, low + (high - low) % MODULUS + 1)}


def resent(analysis: Analysis, pair: Pair) -> set[int]:
    """Numbers that the analysis saw again."""
    timeline = analysis.timeline(*pair)
    assert timeline is not None
    spans = [span for span in timeline.spans if span.kind == "resent"]
    return {number % MODULUS for span in spans for number in range(span.first, span.last + 1)}


def assert_frames_agree(outcome: Outcome, analysis: Analysis) -> None:
    """Sent, delivered and resent numbers of every stream and epoch; the capture may not show what came.

    Numbers given out and not delivered are lost, those that were never sent among them.
    """
    analysed = {(stream.sender, stream.receiver): stream for stream in analysis.streams}
    for pair, stream in outcome.streams.items():
        truth = [epoch for epoch in stream.epochs if epoch.sent()]
        if not truth:
            continue
        for epoch, told in zip(truth, analysed[pair].epochs, strict=True):
            sent = numbers([(told.seq_first, told.seq_last)]) - numbers(told.missing)
            assert sent == set(epoch.sent())
            delivered = numbers(told.delivered_ranges)
            undecided = set(epoch.undecided())
            assert set(epoch.delivered()) - undecided <= delivered <= set(epoch.delivered()) | undecided
        assert resent(analysis, pair) == {number for epoch in truth for number in epoch.resent()}


def connection_names(outcome: Outcome, faults: Faults = WHOLE) -> dict[int, str]:
    """The analysis numbers connections by their first packet."""
    names: dict[int, str] = {}
    for _, segment in kept(outcome.network.captured, faults):
        names.setdefault(segment.connection.index, f"c{len(names) + 1}")
    return names


def assert_verdicts_agree(outcome: Outcome, analysis: Analysis) -> None:
    """Every reconnect, matched by stream, connections and order; what had nothing at risk needs no record."""
    names = connection_names(outcome)
    told: dict[tuple[int, int, str, str | None], list[Reconnect]] = {}
    for record in sorted(analysis.reconnects, key=lambda record: int(record.reconnect[1:])):
        key = record.sender, record.receiver, record.old_connection, record.new_connection
        told.setdefault(key, []).append(record)
    for entry in outcome.reconnects:
        new = None if entry.new_connection is None else names[entry.new_connection]
        same = told.get((entry.sender, entry.receiver, names[entry.old_connection], new), [])
        if same:
            epochs = outcome.streams[entry.sender, entry.receiver].epochs
            assert_verdict_agrees(entry, same.pop(0), set(epochs[entry.epoch].undecided()) if epochs else set())
        else:
            assert entry.apparent or (entry.verdict, entry.at_risk) == ("safe", ()), entry
    for record in [record for same in told.values() for record in same]:
        assert (record.verdict, record.unconfirmed) == ("safe", []), record


def assert_verdict_agrees(truth: TrueReconnect, record: Reconnect, undecided: set[int]) -> None:
    """The verdict is the true one, or what the packets alone allow, which leave numbers ``undecided``."""
    assert record.verdict in {truth.verdict} | truth.also, (truth, record)
    assert not (record.verdict == "safe" and truth.lost), (truth, record)
    if record.verdict == truth.verdict == "unsafe" and truth.epoch >= 0:
        assert numbers(record.lost) | undecided == set(truth.lost) | undecided, (truth, record)


@pytest.mark.parametrize(("dialects", "accidents"), CLUSTERS, ids=str)
def test_the_analysis_agrees_with_the_truth(
    dialects: tuple[str, ...], accidents: tuple[str, ...], tmp_path: Path
) -> None:
    path = str(tmp_path / "capture.pcap")

    @same_examples(SCENARIOS, series=f"{dialects} {accidents}")
    @given(scenarios(dialects, 4, accidents))
    def agree(scenario: Scenario) -> None:
        outcome = run(scenario)
        outcome.write(path)
        analysis = analyse([path])
        assert_frames_agree(outcome, analysis)
        assert_verdicts_agree(outcome, analysis)

    with same_draws():
        agree()
