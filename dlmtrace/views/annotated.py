"""A capture copied as pcapng with comments added; its packets and their times stay as they are.

Of pcapng every block is kept, byte for byte but for the comments and the length of its section.  pcap becomes one
section with one interface, its times in the file's own unit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import BinaryIO

import numpy as np

from dlmtrace import __version__
from dlmtrace.capture.blocks import (
    APPLICATION,
    FRAME_CHECK_LENGTH,
    UNKNOWN_LENGTH,
    comment,
    interface,
    options,
    section,
)
from dlmtrace.capture.index import Layout, walk
from dlmtrace.capture.inputs import Input, Windows
from dlmtrace.capture.pcap import FILE_HEADER, KINDS, byte_order
from dlmtrace.capture.pcapng import ENHANCED_PACKET, OBSOLETE_PACKET, ORDERS, SECTION, SIMPLE_PACKET
from dlmtrace.gather import Bytes, gather

WINDOW = 1 << 20  # bytes copied at once
PACKETS = (ENHANCED_PACKET, OBSOLETE_PACKET, SIMPLE_PACKET)
LONGEST = 4000  # bytes of a comment

Comments = Mapping[int, Sequence[str]]
"""Comments by the number of their packet."""


def write_annotated(path: str, size: int, target: BinaryIO, about: str, comments: Comments) -> list[int]:
    """Copy the first ``size`` bytes (uncompressed, whole records) of a capture to ``target``.

    ``about`` becomes the comment of the (first) section.  Gives the numbers of the packets that could not take their
    comments: simple packet blocks have no options.  Raises UnusableInput when the capture cannot be opened.
    """
    source = Input(path)
    try:
        head = source.read(4)
        if byte_order(head):
            _copy_pcap(source, head, size, target, about, comments)
            return []
        return _copy_pcapng(source, head, size, target, about, comments)
    finally:
        source.close()


def _windows(source: Input, head: bytes, base: int, size: int) -> Iterator[tuple[Windows, Bytes, int]]:
    """Buffers with the number of bytes in them that lie within ``size``."""
    windows = Windows(source, head, base)
    while (base := windows.base) < size and (got := windows.following(WINDOW)):
        yield windows, got[0], min(got[1], size - base)


def _copy_pcap(source: Input, head: bytes, size: int, target: BinaryIO, about: str, comments: Comments) -> None:
    head += source.read(FILE_HEADER - len(head))
    if len(head) < FILE_HEADER:
        target.write(section("<", _about(about)))
        return
    order = byte_order(head[:4])
    magic, snaplen, link = struct.unpack(order + "I12xII", head)
    kind = KINDS[magic]
    # Bits of the link type tell the length of the frame check sequence, in units of 2 bytes.
    check = [(FRAME_CHECK_LENGTH, bytes([(link >> 28) * 2]))] if link & 0x04000000 else []
    resolution = 9 if kind.unit == 1 else 6
    target.write(section(order, _about(about)) + interface(order, link & 0xFFFF, snaplen, resolution, given=check))
    layout = Layout(order, length_at=8, extra=kind.record_header, smallest=0, largest=0xFFFFFFFF)
    names = ["seconds", "fraction", "captured", "length"]
    record = np.dtype({"names": names, "formats": [order + "u4"] * 4, "itemsize": kind.record_header})
    block_head = np.dtype([(name, order + "u4") for name in ("type", "total", "interface", "high", "low", *names[2:])])

    @lru_cache(maxsize=1 << 16)
    def tail(captured: int) -> bytes:
        padding = -captured % 4
        return bytes(padding) + struct.pack(order + "I", 32 + captured + padding)

    number = 0
    for windows, buffer, filled in _windows(source, b"", FILE_HEADER, size):
        offsets, stop = walk(buffer, 0, filled, layout)
        rows = gather(buffer, record, np.array(offsets, np.int64))
        stamp = rows["seconds"].astype(np.uint64) * np.uint64(10**resolution) + rows["fraction"]
        heads = np.zeros(len(rows), block_head)
        heads["type"] = ENHANCED_PACKET
        heads["total"] = 32 + rows["captured"] + -rows["captured"].astype(np.int64) % 4
        heads["high"], heads["low"] = stamp >> np.uint64(32), stamp & np.uint64(0xFFFFFFFF)
        heads["captured"], heads["length"] = rows["captured"], rows["length"]
        packed, data = memoryview(heads.tobytes()), buffer.data
        pieces: list[bytes | memoryview] = []
        for row, (begin, captured) in enumerate(zip(offsets, rows["captured"].tolist(), strict=True)):
            begin += kind.record_header
            pieces += (packed[28 * row : 28 * row + 28], data[begin : begin + captured], tail(captured))
            number += 1
            if number in comments:
                whole = b"".join(pieces[-3:])
                pieces[-3:] = [_commented(order, whole, _options_at(order, whole), comments[number])]
        target.write(b"".join(pieces))
        windows.keep(buffer, stop, filled)


def _copy_pcapng(source: Input, head: bytes, size: int, target: BinaryIO, about: str, comments: Comments) -> list[int]:
    order, number, refused = "<", 0, []
    first = True
    for windows, buffer, filled in _windows(source, head, 0, size):
        data = buffer.data
        at = copied = 0
        while at + 12 <= filled:
            if data[at : at + 4] == SECTION.to_bytes(4, "little"):
                order = ORDERS.get(bytes(data[at + 8 : at + 12]), order)
            kind, total = struct.unpack_from(order + "II", data, at)
            if at + total > filled:
                break
            changed = None
            if kind == SECTION:
                changed = bytes(data[at : at + 16]) + UNKNOWN_LENGTH + bytes(data[at + 24 : at + total])
                if first:
                    changed = _commented(order, changed, 24, [about])
                first = False
            elif kind in PACKETS:
                number += 1
                if number in comments:
                    whole = bytes(data[at : at + total])
                    place = _options_at(order, whole)
                    if kind == SIMPLE_PACKET or place > total - 4:
                        refused.append(number)
                    else:
                        changed = _commented(order, whole, place, comments[number])
            if changed is not None:
                target.write(data[copied:at])
                target.write(changed)
                copied = at + total
            at += total
        target.write(data[copied:at])
        windows.keep(buffer, at, filled)
    return refused


def _about(text: str) -> list[tuple[int, bytes]]:
    return [comment(_cut(text)), (APPLICATION, f"dlmtrace {__version__}".encode())]


def _options_at(order: str, packet: bytes) -> int:
    """Where in an enhanced or obsolete packet block the options begin."""
    captured: int = struct.unpack_from(order + "I", packet, 20)[0] if len(packet) >= 32 else 0
    return 28 + captured + -captured % 4


def _commented(order: str, whole: bytes, at: int, texts: Sequence[str]) -> bytes:
    """A block with comments in front of its options, which begin at ``at``."""
    rest = whole[at:-4]
    body = whole[8:at] + options(order, (comment(_cut(text)) for text in texts), end=not rest) + rest
    length = struct.pack(order + "I", 12 + len(body))
    return whole[:4] + length + body + length


def _cut(text: str) -> str:
    """At most LONGEST bytes of UTF-8."""
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= LONGEST else encoded[: LONGEST - 3].decode(errors="ignore") + "…"
