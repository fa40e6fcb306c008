"""pcap files (draft-ietf-opsawg-pcap): µs or ns, either byte order, and the "modified" kind.

The modified kind (libpcap as patched by A. Kuznetzov) has interface, protocol and packet type in its record headers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.index import Bytes, Layout, Offsets, gather, walk, walk_chains
from dlmtrace.capture.inputs import Input, Windows
from dlmtrace.capture.packets import RECORD, CaptureFact, FileSummary, Interface

FILE_HEADER = 24
LARGEST_PACKET = 1 << 18  # as libpcap and Wireshark have it; more when the snap length of the file says so
LARGEST_SNAPLEN = 1 << 24  # beyond it the snap length means "no limit"
NS = 1_000_000_000
CHAIN = 12 << 10  # bytes a chain of the index has to walk, about
SEARCHED = 4096  # bytes in which the start of a chain is looked for
TRIES = 8


@dataclass(frozen=True, slots=True)
class _Kind:
    fraction: int  # ns a unit of the time's second half
    record_header: int


KINDS = {
    0xA1B2C3D4: _Kind(fraction=1000, record_header=16),
    0xA1B23C4D: _Kind(fraction=1, record_header=16),
    0xA1B2CD34: _Kind(fraction=1000, record_header=24),
}
MAGICS = {magic.to_bytes(4, order): magic for magic in KINDS for order in ("little", "big")}


def is_pcap(head: bytes) -> bool:
    """Whether ``head`` (4 bytes) begins a pcap file."""
    return head in MAGICS


class PcapReader:
    """Reads the packets of a pcap file, of which ``head`` (4 bytes) has been taken already.

    ``summary``, ``interfaces`` and ``facts`` (places within this file) grow while it is read.
    """

    def __init__(self, source: Input, head: bytes) -> None:
        self.source = source
        self.summary = FileSummary(source.name, f"{source.compression} pcap".strip())
        self.interfaces: list[Interface] = []
        self.facts: list[CaptureFact] = []
        header = head + source.read(FILE_HEADER - len(head))
        self._order = "<" if int.from_bytes(head, "little") in KINDS else ">"
        kind = KINDS[MAGICS[head]]
        self._fraction, self._header = kind.fraction, kind.record_header
        self._windows: Windows | None = None
        self.summary.bytes = len(header)
        if len(header) < FILE_HEADER:
            self._report("ends inside the file header", len(header))
            return
        snaplen, link = struct.unpack_from(self._order + "II", header, 16)
        self._link = link & 0xFFFF  # the upper half says how long the frame check sequence is
        self.interfaces.append(Interface(0, self._link, snaplen))
        self.summary.link_types.append(self._link)
        largest = snaplen if LARGEST_PACKET < snaplen <= LARGEST_SNAPLEN else LARGEST_PACKET
        self._layout = Layout(self._order, length_at=8, extra=self._header, smallest=0, largest=largest)
        self._row = np.dtype(
            {
                "names": ["seconds", "fraction", "captured", "length"],
                "formats": [self._order + "u4"] * 4,
                "itemsize": self._header,
            }
        )
        self._windows = Windows(source, b"", FILE_HEADER)

    def read(self, window: int) -> tuple[Bytes, npt.NDArray[Any]] | None:
        """Buffer and records (numbered within the file) of about the next ``window`` bytes, None at the end."""
        while self._windows:
            got = self._windows.following(window)
            if got is None:
                self._finish(self._windows)
                return None
            buffer, filled = got
            offsets, stop = self._index(buffer, filled)
            records = self._records(buffer, offsets)
            place = self._windows.base + stop
            self._windows.keep(buffer, stop, filled)
            self.summary.packets += len(records)
            self.summary.bytes = place
            if filled - stop >= self._header and self._layout.is_nonsense(self._layout.length(buffer, stop)):
                length = self._layout.length(buffer, stop)
                self._report(f"claims a captured length of {length} bytes, which cannot be; reading stops", place)
                self._windows = None
            if len(records):
                return buffer, records
        return None

    def _index(self, buffer: Bytes, filled: int) -> tuple[Offsets, int]:
        found = walk_chains(buffer, self._chain_starts(buffer, filled), filled, self._layout)
        if found is None:
            offsets, stop = walk(buffer, 0, filled, self._layout)
            return np.array(offsets, np.int64), stop
        return found

    def _chain_starts(self, buffer: Bytes, filled: int) -> Offsets:
        """Places where a record is likely to begin, 0 first.

        Looked for by the upper half of the seconds (the same for 18 hours), then by what the header and the next
        record's header say.
        """
        starts = [0]
        memory = buffer.data
        header_at = struct.Struct(self._order + "IIII").unpack_from
        half = 2 if self._order == "<" else 0
        pattern = bytes(memory[half : half + 2])
        extra, largest, finest = self._header, self._layout.largest, NS // self._fraction
        for base in range(CHAIN, filled - CHAIN, CHAIN):
            block = bytes(memory[base : base + SEARCHED])
            at = 0
            for _ in range(TRIES):
                at = block.find(pattern, at + 1)
                if at < half:
                    break
                start = base + at - half
                _, fraction, captured, length = header_at(memory, start)
                if fraction >= finest or captured > length or captured > largest:
                    continue
                following = start + extra + captured
                if following + extra > filled:
                    break
                _, fraction, captured, length = header_at(memory, following)
                if (
                    fraction < finest
                    and captured <= length
                    and memory[following + half : following + half + 2] == pattern
                ):
                    starts.append(start)
                    break
        return np.array(starts, np.int64)

    def _records(self, buffer: Bytes, offsets: Offsets) -> npt.NDArray[Any]:
        rows = gather(buffer, self._row, offsets)
        records = np.zeros(len(rows), RECORD)
        records["offset"] = offsets + self._header
        records["captured"] = rows["captured"]
        records["length"] = np.minimum(rows["length"], 0x7FFFFFFF)
        records["time"] = rows["seconds"].astype(np.int64) * NS + rows["fraction"].astype(np.int64) * self._fraction
        records["packet"] = np.arange(self.summary.packets + 1, self.summary.packets + 1 + len(rows))
        records["link"] = self._link
        return records

    def _finish(self, windows: Windows) -> None:
        if windows.left:
            self._report("is cut: the file ends inside it", windows.base)
        elif self.source.damage:
            self._report("is missing", windows.base)
        self._windows = None

    def _report(self, what: str, place: int) -> None:
        packet = self.summary.packets + 1
        because = f" ({self.source.damage})" if self.source.damage else ""
        message = f"{self.source.name}: packet {packet} at byte {place} {what}{because}"
        self.facts.append(CaptureFact("CAP907", message, packet=packet, byte=place))
