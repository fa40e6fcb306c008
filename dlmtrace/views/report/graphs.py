"""Graphs for the page: the drawing, and beside it the points as JSON for the script that zooms and names them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlmtrace.capture.packets import PACKET_BITS
from dlmtrace.streams.numbers import MASK
from dlmtrace.streams.series import HOLE, LEFT_OUT, RESENT, thin_points
from dlmtrace.views.graph import MARK_NAMES, Graph
from dlmtrace.views.graph_svg import Picture, drawing
from dlmtrace.views.report.markup import Markup, element
from dlmtrace.views.scale import DAY

_MICROSECOND = 1000
_NUMBER = (1 << PACKET_BITS) - 1


class Graphs:
    """Makes figures.  ``room`` is how many characters the names of frames may take on the page, over all graphs."""

    def __init__(self, texts: Sequence[str], files: Sequence[str], room: int) -> None:
        self._texts, self._files, self._room = texts, files, room

    def figure(self, graph: Graph, identity: str, width: int, height: int, share: int) -> Markup:
        """The figure of a graph; ``share``: how many graphs share the room for names."""
        picture = Picture(graph, width, height)
        data = json.dumps(self._data(picture, self._room // share), separators=(",", ":"))
        parts = (
            element("div", *(_button(*each) for each in _BUTTONS), class_="tools"),
            Markup(drawing(picture)),
            element("script", Markup(data.replace("<", "\\u003c")), type="application/json"),
        )
        return element("figure", *parts, id=identity, class_="plotted", tabindex=0, data_height=height)

    def _data(self, picture: Picture, room: int) -> dict[str, Any]:
        """Columns of the points, each the difference to the point before, and rows of the marks."""
        graph, across, up = picture.graph, picture.across, picture.up
        points = graph.points
        texts, places = self._named(graph, room)
        data: dict[str, Any] = {
            "stream": graph.name,
            "day": graph.start % DAY // _MICROSECOND,
            "date": graph.start // DAY,
            "x": [across.begin / _MICROSECOND, across.room / _MICROSECOND],
            "y": [up.begin, up.room],
            "low": graph.low,
            "span": (graph.until - graph.start) / _MICROSECOND,
            "rise": graph.high - graph.low,
            "t": _steps((points["time"] - graph.start) // _MICROSECOND),
            "n": _steps(points["number"] - graph.low),
            "p": _steps(points["packet"] & _NUMBER),
            "k": "".join(map(str, points["kind"].tolist())),
            "c": _steps(points["connection"].astype(np.int64)),
            "m": (points["count"] - 1).tolist(),
            "s": places,
            "texts": texts,
            "marks": [
                [
                    (int(mark["time"]) - graph.start) // _MICROSECOND,
                    MARK_NAMES[int(mark["kind"])],
                    int(mark["packet"]) & _NUMBER,
                    int(mark["packet"]) >> PACKET_BITS,
                    _told(mark),
                ]
                for mark in graph.marks
            ],
        }
        if len(self._files) > 1:
            data["f"] = _steps(points["packet"] >> PACKET_BITS)
            data["files"] = self._files
        return data

    def _named(self, graph: Graph, room: int) -> tuple[list[str], list[int]]:
        """Texts, and which one belongs to each point; as many as there is room for, those of resends first."""
        kept: dict[int, int] = {0: 0}
        texts = [""]
        order = np.argsort(graph.points["kind"] != RESENT, kind="stable")
        for place in graph.points["text"][order].tolist():
            if place not in kept and room > 0:
                kept[place] = len(texts)
                texts.append(self._texts[place])
                room -= len(texts[-1]) + 3
        return texts, [kept.get(place, 0) for place in graph.points["text"].tolist()]


def sparse(graph: Graph, capacity: int) -> Graph:
    """The graph with about so many points: of those that share a place the first and the last."""
    width = max((graph.until - graph.start) * 8 // capacity, 1)
    while len(graph.points) > capacity and width <= graph.until - graph.start:
        graph.points = thin_points(graph.points, width)
        width *= 2
    return graph


def _told(mark: Any) -> str:
    """What a mark says beside its name and packet."""
    kind, count, first, last = (int(mark[name]) for name in ("kind", "count", "first", "last"))
    told = f"c{int(mark['connection']) + 1}"
    if kind == HOLE:
        told += f", {last} bytes not captured" + ("" if mark["forward"] else " of the other direction")
    elif kind == LEFT_OUT:
        told += f", {first & MASK}–{last & MASK} left out" if first < last else f", {first & MASK} left out"
    return told + (f", {count} of them" if count > 1 else "")


def _steps(column: Any) -> list[int]:
    steps: list[int] = np.diff(column, prepend=0).tolist()
    return steps


_BUTTONS = (("in", "+", "Zoom in"), ("out", "−", "Zoom out"), ("all", "⤢", "Show all"))


def _button(action: str, sign: str, label: str) -> Markup:
    return element("button", Markup(sign), type="button", data_do=action, aria_label=label, title=label)
