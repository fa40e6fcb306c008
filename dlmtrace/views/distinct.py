"""The text columns of frames, each text made once for all frames of a batch that have the same.

Text is slow to make and repeats; numbers that decide it are quick to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.texts import ABSENT, MODE, VERSIONS

Int = npt.NDArray[np.int64]

_NARROW = 1 << 16
"""Numbers over a smaller range are told apart by a table, others by sorting them."""


class Distinct(NamedTuple):
    """A column of texts."""

    texts: list[str]
    """each once; empty where the frame has no such field or the capture does not hold it"""
    code: Int
    """for each row, which of them"""


class _Column(NamedTuple):
    """How the frame list makes a column, and numbers that are the same where its text is."""

    texts: Callable[[FrameColumns], list[str]]
    keys: Callable[[FrameColumns], tuple[npt.NDArray[Any], ...]]


def distinct(columns: FrameColumns, name: str) -> Distinct:
    """The text column ``name`` of some frames, at least one."""
    column = TEXT_COLUMNS[name]
    return distinct_by(columns, column.keys(columns), column.texts)


def distinct_by(
    columns: FrameColumns, keys: tuple[npt.NDArray[Any], ...], texts: Callable[[FrameColumns], list[str]]
) -> Distinct:
    """What ``texts`` makes of some frames (at least one), if that is the same wherever all ``keys`` are."""
    code = np.zeros(len(columns.rows), np.int64)
    for key in keys:
        ranks = _ranks(key)
        code = _ranks(code * (int(ranks.max()) + 1) + ranks)
    first = np.zeros(int(code.max()) + 1, np.int64)
    first[code[::-1]] = np.arange(len(code))[::-1]
    return Distinct(texts(FrameColumns(columns.batch, columns.rows[first], columns.naming)), code)


def _ranks(values: npt.NDArray[Any]) -> Int:
    """Numbers from 0 on in place of ``values``, without a gap."""
    absent = values == ABSENT
    some = values[~absent] if absent.any() else values
    if not len(some):
        return np.zeros(len(values), np.int64)
    low, high = int(some.min()), int(some.max())
    if high - low >= _NARROW:
        return np.unique(values, return_inverse=True)[1]
    places = values.astype(np.int64) - (low - 1)
    places[absent] = 0
    present = np.zeros(high - low + 2, np.int64)
    present[places] = 1
    ranks: Int = (np.cumsum(present) - 1)[places]
    return ranks


def ends(columns: FrameColumns) -> tuple[npt.NDArray[Any], ...]:
    """Numbers that decide what is said of a frame's connection, its direction and its sender."""
    return columns.frames["connection"], columns.frames["side"], columns.header["h_nodeid"]


def _mode(word: str) -> _Column:
    return _Column(
        lambda columns: [MODE[number] for number in columns.lock_words[word].tolist()],
        lambda columns: (columns.lock_words[word],),
    )


TEXT_COLUMNS = {
    "connection": _Column(lambda columns: columns.connections, ends),
    "transport": _Column(lambda columns: columns.transports, ends),
    "source": _Column(lambda columns: columns.sources, ends),
    "destination": _Column(lambda columns: columns.destinations, ends),
    "state": _Column(lambda columns: columns.states, lambda columns: (columns.frames["state"],)),
    "version": _Column(
        lambda columns: [VERSIONS[number] for number in columns.header["h_version"].tolist()],
        lambda columns: (columns.header["h_version"],),
    ),
    "command": _Column(lambda columns: columns.commands, lambda columns: (columns.header["h_cmd"], columns.command)),
    "type": _Column(lambda columns: columns.types, lambda columns: (columns.command, columns.type)),
    "lockspace": _Column(lambda columns: columns.lockspaces, lambda columns: (columns.batch.lockspace[columns.rows],)),
    "granted_mode": _mode("granted"),
    "requested_mode": _mode("requested"),
    "blocking_mode": _mode("blocking"),
    "result": _Column(lambda columns: columns.results, lambda columns: columns.outcomes),
    "flags": _Column(
        lambda columns: columns.flags,
        lambda columns: tuple(columns.lock_numbers[word] for word in ("exflags", "sbflags", "flags")),
    ),
}
