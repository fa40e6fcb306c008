"""What tshark's dlm3 dissector says of a capture, field by field, and the frames that it is known to read wrongly.

The defects are those of Wireshark 4.0.17; docs/tshark.md shows each on a real packet.  Where tshark reads a frame
wrongly, `misread` works out from the frame's bytes what it will print, so that the frames beside it can be compared.
"""

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

MESSAGE_WORDS = (
    "type",
    "nodeid",
    "pid",
    "lkid",
    "remid",
    "parent_lkid",
    "parent_remid",
    "exflags",
    "sbflags",
    "flags",
    "lvbseq",
    "hash",
    "status",
    "grmode",
    "rqmode",
    "bastmode",
    "asts",
    "result",
)
HEADER = tuple(f"dlm3.h.{name}" for name in ("version", "lockspac", "seq", "nodeid", "length", "cmd", "pad"))
OPTIONS = tuple(f"dlm3.o.{name}" for name in ("nextcmd", "pad", "optlen", "pad2"))
MESSAGE = tuple(f"dlm3.m.{name}" for name in MESSAGE_WORDS)
RECOVERY = tuple(f"dlm3.rc.{name}" for name in ("type", "result", "id", "seq", "seq_reply"))
STATUS = ("dlm3.rs.flags", "dlm3.rs.unused1", "dlm3.rs.unused2")
CONFIG = ("dlm3.rf.lvblen", "dlm3.rf.lsflags", "dlm3.rf.lsflags.unused")
LOCK = tuple(
    f"dlm3.rl.{name}"
    for name in (
        "ownpid",
        "lkid",
        "remid",
        "parent_lkid",
        "parent_remid",
        "exflags",
        "flags",
        "lvbseq",
        "result",
        "rqmode",
        "grmode",
        "status",
        "asts",
        "wait_type",
        "namelen",
    )
)
NUMBERS = HEADER + OPTIONS + MESSAGE + RECOVERY + STATUS + CONFIG + LOCK
BYTES = ("dlm3.m.extra", "dlm3.rc.buf", "dlm3.rl.name", "dlm3.rl.lvb")

IN_ORDER = ("-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tcp.desegment_tcp_streams:TRUE")
"""By default tshark 4.0 drops frames whose segments came out of order."""


@dataclass(frozen=True)
class Occurrences:
    """Every occurrence of one field in packet order: its packet's number, and the number or the hex digits shown."""

    packet: npt.NDArray[np.int64]
    value: npt.NDArray[np.uint64] | list[str]


def run(tshark: str, path: Path, fields: Sequence[str], options: Sequence[str] = IN_ORDER) -> list[list[str]]:
    """A row per packet that has any of the fields: its number, then each field's occurrences joined by commas."""
    chosen = [argument for field in ("frame.number", *fields) for argument in ("-e", field)]
    command = [tshark, "-n", "-r", str(path), *options, "-T", "fields", *chosen]
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    rows = (line.split("\t") for line in output.splitlines())
    return [row for row in rows if any(row[1:])]


def occurrences(tshark: str, path: Path, options: Sequence[str] = IN_ORDER) -> dict[str, Occurrences]:
    """All dlm3 fields of a capture.  Numbers are unsigned: -1 is 2^64 - 1."""
    rows = run(tshark, path, NUMBERS + BYTES, options)
    found = {}
    for index, field in enumerate(NUMBERS + BYTES, start=1):
        cells = [(int(row[0]), row[index]) for row in rows if row[index]]
        packets = np.array([packet for packet, _ in cells], np.int64)
        repeats = np.array([cell.count(",") + 1 for _, cell in cells], np.int64)
        text = ",".join(cell for _, cell in cells)
        values = text.split(",") if field in BYTES and text else [] if field in BYTES else _numbers(text)
        found[field] = Occurrences(np.repeat(packets, repeats), values)
    return found


def _numbers(text: str) -> npt.NDArray[np.uint64]:
    """Decimal or hexadecimal numbers between commas."""
    if "x" in text:
        words = text.split(",")
        known = {word: int(word, 16) for word in set(words)}
        return np.array([known[word] for word in words], np.uint64)
    if "-" in text:
        return np.fromstring(text, np.int64, sep=",").view(np.uint64)
    return np.fromstring(text, np.uint64, sep=",")


@dataclass(frozen=True)
class UserMessage:
    """One SCTP user message: tshark dissects its first DLM frame and takes what follows for that frame's tail."""

    direction: tuple[str, str]  # sender and receiver, address:port
    packet: int  # the one that completed it
    length: int


SCTP = ("ip.src", "sctp.srcport", "ip.dst", "sctp.dstport", "sctp.verification_tag", "sctp.chunk_type")
CHUNKS = ("sctp.chunk_length", "sctp.data_tsn_raw", "sctp.data_b_bit", "sctp.data_e_bit")
DATA = "0"


