"""Directed flows: a small number for each (source, destination, ports) of a batch's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.segments import Chunks, Segments
from dlmtrace.transport.connections import Endpoint

Int = npt.NDArray[np.int64]

KEY = ("source_high", "source_low", "destination_high", "destination_low", "source_port", "destination_port")
_FACTORS = tuple(
    np.uint64(factor)
    for factor in (
        0x9E3779B97F4A7C15,
        0xC2B2AE3D27D4EB4F,
        0x165667B19E3779F9,
        0x27D4EB2F165667C5,
        0x85EBCA77C2B2AE63,
        0xD6E8FEB86659FD93,
    )
)


_PREFIX = np.uint64(52)
"""Bits of a mix below those that tell its likely place."""


class FlowTable:
    """Numbers the directed flows 2·pair and 2·pair+1, where a pair is an unordered pair of endpoints.

    Rows are looked up by a 64-bit mix of the key; every hit is then compared with the whole key, so that two flows
    with one mix (an attack or bad luck) are still told apart.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, ...], int] = {}
        self._keys: dict[int, tuple[int, ...]] = {}
        self._free: list[int] = []  # numbers of forgotten pairs, used again
        self.pairs = 0  # every pair's number is below
        self._mixes: npt.NDArray[np.uint64] = np.empty(0, np.uint64)  # sorted
        self._likely: Int = np.empty(0, np.int64)  # for each value of a mix's upper bits the first place of such a mix
        self._flows: Int = np.empty(0, np.int64)  # flow of each mix
        self._columns: list[npt.NDArray[Any]] = [np.empty(0, np.uint64) for _ in KEY]  # key of each mix

    def lookup(self, rows: Segments | Chunks) -> Int:
        """Flow number of each row; unknown ones are added."""
        columns = [getattr(rows, name).astype(np.uint64, copy=False) for name in KEY]
        mix = np.zeros(len(rows.row), np.uint64)
        for column, factor in zip(columns, _FACTORS, strict=True):
            mix ^= column * factor
            mix ^= mix >> np.uint64(29)
        at, known = self._find(mix)
        if not known.all():
            _, first = np.unique(mix[~known], return_index=True)
            unknown = np.flatnonzero(~known)[np.sort(first)]
            self._add(mix[unknown], [column[unknown] for column in columns])
            at, known = self._find(mix)
        same = known
        for column, key in zip(columns, self._columns, strict=True):
            same = same & (key[at] == column)
        flow = self._flows[at]
        for row in np.flatnonzero(~same).tolist():  # two keys with one mix
            flow[row] = self._number(tuple(int(column[row]) for column in columns))
        return flow

    def endpoints(self, flow: int) -> tuple[Endpoint, Endpoint]:
        """Source and destination of a flow."""
        source_high, source_low, destination_high, destination_low, source_port, destination_port = self._keys[flow]
        return (
            Endpoint(source_high, source_low, source_port),
            Endpoint(destination_high, destination_low, destination_port),
        )

    def forget(self, pairs: list[int]) -> None:
        """Drop these pairs of endpoints; a later packet of theirs gets a new number."""
        gone = set()
        self._free.extend(pairs)
        for pair in pairs:
            for flow in (2 * pair, 2 * pair + 1):
                gone.add(flow)
                self._numbers.pop(self._keys.pop(flow), None)
        keep = ~np.isin(self._flows, np.fromiter(gone, np.int64, len(gone)))
        self._sort(keep)

    def _find(self, mix: npt.NDArray[np.uint64]) -> tuple[Int, npt.NDArray[np.bool_]]:
        if not len(self._mixes):
            return np.zeros(len(mix), np.int64), np.zeros(len(mix), bool)
        at = self._likely[mix >> _PREFIX]
        known = self._mixes[at] == mix
        rest = np.flatnonzero(~known)  # behind another one with its upper bits, or unknown
        at[rest] = np.minimum(np.searchsorted(self._mixes, mix[rest]), len(self._mixes) - 1)
        known[rest] = self._mixes[at[rest]] == mix[rest]
        return at, known

    def _sort(self, order: Int | npt.NDArray[np.bool_]) -> None:
        """Put the tables in order, or keep a part of them."""
        self._mixes, self._flows = self._mixes[order], self._flows[order]
        self._columns = [column[order] for column in self._columns]
        beginnings = np.arange(1 << 64 - int(_PREFIX), dtype=np.uint64) << _PREFIX
        self._likely = np.minimum(np.searchsorted(self._mixes, beginnings), max(len(self._mixes) - 1, 0))

    def _add(self, mixes: npt.NDArray[np.uint64], columns: list[npt.NDArray[np.uint64]]) -> None:
        keys = list(zip(*(column.tolist() for column in columns), strict=True))
        numbers = np.array([self._number(key) for key in keys], np.int64)
        self._mixes = np.concatenate((self._mixes, mixes))
        self._flows = np.concatenate((self._flows, numbers))
        self._columns = [np.concatenate((old, new)) for old, new in zip(self._columns, columns, strict=True)]
        self._sort(np.argsort(self._mixes, kind="stable"))

    def _number(self, key: tuple[int, ...]) -> int:
        number = self._numbers.get(key)
        if number is None:
            if self._free:
                number = 2 * self._free.pop()
            else:
                number = 2 * self.pairs
                self.pairs += 1
            source_high, source_low, destination_high, destination_low, source_port, destination_port = key
            back = (destination_high, destination_low, source_high, source_low, destination_port, source_port)
            self._numbers[back], self._keys[number + 1] = number + 1, back
            self._numbers[key], self._keys[number] = number, key
        return number
