"""Time stamps of pcapng interfaces as ns, in whole numbers (draft-ietf-opsawg-pcapng §4.2, if_tsresol, if_tsoffset)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SECOND = 1_000_000_000  # ns
LONGEST = (1 << 63) // SECOND - 1  # seconds that an int64 of ns can hold


def nanoseconds(units: npt.NDArray[np.uint64], resolution: int, offset: int) -> npt.NDArray[np.int64]:
    """``units`` of an interface as int64 ns since 1970, rounded down.

    ``resolution`` is if_tsresol: a unit is 10^-resolution s, or 2^-(resolution - 128) s when its top bit is set;
    ``offset`` is if_tsoffset in seconds.  Times that int64 cannot hold wrap.
    """
    exponent = resolution & 0x7F
    if resolution & 0x80:
        times = _binary(units, exponent)
    elif exponent <= 9:
        times = units * np.uint64(10 ** (9 - exponent))
    elif exponent <= 28:
        times = units // np.uint64(10 ** (exponent - 9))
    else:  # 2^64 units are less than 1 ns
        times = np.zeros_like(units)
    return times.view(np.int64) + max(-LONGEST, min(offset, LONGEST)) * SECOND


def _binary(units: npt.NDArray[np.uint64], exponent: int) -> npt.NDArray[np.uint64]:
    """floor(units * 10^9 / 2^exponent) without a product of more than 64 bits: by halves of the fraction."""
    second, half = np.uint64(SECOND), np.uint64(32)
    if exponent >= 64:
        whole, fraction = np.zeros_like(units), units
    else:
        whole = units >> np.uint64(exponent)
        fraction = units & np.uint64((1 << exponent) - 1)
    if exponent <= 32:
        return whole * second + (fraction * second >> np.uint64(exponent))
    low = (fraction & np.uint64(0xFFFFFFFF)) * second >> half
    return whole * second + (((fraction >> half) * second + low) >> np.uint64(min(exponent - 32, 63)))