def user_messages(tshark: str, path: Path) -> list[UserMessage]:
    """The user messages of every direction of every association, in TSN order; retransmitted chunks count once."""
    chunks: dict[tuple[str, ...], dict[int, tuple[int, int, bool, bool]]] = {}
    for row in run(tshark, path, SCTP + CHUNKS):
        association = tuple(row[1:6])
        types, lengths, tsns, begins, ends = (cell.split(",") for cell in row[6:])
        sizes = [int(length) - 16 for kind, length in zip(types, lengths, strict=True) if kind == DATA]
        for size, tsn, begin, end in zip(sizes, tsns, begins, ends, strict=False):
            fragment = int(row[0]), size, begin == "1", end == "1"
            chunks.setdefault(association, {}).setdefault(int(tsn), fragment)
    found = []
    for (source, source_port, destination, destination_port, _), fragments in chunks.items():
        parts: list[tuple[int, int]] = []
        for number, (packet, length, begins_here, ends_here) in sorted(fragments.items()):
            if begins_here or number - 1 not in fragments:
                parts = []
            if begins_here or parts:
                parts.append((packet, length))
            if ends_here and parts:
                direction = f"{source}:{source_port}", f"{destination}:{destination_port}"
                packets, lengths_of_parts = zip(*parts, strict=True)
                found.append(UserMessage(direction, max(packets), sum(lengths_of_parts)))
    return found


class _Reader:
    """Collects fields until one lies beyond the end, where tshark gives the frame up as malformed."""

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.fields: dict[str, list[int | str]] = {}
        self.whole = True

    def number(self, field: str, offset: int, layout: str) -> int:
        if not self.whole or offset + struct.calcsize(layout) > len(self.frame):
            self.whole = False
            return -1
        value: int = struct.unpack_from(f"<{layout}", self.frame, offset)[0]
        self.add(field, value)
        return value

    def rest(self, field: str, offset: int) -> None:
        if self.whole and offset < len(self.frame):
            self.add(field, self.frame[offset:].hex())

    def add(self, field: str, value: int | str) -> None:
        self.fields.setdefault(field, []).append(value if isinstance(value, str) else value & 0xFFFFFFFFFFFFFFFF)


def misread(frame: bytes) -> dict[str, list[int | str]]:
    """What tshark prints of a bare MSG or RCOM labelled 3.2: its header, and from byte 16 on a header once more.

    The second header and the body are read 16 bytes too late, from the body and from whatever lies behind.  They hang
    in the tree below the version, before the other fields of the first header.
    """
    command = frame[14]
    reader = _Reader(frame)
    reader.number("dlm3.h.version", 0, "I")
    reader.number("dlm3.h.version", 0, "I")  # not read again: the first one's value is repeated
    reader.number("dlm3.h.lockspac", 20, "I")
    reader.number("dlm3.h.nodeid", 24, "I")
    reader.number("dlm3.h.length", 28, "H")
    reader.number("dlm3.h.cmd", 14, "B")  # repeated as well
    reader.number("dlm3.h.pad", 31, "B")
    if command == 1:
        for index, field in enumerate(MESSAGE):
            reader.number(field, 32 + 4 * index, "i" if index in (12, 13, 14, 15, 17) else "I")
        reader.rest("dlm3.m.extra", 104)
    else:
        _misread_recovery(reader)
    reader.whole = True  # the first header stays when the body is given up
    for field, offset, layout in zip(
        ("seq", "nodeid", "length", "cmd", "pad"), (4, 8, 12, 14, 15), "IIHBB", strict=True
    ):
        reader.number(f"dlm3.h.{field}", offset, layout)
    return reader.fields


def _misread_recovery(reader: _Reader) -> None:
    kind = reader.number("dlm3.rc.type", 32, "I")
    for field, offset, layout in zip(RECOVERY[1:], (36, 40, 48, 56), "iQQQ", strict=True):
        reader.number(field, offset, layout)
    reader.rest("dlm3.rc.buf", 64)
    room = len(reader.frame) - 64
    if kind == 1 and room >= 16:
        for field, offset, layout in zip(STATUS, (64, 68, 72), "IIQ", strict=True):
            reader.number(field, offset, layout)
    elif kind == 5 and room >= 16:
        for field, offset, layout in zip(CONFIG, (64, 68, 72), "IIQ", strict=True):
            reader.number(field, offset, layout)
    elif kind == 4 and room >= 108:
        for field, offset, layout in zip(
            LOCK, (*range(64, 100, 4), 100, 101, 102, 103, 104, 106), LOCK_TYPES, strict=True
        ):
            reader.number(field, offset, layout)


LOCK_TYPES = "IIIIIIIIibbbBHH"
