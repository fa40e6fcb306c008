"""Sequence numbers: 32 bits that wrap, compared as the kernel compares them (protocol page §6.1)."""

from __future__ import annotations

MODULUS = 1 << 32


def following(sequence: int, steps: int = 1) -> int:
    """The number ``steps`` after ``sequence``."""
    return (sequence + steps) % MODULUS


def before(left: int, right: int) -> bool:
    """Whether ``left`` comes before ``right``: serial arithmetic (RFC 1982), the sender's way to compare."""
    return (left - right) % MODULUS >= 1 << 31


def past(sequence: int, expected: int) -> bool:
    """Whether a receiver takes ``sequence`` for one it had already: a plain comparison, wrong around the wrap."""
    return sequence < expected
