"""When and where something was seen, and between whom, as people write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from dlmtrace.capture.packets import FileSummary, packet_file, packet_number
from dlmtrace.streams.nodes import NodeTable
from dlmtrace.views.naming import Naming
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import Clock, TimeFormat
from dlmtrace.wire.names import escape

_TIME_OF_DAY = slice(11, 26)  # of an ISO time, microseconds included


class Places:
    """Writes times, packets, nodes and streams of a run.  ``nodes`` are names that the user gave to node ids.

    On a terminal a time is only that of the day; the heading of a view tells which.
    """

    def __init__(
        self, terminal: Terminal, times: TimeFormat, files: Sequence[FileSummary], nodes: Mapping[int, str]
    ) -> None:
        self.files = files
        self._times = times
        self._nodes = {number: escape(name) for number, name in nodes.items()}
        self._naming = Naming(NodeTable(), {}, [file.name for file in files])
        self._by_day = terminal.width is not None and times in (TimeFormat.UTC, TimeFormat.LOCAL)

    @cached_property
    def _clock(self) -> Clock:
        """Made when the first packet has told where relative times count from."""
        return Clock(
            self._times, min((file.first_time for file in self.files if file.first_time is not None), default=0)
        )

    def moment(self, time: int) -> str:
        """A time (ns)."""
        text = self._clock.texts([time])[0]
        return text[_TIME_OF_DAY] if self._by_day else text

    def span(self) -> str:
        """From the first packet of the run to the last, dates included; empty when there is none."""
        first = [file.first_time for file in self.files if file.first_time is not None]
        last = [file.last_time for file in self.files if file.last_time is not None]
        form = self._times if self._times is TimeFormat.LOCAL else TimeFormat.UTC
        return " to ".join(Clock(form).texts([min(first), max(last)])) if first and last else ""

    def packet(self, identity: int) -> str:
        """A packet's number; with several files, behind the file's name."""
        number = str(packet_number(identity))
        return number if len(self.files) == 1 else f"{self.file(packet_file(identity))}:{number}"

    def file(self, index: int) -> str:
        """A file's name."""
        return self._naming.file(index)

    def node(self, number: int | None) -> str:
        """A node's id, its name behind it when the user gave one; ``?`` while no frame has told the id."""
        if number is None or number < 0:
            return "?"
        return f"{number}({self._nodes[number]})" if number in self._nodes else str(number)

    def stream(self, sender: int | None, receiver: int | None) -> str:
        """``1→2``."""
        return f"{self.node(sender)}→{self.node(receiver)}"
