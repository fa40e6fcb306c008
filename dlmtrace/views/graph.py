"""What a time-sequence graph shows: the series of a stream, and what the analysis says about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.findings.catalogue import severity
from dlmtrace.streams.numbers import unwrap
from dlmtrace.streams.results import Finding, Reconnect, Severity
from dlmtrace.streams.series import ACK, MARKS, RESENT, Series, few_marks
from dlmtrace.views.places import Places

MARK_NAMES = ("SYN", "FIN", "RST", "abandoned", "hole", "gap")
"""Short names of the kinds of marks, by number."""

SHOWN = 1000
"""Findings of a stream that its graph shows; the gravest come first."""


@dataclass(frozen=True, slots=True)
class Note:
    """A finding in the graph; ``row`` is its number in the report's table."""

    time: int  # ns
    code: str
    severity: Severity
    row: int | None


@dataclass(frozen=True, slots=True)
class Loss:
    """Numbers (unwrapped) that a reconnect lost, where the stream went on past them."""

    time: int  # ns
    first: int
    last: int
    reconnect: str


@dataclass(frozen=True, slots=True)
class Stall:
    """The receiver stood still."""

    start: int  # ns
    until: int  # ns


@dataclass(frozen=True, slots=True)
class Doubt:
    """Numbers (unwrapped) that were sent and not confirmed when a connection ended, until the stream went on."""

    start: int  # ns
    until: int  # ns
    first: int
    last: int


@dataclass(slots=True)
class Graph:
    """A part of a stream's life: ``start`` … ``until`` (ns) across, ``low`` … ``high`` (numbers) up."""

    name: str  # of the stream
    numbered: bool
    points: npt.NDArray[Any]  # dtype POINT
    marks: npt.NDArray[Any]  # dtype MARK
    start: int
    until: int
    low: int
    high: int
    notes: list[Note] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    unplaced: int = 0  # frames that are not drawn: their number is nonsense (SEQ210)

    def carried(self) -> list[tuple[int, int, int]]:
        """Which connection (index) carried the frames, from when to when (ns), in order."""
        frames = self.points[self.points["kind"] != ACK]
        if not len(frames):
            return []
        starts = np.flatnonzero(np.diff(frames["connection"], prepend=-1))
        ends = np.append(starts[1:], len(frames)) - 1
        return list(
            zip(
                frames["connection"][starts].tolist(),
                frames["time"][starts].tolist(),
                frames["time"][ends].tolist(),
                strict=True,
            )
        )

    def within(self, start: int, until: int) -> Graph:
        """The same from ``start`` to ``until`` (ns), the numbers as they are there."""
        points = _between(self.points, start, until)
        losses = [loss for loss in self.losses if start <= loss.time <= until]
        doubts = [doubt for doubt in self.doubts if start <= doubt.start and doubt.until <= until]
        low, high = _extent(points, [*losses, *doubts])
        standing = self.points[(self.points["kind"] == ACK) & (self.points["time"] < start)][-1:]
        if len(standing) and high - 2 * (high - low) - 50 < int(standing["number"][0]) <= high:
            low = min(low, int(standing["number"][0]))
        return Graph(
            self.name,
            self.numbered,
            np.concatenate((standing, points)),
            _between(self.marks, start, until),
            start,
            until,
            low,
            high,
            [note for note in self.notes if start <= note.time <= until],
            losses,
            [stall for stall in self.stalls if stall.start <= until and stall.until >= start],
            doubts,
        )


def graph(
    series: Series,
    places: Places,
    capacity: int,
    mark_capacity: int = MARKS,
    reconnects: Sequence[Reconnect] = (),
    findings: Sequence[tuple[int | None, Finding]] = (),
) -> Graph:
    """The whole graph of a stream, in at most about ``capacity`` points and ``mark_capacity`` marks.

    ``reconnects`` and ``findings`` (each with its row in the report, if any) may be those of other streams too.
    """
    points = series.points
    if len(points) > capacity:
        usual, near = series.usual, series.near
        usual.shrink(max(capacity - len(near.points), capacity // 2))
        near.shrink(capacity // 2)
        points = series.points
    own = [each for each in reconnects if (each.sender, each.receiver) == (series.sender, series.receiver)]
    notes: list[Note] = []
    stalls: list[Stall] = []
    for row, finding in findings:
        if (finding.sender, finding.receiver) != (series.sender, series.receiver) or finding.time is None:
            continue
        if severity(finding) != "note" and len(notes) < SHOWN:
            notes.append(Note(finding.time, finding.code, severity(finding), row))
        if finding.code == "SEQ211":
            stalls.append(Stall(finding.evidence["from"], finding.evidence["until"]))
    losses, doubts = [], []
    for reconnect in own:
        resumed = reconnect.resumed or reconnect.ended
        for first, last in reconnect.lost:
            losses.append(Loss(resumed, *_unwrapped(points, reconnect, first, last), reconnect.reconnect))
        for first, last in reconnect.unconfirmed:
            doubts.append(Doubt(reconnect.ended, resumed, *_unwrapped(points, reconnect, first, last)))
    marks = few_marks(series.marks, mark_capacity)
    times = np.concatenate((points["time"], marks["time"]))
    start, until = (int(times.min()), int(times.max())) if len(times) else (0, 0)
    name = places.stream(series.sender, series.receiver)
    low, high = _extent(points, losses)
    return Graph(
        name, series.numbered, points, marks, start, until, low, high, notes, losses, stalls, doubts, series.unplaced
    )


def closeup(whole: Graph, reconnect: Reconnect) -> Graph:
    """Around a reconnect: from before the connection ended until the stream went on again."""
    resumed = reconnect.resumed or reconnect.ended
    margin = max((resumed - reconnect.ended) // 3, 5_000_000)
    return whole.within(reconnect.ended - margin, resumed + margin)


def _unwrapped(points: npt.NDArray[Any], reconnect: Reconnect, first: int, last: int) -> tuple[int, int]:
    frames = points[(points["kind"] <= RESENT) & (points["time"] <= (reconnect.resumed or reconnect.ended))]
    near = int(frames["number"][-1]) if len(frames) else first
    low = unwrap(first, near)
    return low, unwrap(last, low)


def _between(rows: npt.NDArray[Any], start: int, until: int) -> npt.NDArray[Any]:
    chosen: npt.NDArray[Any] = rows[(rows["time"] >= start) & (rows["time"] <= until)]
    return chosen


def _extent(points: npt.NDArray[Any], ranges: Sequence[Loss | Doubt]) -> tuple[int, int]:
    """The lowest and the highest number; an ACK of nonsense does not count where there are frames."""
    frames = points[points["kind"] != ACK]
    numbers = [
        *(frames if len(frames) else points)["number"].tolist(),
        *(each for one in ranges for each in (one.first, one.last)),
    ]
    return min(numbers, default=0), max(numbers, default=0)
