"""A time-sequence graph as SVG: a picture of its own, or a part of the report, whose script zooms the group ``world``.

All coordinates are pixels of the picture; a point is a line of no length with round ends, so that it keeps its size
when the world is scaled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.streams.series import ABANDONED, ACK, CLOSED, HOLE, LEFT_OUT, OPENED, RESENT, RESET
from dlmtrace.views.graph import MARK_NAMES, Graph
from dlmtrace.views.scale import Scale, number_ticks, time_of_day, time_ticks

LEFT, RIGHT, TOP, BOTTOM = 66, 14, 44, 52
"""Pixels around the plot: numbers, nothing, marks, connections and times."""

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1f2328",
    "faint": "#59636e",
    "grid": "#e4e8ec",
    "sent": "#0b62c4",
    "ack": "#1a7f4b",
    "again": "#d9730d",
    "bad": "#c81e2c",
    "warn": "#9a6700",
    "open": "#0e7c86",
    "band0": "#dde7f3",
    "band1": "#e9e2f5",
}
DARK = {
    "paper": "#11161d",
    "ink": "#e6edf3",
    "faint": "#9aa5b1",
    "grid": "#242c36",
    "sent": "#6cb0ff",
    "ack": "#4ccb8c",
    "again": "#ffab5e",
    "bad": "#ff7b72",
    "warn": "#e3b341",
    "open": "#56c8d3",
    "band0": "#1d2c42",
    "band1": "#2b2442",
}
"""Colours by name, for readers who prefer light and dark."""

RULES = """
.graph text{font:12px "DejaVu Sans",system-ui,sans-serif;fill:var(--faint)}
.graph .title{font-weight:600;font-size:14px;fill:var(--ink)}
.graph .paper{fill:var(--paper)}
.graph .grid{stroke:var(--grid);fill:none}
.graph .edge{stroke:var(--faint);fill:none;stroke-opacity:.6}
.graph .world *{fill:none;stroke-linecap:round;vector-effect:non-scaling-stroke}
.graph .sent{stroke:var(--sent);stroke-width:3.2px}
.graph .bare{stroke:var(--sent);stroke-width:3.2px}
.graph .again{stroke:var(--again);stroke-width:5px}
.graph .ack{stroke:var(--ack);stroke-width:1.4px;stroke-linejoin:bevel}
.graph .SYN{stroke:var(--open);stroke-width:1.2px;stroke-opacity:.75}
.graph .FIN{stroke:var(--faint);stroke-width:1.2px;stroke-dasharray:2 3}
.graph .RST,.graph .abandoned{stroke:var(--bad);stroke-width:1.4px;stroke-dasharray:7 4}
.graph .hole{stroke:var(--warn);stroke-width:2.5px;vector-effect:non-scaling-stroke}
.graph .gap{stroke:var(--warn);stroke-width:4px;stroke-opacity:.8}
.graph .world .lost{stroke:var(--bad);stroke-width:9px}
.graph .world .heart{stroke:var(--paper);stroke-width:4px}
.graph .world .stall{fill:var(--bad);fill-opacity:.09;stroke:none}
.graph .world .doubt{fill:var(--again);fill-opacity:.16;stroke:none}
.graph .band0{fill:var(--band0)}
.graph .band1{fill:var(--band1)}
.graph .tag.SYN{fill:var(--open);stroke:none}
.graph .tag.RST,.graph .tag.abandoned,.graph .tag.error,.graph .tag.lost{fill:var(--bad);stroke:none}
.graph .tag.hole,.graph .tag.gap,.graph .tag.warning{fill:var(--warn);stroke:none}
.graph .tag.FIN{fill:var(--faint);stroke:none}
.graph .tag.connection{fill:var(--ink)}
"""
"""The style of a graph; ``var(--name)`` are the colours."""

_ORDER = {RESET: 0, ABANDONED: 1, HOLE: 2, LEFT_OUT: 3, CLOSED: 4, OPENED: 5}
"""Which marks get their label first where there is not room for all."""

LABELLED_LOSSES, LABELLED_GAPS = 100, 12
"""Losses with a label, and holes and gaps that have one each; all are drawn."""

_LETTER = 7.2
"""Pixels of a letter in a label, at most."""


@dataclass(frozen=True)
class Picture:
    """Pixels of the whole picture, and how time and numbers lie in its plot."""

    graph: Graph
    width: int
    height: int

    @cached_property
    def plot(self) -> tuple[int, int]:
        """Width and height of the plot."""
        return self.width - LEFT - RIGHT, self.height - TOP - BOTTOM

    @cached_property
    def across(self) -> Scale:
        """Time."""
        return Scale(self.graph.start, self.graph.until, self.plot[0])

    @cached_property
    def up(self) -> Scale:
        """Numbers, from below."""
        return Scale(self.graph.low, self.graph.high, self.plot[1], 0.06)

    def x(self, time: int) -> float:
        """Pixels from the left edge of the plot."""
        return round(self.across.place(time), 2)

    def y(self, number: int) -> float:
        """Pixels from the upper edge of the plot."""
        return round(self.plot[1] - self.up.place(number), 2)


def standalone(graph: Graph, width: int = 1080, height: int = 480, dark: bool = True) -> str:
    """A file of its own; ``dark``: follows the reader's preference, else it is always light."""
    style = _coloured(LIGHT) + (f"@media (prefers-color-scheme:dark){{{_coloured(DARK)}}}" if dark else "")
    title = f"Stream {graph.name}"
    return drawing(Picture(graph, width, height), f"<style>{style}</style>", title, legend=True)


