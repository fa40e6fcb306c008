"""The cluster as a drawing: nodes, and an arrow for each stream with its version and its state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dlmtrace.findings.catalogue import CATALOGUE, severity
from dlmtrace.streams.results import Finding, Severity, Stream
from dlmtrace.views.places import Places
from dlmtrace.views.report.markup import Markup, element, text

NODES = 16
"""Nodes that are drawn."""

LABELLED = 3
"""Up to so many nodes every stream has its words; with more only those that are not quiet."""

_RADIUS = 26
_INSIDE = 4
"""Letters that fit into a node."""


@dataclass(frozen=True, slots=True)
class State:
    """What a stream is like: how grave, and in a few words."""

    level: Severity | None
    words: str


def state_of(stream: Stream, findings: Sequence[Finding]) -> State:
    """The gravest that was found, or how the stream ended; ``findings`` come gravest first."""
    every = [each for each in findings if (each.sender, each.receiver) == (stream.sender, stream.receiver)]
    own = [each for each in every if not each.code.startswith("CAP")]
    level = severity(own[0]) if own else "note"
    if level != "note":
        names = list(dict.fromkeys(CATALOGUE[each.code].name for each in own if severity(each) == level))
        return State(level, names[0] + (f" +{len(names) - 1}" if len(names) > 1 else ""))
    if every and severity(every[0]) != "note":
        return State("warning", "capture incomplete")
    ended = stream.epochs[-1].ended_by if stream.epochs else None
    words = {"fin": "ended by FIN", "restart": "restarted", "open": "still open", None: "no numbers"}
    return State(None, words[ended])


def cluster(nodes: Sequence[int], streams: Sequence[Stream], findings: Sequence[Finding], places: Places) -> Markup:
    """The drawing as SVG."""
    shown = [node for node in nodes if node >= 0][:NODES]
    width, height = {0: (480, 130), 1: (480, 130), 2: (480, 130), 3: (600, 340)}.get(len(shown), (600, 450))
    where = _placed(shown, width, height)
    parts = list(_defs())
    drawn = [stream for stream in streams if stream.sender in where and stream.receiver in where]
    states = {(stream.sender, stream.receiver): state_of(stream, findings) for stream in drawn}
    parts += [_arrow(stream, where, states[stream.sender, stream.receiver], places) for stream in drawn]
    for pair in dict.fromkeys((min(pair), max(pair)) for pair in states):
        both = [stream for stream in drawn if {stream.sender, stream.receiver} == set(pair)]
        told = [(each, states[each.sender, each.receiver]) for each in both]
        if len(shown) > LABELLED:
            told = [(each, state) for each, state in told if state.level is not None]
        parts += _labels(told, where[pair[0]], where[pair[1]], places)
    for node, (x, y) in where.items():
        circle = element("circle", cx=f"{x:g}", cy=f"{y:g}", r=_RADIUS)
        words = places.node(node)
        below = 6 if len(words) <= _INSIDE else _RADIUS + 17
        name = element("text", text(words), x=f"{x:g}", y=f"{y + below:g}", text_anchor="middle")
        parts.append(element("g", circle, name, class_="node"))
    label = f"{len(shown)} nodes and {len(drawn)} streams"
    return element(
        "svg", *parts, class_="cluster", role="img", aria_label=label, viewBox=f"0 0 {width} {height}", width=width
    )


def _defs() -> Iterator[Markup]:
    for name in ("quiet", "warning", "error"):
        path = element("path", d="M0 0L10 5L0 10z", class_=f"head {name}")
        marker = element(
            "marker", path, id=f"head-{name}", viewBox="0 0 10 10", refX=9, refY=5, markerWidth=7, markerHeight=7,
            orient="auto",
        )  # fmt: skip
        yield element("defs", marker)


def _placed(nodes: Sequence[int], width: int, height: int) -> dict[int, tuple[float, float]]:
    if len(nodes) <= 2:
        places = ((_RADIUS + 14, height / 2), (width - _RADIUS - 14, height / 2))
        return dict(zip(nodes, places, strict=False))
    turn = 2 * math.pi / len(nodes)
    across = width / 2 - _RADIUS - (34 if len(nodes) <= LABELLED else 14)
    up = height / 2 - _RADIUS - 14
    lower = 20 if len(nodes) == 3 else 0  # a triangle does not reach down to the lower edge
    return {
        node: (width / 2 + across * math.sin(number * turn), height / 2 - up * math.cos(number * turn) + lower)
        for number, node in enumerate(nodes)
    }


def _arrow(stream: Stream, where: dict[int, tuple[float, float]], state: State, places: Places) -> Markup:
    """Two streams of a pair bow to either side."""
    (x1, y1), (x2, y2) = where[stream.sender], where[stream.receiver]
    distance = math.hypot(x2 - x1, y2 - y1) or 1.0
    along, aside = ((x2 - x1) / distance, (y2 - y1) / distance), ((y2 - y1) / distance, -(x2 - x1) / distance)
    bow = 56 if len(where) <= LABELLED else 22
    middle = (x1 + x2) / 2 + aside[0] * bow, (y1 + y2) / 2 + aside[1] * bow
    start = x1 + along[0] * _RADIUS + aside[0] * 12, y1 + along[1] * _RADIUS + aside[1] * 12
    end = x2 - along[0] * (_RADIUS + 3) + aside[0] * 12, y2 - along[1] * (_RADIUS + 3) + aside[1] * 12
    kind = state.level or "quiet"
    path = element(
        "path",
        element("title", text(_words(stream, state, places))),
        class_=f"arrow {kind}",
        d=f"M{start[0]:.1f} {start[1]:.1f}Q{middle[0]:.1f} {middle[1]:.1f} {end[0]:.1f} {end[1]:.1f}",
        marker_end=f"url(#head-{kind})",
    )
    return element("a", path, href=f"#g{stream.sender}-{stream.receiver}")


def _labels(
    told: Sequence[tuple[Stream, State]], one: tuple[float, float], other: tuple[float, float], places: Places
) -> Iterator[Markup]:
    """A pair's words, a line for each stream, between its two arrows."""
    x, y = (one[0] + other[0]) / 2, (one[1] + other[1]) / 2 + 5 - 9 * (len(told) - 1)
    for line, (stream, state) in enumerate(told):
        place = {"x": f"{x:.1f}", "y": f"{y + 18 * line:.1f}", "text_anchor": "middle"}
        kind = state.level or "quiet"
        yield element("text", text(_words(stream, state, places)), class_=f"label {kind}", **place)


def _words(stream: Stream, state: State, places: Places) -> str:
    return f"{places.stream(stream.sender, stream.receiver)} · {stream.version or '?'} · {state.words}"
