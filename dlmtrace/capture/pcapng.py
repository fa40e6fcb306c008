"""pcapng files (draft-ietf-opsawg-pcapng): sections, interfaces, three kinds of packets, statistics, comments.

Blocks of other kinds are skipped.  Each section has its own byte order and its own interfaces.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.index import Flags, Layout, Offsets, index, likely_starts
from dlmtrace.capture.inputs import Input, Windows
from dlmtrace.capture.packets import RECORD, CaptureFact, Interface, UnusableInput
from dlmtrace.capture.reader import Decoded, Reader, Records
from dlmtrace.capture.timestamps import nanoseconds
from dlmtrace.gather import Bytes, every_place, gather

SECTION, INTERFACE, OBSOLETE_PACKET, SIMPLE_PACKET, STATISTICS, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 5, 6
SMALLEST = {SECTION: 28, INTERFACE: 20, STATISTICS: 24}  # total length of blocks that are read one by one
LARGEST_BLOCK = 1 << 24  # as Wireshark has it
ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}  # of the byte-order magic
MOST_COMMENTS = 100  # kept; a file may have one a packet
MICROSECONDS = 6  # if_tsresol of an interface that gives none

COMMENT = 1  # codes of options; what a code above it means depends on the block
IF_NAME, IF_DESCRIPTION, IF_RESOLUTION, IF_OFFSET = 2, 3, 9, 14
DROPPED_BY_INTERFACE, DROPPED_BY_SYSTEM = 5, 7

Rows = npt.NDArray[Any]  # the heads of blocks, as gathered


def is_pcapng(head: bytes) -> bool:
    """Whether ``head`` (4 bytes) begins a pcapng file."""
    return head == SECTION.to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class _Clock:
    """What an interface of the section in hand says about its packets."""

    interface: int  # index into Reader.interfaces
    link: int
    snaplen: int
    resolution: int  # if_tsresol
    offset: int  # if_tsoffset, s


@dataclass(frozen=True, slots=True)
class _Columns:
    """What packet blocks say, a row a packet; places in the window's buffer."""

    number: Offsets
    data: Offsets
    end: Offsets  # of the room for data and options
    interface: Offsets  # in the section
    captured: Offsets
    length: Offsets
    stamp: npt.NDArray[np.uint64]
    timed: Flags

    def select(self, rows: Flags) -> _Columns:
        return _Columns(*(getattr(self, field.name)[rows] for field in fields(self)))


