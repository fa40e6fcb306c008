"""pcapng blocks, built (draft-ietf-opsawg-pcapng §3, §4); ``order`` is "<" or ">"."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from dlmtrace.capture.pcapng import COMMENT, IF_NAME, IF_RESOLUTION, INTERFACE, SECTION

APPLICATION = 4  # shb_userappl
FRAME_CHECK_LENGTH = 13  # if_fcslen
UNKNOWN_LENGTH = b"\xff" * 8  # of a section

Option = tuple[int, bytes]


def padded(data: bytes) -> bytes:
    """``data`` filled up to a multiple of 4 bytes."""
    return data + bytes(-len(data) % 4)


def block(order: str, kind: int, body: bytes) -> bytes:
    """A whole block; ``body`` has a multiple of 4 bytes."""
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def options(order: str, given: Iterable[Option], end: bool = True) -> bytes:
    """Options of a block, with the mark that ends them unless others follow."""
    packed = b"".join(struct.pack(order + "HH", code, len(value)) + padded(value) for code, value in given)
    return packed + bytes(4) if packed and end else packed


def comment(text: str) -> Option:
    """An opt_comment."""
    return COMMENT, text.encode()


def section(order: str, given: Iterable[Option]) -> bytes:
    """A section header block: version 1.0, unknown length."""
    return block(order, SECTION, struct.pack(order + "IHH", 0x1A2B3C4D, 1, 0) + UNKNOWN_LENGTH + options(order, given))


def interface(
    order: str, link: int, snaplen: int, resolution: int, name: str = "", given: Iterable[Option] = ()
) -> bytes:
    """An interface description block; a unit of time is 10^-``resolution`` s."""
    named = [(IF_NAME, name.encode())] if name else []
    told = options(order, [*named, (IF_RESOLUTION, bytes([resolution])), *given])
    return block(order, INTERFACE, struct.pack(order + "HHI", link, 0, snaplen) + told)
