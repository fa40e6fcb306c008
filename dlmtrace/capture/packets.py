"""What a capture yields: packets as columns, in batches, and the facts that the capture itself gives away.

Everything downstream knows a capture by these types alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

TAIL = 256
"""Zero bytes that every buffer carries behind its last packet, so that a gather of columns never runs over the end."""

PACKET_BITS = 40
"""A packet's identity is ``file << PACKET_BITS | number``; number counts from 1 within its file, as Wireshark does."""

RECORD = np.dtype(
    [
        ("offset", "<i8"),  # of the packet's first byte in the batch's buffer
        ("captured", "<i4"),  # bytes of the packet in the buffer
        ("length", "<i4"),  # bytes of the packet on the wire
        ("time", "<i8"),  # ns since 1970-01-01 UTC
        ("packet", "<i8"),  # identity, see PACKET_BITS
        ("interface", "<i4"),  # index into Capture.interfaces (each file's interfaces follow those of the file before)
        ("link", "<i4"),  # LINKTYPE_ value of that interface
    ]
)


def packet_number(packet: int) -> int:
    """Number of the packet in its file, from 1."""
    return packet & ((1 << PACKET_BITS) - 1)


def packet_file(packet: int) -> int:
    """Index of the packet's file."""
    return packet >> PACKET_BITS


@dataclass(frozen=True, slots=True)
class PacketBatch:
    """Packets of one or more files in capture order.

    ``buffer`` is uint8 and is never written again: later stages keep views of it.  ``records`` has dtype RECORD.
    ``first`` is the ordinal of row 0: ordinals count all packets of the run in capture order from 0.
    """

    buffer: npt.NDArray[np.uint8]
    records: npt.NDArray[Any]
    first: int


@dataclass(frozen=True, slots=True)
class Interface:
    """One capturing interface: a pcap file has one, a pcapng section as many as it declares."""

    file: int
    link: int
    snaplen: int
    name: str = ""
    description: str = ""


@dataclass(slots=True)
class FileSummary:
    """What was read of one file so far; grows while it is read."""

    name: str
    format: str  # "pcap" or "pcapng", with the compression in front: "zstd pcap"
    packets: int = 0
    bytes: int = 0  # of the capture, uncompressed
    first_time: int | None = None  # ns
    last_time: int | None = None  # ns
    link_types: list[int] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    dropped: int = 0  # packets that the capturer says it dropped (pcapng statistics)
    untimed: int = 0  # packets without a time (pcapng simple packets); they carry that of the packet before


@dataclass(frozen=True, slots=True)
class CaptureFact:
    """Something the capture itself could not give: a CAP code of the catalogue with its place.

    ``packet`` is an identity or None; ``byte`` is an offset in the uncompressed file or None.
    """

    code: str
    message: str
    file: int | None = None
    packet: int | None = None
    byte: int | None = None
    count: int = 1


class UnusableInput(Exception):
    """The input cannot be read as a capture at all; the message is one line that says what, where and what to do."""
