"""The browser's filter line reads what one would type behind `dlmtrace decode`."""

import inspect

import pytest
import typer

from dlmtrace.cli.decode import decode
from dlmtrace.cli.filter_line import OPTIONS, read_filter
from dlmtrace.cli.selecting import SELECTION
from dlmtrace.cli.selectors import END
from dlmtrace.wire.enums import MessageType, RecoveryType

SECOND = 1_000_000_000


def test_options_with_and_without_dashes_and_equals_signs() -> None:
    typed = [
        "--node 1 --type '*LOOKUP' --seq 3-,7",
        "node=1 type='*LOOKUP' seq 3- seq 7",
        '--node=1 type "*lookup" --seq=3-,7',
    ]
    first, *others = [read_filter(line, 0).selection for line in typed]
    assert all(other == first for other in others)
    assert first.senders == [(1, 1)]
    assert first.sequences == [(3, END), (7, 7)]
    assert first.message_types == {MessageType.LOOKUP}
    assert first.recovery_types == {RecoveryType.LOOKUP}


def test_relative_times_count_from_the_first_packet() -> None:
    assert read_filter("time 1.5..2", 100 * SECOND).selection.times == [(101_500_000_000, 102 * SECOND)]


def test_lockspaces_are_shown_by_the_names_in_the_line() -> None:
    found = read_filter("lockspace mine=0x7caec595,0x10", 0)
    assert found.selection.lockspaces == {0x7CAEC595, 0x10}
    assert found.lockspaces == {0x7CAEC595: "mine"}


def test_names_may_hold_spaces() -> None:
    assert read_filter("resource 'glock 2/17'", 0).selection.resources == ("glock 2/17",)


def test_every_selecting_option_of_decode_is_there() -> None:
    selecting = {
        name
        for name, parameter in inspect.signature(decode, eval_str=True).parameters.items()
        if getattr(parameter.annotation.__metadata__[0], "rich_help_panel", None) == SELECTION
    }
    assert set(OPTIONS) == selecting


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1", "'1' is not one of node, peer"),
        ("--node", "'--node' is not followed by a value"),
        ("node x", "'x' is not a number or a range"),
        ("type 'REQUEST", "whose quotation marks are closed"),
        ("type NOTHING", "'NOTHING' is not a message or recovery type"),
        ("time 5..1", "'5..1' is not a range"),
        ("lockspace mine=17", "'mine=17' is not a lockspace"),
    ],
)
def test_what_cannot_be_read_is_told(line: str, words: str) -> None:
    with pytest.raises(typer.BadParameter) as raised:
        read_filter(line, 0)
    assert words in str(raised.value)
