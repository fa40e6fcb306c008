"""What `analyze` says about each capture is what the table says, no more and no less (docs/captures.md)."""

import re
from collections import Counter

import pytest
from evidence import CAPTURE_FILES, REPOSITORY, scenario

from dlmtrace.findings.catalogue import severity
from dlmtrace.findings.outcome import Outcome
from dlmtrace.streams.results import Finding
from proof.analysed import analysed
from proof.expected import ALL, PARTIAL, QUIET, Expected, lines


def graver(findings: list[Finding]) -> list[Finding]:
    """Warnings and errors."""
    return [finding for finding in findings if severity(finding) != "note"]


@pytest.mark.parametrize("expected", ALL, ids=lambda expected: "+".join(expected.files))
def test_verdicts_and_findings_are_those_of_the_table(expected: Expected) -> None:
    result = analysed(*expected.files).result
    verdicts: dict[tuple[int, int], list[str]] = {}
    for record in sorted(result.reconnects, key=lambda record: record.ended):
        verdicts.setdefault((record.sender, record.receiver), []).append(record.verdict)
    assert {pair: tuple(each) for pair, each in verdicts.items()} == expected.verdicts
    found = graver(result.findings)
    count = Counter((finding.code, finding.sender, finding.receiver) for finding in found)
    assert count == Counter({(told.code, *told.pair): told.findings for told in expected.told})
    for told in expected.told:
        finding = next(each for each in found if (each.code, each.sender, each.receiver) == (told.code, *told.pair))
        if told.numbers is not None:
            assert (finding.seq_first, finding.seq_last) == told.numbers
        assert told.frames in (None, finding.count)
    assert {finding.code for finding in result.findings if severity(finding) == "note"} == expected.notes


@pytest.mark.parametrize("name", ["rst-3.2-tcp", "rst-6.12-tcp", "rst-oneside-3.2-tcp", "rst-oneside-6.12-tcp"])
def test_every_repeated_frame_is_told_once(name: str) -> None:
    """lab/oracle.py counted the frames that each node repeated."""
    repeated = re.findall(r"node (\d): .*frames repeated (\d+)", "\n".join(scenario(name)["oracle"]))
    told: Counter[int] = Counter()
    for finding in analysed(f"{name}.pcap").result.findings:
        if finding.code == "SEQ204" and finding.sender is not None:
            told[finding.sender] += finding.count
    assert told == Counter({int(node): int(count) for node, count in repeated})


@pytest.mark.parametrize("expected", QUIET, ids=lambda expected: "+".join(expected.files))
def test_quiet_captures_are_clean(expected: Expected) -> None:
    outcome = Outcome()
    for finding in analysed(*expected.files).result.findings:
        outcome.add(finding)
    assert outcome.verdict == "clean"


@pytest.mark.parametrize("files", PARTIAL, ids="+".join)
def test_captures_that_miss_much_tell_of_themselves_alone(files: tuple[str, ...]) -> None:
    found = graver(analysed(*files).result.findings)
    assert found
    assert {finding.code[:3] for finding in found} == {"CAP"}


def test_every_capture_is_in_the_table() -> None:
    files = {file for expected in ALL for file in expected.files} | {file for files in PARTIAL for file in files}
    assert files == set(CAPTURE_FILES)


def test_the_page_is_the_table() -> None:
    page = (REPOSITORY / "docs" / "captures.md").read_text()
    assert "\n".join(lines()) + "\n" == page, "PYTHONPATH=tests python -m proof.expected > docs/captures.md"