def _coloured(colours: dict[str, str]) -> str:
    """The rules with colours put in: not every reader of SVG knows variables."""
    return re.sub(r"var\(--(\w+)\)", lambda found: colours[found[1]], RULES)


def drawing(picture: Picture, style: str = "", title: str = "", legend: bool = False) -> str:
    """The svg element."""
    width, height = picture.plot
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="graph" role="img" '
        f'aria-label="{escape(_summary(picture.graph))}" width="{picture.width}" height="{picture.height}" '
        f'viewBox="0 0 {picture.width} {picture.height}">',
        style,
        f'<rect class="paper" width="{picture.width}" height="{picture.height}"/>',
        f'<g class="axes">{"".join(_axes(picture))}</g>',
        f'<svg class="plot" x="{LEFT}" y="{TOP}" width="{width}" height="{height}">'
        f'<g class="world">{"".join(_world(picture))}</g></svg>',
        f'<svg class="strip" x="{LEFT}" y="{TOP + height + 3}" width="{width}" height="16">'
        f'<g class="carriers">{"".join(_bands(picture))}</g></svg>',
        f'<rect class="edge" x="{LEFT}" y="{TOP}" width="{width}" height="{height}"/>',
        f'<g class="tags">{"".join(_tags(picture))}</g>',
    ]
    if title:
        parts.append(f'<text class="title" x="{LEFT}" y="14">{escape(title)}</text>')
    if legend:
        parts.append("".join(_legend(picture)))
    parts.append("</svg>")
    return "".join(parts)


def _summary(graph: Graph) -> str:
    frames = int(graph.points["count"][graph.points["kind"] != ACK].sum())
    return (
        f"Stream {graph.name}: {frames} frames from {time_of_day(graph.start)} to {time_of_day(graph.until)}, "
        f"numbers {graph.low} to {graph.high}"
    )


