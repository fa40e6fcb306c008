"""Resource names of many frames as JSON: those of GFS2, nearly all of a capture, all at once."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt

from dlmtrace.views.json_lines import NULL, Characters, padded, side_by_side
from dlmtrace.views.texts import RESOURCES, Texts
from dlmtrace.wire.names import GLOCK_NAME, GLOCK_TYPE

Int = npt.NDArray[np.int64]

_QUOTED: Texts[str] = Texts(json.encoder.encode_basestring_ascii)
_WIDTH = len('"glock 2/0123456789abcdef"')


def resources(buffer: Characters, start: Int, stop: Int) -> Characters:
    """Resource names from ``start`` to ``stop`` of ``buffer`` (uint8) as ``resource_text`` has them, null for none."""
    text = np.zeros((len(start), _WIDTH), np.uint8)
    text[:, : len(NULL)] = NULL
    left = stop > start
    candidates = np.flatnonzero(stop - start == GLOCK_NAME)
    names = buffer[start[candidates][:, None] + np.arange(GLOCK_NAME)]
    usual = _are_usual(names)
    glocks = candidates[usual]
    text[glocks] = _glocks(names[usual])
    left[glocks] = False
    others = np.flatnonzero(left)
    if not len(others):
        return text
    spans = zip(start[others].tolist(), stop[others].tolist(), strict=True)
    written = padded([_QUOTED[RESOURCES[buffer[a:b].tobytes()]] for a, b in spans])
    text = np.pad(text, ((0, 0), (0, max(written.shape[1] - text.shape[1], 0))))
    text[others] = 0
    text[others, : written.shape[1]] = written
    return text


def _are_usual(names: Characters) -> npt.NDArray[np.bool_]:
    """Which names of 24 characters are a type of one decimal digit and a number, both right-aligned."""
    space = names == ord(" ")
    decimal = (names >= ord("0")) & (names <= ord("9"))
    digit = decimal | ((names >= ord("a")) & (names <= ord("f")))
    usual: npt.NDArray[np.bool_] = space[:, : GLOCK_TYPE - 1].all(axis=1) & decimal[:, GLOCK_TYPE - 1]
    usual &= digit[:, -1] & (space | digit)[:, GLOCK_TYPE:].all(axis=1)
    usual &= ~(digit[:, GLOCK_TYPE:-1] & space[:, GLOCK_TYPE + 1 :]).any(axis=1)
    return usual


def _glocks(names: Characters) -> Characters:
    """Text of such names, without spaces and leading zeros."""
    number = names[:, GLOCK_TYPE:].copy()
    leading = np.logical_and.accumulate((number == ord(" ")) | (number == ord("0")), axis=1)
    leading[:, -1] = False
    number[leading] = 0

    return side_by_side(len(names), ['"glock ', names[:, GLOCK_TYPE - 1 : GLOCK_TYPE], "/", number, '"'])
