"""What the beginning of a frame looks like, for finding one without knowing where it is (protocol page §1.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.wire.columns import HEADER
from dlmtrace.wire.enums import Command
from dlmtrace.wire.header import MAXIMUM_LENGTH

OLDEST, NEWEST = 0x00030000, 0x00030002
"""h_version of protocols 3.0 and 3.2."""


def look_like_headers(headers: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which of these (dtype HEADER) look like headers of frames of protocol 3.0 … 3.2?"""
    length, command = headers["h_length"], headers["h_cmd"]
    good: npt.NDArray[np.bool_] = headers["h_version"] - np.uint32(OLDEST) <= NEWEST - OLDEST
    good &= (headers["h_pad"] == 0) & (length >= HEADER.itemsize) & (length <= MAXIMUM_LENGTH)
    good &= (command >= Command.MSG) & (command <= Command.FIN)
    return good


def looks_like_header(version: int, length: int, command: int, pad: int) -> bool:
    """The same of one header."""
    return (
        OLDEST <= version <= NEWEST
        and HEADER.itemsize <= length <= MAXIMUM_LENGTH
        and Command.MSG <= command <= Command.FIN
        and pad == 0
    )
