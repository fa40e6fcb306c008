"""pcap files (draft-ietf-opsawg-pcap): µs or ns, either byte order, and the "modified" kind.

The modified kind (libpcap as patched by A. Kuznetzov) has interface, protocol and packet type in its record headers.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.index import Flags, Layout, Offsets, index, likely_starts
from dlmtrace.capture.inputs import Input, Windows
from dlmtrace.capture.packets import RECORD, Interface
from dlmtrace.capture.reader import Decoded, Reader, Records
from dlmtrace.gather import Bytes, gather

FILE_HEADER = 24
LARGEST_PACKET = 1 << 18  # as libpcap and Wireshark have it; more when the snap length of the file says so
LARGEST_SNAPLEN = 1 << 24  # beyond it the snap length means "no limit"
SECOND = 1_000_000_000  # ns


@dataclass(frozen=True, slots=True)
class _Kind:
    unit: int  # ns, of the time's second half
    record_header: int  # bytes


KINDS = {
    0xA1B2C3D4: _Kind(unit=1000, record_header=16),
    0xA1B23C4D: _Kind(unit=1, record_header=16),
    0xA1B2CD34: _Kind(unit=1000, record_header=24),
}


def byte_order(head: bytes) -> str:
    """ "<" or ">" when ``head`` (4 bytes) begins a pcap file, else ""."""
    if int.from_bytes(head, "little") in KINDS:
        return "<"
    return ">" if int.from_bytes(head, "big") in KINDS else ""


class PcapReader(Reader):
    """Reads a pcap file, of which ``head`` (4 bytes) has been taken already."""

    def __init__(self, source: Input, head: bytes) -> None:
        super().__init__(source, "pcap")
        header = head + source.read(FILE_HEADER - len(head))
        self.summary.bytes = len(header)
        if len(header) < FILE_HEADER:
            self._end_early(source.damage or "the file ends inside its header")
            return
        order = byte_order(head)
        magic, snaplen, link = struct.unpack(order + "I12xII", header)
        self._kind = KINDS[magic]
        self._link = link & 0xFFFF  # the upper half tells about the frame check sequence
        self._note_link(self._link)
        self.interfaces.append(Interface(0, self._link, snaplen))
        largest = snaplen if LARGEST_PACKET < snaplen <= LARGEST_SNAPLEN else LARGEST_PACKET
        self._layout = Layout(order, length_at=8, extra=self._kind.record_header, smallest=0, largest=largest)
        self._row = np.dtype(
            {
                "names": ["seconds", "fraction", "captured", "length"],
                "formats": [order + "u4"] * 4,
                "itemsize": self._kind.record_header,
            }
        )
        self._windows = Windows(source, b"", FILE_HEADER)

    def _decode(self, buffer: Bytes, filled: int) -> Decoded:
        offsets, stop = index(buffer, self._starts(buffer, filled), filled, self._layout)
        length = self._layout.nonsense_at(buffer, stop, filled)
        nonsense = "" if length is None else f"a record claims {length} captured bytes; reading stops there"
        return Decoded(self._records(buffer, offsets), stop, nonsense)

    def _starts(self, buffer: Bytes, filled: int) -> Offsets:
        """Likely starts of records, found by the upper half of the seconds: the same for 18 hours."""
        half = 2 if self._layout.order == "<" else 0
        header = self._kind.record_header

        def is_likely(places: Offsets) -> Flags:
            rows = gather(buffer, self._row, places)
            following = places + header + rows["captured"]
            likely: Flags = self._is_likely(rows) & (following < filled - header)
            follower = gather(buffer, self._row, np.where(likely, following, 0))
            likely &= self._is_likely(follower) & (follower["seconds"] >> 16 == rows["seconds"] >> 16)
            return likely

        return likely_starts(buffer, filled, re.escape(buffer[half : half + 2].tobytes()), half, is_likely)

    def _is_likely(self, rows: npt.NDArray[Any]) -> Flags:
        likely: Flags = (
            (rows["fraction"] < SECOND // self._kind.unit)
            & (rows["captured"] <= rows["length"])
            & (rows["captured"] <= self._layout.largest)
        )
        return likely

    def _records(self, buffer: Bytes, offsets: Offsets) -> Records:
        rows = gather(buffer, self._row, offsets)
        records = np.zeros(len(rows), RECORD)
        times = rows["seconds"].astype(np.int64) * SECOND + rows["fraction"].astype(np.int64) * self._kind.unit
        records["offset"] = offsets + self._kind.record_header
        records["captured"] = rows["captured"]
        records["length"] = np.minimum(rows["length"], 0x7FFFFFFF)
        records["time"] = times
        records["packet"] = np.arange(self.summary.packets + 1, self.summary.packets + 1 + len(rows))
        records["link"] = self._link
        self.summary.packets += len(rows)
        self._note_times(times)
        return records