class PcapngReader(Reader):
    """Reads a pcapng file, of which ``head`` (4 bytes) has been taken already.

    A packet of a simple packet block has no time; it gets that of the packet before it in the file (0: none yet).
    """

    def __init__(self, source: Input, head: bytes) -> None:
        super().__init__(source, "pcapng")
        head += source.read(12 - len(head))
        self._clocks: list[_Clock] = []
        self._known: dict[tuple[int, Interface], int] = {}
        self._drops: dict[int, int] = {}  # by interface of the section in hand
        self._dropped_before = 0  # in earlier sections
        self._last_time = 0
        self._unreadable = 0
        self._first_unreadable = (0, 0)  # packet, byte
        if len(head) < 12:
            self.summary.bytes = len(head)
            self._end_early(source.damage or "the file ends inside its first block")
        elif head[8:] not in ORDERS:
            raise UnusableInput(f"{source.name}: not a capture file (pcapng without byte-order magic: {head.hex(' ')})")
        else:
            self._set_order(ORDERS[head[8:]])
            self._windows = Windows(source, head)

    def _set_order(self, order: str) -> None:
        self._order = order
        self._layout = Layout(order, length_at=4, extra=0, smallest=12, largest=LARGEST_BLOCK, multiple=4)
        # Both kinds of packet blocks with a time; the obsolete one has a drop counter in the interface's upper half.
        names = ["type", "total", "interface", "high", "low", "captured", "length"]
        self._row = np.dtype([(name, order + "u4") for name in names])

    def _decode(self, buffer: Bytes, filled: int) -> Decoded:
        parts: list[Records] = []
        starts = self._starts(buffer, filled)
        while True:
            offsets, stop = index(buffer, starts, filled, self._layout)
            rows = gather(buffer, self._row, offsets)
            words = buffer[: len(buffer) // 4 * 4].view(self._order + "u4")  # blocks begin at multiples of 4 bytes
            wrong = np.flatnonzero(words[(offsets + rows["total"] - 4) >> 2] != rows["total"])
            nonsense = ""
            if len(wrong):
                stop = int(offsets[wrong[0]])
                nonsense = "the two lengths of a block differ; reading stops there"
                offsets, rows = offsets[: wrong[0]], rows[: wrong[0]]
            elif (length := self._nonsense_at(buffer, stop, filled)) is not None:
                nonsense = f"a block claims a length of {length} bytes; reading stops there"
            short = self._blocks(buffer, offsets, rows, parts)
            if short is not None:
                stop, nonsense = short, "a block is too short for its type; reading stops there"
                break
            order = self._section_order(buffer, stop, filled)
            if order in ("", self._order):
                break
            # A section of the other byte order; chains are not worth their while for what may be many of them.
            self._set_order(order)
            starts = np.array([stop])
        return Decoded(np.concatenate(parts) if parts else np.empty(0, RECORD), stop, nonsense)

    def _nonsense_at(self, buffer: Bytes, at: int, filled: int) -> int | None:
        """As Layout.nonsense_at; not yet for the head of a section that may have the other byte order."""
        if filled < at + 12 and is_pcapng(buffer[at : at + 4].tobytes()):
            return None
        return self._layout.nonsense_at(buffer, at, filled)

    @staticmethod
    def _section_order(buffer: Bytes, at: int, filled: int) -> str:
        """Byte order of the section that begins at ``at``, "" when none does."""
        head = buffer[at : min(at + 12, filled)].tobytes()
        return ORDERS.get(head[8:], "") if is_pcapng(head[:4]) else ""

    def _starts(self, buffer: Bytes, filled: int) -> Offsets:
        """Likely starts of blocks: enhanced packets of less than 64 KiB whose two lengths agree."""
        little = self._order == "<"
        words = every_place(buffer, self._order + "u4")

        def is_likely(places: Offsets) -> Flags:
            lengths = words[places + 4].astype(np.int64)
            ends = places + lengths
            likely: Flags = (places % 4 == 0) & (lengths % 4 == 0) & (lengths >= 32) & (ends <= filled)
            likely &= words[np.where(likely, ends - 4, 0)] == lengths
            return likely

        pattern = b"\x06\0\0\0..\0\0" if little else b"\0\0\0\x06\0\0.."
        return likely_starts(buffer, filled, pattern, 0, is_likely)

    def _blocks(self, buffer: Bytes, offsets: Offsets, rows: Rows, parts: list[Records]) -> int | None:
        """Add the records of the packets among some blocks to ``parts``; place of a block too short for its type."""
        begin = 0
        for row in np.flatnonzero(rows["type"] != ENHANCED_PACKET).tolist():
            kind, at, length = int(rows["type"][row]), int(offsets[row]), int(rows["total"][row])
            if kind not in SMALLEST:
                continue
            if kind == SECTION or length < SMALLEST[kind]:
                # The packets up to here belong to the section that ends here.
                self._packets(buffer, offsets[begin:row], rows[begin:row], parts)
                begin = row
            if length < SMALLEST[kind]:
                return at
            body = buffer[at : at + length - 4].tobytes()
            if kind == SECTION:
                self._begin_section(body)
            elif kind == INTERFACE:
                self._add_interface(body)
            else:
                self._add_statistics(body)
        self._packets(buffer, offsets[begin:], rows[begin:], parts)
        return None

    def _begin_section(self, body: bytes) -> None:
        self._clocks = []
        self._dropped_before += sum(self._drops.values())
        self._drops = {}
        self._add_comments(body, 24)

    def _add_interface(self, body: bytes) -> None:
        link, snaplen = struct.unpack_from(self._order + "H2xI", body, 8)
        name = description = ""
        resolution, offset = MICROSECONDS, 0
        for code, value in self._options(body, 16):
            if code == IF_NAME:
                name = _text(value)
            elif code == IF_DESCRIPTION:
                description = _text(value)
            elif code == IF_RESOLUTION and value:
                resolution = value[0]
            elif code == IF_OFFSET and len(value) == 8:
                (offset,) = struct.unpack(self._order + "q", value)
        self._add_comments(body, 16)
        self._note_link(link)
        interface = Interface(0, link, snaplen, name, description)
        # A file of many sections declares the same interfaces again and again.
        known = self._known.setdefault((len(self._clocks), interface), len(self.interfaces))
        if known == len(self.interfaces):
            self.interfaces.append(interface)
        self._clocks.append(_Clock(known, link, snaplen, resolution, offset))

    def _add_statistics(self, body: bytes) -> None:
        """The counters of a statistics block; they count from the start, so the last block of an interface stands."""
        (interface,) = struct.unpack_from(self._order + "I", body, 8)
        self._drops[interface] = sum(
            struct.unpack(self._order + "Q", value)[0]
            for code, value in self._options(body, 20)
            if code in (DROPPED_BY_INTERFACE, DROPPED_BY_SYSTEM) and len(value) == 8
        )
        self.summary.dropped = self._dropped_before + sum(self._drops.values())
        self._add_comments(body, 20)

    def _options(self, body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
        """Code and value of each option of a block from ``at`` on, as far as they are whole."""
        while at + 4 <= len(body):
            code, length = struct.unpack_from(self._order + "HH", body, at)
            at += 4
            if code == 0 or at + length > len(body):
                return
            yield code, body[at : at + length]
            at += length + -length % 4

    def _add_comments(self, body: bytes, at: int, where: str = "") -> None:
        for code, value in self._options(body, at):
            if code == COMMENT and len(self.summary.comments) < MOST_COMMENTS:
                self.summary.comments.append(where + _text(value))

    def _packets(self, buffer: Bytes, offsets: Offsets, rows: Rows, parts: list[Records]) -> None:
        """Add the records of the packets among some blocks of one section to ``parts``."""
        packets = np.isin(rows["type"], (ENHANCED_PACKET, OBSOLETE_PACKET, SIMPLE_PACKET))
        if not packets.all():
            offsets, rows = offsets[packets], rows[packets]
        if not len(offsets):
            return
        columns = self._columns(buffer, offsets, rows)
        self.summary.packets += len(offsets)
        room = columns.end - columns.data
        readable = (columns.interface < len(self._clocks)) & (columns.captured <= room) & (room >= 0)
        if not readable.all():
            self._note_unreadable(columns.number[~readable], offsets[~readable])
            columns = columns.select(readable)
        if len(columns.data):
            parts.append(self._records(columns))
            self._packet_comments(buffer, columns)

    def _columns(self, buffer: Bytes, offsets: Offsets, rows: Rows) -> _Columns:
        types = rows["type"]
        interface = rows["interface"].astype(np.int64)
        captured, length = rows["captured"].astype(np.int64), rows["length"].astype(np.int64)
        data, end = offsets + 28, offsets + rows["total"] - 4
        simple = types == SIMPLE_PACKET
        if (types != ENHANCED_PACKET).any():
            obsolete = types == OBSOLETE_PACKET
            interface[obsolete] = every_place(buffer, self._order + "u2")[offsets[obsolete] + 8]
            length[simple] = interface[simple]  # it lies where other blocks have the interface, which is the first here
            interface[simple] = 0
            data[simple] -= 16
            snaplen = self._clocks[0].snaplen if self._clocks else 0
            whole = np.minimum(length, snaplen) if snaplen else length
            captured[simple] = np.minimum(whole, end - data)[simple]
        return _Columns(
            number=np.arange(self.summary.packets + 1, self.summary.packets + 1 + len(rows)),
            data=data,
            end=end,
            interface=interface,
            captured=captured,
            length=length,
            stamp=rows["high"].astype(np.uint64) << np.uint64(32) | rows["low"],
            timed=~simple,
        )

    def _records(self, columns: _Columns) -> Records:
        records = np.zeros(len(columns.data), RECORD)
        records["offset"] = columns.data
        records["captured"] = columns.captured
        records["length"] = np.minimum(columns.length, 0x7FFFFFFF)
        records["packet"] = columns.number
        several = bool((columns.interface != columns.interface[0]).any())
        for number in np.flatnonzero(np.bincount(columns.interface)).tolist():
            clock, own = self._clocks[number], columns.interface == number if several else slice(None)
            records["time"][own] = nanoseconds(columns.stamp[own], clock.resolution, clock.offset)
            records["interface"][own] = clock.interface
            records["link"][own] = clock.link
        times, timed = records["time"], columns.timed
        self._note_times(times[timed])
        if not timed.all():
            self.summary.untimed += int(np.count_nonzero(~timed))
            before = np.maximum.accumulate(np.where(timed, np.arange(len(times)), -1))
            times[:] = np.where(before >= 0, times[before], self._last_time)
        self._last_time = int(times[-1])
        return records

    def _packet_comments(self, buffer: Bytes, columns: _Columns) -> None:
        """Comments among the options behind the data, all packets' options in step."""
        halves = every_place(buffer, self._order + "u2")
        at = columns.data + columns.captured + -columns.captured % 4
        packet, end = columns.number, columns.end
        going = at + 4 <= end
        while going.any() and len(self.summary.comments) < MOST_COMMENTS:
            at, end, packet = at[going], end[going], packet[going]
            code, length = halves[at], halves[at + 2].astype(np.int64)
            for row in np.flatnonzero(code == COMMENT)[:MOST_COMMENTS].tolist():
                # All comments of the packet from here on.
                self._add_comments(buffer[at[row] : end[row]].tobytes(), 0, f"packet {packet[row]}: ")
            at = at + 4 + length + -length % 4
            going = (code != 0) & (code != COMMENT) & (at + 4 <= end)

    def _note_unreadable(self, numbers: Offsets, offsets: Offsets) -> None:
        if not self._unreadable and self._windows:
            self._first_unreadable = int(numbers[0]), self._windows.base + int(offsets[0])
        self._unreadable += len(numbers)

    def _finish(self) -> None:
        super()._finish()
        name = self.summary.name
        if self.summary.dropped:
            message = f"{name}: the capturer dropped {self.summary.dropped} packets, by its interface statistics"
            self.facts.append(CaptureFact("CAP908", message, count=self.summary.dropped))
        if self._unreadable:
            packet, byte = self._first_unreadable
            message = (
                f"{name}: {self._unreadable} packet blocks are longer than their block or of an undeclared interface, "
                f"the first is packet {packet} at byte {byte}"
            )
            self.facts.append(CaptureFact("CAP909", message, packet=packet, byte=byte, count=self._unreadable))


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
