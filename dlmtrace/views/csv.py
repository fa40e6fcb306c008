"""Frames as CSV (RFC 4180, but lines end with a line feed): the columns of the frame list, then numbers behind them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import packet_file, packet_number
from dlmtrace.streams.nodes import UNKNOWN
from dlmtrace.views.columns import LOCK_FIELDS, FrameColumns
from dlmtrace.views.texts import ABSENT
from dlmtrace.views.times import Clock

COLUMNS = (
    "frame",
    "file",
    "packet",
    "time",
    "connection",
    "source",
    "destination",
    "sender",
    "receiver",
    "sequence",
    "command",
    "type",
    "lockspace",
    "resource",
    "locks",
    "modes",
    "result",
    "flags",
    "state",
    "time_ns",
    "position",
    "length",
    "captured",
    "h_version",
    "h_cmd",
    "type_number",
    "h_lockspace",
    "resource_hex",
    *(f"{column}_number" for column in LOCK_FIELDS),
)


class FrameTable:
    """Makes the rows of a run over the capture files ``paths``, the names of the columns first."""

    def __init__(self, paths: Sequence[str], clock: Clock) -> None:
        self.clock = clock
        self._paths = paths
        self._named = False

    def text(self, columns: FrameColumns) -> str:
        """Rows of the frames of ``columns``."""
        frames = columns.frames
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if not self._named:
            writer.writerow(COLUMNS)
            self._named = True
        packets: list[int] = frames["packet"].tolist()
        times: list[int] = frames["time"].tolist()
        cells: tuple[Sequence[Any], ...] = (
            columns.numbers.tolist(),
            [_inert(self._paths[packet_file(packet)]) for packet in packets],
            [packet_number(packet) for packet in packets],
            self.clock.texts(times),
            columns.connections,
            columns.sources,
            columns.destinations,
            columns.header["h_nodeid"].tolist(),
            _numbers(columns.receivers, UNKNOWN),
            columns.sequences,
            columns.commands,
            columns.types,
            [_inert(text) for text in columns.lockspaces],
            [_inert(text) for text in columns.resources],
            columns.locks,
            columns.modes,
            columns.results,
            columns.flags,
            columns.states,
            times,
            frames["position"].tolist(),
            frames["length"].tolist(),
            frames["captured"].tolist(),
            columns.header["h_version"].tolist(),
            columns.header["h_cmd"].tolist(),
            _numbers(columns.type, 0),
            _numbers(columns.batch.lockspace[columns.rows], -1),
            ["" if name is None else name.hex() for name in columns.names],
            *(_numbers(values, ABSENT) for values in columns.lock_numbers.values()),
        )
        writer.writerows(zip(*cells, strict=True))
        return out.getvalue()


def _numbers(values: npt.NDArray[np.int64], absent: int) -> list[int | str]:
    return ["" if value == absent else value for value in values.tolist()]


def _inert(text: str) -> str:
    """``text`` that no spreadsheet takes for a formula: an apostrophe goes before what would begin one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
