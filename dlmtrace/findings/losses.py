"""Where the capture or the framing lost a direction's frames: what is read soon behind such a place may be no header.

There a header is only known by its looks (protocol page §1.4).  A chain of frames without a break proves itself after a
while, and from the beginning of a connection on there is nothing to prove.
"""

from __future__ import annotations

import numpy as np

from dlmtrace.findings.ranges import Place
from dlmtrace.framing.frames import FrameBatch

PROOF = 8192
"""Bytes of frames without a break that prove them: twice the largest frame."""


class Losses:
    """Takes in the holes and skips of a batch before the rules look at it, and is asked by them."""

    def __init__(self) -> None:
        self._behind: dict[int, list[int]] = {}  # end -> stream positions behind its losses: the last, and this batch's
        self._added: set[int] = set()  # ends that lost something in this batch
        self._ended: list[int] = []  # connections that ended in this batch

    def feed(self, batch: FrameBatch) -> None:
        """What this batch lost."""
        for end in self._added:
            self._behind[end] = [max(self._behind[end])]
        for connection in self._ended:
            self._behind.pop(2 * connection, None)
            self._behind.pop(2 * connection + 1, None)
        self._added.clear()
        self._ended = [event.connection.index for event in batch.events if event.kind == "end"]
        for rows in (batch.holes, batch.skips):
            ends = rows["connection"].astype(np.int64) * 2 + rows["side"]
            for end, behind in zip(ends.tolist(), (rows["position"] + rows["length"]).tolist(), strict=True):
                self._behind.setdefault(end, []).append(behind)
                self._added.add(end)

    def sure(self, where: Place) -> bool:
        """Is what begins there surely a frame, or what the sender had there instead of one?"""
        position = int(where.row["position"])
        end = where.connection.index * 2 + where.side
        losses = [behind for behind in self._behind.get(end, ()) if behind <= position]
        if not losses:
            return where.connection.directions[where.side].begin_seen or position >= PROOF
        return position - max(losses) >= PROOF
