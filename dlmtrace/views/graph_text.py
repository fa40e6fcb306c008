"""A time-sequence graph in characters: a cell has 2 by 4 dots of Braille, in the colour of the gravest thing in it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dlmtrace.streams.series import ABANDONED, ACK, CLOSED, HOLE, LEFT_OUT, OPENED, RESENT, RESET
from dlmtrace.views.analysis_text import many
from dlmtrace.views.graph import Graph
from dlmtrace.views.prose import coloured
from dlmtrace.views.scale import Scale, number_ticks, time_ticks
from dlmtrace.views.terminal import BOLD, CYAN, DIM, RED, YELLOW, Terminal

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a Braille character by column and row of its dots."""

_BLANK = 0x2800
_LINES = {OPENED: ("┊", CYAN), CLOSED: ("┊", DIM), HOLE: ("╎", YELLOW), ABANDONED: ("╎", RED), RESET: ("╎", RED)}
"""Marks that are lines from top to bottom, later ones over earlier ones."""

_GUTTER = 11
"""Columns before the plot: numbers."""


class _Canvas:
    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = np.zeros((height, width), np.int64)
        self._ranks = np.zeros((height, width), np.int64)
        self._lines: dict[int, tuple[str, str]] = {}

    def dot(self, x: int, y: int, rank: int) -> None:
        """A dot, counted from the lower left; of the ranks in a cell the highest gives its colour."""
        x, y = min(x, 2 * self.width - 1), 4 * self.height - 1 - min(y, 4 * self.height - 1)
        self._bits[y // 4, x // 2] |= _DOTS[x % 2][y % 4]
        self._ranks[y // 4, x // 2] = max(self._ranks[y // 4, x // 2], rank)

    def line(self, x: int, letter: str, colour: str) -> None:
        """A line from top to bottom, behind the dots."""
        self._lines[min(x // 2, self.width - 1)] = letter, colour

    def rows(self, terminal: Terminal) -> Iterator[str]:
        """Rows from above."""
        for bits, ranks in zip(self._bits.tolist(), self._ranks.tolist(), strict=True):
            row = ""
            for x, (dots, rank) in enumerate(zip(bits, ranks, strict=True)):
                letter, colour = (chr(_BLANK | dots), _COLOURS[rank]) if dots else self._lines.get(x, (" ", ""))
                row += coloured(letter, colour, terminal) if colour else letter
            yield row.rstrip()


_ACK, _SENT, _AGAIN, _LOST = range(4)
_COLOURS = (DIM, "", YELLOW, RED)


def drawn(graph: Graph, terminal: Terminal, width: int, height: int) -> Iterator[str]:
    """The graph as lines of at most ``width`` columns, about ``height`` of them."""
    plot_width, plot_height = max(width - _GUTTER, 20), max(height - 5, 5)
    across = Scale(graph.start, graph.until, 2 * plot_width - 1)
    up = Scale(graph.low, graph.high, 4 * plot_height - 1)
    canvas = _Canvas(plot_width, plot_height)
    for kind, (letter, colour) in _LINES.items():
        for time in graph.marks["time"][graph.marks["kind"] == kind].tolist():
            canvas.line(int(across.place(time)), letter, colour)
    _draw_acks(canvas, graph, across, up)
    for point in graph.points[graph.points["kind"] != ACK]:
        rank = _AGAIN if point["kind"] == RESENT else _SENT
        canvas.dot(int(across.place(int(point["time"]))), int(up.place(int(point["number"]))), rank)
    gaps = [
        (int(gap["time"]), int(gap["first"]), int(gap["last"])) for gap in graph.marks[graph.marks["kind"] == LEFT_OUT]
    ]
    for time, first, last in [*gaps, *((loss.time, loss.first, loss.last) for loss in graph.losses)]:
        for y in range(int(up.place(first)), int(up.place(last)) + 1):
            canvas.dot(int(across.place(time)), y, _LOST)
    yield from _framed(graph, canvas, across, up, terminal)


def _draw_acks(canvas: _Canvas, graph: Graph, across: Scale, up: Scale) -> None:
    """Along the time that an ACK was the last one."""
    acks = graph.points[graph.points["kind"] == ACK]
    places = [int(across.place(time)) for time in acks["time"].tolist()]
    for x, until, number in zip(
        places, [*places[1:], int(across.place(graph.until))], acks["number"].tolist(), strict=False
    ):
        for each in range(x, max(until, x + 1)):
            canvas.dot(each, int(up.place(number)), _ACK)


def _framed(graph: Graph, canvas: _Canvas, across: Scale, up: Scale, terminal: Terminal) -> Iterator[str]:
    frames = int(graph.points["count"][graph.points["kind"] != ACK].sum())
    again = int(graph.points["count"][graph.points["kind"] == RESENT].sum())
    told = [many(frames, "frame"), *([f"{again} sent again"] if again else [])]
    told += [f"{many(loss.last - loss.first + 1, 'frame')} lost ({loss.reconnect})" for loss in graph.losses[:3]]
    yield terminal.line(f"Stream {graph.name}: {', '.join(told)}", BOLD)
    labels = {
        int(up.place(number)) // 4: str(number) for number in number_ticks(graph.low, graph.high, canvas.height // 4)
    }
    for row, text in enumerate(canvas.rows(terminal)):
        yield f"{labels.get(canvas.height - 1 - row, ''):>{_GUTTER - 2}} │{text}"
    times = " " * canvas.width
    for time, text in time_ticks(graph.start, graph.until, max(canvas.width // 14, 2)):
        place = int(across.place(time)) // 2
        if place + len(text) <= canvas.width:
            times = times[:place] + text + times[place + len(text) :]
    yield f"{'':>{_GUTTER - 1}}└{'─' * canvas.width}"
    yield f"{'UTC':>{_GUTTER - 2}}  {times}".rstrip()
    key = [("sent", ""), ("sent again", YELLOW), ("lost or left out", RED), ("acknowledged", DIM)]
    key = key if terminal.colours else [("flat: acknowledged", "")]
    key += [("┊ SYN, FIN", CYAN), ("╎ RST, hole", RED)]
    yield f"{'':>{_GUTTER}}" + "  ".join(coloured(text, colour, terminal) for text, colour in key)
