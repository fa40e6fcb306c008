"""The truth of a simulation against what others read in its capture."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings

from dlmtrace.pipeline import Trace
from dlmtrace.simulate.scenario import MILLISECOND, Cut, LoseCopies, Outcome, Reset, Scenario, Send, Settings, run
from dlmtrace.wire.enums import Command
from simulate.scenario_strategies import scenarios


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated") / "capture.pcap"


def decoded(file: Path) -> list[tuple[int, int, int, int]]:
    """Packet, sender, command and number of each OPTS and ACK that the pipeline finds in a capture."""
    found: list[tuple[int, int, int, int]] = []
    for batch in Trace([str(file)]).batches():
        heads = batch.header
        for row in range(len(batch.frames)):
            command = int(heads["h_cmd"][row])
            if command in (Command.OPTS, Command.ACK) and batch.frames["state"][row] == 0:
                found.append(
                    (
                        int(batch.frames["packet"][row]),
                        int(heads["h_nodeid"][row]),
                        command,
                        int(batch.sequence[row]),
                    )
                )
    return sorted(found)


def told(outcome: Outcome) -> list[tuple[int, int, int, int]]:
    """The same, as the truth tells it."""
    found = []
    for stream in outcome.streams.values():
        for epoch in stream.epochs:
            for frame in epoch.frames:
                for transmission in frame.transmissions:
                    if transmission.packet is not None and frame.sequence is not None:
                        found.append((transmission.packet, stream.sender, int(Command.OPTS), frame.sequence))
        for acknowledgement in stream.acknowledgements:
            found.append((acknowledgement.packet, stream.receiver, int(Command.ACK), acknowledgement.expected))
    return sorted(found)


@hypothesis_settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(scenarios())
def test_the_capture_holds_the_frames_that_the_truth_says_in_the_packets_that_it_says(
    file: Path, scenario: Scenario
) -> None:
    # a node that missed a RST behind a cut goes on with the dead connection: readers may take that for another one
    assume(not any(isinstance(step, Cut) for step in scenario.steps))
    outcome = run(scenario)
    outcome.write(file)
    assert decoded(file) == told(outcome)


@pytest.mark.parametrize(("last", "undecided"), [(2, [1, 2]), (1, [1])])
def test_numbers_that_begin_behind_one_that_never_passed(last: int, undecided: list[int]) -> None:
    """Message 0 is thrown away before it passes: 1 and 2 look like those of a pair that is older than the capture."""
    at = 100 * MILLISECOND
    steps = (LoseCopies(at, 1, 2), Reset(at, (1, 2)), Send(at + MILLISECOND, 1, 2, 1), Send(2 * at, 1, 2, last))
    (epoch,) = run(Scenario({1: "6.2", 2: "6.2"}, steps)).streams[1, 2].epochs
    assert (epoch.sent(), epoch.delivered(), epoch.undecided()) == (undecided, [], undecided)


def test_numbers_that_begin_behind_one_that_came_later() -> None:
    at = 100 * MILLISECOND
    hole = (LoseCopies(at, 1, 2), Reset(at, (1, 2)), Send(at + MILLISECOND, 1, 2, 1), Send(2 * at, 1, 2, 2))
    steps = (*hole, Reset(3 * at, (1, 2)), Send(4 * at, 1, 2, 1))
    (epoch,) = run(Scenario({1: "6.2", 2: "6.2"}, steps)).streams[1, 2].epochs
    assert (epoch.sent(), epoch.delivered(), epoch.undecided()) == ([0, 1, 2, 3], [0, 1, 2, 3], [])


def test_what_a_reset_overtook() -> None:
    """It passed the capture point before the RST: nothing shows that its receiver's socket was dead when it came."""
    at = 100 * MILLISECOND
    steps = (Send(at, 1, 2, 1), Reset(at + MILLISECOND, (1, 2), carrying=1))
    settings = Settings(jitter=MILLISECOND, work_delay=1)
    overtaken = 0
    for seed in range(40):
        outcome = run(Scenario({1: "v3", 2: "v3"}, steps, until=at + 5 * MILLISECOND, seed=seed, settings=settings))
        (epoch,) = outcome.streams[1, 2].epochs
        (message,) = epoch.frames
        if message.delivered is None and message.transmissions[0].seen is not None:
            before = message.transmissions[0].seen < at + MILLISECOND
            assert epoch.undecided() == ([0] if before else [])
            overtaken += before
    assert overtaken
