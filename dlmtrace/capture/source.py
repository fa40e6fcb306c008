"""Packets of capture files and of standard input, as batches of columns in time order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from dlmtrace.capture.inputs import STANDARD_INPUT, Bytes, Input
from dlmtrace.capture.merge import merged
from dlmtrace.capture.packets import (
    PACKET_BITS,
    CaptureFact,
    FileSummary,
    Interface,
    PacketBatch,
    UnusableInput,
    packet_number,
)
from dlmtrace.capture.pcap import PcapReader, byte_order
from dlmtrace.capture.pcapng import PcapngReader, is_pcapng
from dlmtrace.capture.reader import Reader, Records

WINDOW = 6 << 20  # bytes a batch: more saves work where many directions mix, and costs memory
PROBED = 1 << 16  # bytes in which the first packet's time is looked for
CLOCK_STEP = 1_000_000_000  # ns backwards that are reported


def open_reader(path: str) -> Reader:
    """Reader of the capture at ``path`` ("-": standard input), told by its first bytes.

    Raises UnusableInput when it cannot be read or is no capture.
    """
    source = Input(path)
    head = source.read(4)
    if byte_order(head):
        return PcapReader(source, head)
    if is_pcapng(head):
        try:
            return PcapngReader(source, head)
        except UnusableInput:
            source.close()
            raise
    source.close()
    inside = f"inside the {source.compression} data: " if source.compression else ""
    if not head:
        raise UnusableInput(f"{source.name}: not a capture file ({inside}{source.damage or 'nothing'})")
    raise UnusableInput(
        f"{source.name}: not a capture file ({inside}starts with {head.hex(' ')}): pcap, pcapng expected, plain or "
        "compressed by gzip, zstd, xz, bzip2 or lz4"
    )


class _File:
    """One file of a run: its packets, interfaces and facts, with the identities of the whole run.

    ``start`` (ns) puts it in order among the others.  ``interfaces`` and ``facts`` are the run's and grow.
    """

    def __init__(self, path: str, interfaces: list[Interface], facts: list[CaptureFact]) -> None:
        self.index = 0
        self.start = 0
        self._path = path
        self._reader: Reader | None = open_reader(path)
        self.summary = self._reader.summary
        self.size = self._reader.source.size
        self._position = 0  # once it is closed
        self._probed: tuple[Bytes, Records] | None = None
        self._interfaces = interfaces
        self._own_interfaces: list[int] = []  # index into the run's, for each of the file's
        self._facts = facts
        self._last_time: int | None = None
        self._clock_steps: int | None = None  # index of the fact that counts them

    @property
    def position(self) -> int:
        """Bytes taken from disk."""
        return self._reader.source.position if self._reader else self._position

    def first_time(self) -> int | None:
        """Time of the first packets (ns), None without any.  A file is closed until it is read, a pipe stays open."""
        assert self._reader
        self._probed = self._reader.read(PROBED)
        time = self._reader.summary.first_time
        if self.size is not None and self._path != STANDARD_INPUT:
            self._reader.source.close()
            self._reader = self._probed = None
            self.summary = FileSummary(self.summary.name, self.summary.format)
        return time

    def read(self, window: int) -> tuple[Bytes, Records] | None:
        """Buffer and records of about the next ``window`` bytes, None at the end."""
        if self._reader is None and not self._open_again():
            return None
        assert self._reader
        got, self._probed = self._probed or self._reader.read(window), None
        self._take_interfaces(self._reader.interfaces)
        self._take_facts(self._reader.facts)
        if got is None:
            self._position = self._reader.source.position
            self._reader.source.close()
            self._reader = None
            return None
        records = got[1]
        records["packet"] |= self.index << PACKET_BITS
        if len(self._own_interfaces) == 1:
            records["interface"] = self._own_interfaces[0]
        else:
            records["interface"] = np.array(self._own_interfaces)[records["interface"]]
        self._watch_clock(records)
        return got

    def _open_again(self) -> bool:
        """Open the file that was closed after its first packets were seen."""
        if self._position:
            return False
        try:
            self._reader = open_reader(self._path)
        except UnusableInput as error:
            self._facts.append(CaptureFact("CAP907", str(error), file=self.index))
            return False
        self.summary = self._reader.summary
        return True

    def _take_interfaces(self, interfaces: list[Interface]) -> None:
        for interface in interfaces[len(self._own_interfaces) :]:
            self._own_interfaces.append(len(self._interfaces))
            self._interfaces.append(replace(interface, file=self.index))

    def _take_facts(self, facts: list[CaptureFact]) -> None:
        for fact in facts:
            packet = None if fact.packet is None else self.index << PACKET_BITS | fact.packet
            self._facts.append(replace(fact, file=self.index, packet=packet))
        facts.clear()

    def _watch_clock(self, records: Records) -> None:
        times = records["time"]
        before = np.empty_like(times)
        before[0] = times[0] if self._last_time is None else self._last_time
        before[1:] = times[:-1]
        self._last_time = int(times[-1])
        back = np.flatnonzero(times - before < -CLOCK_STEP)
        if not len(back):
            return
        if self._clock_steps is None:
            self._clock_steps = len(self._facts)
            self._facts.append(CaptureFact("CAP906", "", self.index, int(records["packet"][back[0]]), count=0))
        fact = self._facts[self._clock_steps]
        assert fact.packet is not None
        count = fact.count + len(back)
        message = (
            f"{self.summary.name}: packet times go back by more than 1 s, first at packet {packet_number(fact.packet)}"
        )
        self._facts[self._clock_steps] = replace(fact, count=count, message=message)


class Capture:
    """The packets of capture files, in time order.

    ``paths`` may hold "-" for standard input.  Files are put in order by the times of their first packets, one without
    packets or times stays behind the file named before it; ``files`` is in that order.  Where files overlap in time
    their packets are merged.  ``window`` is the number of bytes of a batch.  ``interfaces``, ``facts`` and ``files``
    grow while batches are taken.  Raises UnusableInput when a path cannot be read or is no capture.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], window: int = WINDOW) -> None:
        self.interfaces: list[Interface] = []
        self.facts: list[CaptureFact] = []
        self._window = window
        self._files: list[_File] = []
        start = np.iinfo(np.int64).min
        for path in paths:
            file = _File(os.fspath(path), self.interfaces, self.facts)
            self._files.append(file)
            if len(paths) > 1:
                first_time = file.first_time()
                start = file.start = start if first_time is None else first_time
        self._files.sort(key=lambda file: file.start)
        for index, file in enumerate(self._files):
            file.index = index

    @property
    def files(self) -> list[FileSummary]:
        """What has been read of each file so far."""
        return [file.summary for file in self._files]

    @property
    def size(self) -> int | None:
        """Bytes on disk of all files, None when one is a pipe."""
        sizes = [file.size for file in self._files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def position(self) -> int:
        """Bytes taken from disk so far."""
        return sum(file.position for file in self._files)

    def batches(self) -> Iterator[PacketBatch]:
        """The packets, once."""
        first = 0
        for buffer, records in merged(self._files, self._window):
            yield PacketBatch(buffer, records, first)
            first += len(records)
