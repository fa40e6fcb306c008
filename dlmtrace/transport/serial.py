"""Serial number arithmetic modulo 2^32 (RFC 1982), as TCP sequence numbers and SCTP TSNs need it."""

from __future__ import annotations

from typing import Any


def signed(difference: Any) -> Any:
    """A difference of two 32-bit numbers (int or integer array) as the nearest one, -2^31 … 2^31-1."""
    return (difference + 0x80000000 & 0xFFFFFFFF) - 0x80000000
