"""Packets of capture files and of standard input, as batches of columns in time order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dlmtrace.capture.inputs import Input
from dlmtrace.capture.packets import (
    PACKET_BITS,
    CaptureFact,
    FileSummary,
    Interface,
    PacketBatch,
    UnusableInput,
)
from dlmtrace.capture.pcap import PcapReader, is_pcap

WINDOW = 4 << 20  # bytes a batch: stays in the processor's cache, measured best


def open_reader(path: str) -> PcapReader:
    """Reader of the capture at ``path`` ("-": standard input), told by its first bytes.

    Raises UnusableInput when it cannot be read or is no capture.
    """
    source = Input(path)
    head = source.read(4)
    if is_pcap(head):
        return PcapReader(source, head)
    source.close()
    raise UnusableInput(
        f"{source.name}: not a capture file (starts with {head.hex(' ')}): pcap, pcapng expected, "
        "plain or compressed by gzip, zstd, xz, bzip2 or lz4"
    )


class Capture:
    """The packets of ``paths``.  Raises UnusableInput when one of them cannot be read or is no capture."""

    def __init__(self, paths: Sequence[str], window: int = WINDOW) -> None:
        self._window = window
        self._readers = [open_reader(path) for path in paths]
        self.files: list[FileSummary] = [reader.summary for reader in self._readers]
        self.interfaces: list[Interface] = []
        self.facts: list[CaptureFact] = []

    @property
    def size(self) -> int | None:
        """Bytes on disk of all files, None when one is a pipe."""
        sizes = [reader.source.size for reader in self._readers]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def position(self) -> int:
        """Bytes taken from disk so far."""
        return sum(reader.source.position for reader in self._readers)

    def batches(self) -> Iterator[PacketBatch]:
        """The packets, once."""
        first = 0
        for file, reader in enumerate(self._readers):
            base = len(self.interfaces)
            self.interfaces += [replace(interface, file=file) for interface in reader.interfaces]
            while (got := reader.read(self._window)) is not None:
                buffer, records = got
                records["packet"] |= file << PACKET_BITS
                records["interface"] += base
                summary = self.files[file]
                if summary.first_time is None:
                    summary.first_time = int(records["time"][0])
                summary.last_time = int(records["time"][-1])
                yield PacketBatch(buffer, records, first)
                first += len(records)
            self.facts += [replace(fact, file=file) for fact in reader.facts]
