"""`dlmtrace explain`: what a finding means, on paper and on a terminal."""

import re
from collections.abc import Callable

import pytest
import typer
from command_result import Result

from dlmtrace.cli.main import app
from dlmtrace.findings.catalogue import CATALOGUE
from dlmtrace.findings.entry import Entry
from dlmtrace.views.explanation import explanation, listing
from dlmtrace.views.terminal import Terminal

Dlmtrace = Callable[..., Result]
ESCAPES = re.compile("\x1b\\[[0-9;]*m")


def test_without_an_argument_every_finding_has_its_line(dlmtrace: Dlmtrace) -> None:
    result = dlmtrace("explain")
    assert result.status == 0
    for entry in CATALOGUE.values():
        assert [line.split()[2] for line in result.lines if line.startswith(f"{entry.code} {entry.name} ")] == [
            entry.severity
        ]


def test_an_explanation_answers_all_questions(dlmtrace: Dlmtrace) -> None:
    result = dlmtrace("explain", "stalled-stream")
    assert result.status == 0
    assert result.lines[0] == "SEQ211 stalled-stream: error"
    assert [line for line in result.lines if line and not line.startswith(" ")][1:] == [
        "Raised when",
        "In the kernel",
        "In the kernel log",
        "What would make it wrong",
        "What to do next",
        "See also",
    ]
    assert "  receiver: `ignore dlm msg because seq mismatch, seq: %u, expected: %u, nodeid: %d`" in result.lines
    words = " ".join(result.out.split())
    for text in (CATALOGUE["SEQ211"].when, CATALOGUE["SEQ211"].meaning, CATALOGUE["SEQ211"].advice):
        assert text in words


def test_several_findings_come_in_the_order_of_the_catalogue_and_once_each(dlmtrace: Dlmtrace) -> None:
    result = dlmtrace("explain", "safe", "fin501", "CON4")
    headings = [line.split(":")[0] for line in result.lines if re.match("[A-Z]{3}[0-9]", line)]
    assert headings == [f"{code} {entry.name}" for code, entry in CATALOGUE.items() if re.match("CON4|FIN501", code)]


def test_a_finding_that_can_be_graver_says_so(dlmtrace: Dlmtrace) -> None:
    assert dlmtrace("explain", "SEQ207").lines[0] == "SEQ207 sequence-restart: warning or error"


def test_what_replaces_what_is_told_on_both_sides(dlmtrace: Dlmtrace) -> None:
    assert "  not raised for the same frames: SEQ203 duplicate" in dlmtrace("explain", "SEQ208").lines
    assert "SEQ208 fast-retransmit" in dlmtrace("explain", "SEQ203").out.partition("raised instead")[2]


def test_an_unknown_name_is_an_error_in_one_line(dlmtrace: Dlmtrace) -> None:
    result = dlmtrace("explain", "SEQ204", "nonsense")
    assert (result.status, result.out) == (2, "")
    assert re.fullmatch("dlmtrace: .*'nonsense'.*dlmtrace explain lists all\n", result.err)


def test_a_terminal_gets_colours_and_lines_that_fit() -> None:
    narrow = Terminal(60, True)
    text = "\n".join(explanation(CATALOGUE["SEQ204"], narrow))
    assert "\x1b[" in text
    assert "`" not in text
    assert all(len(line) <= 60 for line in ESCAPES.sub("", text).splitlines())
    assert all(len(ESCAPES.sub("", line)) <= 60 for line in listing(narrow))


def test_without_colours_code_keeps_its_marks() -> None:
    text = "\n".join(explanation(CATALOGUE["SEQ204"], Terminal(60, False)))
    assert "\x1b" not in text
    assert "`retransmit dlm msg, seq %u, nodeid %d`" in text


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.code)
def test_commands_in_an_explanation_exist_with_their_options(entry: Entry) -> None:
    commands = typer.main.get_command(app)
    for text in (entry.when, entry.meaning, entry.wrong_if, entry.advice):
        for code in re.findall("`dlmtrace ([^`]*)`", text):
            name, *words = code.split()
            known = {option for parameter in commands.commands[name].params for option in parameter.opts}
            assert {word for word in words if word.startswith("-")} <= known
