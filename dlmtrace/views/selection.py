"""Which frames to show: the selectors that the commands offer, as masks over the columns of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PACKET_BITS
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.naming import Naming
from dlmtrace.wire.enums import Command

Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Ranges = Sequence[tuple[int, int]]
"""Inclusive ranges; a number is in when it is in one of them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A frame is selected when every selector that is not None takes it.

    ``senders``, ``receivers``: node ids.  ``commands``: h_cmd of the frame or of the one that it carries.
    ``message_types``, ``recovery_types``: m_type and rc_type, given together.  ``lockspaces``: ids.  ``resources``:
    patterns, see ``_matches``.  ``sequences``: h_seq.  ``packets``: those with the frame's first or last byte, and
    the one that completed it.  ``connections``: indexes.  ``times``: ns since 1970.
    """

    senders: Ranges | None = None
    receivers: Ranges | None = None
    commands: frozenset[int] | None = None
    message_types: frozenset[int] | None = None
    recovery_types: frozenset[int] | None = None
    lockspaces: frozenset[int] | None = None
    resources: tuple[str, ...] | None = None
    sequences: Ranges | None = None
    packets: Ranges | None = None
    connections: Ranges | None = None
    times: Ranges | None = None

    def rows(self, batch: FrameBatch, naming: Naming) -> Int:
        """Rows of the batch that are selected, in order."""
        frames = batch.frames
        chosen = np.ones(len(frames), np.bool_)
        for ranges, values in (
            (self.senders, lambda: batch.header["h_nodeid"]),
            (self.receivers, lambda: naming.nodes.receivers(batch)),
            (self.sequences, lambda: batch.sequence),
            (self.connections, lambda: frames["connection"]),
            (self.times, lambda: frames["time"]),
        ):
            if ranges is not None:
                chosen &= _inside(ranges, values())
        if self.packets is not None:
            numbers = (frames[field] & ((1 << PACKET_BITS) - 1) for field in ("first_packet", "last_packet", "packet"))
            chosen &= np.logical_or.reduce([_inside(self.packets, number) for number in numbers])
        if self.commands is not None:
            commands = list(self.commands)
            chosen &= np.isin(batch.header["h_cmd"], commands) | np.isin(batch.command, commands)
        if self.message_types is not None or self.recovery_types is not None:
            message = (batch.command == Command.MSG) & np.isin(batch.type, list(self.message_types or ()))
            recovery = (batch.command == Command.RCOM) & np.isin(batch.type, list(self.recovery_types or ()))
            chosen &= message | recovery
        if self.lockspaces is not None:
            chosen &= np.isin(batch.lockspace, list(self.lockspaces))
        rows = np.flatnonzero(chosen)
        return rows if self.resources is None else self._named(batch, rows, naming)

    def _named(self, batch: FrameBatch, rows: Int, naming: Naming) -> Int:
        """Those of ``rows`` that carry a resource name which a pattern takes."""
        names = FrameColumns(batch, rows, naming).resources
        taken = {name: any(_matches(pattern, name) for pattern in self.resources or ()) for name in set(names) if name}
        return rows[[taken.get(name, False) for name in names]]


def _matches(pattern: str, name: str) -> bool:
    """Shell pattern on the name as it is shown; ``2/17`` and ``2/*`` also find the GFS2 locks ``glock 2/17``, …"""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"glock {pattern}")


def _inside(ranges: Ranges, values: npt.NDArray[np.integer]) -> Bool:
    inside = np.zeros(len(values), np.bool_)
    for low, high in ranges:
        inside |= (values >= low) & (values <= high)
    return inside
