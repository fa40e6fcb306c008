"""The catalogue against the protocol page and against what real kernels logged."""

import re

import pytest
from evidence import REPOSITORY, kernel_record

from dlmtrace.findings.catalogue import CATALOGUE, GROUPS, SEVERITIES, matching, severity
from dlmtrace.findings.entry import Entry
from dlmtrace.findings.verdicts import RULES
from dlmtrace.streams.results import Finding

PROTOCOL_PAGE = (REPOSITORY / "docs" / "protocol.md").read_text()
CODE = re.compile(r"\b[A-Z]{3}[0-9]{3}\b")

NORMAL = {"A12", "A26"}
"""Of the page's anomalies: a legal half-close, and frames at any alignment."""
OF_LOCKS_AND_RECOVERY = {f"A{number}" for number in range(29, 43)} - {"A36"}


def texts_of(entry: Entry) -> str:
    return " ".join((entry.when, entry.meaning, entry.wrong_if, entry.advice))


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.code)
def test_an_entry_says_everything(entry: Entry) -> None:
    assert entry.code[:3] in GROUPS
    assert re.fullmatch("[A-Z]{3}[0-9]{3}", entry.code)
    assert re.fullmatch("[a-z]+(-[a-z]+)*", entry.name)
    assert SEVERITIES.index(entry.at_worst or entry.severity) <= SEVERITIES.index(entry.severity)
    for text in (entry.when, entry.meaning, entry.wrong_if, entry.advice):
        assert re.fullmatch(r"[^\n]+[.?)]", text)
        assert "  " not in text
        assert text.count("`") % 2 == 0
    assert set(CODE.findall(texts_of(entry))) | set(entry.supersedes) <= set(CATALOGUE) - {entry.code}
    assert entry.code not in {code for other in entry.supersedes for code in CATALOGUE[other].supersedes}


def test_codes_and_names_are_unique_and_in_order() -> None:
    assert list(CATALOGUE) == sorted(CATALOGUE, key=lambda code: (list(GROUPS).index(code[:3]), code))
    assert len({entry.name for entry in CATALOGUE.values()}) == len(CATALOGUE)


def test_every_anomaly_of_the_protocol_page_has_its_finding() -> None:
    on_the_page = set(re.findall(r"^\| (A[0-9]+) \|", PROTOCOL_PAGE, re.MULTILINE))
    covered = {anomaly for entry in CATALOGUE.values() for anomaly in entry.anomalies}
    assert len(on_the_page) == 43
    assert covered == on_the_page - NORMAL - OF_LOCKS_AND_RECOVERY


def test_every_verdict_has_its_finding() -> None:
    assert {(rule.verdict, CATALOGUE[rule.code].name) for rule in RULES} == {
        ("safe", "safe-reconnect"),
        ("unsafe", "unsafe-reconnect"),
        ("reset", "peer-reset"),
        ("unprotected", "unprotected-reconnect"),
        ("inconclusive", "undecided-reconnect"),
    }


@pytest.mark.parametrize("entry", [entry for entry in CATALOGUE.values() if entry.log], ids=lambda entry: entry.code)
def test_kernel_log_texts_are_those_of_the_protocol_page(entry: Entry) -> None:
    for line in entry.log:
        assert line.text in PROTOCOL_PAGE


def pattern_of(text: str) -> re.Pattern[str]:
    """A kernel's format string as a regular expression."""
    pattern = re.escape(text).replace("0x%08x", "0x[0-9a-f]{8}")
    return re.compile(re.sub("%[ud]", "-?[0-9]+", pattern).replace("%x", "[0-9a-f]+"))


@pytest.mark.parametrize(
    ("code", "scenario", "node"),
    [
        ("FRM101", "forged-3.2-tcp", 1),
        ("FRM102", "forged-3.2-tcp", 1),
        ("FRM103", "forged-3.2-tcp", 1),
        ("SEQ202", "rst-6.12-tcp", 2),
        ("SEQ204", "rst-3.2-tcp", 1),
        ("SEQ205", "rst-3.2-tcp", 2),
        ("SEQ207", "crash-3node", 1),
        ("SEQ210", "forged-3.2-tcp", 1),
        ("SEQ211", "rst-stall-6.12-tcp", 2),
        ("CON401", "rst-stall-6.12-tcp", 2),
        ("CON402", "rst-3.1-tcp", 1),
        ("CON404", "rst-3.2-tcp", 1),
        ("CON406", "forged-3.2-tcp", 1),
        ("CON408", "crash-3node", 1),
        ("VER601", "forged-3.2-tcp", 1),
        ("VER602", "forged-3.2-tcp", 1),
        ("VER605", "mixed-3.1-3.2", 2),
    ],
)
def test_kernels_logged_the_text_where_the_event_was(code: str, scenario: str, node: int) -> None:
    log = kernel_record(scenario, node, "dmesg")
    assert log is not None
    assert any(pattern_of(line.text).search(log) for line in CATALOGUE[code].log)


def test_no_kernel_logged_a_mismatch_where_nothing_was_out_of_sequence() -> None:
    log = kernel_record("clean-3.2-tcp", 2, "dmesg")
    assert log is not None
    assert not pattern_of(CATALOGUE["SEQ211"].log[0].text).search(log)


def test_entries_are_found_by_code_name_and_their_beginnings() -> None:
    assert [entry.code for entry in matching("SEQ211")] == ["SEQ211"]
    assert [entry.code for entry in matching("stalled-stream")] == ["SEQ211"]
    assert [entry.code for entry in matching("fin5")] == ["FIN501", "FIN502", "FIN503", "FIN504", "FIN505"]
    assert [entry.code for entry in matching("Safe")] == ["CON404"]
    assert [entry.code for entry in matching("duplicate")] == ["SEQ203"]  # and not duplicate-acks
    assert matching("XYZ") == []


def test_a_finding_is_as_grave_as_its_entry_unless_it_says_otherwise() -> None:
    assert severity(Finding("SEQ207", "both sides start again at 0")) == "warning"
    assert severity(Finding("SEQ207", "only node 2 starts again at 0", severity="error")) == "error"
