"""The three panes: the list of frames, the fields of one, its bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Tree

from dlmtrace.views.frame_tree import value_text
from dlmtrace.views.hexdump import dump
from dlmtrace.views.naming import Naming
from dlmtrace.wire.frame import parse
from dlmtrace.wire.tree import Part, parts

LIT = Style(reverse=True)
"""What is selected: seen without colours too."""
ROW = 16
"""Bytes in a line of the pane of bytes."""
STEP = 16
"""Columns that the list scrolls to the side at once."""
REMEMBERED = 2000
"""Lines of the list that are kept."""

Lines = Callable[[int, int], Sequence[Text]]
"""The lines of the list from one place to before another."""


class FrameListPane(ScrollView, can_focus=True):
    """A line per frame; lines are asked for when they come on the screen."""

    BINDINGS: ClassVar = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("home", "go(0)", "first", show=False),
        Binding("end", "go(-1)", "last", show=False),
        Binding("left", "sideways(-1)", "left", show=False),
        Binding("right", "sideways(1)", "right", show=False),
    ]

    class Sideways(Message):
        """The list has scrolled so that its first column on the screen is another."""

        def __init__(self, column: int) -> None:
            super().__init__()
            self.column = column

    class Moved(Message):
        """Another line is selected."""

    def __init__(self, lines: Lines, id: str) -> None:
        super().__init__(id=id)
        self.cursor = 0
        self.count = 0
        self._lines = lines
        self._made: dict[int, Text] = {}
        self._wide = 0

    def grow(self, count: int) -> None:
        """There are more lines than before."""
        if count != self.count:
            self.count = count
            self.virtual_size = Size(self._wide, count)
            self.refresh()

    def renew(self, count: int, cursor: int) -> None:
        """All lines are others; ``cursor`` is selected."""
        self.count, self.cursor = count, max(0, min(cursor, count - 1))
        self._made.clear()
        self.virtual_size = Size(self._wide, count)
        self.call_after_refresh(self._show_cursor)  # it scrolls no further than the old size before

    def action_move(self, lines: int) -> None:
        """So many lines down."""
        self.select(self.cursor + lines)

    def action_page(self, pages: int) -> None:
        """So many screens down."""
        self.select(self.cursor + pages * max(1, self.size.height - 1))

    def action_go(self, place: int) -> None:
        """To a line; -1 is the last."""
        self.select(place if place >= 0 else self.count - 1)

    def action_sideways(self, steps: int) -> None:
        """So many steps to the right."""
        self.scroll_to(x=self.scroll_offset.x + steps * STEP, animate=False)

    def watch_scroll_x(self, before: float, now: float) -> None:
        """Tell what stands above the columns."""
        super().watch_scroll_x(before, now)
        self.post_message(self.Sideways(round(now)))

    def select(self, place: int) -> None:
        """Select a line, the nearest one that there is."""
        if self.count:
            self.cursor = max(0, min(place, self.count - 1))
            self._show_cursor()

    def on_click(self, event: events.Click) -> None:
        """Select the line that was clicked."""
        self.select(event.y + self.scroll_offset.y)

    def render_line(self, y: int) -> Strip:
        """A line of the screen."""
        offset, place = self.scroll_offset, y + self.scroll_offset.y
        if place >= self.count:
            return Strip.blank(self.size.width, self.rich_style)
        if place not in self._made:
            self._make(place)
        line = self._made[place].copy()
        line.pad_right(max(0, self.size.width + offset.x - len(line)))
        if place == self.cursor:
            line.stylize(LIT)
        strip = Strip(line.render(self.app.console), len(line))
        return strip.crop(offset.x, offset.x + self.size.width).apply_style(self.rich_style)

    def _make(self, place: int) -> None:
        if len(self._made) > REMEMBERED:
            self._made.clear()
        first = max(0, min(place, self.scroll_offset.y))
        last = min(self.count, max(place + 1, self.scroll_offset.y + self.size.height))
        if last - first > 2 * self.size.height + 1:
            first, last = place, place + 1
        for number, line in enumerate(self._lines(first, last), first):
            self._made[number] = line
            self._wide = max(self._wide, len(line))
        if self._wide > self.virtual_size.width:
            self.call_later(setattr, self, "virtual_size", Size(self._wide, self.count))

    def _show_cursor(self) -> None:
        self.scroll_to_region(Region(self.scroll_offset.x, self.cursor, 1, 1), animate=False)
        self.refresh()
        self.post_message(self.Moved())


class FieldPane(Tree[Part]):
    """The fields of a frame."""

    def __init__(self, id: str) -> None:
        super().__init__("", id=id)
        self.show_root = False
        self.guide_depth = 2

    def show(self, data: bytes, length: int, naming: Naming) -> Part | None:
        """Show a frame of ``length`` bytes, of which ``data`` was captured.

        The field that was selected in the frame before is selected again, if this one has it, and given back.
        """
        before = self.cursor_node.data.name if self.cursor_node and self.cursor_node.data else None
        kept = None
        self.clear()
        branches = [self.root]
        for part in parts(parse(data + bytes(length - len(data)))):
            del branches[part.depth + 1 :]
            label = Text(part.name)
            if part.value is None:
                node = branches[-1].add(label, part, expand=True)
                branches.append(node)
            else:
                captured = part.offset + part.size <= len(data)
                label.append(f" {value_text(part, naming) if captured else '(not captured)'}", Style(bold=True))
                label.append(f"  {part.meaning}", Style(dim=True))
                node = branches[-1].add_leaf(label, part)
            if part.name == before and kept is None:
                kept = part
                self.call_after_refresh(self.move_cursor, node)
        self.root.expand()
        return kept


class BytesPane(ScrollView, can_focus=True):
    """The bytes of a frame in hexadecimal, those of one field lit."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.lit = range(0)
        self._lines: list[str] = []

    def show(self, data: bytes) -> None:
        """Show these bytes, none of them lit."""
        self._lines = dump(data).splitlines()
        self.lit = range(0)
        self.virtual_size = Size(max(map(len, self._lines), default=0), len(self._lines))
        self.scroll_to(0, 0, animate=False)
        self.refresh()

    def light(self, part: Part) -> None:
        """Light the bytes of a field."""
        self.lit = range(part.offset, part.offset + part.size)
        self.scroll_to_region(Region(0, part.offset // ROW, 1, 1), animate=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """A line of the screen."""
        offset, row = self.scroll_offset, y + self.scroll_offset.y
        if row >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        line = Text(self._lines[row])
        here = [byte - row * ROW for byte in range(max(self.lit.start, row * ROW), min(self.lit.stop, (row + 1) * ROW))]
        for byte in here:
            start = _column(byte)
            line.stylize(LIT, start, start + (3 if byte + 1 in here and byte % 8 != 7 else 2))
            line.stylize(LIT, _LETTERS + byte, _LETTERS + byte + 1)
        strip = Strip(line.render(self.app.console), len(line))
        return strip.crop_extend(offset.x, offset.x + self.size.width, self.rich_style).apply_style(self.rich_style)


_LETTERS = 56
"""Column of a dump's line at which the letters begin."""


def _column(byte: int) -> int:
    """Column of a dump's line at which a byte of it begins."""
    return 6 + 3 * byte + (byte >= 8)
