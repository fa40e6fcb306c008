"""Names of lockspaces and resources: their numbers on the wire, and their text for people."""

from __future__ import annotations

import re
import zlib

_WORD = 0xFFFFFFFF


def lockspace_id(name: str) -> int:
    """Global id that dlm_controld gives the lockspace ``name`` (protocol page §1.1).

    Other cluster managers may choose the id by another rule: the kernel takes any number.
    """
    return zlib.crc32(b"dlm:ls:" + name.encode() + b"\0")


def escape(text: bytes | str) -> str:
    r"""Text that is safe on a terminal and in a line of output.

    Of bytes, printable ASCII stays and the rest becomes ``\xNN``.  Of a string, what Unicode calls printable stays;
    control characters, direction marks, line separators and lone surrogates become ``\xNN`` or ``\uNNNN``.  A
    backslash is doubled, so that the original can be read back.
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
        return "".join(_harmless(letter) if letter.isascii() else f"\\x{ord(letter):02x}" for letter in text)
    return "".join(map(_harmless, text))


def _harmless(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


GLOCK_TYPE, GLOCK_NAME = 8, 24
"""Columns of the lock type in a name that GFS2 gives, and of all of it: the number follows (fs/gfs2/lock_dlm.c)."""

_RIGHT_ALIGNED = re.compile(rb" *([0-9a-f]+)").fullmatch


def resource_text(name: bytes) -> str:
    """Resource name as people know it: ``glock 2/17`` for GFS2 (type/number as in its debugfs glocks), else escaped.

    GFS2 writes lock type and number in hexadecimal, right-aligned in columns of their own.
    """
    kind, number = _RIGHT_ALIGNED(name, 0, GLOCK_TYPE), _RIGHT_ALIGNED(name, GLOCK_TYPE)
    if len(name) != GLOCK_NAME or kind is None or number is None:
        return escape(name)
    return f"glock {int(kind[1], 16)}/{number[1].lstrip(b'0').decode() or 0}"


def jhash(name: bytes) -> int:
    """m_hash of a resource name on a little-endian node (protocol page §11; lookup3 of Bob Jenkins, initval 0)."""
    a = b = c = (0xDEADBEEF + len(name)) & _WORD
    position = 0
    while len(name) - position > 12:
        a = (a + int.from_bytes(name[position : position + 4], "little")) & _WORD
        b = (b + int.from_bytes(name[position + 4 : position + 8], "little")) & _WORD
        c = (c + int.from_bytes(name[position + 8 : position + 12], "little")) & _WORD
        a = (a - c) & _WORD ^ _rotate(c, 4)
        c = (c + b) & _WORD
        b = (b - a) & _WORD ^ _rotate(a, 6)
        a = (a + c) & _WORD
        c = (c - b) & _WORD ^ _rotate(b, 8)
        b = (b + a) & _WORD
        a = (a - c) & _WORD ^ _rotate(c, 16)
        c = (c + b) & _WORD
        b = (b - a) & _WORD ^ _rotate(a, 19)
        a = (a + c) & _WORD
        c = (c - b) & _WORD ^ _rotate(b, 4)
        b = (b + a) & _WORD
        position += 12
    if not name:
        return c
    last = name[position:].ljust(12, b"\0")
    a = (a + int.from_bytes(last[:4], "little")) & _WORD
    b = (b + int.from_bytes(last[4:8], "little")) & _WORD
    c = (c + int.from_bytes(last[8:], "little")) & _WORD
    c = ((c ^ b) - _rotate(b, 14)) & _WORD
    a = ((a ^ c) - _rotate(c, 11)) & _WORD
    b = ((b ^ a) - _rotate(a, 25)) & _WORD
    c = ((c ^ b) - _rotate(b, 16)) & _WORD
    a = ((a ^ c) - _rotate(c, 4)) & _WORD
    b = ((b ^ a) - _rotate(a, 14)) & _WORD
    return ((c ^ b) - _rotate(b, 24)) & _WORD


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & _WORD
