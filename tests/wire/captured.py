"""Frames of the real captures: every kind that a capture has, and an even sample of the rest."""

import importlib.util
import struct
import sys
from collections import Counter
from functools import lru_cache
from typing import Any

from evidence import CAPTURES, capture_bytes

FIRST_OF_A_KIND, AT_MOST = 12, 3000


@lru_cache(maxsize=2)
def frames_of(file: str) -> tuple[bytes, ...]:
    """All frames of a small capture; of a larger one the first of every kind and every n-th."""
    found = [frame.data for frame in _walk().frames(capture_bytes(file))]
    step = -(-len(found) // AT_MOST)
    kinds: Counter[bytes] = Counter()
    chosen = []
    for index, frame in enumerate(found):
        kind = _kind(frame)
        kinds[kind] += 1
        if index % step == 0 or kinds[kind] <= FIRST_OF_A_KIND:
            chosen.append(frame)
    return tuple(chosen)


def _kind(frame: bytes) -> bytes:
    """h_version, h_cmd, and h_cmd and type of what carries the body."""
    inner = 24 + struct.unpack_from("<H", frame, 18)[0] if frame[14] == 3 else 0
    return frame[:4] + frame[14:15] + frame[inner + 14 : inner + 20]


def _walk() -> Any:
    """The stand-alone walker of the lab, which shares nothing with the package."""
    if "walk" not in sys.modules:
        spec = importlib.util.spec_from_file_location("walk", CAPTURES / "lab" / "walk.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["walk"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["walk"])
    return sys.modules["walk"].Walk()