def _axes(picture: Picture) -> Iterator[str]:
    graph, (width, height) = picture.graph, picture.plot
    for number in number_ticks(graph.low, graph.high, max(height // 50, 2)):
        y = TOP + picture.y(number)
        yield f'<path class="grid" d="M{LEFT} {y:g}h{width}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{number & 0xFFFFFFFF}</text>'
    for time, text in time_ticks(graph.start, graph.until, max(width // 120, 2)):
        x = LEFT + picture.x(time)
        yield f'<path class="grid" d="M{x:g} {TOP}v{height}"/>'
        yield f'<text x="{x:g}" y="{TOP + height + 34}" text-anchor="middle">{text}</text>'
    unit = "UTC" if graph.numbered else "UTC; up: frames sent, they have no numbers"
    yield f'<text x="{LEFT + width}" y="{TOP + height + 48}" text-anchor="end">{unit}</text>'


def _world(picture: Picture) -> Iterator[str]:
    graph, height = picture.graph, picture.plot[1]
    for stall in graph.stalls:
        x = picture.x(max(stall.start, graph.start))
        until = picture.x(min(stall.until, graph.until))
        yield f'<path class="stall" d="M{x:g} 0H{until:g}V{height}H{x:g}z"/>'
    boxes = (
        (picture.x(each.start), picture.y(each.first), picture.x(each.until), picture.y(each.last))
        for each in graph.doubts
    )
    yield from _path("doubt", "".join(f"M{x:g} {low:g}H{until:g}V{high:g}H{x:g}z" for x, low, until, high in boxes))
    for kind in (OPENED, CLOSED, RESET, ABANDONED):
        times = graph.marks["time"][graph.marks["kind"] == kind]
        places = sorted({picture.x(time) for time in times.tolist()})
        yield from _path(MARK_NAMES[kind], "".join(f"M{x:g} 0v{height}" for x in places))
    gaps = (
        (picture.x(int(gap["time"])), picture.y(int(gap["first"])), picture.y(int(gap["last"])) - 0.01)
        for gap in graph.marks[graph.marks["kind"] == LEFT_OUT]
    )
    yield from _path("gap", "".join(f"M{x:g} {low:g}V{high:g}" for x, low, high in gaps))
    points = graph.points
    kinds = points["kind"]
    yield from _path("ack", _steps(picture, points[kinds == ACK]))
    yield from _path("sent", _dots(picture, points[(kinds != ACK) & (kinds != RESENT)]))
    yield from _path("again", _dots(picture, points[kinds == RESENT]))
    lost = "".join(
        f"M{picture.x(loss.time):g} {picture.y(loss.first):g}V{picture.y(loss.last) - 0.01:g}" for loss in graph.losses
    )
    for name in ("lost", "heart"):
        yield from _path(name, lost)


def _path(name: str, path: str) -> Iterator[str]:
    if path:
        yield f'<path class="{name}" d="{path}"/>'


def _hundredths(picture: Picture, points: npt.NDArray[Any]) -> tuple[list[int], list[int]]:
    """Places of points in hundredths of a pixel, so that steps from one to the next add up."""
    across, up = picture.across, picture.up
    x = ((points["time"] - across.first) - across.begin) / across.room * across.length * 100
    y = (up.length - ((points["number"] - up.first) - up.begin) / up.room * up.length) * 100
    return np.rint(x).astype(np.int64).tolist(), np.rint(y).astype(np.int64).tolist()


def _pixels(hundredths: int) -> str:
    return f"{hundredths / 100:g}" if abs(hundredths) < 100_000 else f"{hundredths / 100:.2f}"


def _dots(picture: Picture, points: npt.NDArray[Any]) -> str:
    path: list[str] = []
    before = (0, 0)
    for x, y in zip(*_hundredths(picture, points), strict=True):
        if (x, y) != before or not path:
            path.append(f"m{_pixels(x - before[0])} {_pixels(y - before[1])}h.01")
            before = x + 1, y  # the stroke of a point ends one hundredth further on
    return "".join(path)


def _steps(picture: Picture, points: npt.NDArray[Any]) -> str:
    """A staircase that begins anew where the numbers do."""
    path: list[str] = []
    before = (0, 0)
    for x, y in zip(*_hundredths(picture, points), strict=True):
        if not path or y > before[1]:
            path.append(f"M{_pixels(x)} {_pixels(y)}")
        elif y < before[1]:
            path.append(f"h{_pixels(x - before[0])}v{_pixels(y - before[1])}")
        else:
            continue
        before = x, y
    if path:
        path.append(f"H{picture.plot[0]}")  # the last one stands
    return "".join(path)


def _bands(picture: Picture) -> Iterator[str]:
    """Connections, and over them the holes."""
    carried = picture.graph.carried()
    for place, (_, start, _) in enumerate(carried):
        begin = picture.x(start) if place else 0
        end = picture.x(carried[place + 1][1]) if place + 1 < len(carried) else picture.plot[0]
        yield f'<rect class="band{place % 2}" x="{begin:g}" width="{max(end - begin, 0.5):g}" height="16"/>'
    holes = picture.graph.marks["time"][picture.graph.marks["kind"] == HOLE]
    yield from _path("hole", "".join(f"M{x:g} 0v16" for x in sorted({picture.x(time) for time in holes.tolist()})))


def _tags(picture: Picture) -> Iterator[str]:
    """Labels; ``data-x`` is the place in the world that each one belongs to, ``data-end`` how far it may reach."""
    graph, height = picture.graph, picture.plot[1]
    above: list[tuple[int, int, str, str]] = []
    for loss in graph.losses[:LABELLED_LOSSES]:
        count = loss.last - loss.first + 1
        above.append((-1, loss.time, f"{count} lost", "lost"))
    labelled = graph.marks
    for kind in (HOLE, LEFT_OUT):
        many = graph.marks[graph.marks["kind"] == kind]
        if len(many) > LABELLED_GAPS:
            labelled = labelled[labelled["kind"] != kind]
            words = f"{int(many['count'].sum())} {MARK_NAMES[kind]}s"
            above.append((_ORDER[kind], int(many["time"][0]), words, MARK_NAMES[kind]))
    for mark in labelled:
        kind, count = int(mark["kind"]), int(mark["count"])
        text = MARK_NAMES[kind] + (f" c{int(mark['connection']) + 1}" if kind not in (HOLE, LEFT_OUT) else "")
        above.append((_ORDER[kind], int(mark["time"]), text + (f" ×{count}" if count > 1 else ""), MARK_NAMES[kind]))
    yield from _row(picture, sorted(above), TOP - 6, "start")
    for note in sorted(graph.notes, key=lambda note: note.severity == "error"):
        x = LEFT + picture.x(note.time)
        diamond = (
            f'<path class="tag {note.severity}" data-x="{x - LEFT:g}" d="M{x:g} {TOP - 27}l5 5l-5 5l-5-5z">'
            f"<title>{note.code}</title></path>"
        )
        yield diamond if note.row is None else f'<a href="#f{note.row}">{diamond}</a>'
    carried = graph.carried()
    for place, (connection, start, _) in enumerate(carried):
        begin = picture.x(start) if place else 0
        end = picture.x(carried[place + 1][1]) if place + 1 < len(carried) else picture.plot[0]
        text = f"c{connection + 1}"
        hidden = "" if end - begin > len(text) * _LETTER + 6 else ' visibility="hidden"'
        yield (
            f'<text class="tag connection" data-x="{begin:g}" data-end="{end:g}" x="{LEFT + begin + 4:g}" '
            f'y="{TOP + height + 15}"{hidden}>{text}</text>'
        )


def _row(picture: Picture, labels: Iterable[tuple[int, int, str, str]], y: int, anchor: str) -> Iterator[str]:
    """Labels (rank, time, text, class) beside each other; one that has no room is there, but hidden."""
    taken: list[tuple[float, float]] = []
    for _, time, text, kind in labels:
        x = picture.x(time)
        begin = min(x, picture.plot[0] - len(text) * _LETTER)
        end = begin + len(text) * _LETTER + 4
        free = all(end <= low or begin >= high for low, high in taken)
        if free:
            taken.append((begin, end))
        hidden = "" if free else ' visibility="hidden"'
        yield f'<text class="tag {kind}" data-x="{x:g}" x="{LEFT + begin:g}" y="{y}"{hidden}>{escape(text)}</text>'


def _legend(picture: Picture) -> Iterator[str]:
    present = picture.graph.points["kind"]
    entries = [("sent", "sent")]
    if (present == RESENT).any():
        entries.append(("again", "sent again"))
    if (present == ACK).any():
        entries.append(("ack", "acknowledged"))
    if picture.graph.losses:
        entries.append(("lost", "lost"))
    x = picture.width - RIGHT - sum(len(text) * _LETTER + 36 for _, text in entries)
    for name, text in entries:
        path = f"M{x + 7:g} 8h.01" if name != "ack" else f"M{x:g} 8h14"
        signs = [name, "heart"] if name == "lost" else [name]
        yield f'<g class="world">{"".join(each for sign in signs for each in _path(sign, path))}</g>'
        yield f'<text x="{x + 19:g}" y="12">{text}</text>'
        x += len(text) * _LETTER + 36
