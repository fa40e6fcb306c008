"""Every capture holds as many frames of each kind as the lab's stand-alone counter found when it was recorded."""

from collections import Counter

import pytest
from evidence import CAPTURE_FILES, scenario, scenario_of
from oracles.kernel import COMMANDS, MESSAGE_TYPES, RECOVERY_TYPES

from proof.decoded import OPTS, decoded

NAMES = {number: name for name, number in COMMANDS.items()}
KINDS = {COMMANDS["MSG"]: MESSAGE_TYPES, COMMANDS["RCOM"]: RECOVERY_TYPES}

PASSED_OVER = {"forged-3.2-tcp.pcap": Counter({"command 9": 1, "MSG": 1})}
"""The counter resynchronises at a header of an unknown command or version; by h_length these two are frames as well.
Both were put on the wire by hand: the shots `unknown command 9` and `version 4.0`, whose m_type is 0.
"""


@pytest.mark.parametrize("file", CAPTURE_FILES)
def test_frames_are_as_many_as_the_lab_counted(file: str) -> None:
    frames = decoded(file)
    commands = Counter(NAMES.get(command, f"command {command}") for command in frames.command.tolist())
    inner: Counter[str] = Counter()
    for outer, command, number in zip(
        frames.command.tolist(), frames.inner.tolist(), frames.type.tolist(), strict=True
    ):
        if command in KINDS:
            types = {value: name for name, value in KINDS[command].items()}
            inner[f"{NAMES[command]}.{types.get(number, number)}"] += 1
        elif outer == OPTS:
            inner["OPTS(FIN)" if command == COMMANDS["FIN"] else f"OPTS({command})"] += 1
    by_lab = scenario(scenario_of(file))["frames"][file]
    counted = Counter({name: by_lab["counts"].get(name, 0) for name in NAMES.values()})
    extra = PASSED_OVER.get(file, Counter())
    assert commands == counted + extra
    assert inner == Counter(by_lab["inner"]) + Counter({"MSG.0": extra["MSG"]})
