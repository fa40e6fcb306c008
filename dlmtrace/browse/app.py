"""The browser itself: what the keys do, and what stands where."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widgets import Footer, Input, Static, Tree

from dlmtrace.browse.loading import Loading
from dlmtrace.browse.pairing import next_copy, partner
from dlmtrace.browse.panes import BytesPane, FieldPane, FrameListPane
from dlmtrace.browse.places import FindingPlaces, Selected
from dlmtrace.capture.packets import packet_number
from dlmtrace.findings.catalogue import CATALOGUE, severity
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.frame_list import FrameList
from dlmtrace.views.naming import Naming
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import Clock, TimeFormat
from dlmtrace.wire.tree import Part

if TYPE_CHECKING:
    from dlmtrace.streams.results import Finding
    from dlmtrace.views.selection import Selection

TICK = 0.1
"""Seconds between two looks at how far the reading and the filter are."""
UNCUT = Terminal(1 << 20, True)
"""The list is made as for a very wide terminal: the pane scrolls."""
MARKS = {"error": "!", "warning": "?", "note": "·", None: " "}
EXAMPLE = "filter, as decode has it: --node 1 --type '*_REPLY' --seq 800-810"


class Filter(Protocol):
    """What a filter line says."""

    @property
    def selection(self) -> Selection: ...
    @property
    def lockspaces(self) -> dict[int, str]: ...


ReadFilter = Callable[[str, int], Filter]
"""Reads a filter line; the second argument is the time (ns) that relative times count from.  Raises ValueError."""


class Browser(App[None]):
    """Shows what ``loading`` reads; ``lockspaces`` are names by id."""

    TITLE = "dlmtrace browse"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = "#list"
    HORIZONTAL_BREAKPOINTS = [(0, "-stacked"), (150, "-beside")]  # noqa: RUF012, as the base class has it
    CSS = """
    #status, #titles, #told { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #titles { text-style: bold; }
    #filter { height: 1; border: none; padding: 0; }
    #filter:focus { border: none; }
    #list, #fields, #bytes { scrollbar-size: 0 1; }
    #list { height: 1fr; }
    #frame { height: 1fr; }
    #fields, #bytes { border-top: solid $foreground-muted; padding: 0; }
    #fields:focus, #bytes:focus { border-top: heavy $foreground; }
    .-stacked #frame { layout: vertical; height: 1.4fr; }
    .-beside #frame { layout: horizontal; }
    .-stacked #fields, .-stacked #bytes { height: 1fr; }
    .-beside #fields { width: 1fr; }
    .-beside #bytes { width: 75; }
    """
    BINDINGS: ClassVar = [
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("escape", "leave", "List", show=False),
        Binding("n", "finding(1)", "Next finding"),
        Binding("N", "finding(-1)", "Previous finding", show=False),
        Binding("r", "reply", "Reply"),
        Binding("c", "copy", "Copy"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, loading: Loading, lockspaces: dict[int, str], read_filter: ReadFilter) -> None:
        super().__init__()
        self.loading, self.store = loading, loading.store
        self._lockspaces, self._read_filter = lockspaces, read_filter
        self._names = dict(lockspaces)
        self._selected: Selected | None = None  # None: all frames
        self._findings = FindingPlaces(self.store)
        self._view: FrameList | None = None
        self._titles = ""
        self._known_nodes = 0  # that are known in the list
        self._ended = False
        self._shown_row = -1
        self.status_line, self.titles, self.told = (Static(id=id, markup=False) for id in ("status", "titles", "told"))
        self.filter_line = Input(placeholder=EXAMPLE, id="filter")
        self.frame_list = FrameListPane(self._lines, id="list")
        self.fields, self.bytes = FieldPane(id="fields"), BytesPane(id="bytes")
        self._finding: tuple[int, Finding] | None = None  # the one that was gone to last, and its place

    def compose(self) -> ComposeResult:
        """The panes, from top to bottom."""
        yield from (self.status_line, self.filter_line, self.titles, self.frame_list)
        yield Container(self.fields, self.bytes, id="frame")
        yield self.told
        yield Footer()

    def on_mount(self) -> None:
        """Begin to read."""
        self.loading.start()
        self.set_interval(TICK, self._look)

    @property
    def naming(self) -> Naming:
        """What things are called at present."""
        return Naming(self.loading.nodes, self._names, [file.name for file in self.loading.trace.capture.files])

    def tell(self, message: str) -> None:
        """Show one line below the panes."""
        self.told.update(message)

    def _look(self) -> None:
        """Show how far the reading and the filter are."""
        finished = self.loading.finished  # before the rest: what comes later is seen next time
        if self._selected is not None:
            self._filter_on()
        self.frame_list.grow(self.store.count if self._selected is None else len(self._selected.rows))
        self._show_frame()
        self._findings.note(self.loading.findings)
        if len(self.loading.nodes.nodes) != self._known_nodes or (finished and not self._ended):
            self._known_nodes = len(self.loading.nodes.nodes)
            self.frame_list.renew(self.frame_list.count, self.frame_list.cursor)  # receivers have become known
        if finished and not self._ended and self.loading.failure:
            self.tell(self.loading.failure)
        self._ended = finished
        self.status_line.update(self._status())

    def _status(self) -> str:
        count = self.store.count
        parts = [", ".join(self.naming.files), f"{count:,} frames"]
        if self._selected is not None:
            searched = "" if self._selected.searched == count else f" of the first {self._selected.searched:,}"
            parts.append(f"{len(self._selected.rows):,} shown{searched}")
        parts += [f"{len(self.loading.findings):,} findings", self.loading.progress]
        return "  ".join(part for part in parts if part)

    def _lines(self, first: int, last: int) -> Sequence[Text]:
        """Lines of the list."""
        if self._selected is None:
            batch = self.store.rows(first, last)
        else:
            batch = self.store.chosen(np.array(self._selected.rows[first:last], np.int64))
        columns = FrameColumns(batch, np.arange(len(batch)), self.naming)
        if self._view is None:
            self._view = FrameList(Clock(TimeFormat.RELATIVE, self.loading.origin), UNCUT)
            titles, *lines = self._view.text(columns).splitlines()
            self._titles = f"  {Text.from_ansi(titles).plain}"
            self.call_later(self.titles.update, self._titles)
        else:
            lines = self._view.text(columns).splitlines()
        packets = batch.frames["packet"].tolist()
        return [
            Text.assemble(MARKS[self._findings.worst(packet)], " ", Text.from_ansi(line))
            for packet, line in zip(packets, lines, strict=True)
        ]

    @property
    def row(self) -> int:
        """The frame that is selected, -1 when there is none."""
        place = self.frame_list.cursor
        if place >= self.frame_list.count:
            return -1
        return place if self._selected is None else self._selected.rows[place]

    def on_frame_list_pane_sideways(self, event: FrameListPane.Sideways) -> None:
        """The names of the columns scroll with them."""
        self.titles.update(self._titles[event.column :])

    def on_frame_list_pane_moved(self) -> None:
        """Another frame is selected."""
        self._show_frame()

    def _show_frame(self) -> None:
        row = self.row
        if row == self._shown_row:
            return
        self._shown_row = row
        if row < 0:
            self.fields.clear()
            self.bytes.show(b"")
            self.tell("")
            return
        batch = self.store.rows(row, row + 1)
        data = batch.bytes_of(0)
        kept = self.fields.show(data, int(batch.frames["length"][0]), self.naming)
        self.bytes.show(data)
        if kept is not None:
            self.bytes.light(kept)
        self.tell(self._about(row))

    def _about(self, row: int) -> str:
        """Where a frame was, in a line."""
        batch = self.store.rows(row, row + 1)
        columns = FrameColumns(batch, np.arange(1), self.naming, row)
        begins = packet_number(int(batch.frames["first_packet"][0]))
        first = "" if begins == packet_number(int(batch.frames["packet"][0])) else f" (begins in {begins})"
        return (
            f"frame {row + 1}: packet {columns.packets[0]}{first}, {columns.sources[0]} → {columns.destinations[0]}, "
            f"{len(batch.bytes_of(0))} bytes at {batch.frames['position'][0]}"
        )

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Part]) -> None:
        """Light the bytes of a field."""
        if event.node.data is not None:
            self.bytes.light(event.node.data)

    def action_filter(self) -> None:
        """Go to the filter line."""
        self.filter_line.focus()

    def action_leave(self) -> None:
        """Back to the list."""
        self.frame_list.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Show what the filter line takes."""
        try:
            found = self._read_filter(event.value, self.loading.origin) if event.value.strip() else None
        except ValueError as error:
            self.tell(str(error))
            return
        row = self.row
        self._names = {**self._lockspaces, **(found.lockspaces if found else {})}
        self._selected = Selected(self.store, found.selection) if found else None
        self.frame_list.focus()
        if self._selected is None:
            self.frame_list.renew(self.store.count, row)
        else:
            self.frame_list.renew(0, 0)
            self._filter_on()

    def _filter_on(self) -> None:
        """Look at further frames, so many that the keys do not have to wait."""
        until = time.monotonic() + TICK / 2
        while self._selected is not None and self._selected.search(self.naming) and time.monotonic() < until:
            pass

    def action_finding(self, step: int) -> None:
        """To the next finding, or the one before."""
        self._seek(partial(self._next_finding, step), self.row)

    def action_reply(self) -> None:
        """To the reply of a request, or the request of a reply."""
        self._seek(lambda row: (partner(self.store, self.loading.nodes, row), ""), self.row)

    def action_copy(self) -> None:
        """To the next copy of a frame that was sent again."""
        self._seek(lambda row: (next_copy(self.store, self.loading.nodes, row), ""), self.row)

    @work(thread=True, exclusive=True)
    def _seek(self, find: Callable[[int], tuple[int | str, str]], row: int) -> None:
        """Go to the frame that ``find`` gives with what there is to tell of it, or tell why there is none."""
        if row >= 0:
            self.call_from_thread(self._arrive, *find(row))

    def _arrive(self, row: int | str, told: str) -> None:
        if isinstance(row, str):
            self.tell(row)
            return
        place = row
        if self._selected is not None:
            place = bisect_left(self._selected.rows, row)
            if place == len(self._selected.rows) or self._selected.rows[place] != row:
                self._selected, place = None, row
                told = f"(filter off) {told or self._about(row)}"
                self.filter_line.value = ""
                self.frame_list.renew(self.store.count, row)
        self.frame_list.select(place)
        self._show_frame()
        if told:
            self.tell(told)

    def _next_finding(self, step: int, here: int) -> tuple[int | str, str]:
        places = self._findings.places()
        if not places:
            return "nothing was found" + ("" if self.loading.finished else " yet"), ""
        rows = [row for row, _ in places]
        if (
            self._finding is not None
            and places[self._finding[0]][1] is self._finding[1]
            and self.row == rows[self._finding[0]]
        ):
            index = self._finding[0] + step
        else:
            index = bisect_right(rows, here) if step > 0 else bisect_left(rows, here) - 1
        index %= len(places)
        row, finding = places[index]
        self._finding = index, finding
        return row, f"{index + 1}/{len(places)} {_line(finding)}"


def _line(finding: Finding) -> str:
    ends = "" if finding.sender is None else f" {finding.sender}→{finding.receiver}"
    return f"{finding.code} {CATALOGUE[finding.code].name} ({severity(finding)}){ends}: {finding.message}"
