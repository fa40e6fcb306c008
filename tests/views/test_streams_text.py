"""The tables and the lines of `dlmtrace streams`, from values made by hand."""

import numpy as np
import pytest

from dlmtrace.capture.packets import FileSummary
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.by_connection import ByConnection, Sent
from dlmtrace.streams.timeline import Kind, Span
from dlmtrace.transport.connections import Connection, Endpoint
from dlmtrace.views.info_text import Table
from dlmtrace.views.places import Places
from dlmtrace.views.streams_text import draw, span_line, tables
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import TimeFormat

START = 1_795_324_693_000_000_000  # 2026-11-22T05:18:13Z
TABLE = Table("Streams", ("stream", ">sent", "numbers"), [("1→2", "8883", "0-8882"), ("10→2", "7", "0-6")])


def places(terminal: Terminal, times: TimeFormat = TimeFormat.UTC) -> Places:
    return Places(terminal, times, [FileSummary("one.pcap", "pcap", 9, 9, START, START, [1])], {})


def test_columns_are_aligned_and_numbers_end_at_the_right() -> None:
    assert list(draw(TABLE, Terminal())) == [
        "Streams",
        "  stream  sent  numbers",
        "  1→2     8883  0-8882",
        "  10→2       7  0-6",
    ]


@pytest.mark.parametrize(("width", "columns"), [(200, 3), (23, 3), (22, 2), (10, 2)])
def test_a_terminal_shows_the_columns_that_fit(width: int, columns: int) -> None:
    lines = list(draw(TABLE, Terminal(width)))
    assert [len(line.split()) for line in lines[1:]] == [columns] * 3
    assert ("1 more column" in lines[0]) == (columns == 2)
    assert all(len(line) <= width for line in lines[1:])


def test_nothing_seen_makes_empty_tables() -> None:
    empty = [table.rows for table in tables(Analysis(), ByConnection(), places(Terminal()))]
    assert empty == [[], []]


def span(kind: Kind, first: int, last: int, took: int = 0) -> Span:
    return Span(START + 1_500_000_000, 1599, kind, first, last, 3, START + 1_500_000_000 + took)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (span("sent", 795, 798, 1_656_761_000), "sent      795-798             4 frames in 1.656761 s"),
        (span("resent", 2**32 + 5, 2**32 + 5), "resent    5                    1 frame"),
        (span("missing", 2**32 - 6, 2**32 + 3), "missing   4294967290-3       10 frames"),
    ],
)
def test_a_span_is_a_line(line: Span, text: str) -> None:
    assert span_line(line, "", Terminal(), places(Terminal())) == f"2026-11-22T05:18:14.500000Z    1599 c4    {text}"


def test_lines_of_several_streams_name_theirs() -> None:
    relative = places(Terminal(), TimeFormat.RELATIVE)
    assert span_line(span("confirmed", 0, 9), "2→1", Terminal(), relative).startswith(
        "2→1 1.500000    1599 c4    confirmed"
    )


def test_a_terminal_has_the_time_of_day_in_lines_that_fit() -> None:
    narrow = Terminal(60, True)
    line = span_line(span("resent", 795, 798, 1), "", narrow, places(narrow))
    assert line.startswith("\x1b[33m05:18:14.500000    1599 c4    resent    795-798")
    assert len(line.removeprefix("\x1b[33m").removesuffix("\x1b[0m")) <= 60


def test_gaps_of_a_connection_stand_beside_its_numbers() -> None:
    by_connection = ByConnection()
    ends = Endpoint(0, 1, 40000), Endpoint(0, 2, 21064)
    by_connection.connections[0] = Connection(0, "tcp", *ends, 1, START, ended_by="rst")
    sent = by_connection.sent[0, 0] = Sent(frames=9, acks=2, last_ack=810)
    sent.add_numbers(np.array([795, 796, 799, 799, 800, 807], np.int64))
    by_connection.connections[0].directions[0].hole_bytes = 960
    table = list(tables(Analysis(), by_connection, places(Terminal())))[1]
    assert table.rows == [["c1", "?→?", "9", "6", "1", "795-807", "797-798, 801-806", "2", "810", "960", "rst"]]
