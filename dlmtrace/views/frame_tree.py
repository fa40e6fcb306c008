"""One frame as a tree: every field with its place in the frame, its value and its meaning."""

from __future__ import annotations

from enum import IntFlag

from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.hexdump import hexadecimal
from dlmtrace.views.naming import Naming
from dlmtrace.views.terminal import BOLD, CYAN, RED, Terminal
from dlmtrace.views.times import Clock
from dlmtrace.wire.frame import parse
from dlmtrace.wire.structures import FIELDS
from dlmtrace.wire.tree import Part, parts

_ROW = 8
"""Bytes in hexadecimal beside one line: as many as the widest number has."""


class FrameTree:
    """Makes the trees.  ``with_bytes`` puts each field's bytes beside it."""

    def __init__(self, clock: Clock, terminal: Terminal, with_bytes: bool) -> None:
        self.clock = clock
        self.terminal = terminal
        self.with_bytes = with_bytes

    def text(self, columns: FrameColumns) -> str:
        """A heading and the fields of each frame of ``columns``, an empty line behind each frame."""
        times = self.clock.texts(columns.frames["time"].tolist())
        return "".join(self._frame(columns, place, time) for place, time in enumerate(times))

    def _frame(self, columns: FrameColumns, place: int, time: str) -> str:
        frame = columns.frames[place]
        length = int(frame["length"])
        data = columns.bytes_of(place)
        heading = (
            f"Frame {columns.numbers[place]}: packet {columns.packets[place]}, {time}, {columns.connections[place]} "
            f"{columns.sources[place]} → {columns.destinations[place]} ({columns.transports[place]}), "
            f"node {columns.streams[place]}, stream position {frame['position']}, {length} bytes"
        )
        if frame["first_packet"] != frame["packet"]:
            heading += f", begins in packet {columns.packet_text(int(frame['first_packet']))}"
        lines = [self.terminal.line(heading, BOLD)]
        if place in columns.notes:
            lines.append(self.terminal.line(columns.notes[place], RED))
        for part in parts(parse(data + bytes(length - len(data)))):
            lines += self._part(part, data, columns.naming)
        return "\n".join(lines) + "\n\n"

    def _part(self, part: Part, data: bytes, naming: Naming) -> list[str]:
        stop = part.offset + part.size
        branch = part.value is None
        value = value_text(part, naming) if branch or stop <= len(data) else "(not captured)"
        place = f"{part.offset}-{stop - 1}" if part.size > 1 else str(part.offset)
        meaning = "" if branch else part.meaning
        first, *more = self._bytes_beside(b"" if branch else data[part.offset : stop])
        lines = [f"{place:>9}  {first}{'  ' * part.depth}{part.name:<{24 - 2 * part.depth}} {value:<28} {meaning}"]
        lines += [f"{'':>9}  {row}" for row in more]
        return [self.terminal.line(line.rstrip(), CYAN if branch else "") for line in lines]

    def _bytes_beside(self, data: bytes) -> list[str]:
        if not self.with_bytes:
            return [""]
        rows = [hexadecimal(data[start : start + _ROW]) for start in range(0, len(data), _ROW)]
        return [f"{row:<25}" for row in rows or [""]]


def value_text(part: Part, naming: Naming) -> str:
    """The value as people read it, and the number beside a name."""
    if not isinstance(part.value, int):
        return part.text
    if part.name == "h_lockspace":
        name = naming.lockspace(part.value)
        return part.text if name.startswith("0x") else f"{name} ({part.text})"
    if part.text in (str(part.value), hex(part.value)):
        return part.text
    values = FIELDS[part.name].values
    flags = part.name == "h_version" or (values is not None and issubclass(values, IntFlag))
    return f"{part.text} ({part.value:#x})" if flags else f"{part.text} ({int(part.value)})"
