"""Selecting findings by code, and what a run comes to."""

import pytest

from dlmtrace.findings.catalogue import CATALOGUE
from dlmtrace.findings.outcome import Outcome
from dlmtrace.findings.selection import at_least, selected_codes
from dlmtrace.streams.results import Finding, Reconnect, Verdict

SEQUENCE = {code for code in CATALOGUE if code.startswith("SEQ")}


def test_everything_is_selected_unless_something_else_is_said() -> None:
    assert selected_codes([], []) == set(CATALOGUE)


def test_a_beginning_selects_its_group_and_nothing_else() -> None:
    assert selected_codes(["SEQ"], []) == SEQUENCE
    assert selected_codes(["seq20", "CAP901"], []) == {code for code in SEQUENCE if code < "SEQ210"} | {"CAP901"}


def test_ignoring_takes_away() -> None:
    assert selected_codes([], ["SEQ"]) == set(CATALOGUE) - SEQUENCE
    assert selected_codes(["SEQ"], ["SEQ204"]) == SEQUENCE - {"SEQ204"}


def test_the_more_exact_word_wins() -> None:
    assert selected_codes(["SEQ204"], ["SEQ"]) == {"SEQ204"}
    assert selected_codes(["SEQ", "CON401"], ["SEQ2", "CON"]) == {"CON401"}
    assert selected_codes(["SEQ204"], ["SEQ204"]) == set()


def test_a_name_is_as_exact_as_a_code() -> None:
    assert selected_codes(["resend"], ["SEQ2"]) == {"SEQ204"}
    assert selected_codes(["duplicate"], []) == {"SEQ203"}


@pytest.mark.parametrize("word", ["", "XYZ", "SEQ999", "resen"])
def test_a_word_that_means_nothing_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word}$"):
        selected_codes([], [word])


def test_levels_include_what_is_graver() -> None:
    error, warning, note = (Finding(code, "") for code in ("SEQ211", "CON405", "SEQ204"))
    assert [at_least(finding, "warning") for finding in (error, warning, note)] == [True, True, False]
    assert at_least(Finding("SEQ207", "", severity="error"), "error")


def outcome(*codes: str, verdicts: tuple[Verdict, ...] = (), empty: bool = False) -> Outcome:
    result = Outcome(empty=empty)
    for code in codes:
        result.add(Finding(code, ""))
    for verdict in verdicts:
        result.judge(Reconnect("r1", 1, 2, "c1", "c2", "rst", 0, 0, 1, 2, verdict=verdict))
    return result


@pytest.mark.parametrize(
    ("result", "verdict", "error", "warning", "note"),
    [
        (outcome(), "clean", 0, 0, 0),
        (outcome("SEQ204", "CON404", verdicts=("safe",)), "clean", 0, 0, 1),
        (outcome("CAP901"), "findings", 0, 1, 1),
        (outcome("CON405"), "findings", 0, 1, 1),
        (outcome("SEQ211", "CON401", verdicts=("unsafe",)), "findings", 1, 1, 1),
        (outcome("CON403", verdicts=("inconclusive",)), "inconclusive", 3, 1, 1),
        (outcome(verdicts=("inconclusive",)), "inconclusive", 3, 3, 3),
        (outcome("CON405", "CON403", verdicts=("inconclusive",)), "inconclusive", 3, 1, 1),
        (outcome("SEQ202", "CON403", verdicts=("inconclusive",)), "findings", 1, 1, 1),
        (outcome(empty=True), "inconclusive", 3, 3, 3),
    ],
)
def test_verdict_and_exit_status(result: Outcome, verdict: str, error: int, warning: int, note: int) -> None:
    assert result.verdict == verdict
    assert [result.status(level) for level in ("error", "warning", "note")] == [error, warning, note]


def test_errors_and_warnings_are_counted_by_stream() -> None:
    result = Outcome()
    for finding in (Finding("SEQ211", "", 1, 2), Finding("SEQ211", "", 1, 2), Finding("SEQ204", "", 1, 2)):
        result.add(finding)
    result.add(Finding("CAP901", ""))
    assert dict(result.grave) == {(1, 2, "SEQ211"): 2, (None, None, "CAP901"): 1}
