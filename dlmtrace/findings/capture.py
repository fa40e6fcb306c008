"""CAP901 … CAP909: what the capture itself could not give, by place (protocol page §9, the capture-loss rule)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from dlmtrace.capture.packets import CaptureFact
from dlmtrace.capture.segments import TrafficSummary
from dlmtrace.findings.identity import Identities, Key
from dlmtrace.findings.ranges import Place, Ranges, place
from dlmtrace.framing.frames import SKIP_REASONS, FrameBatch
from dlmtrace.framing.synchronise import MID_STREAM, STREAM_END
from dlmtrace.streams.limits import cut_packets, undecoded
from dlmtrace.streams.results import Finding, Severity
from dlmtrace.transport.connections import CLIENT, SERVER, Connection
from dlmtrace.wire.enums import Command

TALKATIVE = 300
"""Frames that no node sends without any from its peer: after 257 at the latest there comes an ACK (§5)."""

PAIR_LIMIT = 65_536
"""Directed pairs remembered; no cluster comes near it, forged packets could."""


class LossRules:
    """CAP901, CAP902 and CAP905: bytes that are missing, and those that therefore belong to no frame."""

    def __init__(self, ranges: Ranges) -> None:
        self._ranges = ranges
        self._cut_bytes = 0
        self._first_cut: Place | None = None

    def feed(self, batch: FrameBatch) -> None:
        """The holes and skips of a batch."""
        for hole in batch.holes:
            where = Place(batch.connections[int(hole["connection"])], hole, None)
            missing, cut = int(hole["length"] - hole["cut"]), int(hole["cut"])
            if missing:
                text = "holes in the stream: {count}, {bytes} bytes were not captured"
                self._ranges.add("CAP901", text, where, amounts={"bytes": missing})
            if cut:
                self._cut_bytes += cut
                self._first_cut = self._first_cut or Place(where.connection, hole.copy(), None)
        for skip in batch.skips[batch.skips["reason"] != STREAM_END]:
            where = Place(batch.connections[int(skip["connection"])], skip, None)
            text = f"{{bytes}} bytes belong to no frame ({SKIP_REASONS[skip['reason']]})"
            severity: Severity | None = "note" if skip["reason"] == MID_STREAM else None
            self._ranges.add("CAP905", text, where, amounts={"bytes": int(skip["length"])}, severity=severity)

    def finish(self, traffic: TrafficSummary) -> None:
        """The capture is over."""
        if self._first_cut is not None:
            packet, time = int(self._first_cut.row["packet"]), self._first_cut.time
            text = cut_packets(traffic.cut_packets, self._cut_bytes)
            self._ranges.report(Finding("CAP902", text, packet=packet, time=time, count=traffic.cut_packets))


class SideRules:
    """CAP903 and CAP904: streams whose beginning, or whose other direction, was not captured."""

    def __init__(self, identities: Identities, ranges: Ranges) -> None:
        self._identities, self._ranges = identities, ranges
        self._frames: Counter[Key] = Counter()
        self._first: dict[Key, Place] = {}
        self._unnumbered: set[Key] = set()  # begun, but without a number yet

    def feed(self, batch: FrameBatch) -> None:
        """The frames and connections of a batch."""
        if self._identities.renamed:
            self._rename()
        ends = batch.ends
        counts = np.bincount(ends.of, minlength=len(ends.number)).tolist()
        keys = self._identities.keys(batch)
        for row, key, count in sorted(zip(ends.first.tolist(), keys, counts, strict=True)):
            if key not in self._first and len(self._first) < PAIR_LIMIT:
                self._begin(key, place(batch, row))
            self._frames[key] += count
        if not self._unnumbered.isdisjoint(keys):
            self._see_numbers(batch, keys)
        for event in batch.events:
            if event.kind == "end":
                self._end(event.connection)

    def finish(self) -> None:
        """The capture is over: who spoke to somebody that was never heard?"""
        for key, count in self._frames.items():
            if count > TALKATIVE and not self._frames[key[::-1]] and self._both_ways(self._first[key].connection):
                text = f"{count} frames were captured, and not one from the other node"
                self._ranges.add("CAP904", text, self._first[key], count=count, together=key)

    def _rename(self) -> None:
        name = self._identities.name
        self._frames = Counter({(name(one), name(two)): count for (one, two), count in self._frames.items()})
        self._first = {(name(one), name(two)): where for (one, two), where in self._first.items()}
        self._unnumbered = {(name(one), name(two)) for one, two in self._unnumbered}

    def _begin(self, key: Key, where: Place) -> None:
        self._first[key] = where
        if not where.connection.directions[where.side].begin_seen:
            self._ranges.add("CAP903", "its connection was open when the capture began", where, together=key)
        else:
            self._unnumbered.add(key)

    def _see_numbers(self, batch: FrameBatch, keys: list[Key]) -> None:
        first = batch.ends.first_among(np.flatnonzero(batch.header["h_cmd"] == Command.OPTS))
        for row, key in sorted(zip(first.tolist(), keys, strict=True)):
            if row < 0 or key not in self._unnumbered:
                continue
            self._unnumbered.discard(key)
            where = place(batch, row)
            if where.number:
                self._ranges.add("CAP903", f"the first frame seen has the number {where.number}", where, together=key)

    def _end(self, connection: Connection) -> None:
        for side in (CLIENT, SERVER):
            sent, back = connection.directions[side], connection.directions[1 - side]
            if sent.bytes and not back.packets:
                row = {"side": side, "packet": connection.first_packet, "time": connection.opened}
                text = "only this direction of the connection was captured"
                self._ranges.add("CAP904", text, Place(connection, row, None))

    @staticmethod
    def _both_ways(connection: Connection) -> bool:
        return all(direction.packets for direction in connection.directions)


def file_findings(facts: list[CaptureFact], traffic: TrafficSummary, report: Callable[[Finding], None]) -> None:
    """CAP906 … CAP909: what the readers of the files had to say."""
    for fact in facts:
        report(Finding(fact.code, fact.message, packet=fact.packet, count=fact.count))
    if traffic.undecodable:
        count = sum(traffic.undecodable.values())
        report(Finding("CAP909", undecoded(traffic.undecodable), count=count, evidence=dict(traffic.undecodable)))
