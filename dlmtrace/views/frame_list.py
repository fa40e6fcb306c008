"""The frame list: one line per frame, as Wireshark's packet list has it."""

from __future__ import annotations

from dlmtrace.framing.frames import WHOLE
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.hexdump import dump
from dlmtrace.views.terminal import BOLD, CYAN, DIM, RED, YELLOW, Terminal
from dlmtrace.views.times import Clock, TimeFormat
from dlmtrace.wire.enums import Command

_COLUMNS = "%-4s %-5s %7s %-9s %-14s %-10s %-24s %-13s %-6s %-11s %s"
"""Least widths of the columns behind packet and time: a longer text pushes the rest of its line, and no other line."""

_TITLES = ("conn", "nodes", "seq", "command", "type", "lockspace", "resource", "locks", "modes", "result", "flags")

_TIME_WIDTHS = {
    TimeFormat.UTC: "%-27s",
    TimeFormat.LOCAL: "%-32s",
    TimeFormat.RELATIVE: "%12s",
    TimeFormat.DELTA: "%12s",
}
_TIME_OF_DAY = slice(11, 26)  # of an ISO time, microseconds included

INDENT = "    "

_COLOURS: dict[int, str] = {Command.RCOM: CYAN, Command.ACK: DIM, Command.FIN: YELLOW}


class FrameList:
    """Makes the lines.

    ``with_bytes`` puts a hex dump below each line.  On a terminal a line of titles comes first and again on every new
    day: it names the day, so that the lines need only the time of day.
    """

    def __init__(self, clock: Clock, terminal: Terminal, with_bytes: bool = False) -> None:
        self.clock = clock
        self.terminal = terminal
        self.with_bytes = with_bytes
        self._titles = terminal.width is not None
        self._by_day = self._titles and clock.form in (TimeFormat.UTC, TimeFormat.LOCAL)
        self._day: str | None = None
        time_width = "%-15s" if self._by_day else _TIME_WIDTHS[clock.form]
        self._line = f"%s {time_width} {_COLUMNS}"
        self._packet_width = 7

    def text(self, columns: FrameColumns) -> str:
        """Lines of the frames of ``columns``, each with its line feed."""
        times = self.clock.texts(columns.frames["time"].tolist())
        packets = columns.packets
        self._packet_width = max(self._packet_width, len(packets[-1]))
        cells = zip(
            [packet.rjust(self._packet_width) for packet in packets],
            [time[_TIME_OF_DAY] for time in times] if self._by_day else times,
            columns.connections,
            columns.streams,
            columns.sequences,
            columns.commands,
            columns.types,
            columns.lockspaces,
            columns.resources,
            columns.locks,
            columns.modes,
            columns.results,
            columns.flags,
            strict=True,
        )
        lines = [(self._line % row).rstrip() for row in cells]
        for place, note in columns.notes.items():
            lines[place] += f" {note}"
        if self._titles:
            lines = self._for_terminal(lines, times, columns)
        if self.with_bytes:
            lines = [f"{line}\n{dump(columns.bytes_of(place), INDENT)}" for place, line in enumerate(lines)]
        lines.append("")
        return "\n".join(lines)

    def _for_terminal(self, lines: list[str], times: list[str], columns: FrameColumns) -> list[str]:
        shown = []
        states, commands = columns.frames["state"].tolist(), columns.command.tolist()
        for line, time, state, command in zip(lines, times, states, commands, strict=True):
            text = self.terminal.line(line, _COLOURS.get(command, "") if state == WHOLE else RED)
            day = time[:10] if self._by_day else ""
            if day != self._day:
                self._day = day
                titles = self._line % ("packet".rjust(self._packet_width), self._time_title(day), *_TITLES)
                text = f"{self.terminal.line(titles.rstrip(), BOLD)}\n{text}"
            shown.append(text)
        return shown

    def _time_title(self, day: str) -> str:
        if not self._by_day:
            return "seconds" if self.clock.form is TimeFormat.RELATIVE else "delta"
        return f"{day} UTC" if self.clock.form is TimeFormat.UTC else day
