"""The kernel's hash of many resource names at once (protocol page §11; linux/jhash.h: lookup3 of Bob Jenkins)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.gather import every_place

Int = npt.NDArray[np.int64]
Word = npt.NDArray[np.uint32]

BLOCK = 12
"""Bytes that are mixed at once; the last block, of 1 to 12 bytes, is mixed in its own way."""

_START = 0xDEADBEEF
_MIX = ((0, 2, 4, 1), (1, 0, 6, 2), (2, 1, 8, 0), (0, 2, 16, 1), (1, 0, 19, 2), (2, 1, 4, 0))
_FINAL = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))
_KEPT = np.array([[255] * size + [0] * (BLOCK - size) for size in range(BLOCK + 1)], np.uint8).view("<u4")
"""For each size of the last block, a mask over its three words."""


def jhashes(buffer: npt.NDArray[np.uint8], offset: Int, length: Int, *, big_endian: bool = False) -> Word:
    """m_hash of the names at byte ``offset`` of ``buffer``, each ``length`` (1 … 64) bytes long.

    With ``big_endian`` as a big-endian node computes it: all blocks but the last are read as words of the CPU's order.
    ``buffer`` has at least 12 bytes behind the last name.
    """
    result = np.empty(len(offset), np.uint32)
    blocks = (length - 1) // BLOCK
    for whole in np.flatnonzero(np.bincount(blocks)).tolist():
        rows = np.flatnonzero(blocks == whole)
        size = length[rows]
        raw = every_place(buffer, f"V{BLOCK * (whole + 1)}")[offset[rows]]
        words: npt.NDArray[Any] = np.ascontiguousarray(raw.view("<u4").reshape(len(rows), -1).T)
        words[-3:] &= _KEPT[size - BLOCK * whole].T
        if big_endian:
            words[:-3] = words[:-3].byteswap()
        state = [(size + _START).astype(np.uint32) for _ in range(3)]
        for block in range(whole):
            _add(state, words[3 * block : 3 * block + 3])
            for target, source, bits, other in _MIX:
                state[target] -= state[source]
                state[target] ^= _rotated(state[source], bits)
                state[source] += state[other]
        _add(state, words[-3:])
        for target, source, bits in _FINAL:
            state[target] ^= state[source]
            state[target] -= _rotated(state[source], bits)
        result[rows] = state[2]
    return result


def _add(state: list[Word], words: Word) -> None:
    for each, word in zip(state, words, strict=True):
        each += word


def _rotated(word: Word, bits: int) -> Word:
    return word << np.uint32(bits) | word >> np.uint32(32 - bits)
