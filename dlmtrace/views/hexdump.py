"""Bytes in hexadecimal."""

from __future__ import annotations

_ROW = 16


def hexadecimal(data: bytes) -> str:
    """``02 00 03 00``."""
    return data.hex(" ")


def dump(data: bytes, indent: str = "") -> str:
    """Lines of 16 bytes: offset, hexadecimal, printable ASCII."""
    lines = []
    for offset in range(0, len(data), _ROW):
        row = data[offset : offset + _ROW]
        letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        first, second = hexadecimal(row[:8]), hexadecimal(row[8:])
        lines.append(f"{indent}{offset:04x}  {first:<23}  {second:<23}  {letters}\n")
    return "".join(lines)
