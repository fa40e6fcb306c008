"""The sequence diagram on a terminal or as plain text, a line for each arrow."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import set_cell_size
from rich.text import Text

from dlmtrace.streams.fates import Fate
from dlmtrace.views.excerpt import Item
from dlmtrace.views.ladder import LEGEND, Ladder
from dlmtrace.views.places import Places

COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")
"""Of connections; red is for what went wrong."""

NARROWEST = 12
"""Columns between two lanes in which an arrow still has room for a word."""

_LEGEND = {"resent": "╌╌▶", "lost": "──✗", "ignored": "──▷", "hole": "┈┈▶"}


class TooNarrow(Exception):
    """The lanes do not fit; the message is the number of columns that they need."""


class LadderText:
    """Makes the lines of a ladder, ``width`` columns wide.  Raises TooNarrow."""

    def __init__(self, ladder: Ladder, places: Places, width: int) -> None:
        self._ladder, self._places, self._width = ladder, places, width
        moments = [places.moment(item.time) for item in ladder.items if item.connection is not None]
        packets = [places.packet(item.packet) for item in ladder.items if item.connection is not None]
        self._moment_width = max(map(len, ["time", *moments]))
        self._packet_width = max(map(len, ["packet", *packets]))
        margin = self._moment_width + self._packet_width + 3
        lanes = len(ladder.headings)
        self._lanes = [margin]
        if lanes > 1:
            gap = (width - margin - 2) // (lanes - 1)
            if gap < NARROWEST:
                raise TooNarrow(str(margin + 2 + NARROWEST * (lanes - 1)))
            self._lanes = [margin + number * gap for number in range(lanes)]

    def lines(self) -> Iterator[Text]:
        """A line of headings, the arrows, and what the marks mean."""
        yield self._headings()
        before = None
        for item in self._ladder.items:
            if item.connection is None:
                yield Text(f"{'':{self._lanes[0]}}… {item.label}", style="dim")
                before = None
                continue
            # What one packet brought stands below its number and time.
            told = None if before == item.packet else item
            before = item.packet
            yield self._arrow(item, told)
        yield from self._legend()

    def _headings(self) -> Text:
        line = Text("time".ljust(self._moment_width) + " " + "packet".rjust(self._packet_width), style="bold")
        ends = [*self._lanes[1:], self._width + 1]
        for lane, end, heading in zip(self._lanes, ends, self._ladder.headings, strict=True):
            last = lane == self._lanes[-1] and lane != self._lanes[0]
            room = self._width - 2 if last else end - lane - 2
            shown = heading if len(heading) <= room else heading[: room - 1] + "…"
            # The last one ends at its lane: there is no room behind it.
            at = lane - len(shown) + 1 if last else lane
            line = Text(set_cell_size(line.plain, max(at, len(line.plain) + 1)), style="bold")
            line.append(shown)
        return line

    def _arrow(self, item: Item, told: Item | None) -> Text:
        margin = " " * self._lanes[0]
        if told is not None:
            moment, packet = self._places.moment(item.time), self._places.packet(item.packet)
            margin = f"{moment:{self._moment_width}} {packet:>{self._packet_width}}".ljust(self._lanes[0])
        cells = list(margin.ljust(self._lanes[-1] + 1))
        for lane in self._lanes:
            cells[lane] = "│"
        source, target = (self._lanes[lane] for lane in self._ladder.ends(item))
        low, high = min(source, target) + 1, max(source, target)
        span = high - low
        lost = item.fate is Fate.LOST
        stroke = "┈" if item.kind in ("hole", "end") else "╌" if item.resent else "━" if item.kind == "rst" else "─"
        cells[low:high] = stroke * span
        room = max(span - 6, 1)
        label = self._ladder.label(item)
        label = label if len(label) <= room else label[: room - 1] + "…"
        at = low + (span - len(label)) // 2
        cells[at - 1 : at + len(label) + 1] = f" {label} "
        right = target > source
        head = high - 1 if right else low
        if lost:  # it does not reach the lane
            cells[head] = " "
            head += -1 if right else 1
        if item.kind != "end":
            cells[head] = _head(item, right)
        line = Text("".join(cells))
        line.stylize("dim", 0, self._lanes[0])
        for lane in self._lanes:
            if not low <= lane < high:
                line.stylize("dim", lane, lane + 1)
        colour = COLOURS[self._ladder.colour(item) % len(COLOURS)]
        quiet = item.kind == "frame" and item.label.startswith("ACK ")
        style = "bold red" if item.kind in ("rst", "end") else f"dim {colour}" if quiet else colour
        line.stylize(style, low, high)
        if lost:
            line.stylize("bold red", head, head + 1)
        return line

    def _legend(self) -> Iterator[Text]:
        marks = self._ladder.legend()
        if marks:
            yield Text("")
        for mark in marks:
            yield Text(f"{_LEGEND[mark]} {LEGEND[mark]}", style="dim")


def _head(item: Item, right: bool) -> str:
    if item.fate is Fate.LOST:
        return "✗"
    if item.fate is Fate.IGNORED:
        return "▷" if right else "◁"
    return "▶" if right else "◀"
