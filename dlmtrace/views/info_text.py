"""What a capture holds, as tables for people, drawn from the object of ``views.info``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from dlmtrace.capture.link import LINK_NAMES, RAW, TYPED
from dlmtrace.views.terminal import Terminal
from dlmtrace.wire.names import escape

CONNECTIONS_SHOWN = 50
"""Connections in the text; JSON has more."""


GUTTER = 3
"""Columns of a terminal between two columns of a table."""


class Table(NamedTuple):
    """A title, the titles of the columns (numbers are right-aligned, and theirs begin with >), and the rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(info: dict[str, Any]) -> list[Table]:
    """The object as tables; those that would be empty are left out."""
    found = [
        _files(info),
        _totals(info),
        _kinds(info),
        _lockspaces(info),
        _nodes(info),
        _connections(info),
        _other(info),
    ]
    return [table for table in found if table.rows]


def plain_text(info: dict[str, Any]) -> str:
    """The tables as aligned text, never cut."""
    return "\n".join(_aligned(table) for table in tables(info))


def print_tables(info: dict[str, Any], terminal: Terminal) -> None:
    """The tables on standard output, a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(width=terminal.width, no_color=not terminal.colours, highlight=False)
    for table in tables(info):
        drawn = RichTable(
            title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
        )
        shown = _fitting(table, console.width)
        if shown < len(table.columns):
            drawn.caption = f"(a wider terminal shows {len(table.columns) - shown} columns more)"
            drawn.caption_justify = "left"
        for column in table.columns[:shown]:
            drawn.add_column(
                Text(column.removeprefix(">")), justify="right" if column[:1] == ">" else "left", overflow="fold"
            )
        for row in table.rows:
            drawn.add_row(*map(Text, row[:shown]))
        console.print(drawn)


def _widths(table: Table) -> list[int]:
    cells = [[column.removeprefix(">") for column in table.columns], *table.rows]
    return [max(len(row[place]) for row in cells) for place in range(len(table.columns))]


def _fitting(table: Table, width: int) -> int:
    """How many of the columns, the most telling ones first, fit beside each other; at least two."""
    ends = accumulate(_widths(table), lambda end, column: end + GUTTER + column)
    return max(2, sum(end <= width for end in ends))


def _aligned(table: Table) -> str:
    cells = [[column.removeprefix(">") for column in table.columns], *table.rows]
    widths = _widths(table)
    lines = [table.title]
    for row in cells:
        padded = (
            cell.rjust(width) if column[:1] == ">" else cell.ljust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        )
        lines.append(f"  {'  '.join(padded)}".rstrip())
    return "\n".join(lines) + "\n"


def _files(info: dict[str, Any]) -> Table:
    rows = [
        (
            escape(file["name"]),
            str(file["packets"]),
            _size(file["bytes"]),
            file["format"],
            ", ".join(map(_link, file["link_types"])),
            _moment(file["first_time"]),
            _moment(file["last_time"]),
        )
        for file in info["capture"]["files"]
    ]
    columns = ("file", ">packets", ">size", "format", "link", "first packet (UTC)", "last packet (UTC)")
    return Table("Files", columns, rows)


def _totals(info: dict[str, Any]) -> Table:
    capture, loss = info["capture"], info["loss"]
    not_whole = ", ".join(f"{count} {state}" for state, count in loss["frames_not_whole"].items() if count)
    rows = [
        ("first packet (UTC)", _moment(capture["first_time"])),
        ("last packet (UTC)", _moment(capture["last_time"])),
        ("packets with DLM", f"{capture['dlm_packets']} of {capture['packets']}"),
        ("frames", f"{capture['frames']}, {_size(capture['frame_bytes'])}"),
        ("protocol versions", ", ".join(f"{version} ({count})" for version, count in info["versions"].items())),
        ("frames not whole", not_whole),
        ("holes", f"{loss['holes']}, {_size(loss['hole_bytes'])}" if loss["holes"] else ""),
    ]
    rows += [(limit["code"], escape(limit["message"])) for limit in info["limits"]]
    return Table("Capture", ("what", "how much"), [row for row in rows if row[1]])


def _kinds(info: dict[str, Any]) -> Table:
    total = info["capture"]["frames"]
    rows = [
        (kind["command"], kind["type"] or "", str(kind["frames"]), f"{100 * kind['frames'] / total:.1f} %")
        for kind in info["kinds"]
    ]
    return Table("Frames", ("command", "type", ">frames", ">share"), rows)


def _lockspaces(info: dict[str, Any]) -> Table:
    rows = [(space["lockspace"], space["name"] or "", str(space["frames"])) for space in info["lockspaces"]]
    return Table("Lockspaces", ("id", "name", ">frames"), rows)


def _nodes(info: dict[str, Any]) -> Table:
    rows = [
        (str(node["node"]), ", ".join(node["addresses"]), ", ".join(node["versions"]), str(node["frames_sent"]))
        for node in info["nodes"]
    ]
    return Table("Nodes", (">node", "addresses", "versions", ">frames sent"), rows)


def _connections(info: dict[str, Any]) -> Table:
    rows = []
    for connection in info["connections"][:CONNECTIONS_SHOWN]:
        client, server = connection["directions"]
        ends = "↔".join("?" if node is None else str(node) for node in (client["sender"], server["sender"]))
        rows.append(
            (
                connection["connection"],
                ends,
                connection["client"],
                connection["server"],
                f"{client['frames']} + {server['frames']}",
                f"{_size(client['bytes'])} + {_size(server['bytes'])}",
                connection["opened"][11:26],
                connection["closed"][11:26],
                "handshake" if connection["handshake_seen"] else "under way",
                connection["ended_by"],
                connection["transport"],
                str(client["tcp_retransmitted_segments"] + server["tcp_retransmitted_segments"]),
                str(client["holes"] + server["holes"]),
            )
        )
    more = len(info["connections"]) - len(rows) + info["more_connections"]
    title = f"Connections ({more} more are not shown)" if more else "Connections"
    columns = (
        "conn",
        "nodes",
        "client",
        "server",
        ">frames",
        ">bytes",
        "first packet",
        "last packet",
        "began",
        "ended",
        "over",
        ">resent",
        ">holes",
    )
    return Table(title, columns, rows)


def _other(info: dict[str, Any]) -> Table:
    other = info["other_packets"]
    rows = [(kind, str(count)) for kind, count in other["kinds"].items()]
    for transport in ("tcp", "sctp"):
        rows += [(f"{transport} port {port}", str(count)) for port, count in other[f"{transport}_ports"].items()]
    rows.sort(key=lambda row: -int(row[1]))
    return Table("Other packets", ("what", ">packets"), rows[:20])


def _link(number: int) -> str:
    if number in TYPED:
        return TYPED[number][0].removesuffix(" header")
    return "raw IP" if number in RAW else LINK_NAMES.get(number, f"link type {number}")


def _moment(time: str | None) -> str:
    """An ISO time with microseconds."""
    return "" if time is None else time[:26].replace("T", " ")


def _size(count: int) -> str:
    """Bytes in units of 1000, three digits."""
    size, units = float(count), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size >= 999.5 and unit != "TB":
        size, unit = size / 1000, next(units)
    return f"{size:.3g} {unit}"
