"""The captures are whole: what MANIFEST.md says of them is what an independent counter finds."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence import CAPTURE_FILES, CAPTURES, SCENARIOS, scenario, scenario_of, stand_alone_counter


def manifest() -> str:
    return (CAPTURES / "MANIFEST.md").read_text()


def test_the_manifest_names_every_scenario_and_no_other() -> None:
    assert sorted(re.findall(r"^\| \*\*(\S+)\*\* \|", manifest(), re.MULTILINE)) == SCENARIOS


def test_the_manifest_counts_every_capture_file() -> None:
    rows = {row[0]: row[1:] for row in re.findall(r"^\| (\S+\.pcap\d*) " + r"\| (\d+) " * 7, manifest(), re.MULTILINE)}
    assert sorted(rows) == CAPTURE_FILES
    for file, row in rows.items():
        frames = scenario(scenario_of(file))["frames"][file]
        counts = [frames["bytes"], *(frames["counts"].get(key, 0) for key in ("packets", "MSG", "RCOM", "OPTS", "ACK"))]
        assert [int(number) for number in row] == [*counts, frames["inner"].get("OPTS(FIN)", 0)], file


@pytest.mark.parametrize("file", ["rst-3.2-tcp.pcap", "sctp-6.12.pcap", "ipv6-tcp.pcap", "mixed-3.1-3.2.pcap"])
def test_the_stand_alone_counter_finds_the_recorded_counts(file: str, plain_capture: Callable[[str], Path]) -> None:
    assert stand_alone_counter().summary(plain_capture(file)) == scenario(scenario_of(file))["frames"][file]


def test_the_captures_stay_small_enough_to_clone() -> None:
    assert sum(path.stat().st_size for path in CAPTURES.iterdir()) < 45_000_000
