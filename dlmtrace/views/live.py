"""What a running capture shows: counters, the streams as they are now, and the last findings."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dlmtrace.findings.catalogue import CATALOGUE, severity
from dlmtrace.findings.outcome import Outcome
from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.numbering import Numbering
from dlmtrace.streams.numbers import MASK
from dlmtrace.streams.results import Finding, Stream
from dlmtrace.views.analysis import FrameCounts
from dlmtrace.views.analysis_text import many
from dlmtrace.views.places import Places
from dlmtrace.wire.names import escape

FINDINGS = 200
"""Findings remembered for the screen."""

STREAMS = 12
"""Streams shown; those that sent most."""

BESIDE = 10
"""Lines of the screen that are neither stream nor finding; the last one is the cursor's."""

WIDE = 100
"""Columns from which on versions and connections have room."""

REFRESH = 4
"""Times a second."""

COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


class _Row(NamedTuple):
    """A stream as it is now."""

    stream: Stream
    frames: int
    numbering: Numbering | None


class LiveView:
    """Draws itself on a rich console; hold ``lock`` while what it shows changes.

    ``dropped()`` is the number of packets that the kernel had no room for.
    """

    def __init__(
        self,
        interface: str,
        trace: Trace,
        analysis: Analysis,
        counts: FrameCounts,
        places: Places,
        dropped: Callable[[], int],
    ) -> None:
        self.lock = Lock()
        self._interface = escape(interface)
        self._trace, self._analysis, self._counts = trace, analysis, counts
        self._places = places
        self._dropped = dropped
        self._outcome = Outcome()
        self._findings: deque[Finding] = deque(maxlen=FINDINGS)
        self._began = time.monotonic()

    def add(self, finding: Finding) -> None:
        """Show a finding."""
        self._findings.append(finding)

    @contextmanager
    def shown(self, outcome: Outcome, colours: bool) -> Iterator[None]:
        """Keep it on the terminal for that time; ``outcome`` counts the findings."""
        self._outcome = outcome
        console = Console(no_color=not colours, highlight=False)
        with Live(self, console=console, refresh_per_second=REFRESH, transient=True):
            yield

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self.lock:
            rows = [self._row(stream) for stream in self._analysis.streams]
            busy = sorted((row for row in rows if row.frames or row.numbering), key=lambda row: -row.frames)
            shown = sorted(busy[:STREAMS], key=lambda row: (row.stream.sender, row.stream.receiver))
            room = (options.height or console.size.height) - len(shown) - BESIDE
            parts: list[RenderableType] = [self._heading(), self._table(shown, console.size.width)]
            if len(busy) > len(shown):
                parts.append(Text(many(len(busy) - len(shown), "more stream"), style="dim"))
            parts += [Text(""), self._counted()]
            parts += [self._finding(finding) for finding in list(self._findings)[-max(room, 1) :]]
            parts += [Text(""), Text("Ctrl-C ends the capture and tells the verdict", style="dim")]
            yield Group(*parts)

    def _heading(self) -> Text:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        hours, minutes = divmod(minutes, 60)
        packets = sum(file.packets for file in self._trace.capture.files)
        line = Text(self._interface, style="bold")
        told = f"  {hours}:{minutes:02}:{seconds:02}  {many(packets, 'packet')}  {many(self._counts.total, 'frame')}"
        line.append(told, style="not bold")
        if dropped := self._dropped():
            line.append(f"  {dropped} dropped", style="red")
        return line

    def _table(self, rows: list[_Row], width: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
        table.add_column("stream")
        for title in ("frames", "last", "confirmed", "waiting", "again"):
            table.add_column(title, justify="right")
        table.add_column("state", no_wrap=True)
        if width >= WIDE:
            table.add_column("version")
            table.add_column("connections", no_wrap=True)
        for row in rows:
            cells = [self._places.stream(row.stream.sender, row.stream.receiver), str(row.frames)]
            cells += _numbers(row.numbering)
            more = [row.stream.version or "", ", ".join(row.stream.connections[-4:])] if width >= WIDE else []
            table.add_row(*cells, _state(row.numbering), *more)
        return table

    def _row(self, stream: Stream) -> _Row:
        return _Row(stream, *self._analysis.progress(stream.sender, stream.receiver))

    def _counted(self) -> Text:
        outcome = self._outcome
        line = Text("Findings: ")
        for count, level in ((outcome.errors, "error"), (outcome.warnings, "warning"), (outcome.notes, "note")):
            line.append(many(count, level), style=COLOURS[level] if count else "dim")
            line.append("  ")
        return line

    def _finding(self, finding: Finding) -> Text:
        level, entry = severity(finding), CATALOGUE[finding.code]
        line = Text(no_wrap=True, overflow="ellipsis")
        if finding.time is not None:
            line.append(f"{self._places.moment(finding.time)} ", style="dim")
        line.append(f"{level:7} {entry.code} {entry.name}", style=COLOURS[level])
        stream = "" if finding.sender is None else f" {self._places.stream(finding.sender, finding.receiver)}"
        line.append(f"{stream}: {escape(finding.message)}")
        return line


def _numbers(numbering: Numbering | None) -> list[str]:
    """Last number, highest ACK, frames in between, and frames that came again."""
    if numbering is None:
        return [""] * 4
    confirmed = numbering.expectation.confirmed
    told = [numbering.next - 1 & MASK, confirmed & MASK, numbering.next - confirmed, numbering.result.duplicates]
    return [str(number) for number in told]


def _state(numbering: Numbering | None) -> Text:
    if numbering is None:
        return Text("")
    if numbering.closed:
        return Text("ended by FIN", style="dim")
    if numbering.stall is not None:
        return Text(f"stands at {numbering.stall.expected & MASK}", style="bold red")
    return Text("")
