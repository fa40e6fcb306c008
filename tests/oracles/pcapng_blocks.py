"""pcapng blocks built by hand from draft-ietf-opsawg-pcapng §4, in either byte order."""

import struct
from collections.abc import Iterable

Option = tuple[int, bytes]


def block(order: str, kind: int, body: bytes) -> bytes:
    """§3.1: type, total length, body padded to 32 bits, total length."""
    body += bytes(-len(body) % 4)
    length = 12 + len(body)
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def options(order: str, given: Iterable[Option]) -> bytes:
    """§3.5: code, length, value padded to 32 bits, and the end of options when there are any."""
    packed = b"".join(
        struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4) for code, value in given
    )
    return packed + bytes(4) if packed else b""


def section(order: str, *given: Option) -> bytes:
    """§4.1: byte-order magic, version 1.0, unknown section length."""
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + options(order, given))


def interface(order: str, link: int, snaplen: int, *given: Option) -> bytes:
    """§4.2: name is option 2, description 3, if_tsresol 9, if_tsoffset 14."""
    return block(order, 1, struct.pack(order + "HHI", link, 0, snaplen) + options(order, given))


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def enhanced(order: str, number: int, stamp: int, data: bytes, *given: Option, length: int | None = None) -> bytes:
    """§4.3: interface, time in two halves, captured and original length, data."""
    fields = (number, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(data) if length is None else length)
    return block(order, 6, struct.pack(order + "5I", *fields) + padded(data) + options(order, given))


def simple(order: str, length: int, data: bytes) -> bytes:
    """§4.4: original length, data; of the first interface, without a time."""
    return block(order, 3, struct.pack(order + "I", length) + padded(data))


def obsolete(order: str, number: int, drops: int, stamp: int, data: bytes, *given: Option) -> bytes:
    """Appendix A: interface and drop counter share a word, then as enhanced packets."""
    head = struct.pack(order + "HH4I", number, drops, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(data))
    return block(order, 2, head + padded(data) + options(order, given))


def statistics(order: str, number: int, stamp: int, *given: Option) -> bytes:
    """§4.6: isb_ifdrop is option 5, isb_osdrop 7, each 64 bits."""
    head = struct.pack(order + "III", number, stamp >> 32, stamp & 0xFFFFFFFF)
    return block(order, 5, head + options(order, given))


def counter(order: str, value: int) -> bytes:
    return struct.pack(order + "Q", value)
