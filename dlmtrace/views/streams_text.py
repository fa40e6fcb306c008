"""Streams as text for people: a table of node pairs, a table of connections, and one stream in order of time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.by_connection import ByConnection, Sent
from dlmtrace.streams.numbers import MASK
from dlmtrace.streams.results import Epoch, Stream
from dlmtrace.streams.timeline import Span
from dlmtrace.views.analysis import streams_seen
from dlmtrace.views.analysis_text import listed, many, numbers
from dlmtrace.views.info_text import Table
from dlmtrace.views.places import Places
from dlmtrace.views.prose import coloured
from dlmtrace.views.terminal import BOLD, DIM, RED, YELLOW, Terminal
from dlmtrace.views.times import SECOND

_KINDS = {"sent": "", "confirmed": DIM, "resent": YELLOW, "missing": RED}
_GUTTER = 2


def tables(analysis: Analysis, by_connection: ByConnection, places: Places) -> Iterator[Table]:
    """Streams, a row for each epoch of one; then what each side sent on each connection."""
    rows = [_stream(stream, epoch, places) for stream in streams_seen(analysis) for epoch in stream.epochs or (None,)]
    columns = (
        "stream",
        ">sent",
        ">delivered",
        ">again",
        "numbers",
        "never seen",
        ">highest ACK",
        "ended",
        "version",
        ">frames",
        "connections",
    )
    yield Table("Streams", columns, rows)
    sides = [
        _side(analysis, by_connection, places, index, side)
        for index in sorted(by_connection.connections)
        for side in (0, 1)
        if (index, side) in by_connection.sent
    ]
    title = "Connections"
    if by_connection.more_connections:
        title += f" ({by_connection.more_connections} more are not shown)"
    columns = (
        "conn",
        "stream",
        ">frames",
        ">numbered",
        ">again",
        "numbers",
        "gaps",
        ">ACKs",
        ">last ACK",
        ">hole bytes",
        "ended",
    )
    yield Table(title, columns, sides)


def _stream(stream: Stream, epoch: Epoch | None, places: Places) -> list[str]:
    told = [""] * 7
    if epoch is not None:
        told = [
            str(epoch.frames - epoch.duplicates),
            str(epoch.delivered),
            str(epoch.duplicates),
            numbers([(epoch.seq_first, epoch.seq_last)]),
            numbers(epoch.missing),
            "" if epoch.confirmed_to is None else str(epoch.confirmed_to),
            epoch.ended_by,
        ]
    version = stream.version or ""
    return [
        places.stream(stream.sender, stream.receiver),
        *told,
        version,
        str(stream.frames),
        listed(stream.connections),
    ]


def _side(analysis: Analysis, by_connection: ByConnection, places: Places, index: int, side: int) -> list[str]:
    connection, sent = by_connection.connections[index], by_connection.sent[index, side]
    return [
        connection.name,
        places.stream(*(analysis.nodes.node_at(connection, end) for end in (side, 1 - side))),
        str(sent.frames),
        str(sent.numbered),
        str(sent.again),
        *_numbers(sent),
        str(sent.acks),
        "" if sent.last_ack is None else str(sent.last_ack),
        str(connection.directions[side].hole_bytes),
        connection.ended_by,
    ]


def _numbers(sent: Sent) -> tuple[str, str]:
    """From the first to the last number, and what is left out in between."""
    ranges = sent.numbers
    return (numbers([(ranges[0][0], ranges[-1][1])]), numbers(sent.gaps)) if ranges else ("", "")


def draw(table: Table, terminal: Terminal) -> Iterator[str]:
    """A table as aligned lines; of its columns as many as fit on a terminal, at least two."""
    cells = [[column.removeprefix(">") for column in table.columns], *table.rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(table.columns))]
    shown = len(widths)
    if terminal.width is not None:
        ends = accumulate(widths, lambda end, width: end + _GUTTER + width, initial=0)
        shown = max(2, sum(end <= terminal.width for end in list(ends)[1:]))
    hidden = len(widths) - shown
    yield coloured(
        table.title + (f" (a wider terminal shows {many(hidden, 'more column')})" if hidden else ""), BOLD, terminal
    )
    for row in cells:
        padded = (
            cell.rjust(width) if column[:1] == ">" else cell.ljust(width)
            for cell, width, column in zip(row[:shown], widths, table.columns, strict=False)
        )
        yield terminal.line(f"  {'  '.join(padded)}".rstrip())


def span_line(span: Span, stream: str, terminal: Terminal, places: Places) -> str:
    """One span of a stream; ``stream`` stands in front, if not empty, when lines of several are mixed."""
    count = span.last - span.first + 1
    told = numbers([(span.first & MASK, span.last & MASK)])
    took = f" in {(span.until - span.time) / SECOND:.6f} s" if span.until > span.time else ""
    where = f"{places.moment(span.time)} {places.packet(span.packet):>7} c{span.connection + 1:<4}"
    text = f"{stream}{' ' if stream else ''}{where} {span.kind:9} {told:15} {many(count, 'frame'):>12}{took}"
    return terminal.line(text, _KINDS[span.kind])
