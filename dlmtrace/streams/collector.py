"""Collects the series of all streams while batches are fed; what is new, sent again or left out, the analysis says.

The timeline of a stream's tracker tells what each of its frames was, in order, as ranges: laid beside the rows of the
batch they give every frame its unwrapped number and its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.numbers import MASK
from dlmtrace.streams.series import (
    ABANDONED,
    ACK,
    BARE,
    CLOSED,
    HOLE,
    LEFT_OUT,
    MARK,
    OPENED,
    POINT,
    RESENT,
    RESET,
    SENT,
    Series,
)
from dlmtrace.streams.timeline import Span
from dlmtrace.transport.connections import ConnectionEvent
from dlmtrace.transport.serial import signed
from dlmtrace.wire.enums import Command

Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Key = tuple[int, int]

STREAMS = 256
"""Streams that are collected; further ones are counted only."""

POINTS = 131_072
"""Points kept for all streams together, half of them near anomalies."""

NEAR = 64
"""Points before and behind an anomaly that count as near."""

TEXTS = 4 * POINTS
"""Texts kept, those of points that were thinned out included; frames beyond that have the empty one."""

_EVENTS = {"open": OPENED, "fin": CLOSED, "rst": RESET}


class FrameTexts:
    """Texts of frames, each kept once; text 0 is empty."""

    def __init__(self) -> None:
        self.texts = [""]
        self._places = {"": 0}

    def place(self, text: str) -> int:
        """Where the text is; the empty one when there are too many."""
        found = self._places.get(text)
        if found is None:
            if len(self.texts) >= TEXTS:
                return 0
            found = self._places[text] = len(self.texts)
            self.texts.append(text)
        return found

    def keep(self, used: Int) -> Int:
        """Forget all texts but these (places, ascending); the new place of every old one."""
        moved = np.zeros(len(self.texts), np.int64)
        texts = [self.texts[place] for place in used.tolist()]
        self.texts, self._places = [""], {"": 0}
        moved[used] = [self.place(text) for text in texts]
        return moved


@dataclass(slots=True)
class _Line:
    """A series that grows."""

    series: Series
    span: Span | None = None  # of the timeline, that may grow on
    taken: int = 0  # frames of it that were taken
    last: int | None = None  # number of the last frame
    bare: int = 0  # frames without a number so far
    points: int = 0  # so far
    waiting: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, POINT))  # for what comes behind them
    near: Bool = field(default_factory=lambda: np.empty(0, np.bool_))  # which of these are near an anomaly
    after: int = NEAR  # points to come that are near the last anomaly, or the beginning


class Collector:
    """Call ``add`` after each ``Analysis.feed``, and ``finish`` after its last.

    It takes the ranges out of the timelines.  ``describe(batch, rows)`` is a text for each of these frames.
    """

    def __init__(self, analysis: Analysis, describe: Callable[[FrameBatch, Int], list[str]]) -> None:
        self.texts = FrameTexts()
        self.more_streams = 0
        self._analysis = analysis
        self._describe = describe
        self._lines: dict[Key, _Line] = {}
        self._refused: set[Key] = set()

    @property
    def series(self) -> list[Series]:
        """The series by sender and receiver."""
        return [self._lines[key].series for key in sorted(self._lines)]

    def add(self, batch: FrameBatch) -> None:
        """Take in a batch that the analysis has just taken in."""
        if len(self.texts.texts) > TEXTS // 2:
            self._forget_texts()
        if self._analysis.renamed:
            self._rename()
        marks = self._event_marks(batch)
        keys = self._keys(batch)
        streams = {key: number for number, key in enumerate(dict.fromkeys([*keys, *(key[::-1] for key in keys)]))}
        by_end = np.array([streams[key] for key in keys], np.int64)
        stream = by_end[batch.ends.of] if len(batch) else np.empty(0, np.int64)
        command = batch.header["h_cmd"] if len(batch) else np.empty(0, np.uint8)
        for key in {**streams, **dict.fromkeys(marks)}:
            line = self._line(key)
            if line is None:
                continue
            rows = np.flatnonzero(stream == streams.get(key, -1))
            acks = np.flatnonzero((stream == streams.get(key[::-1], -1)) & (command == Command.ACK))
            self._extend(line, batch, rows, acks, marks.get(key, []))

    def finish(self) -> None:
        """Nothing more comes."""
        for line in self._lines.values():
            line.near[-NEAR:] = True
            self._store(line, len(line.waiting))

    def _rename(self) -> None:
        """Streams of nodes that have only now got their ids."""
        renamed = self._analysis.renamed
        for old in [key for key in self._lines if not renamed.keys().isdisjoint(key)]:
            new = renamed.get(old[0], old[0]), renamed.get(old[1], old[1])
            if new not in self._lines and self._analysis.timeline(*old) is None:
                line = self._lines[new] = self._lines.pop(old)
                line.series.sender, line.series.receiver = new

    def _keys(self, batch: FrameBatch) -> list[Key]:
        """Sender and receiver of each of the batch's ends."""
        keys = []
        for end in batch.ends.number.tolist():
            hosts = self._analysis.hosts(batch.connections[end >> 1])
            keys.append((hosts[end & 1], hosts[1 - (end & 1)]))
        return keys

    def _line(self, key: Key) -> _Line | None:
        line = self._lines.get(key)
        if line is None:
            if len(self._lines) >= STREAMS:
                self.more_streams += key not in self._refused and len(self._refused) < TEXTS
                self._refused.add(key)
                return None
            line = self._lines[key] = _Line(Series(*key))
        return line

    # Marks.

    def _event_marks(self, batch: FrameBatch) -> dict[Key, list[tuple[Any, ...]]]:
        """Marks of both streams of each connection that something happened to."""
        marks: dict[Key, list[tuple[Any, ...]]] = {}

        def add(hosts: Key, side: int, where: tuple[int, int, int], kind: int, last: int = 0) -> None:
            key = hosts[side], hosts[1 - side]
            for forward, each in ((True, key), (False, key[::-1])):
                marks.setdefault(each, []).append((*where, kind, forward, 0, last, 1))

        for event in batch.events:
            kind = _kind(event)
            if kind is not None:
                where = event.time, event.packet, event.connection.index
                add(self._analysis.hosts(event.connection), event.side, where, kind)
        for hole in batch.holes:
            connection = batch.connections[int(hole["connection"])]
            where = int(hole["time"]), int(hole["packet"]), connection.index
            add(self._analysis.hosts(connection), int(hole["side"]), where, HOLE, int(hole["length"]))
        return marks

    # Points.

    def _extend(self, line: _Line, batch: FrameBatch, rows: Int, acks: Int, marks: list[tuple[Any, ...]]) -> None:
        command = batch.header["h_cmd"][rows]
        numbered, bare = rows[command == Command.OPTS], rows[(command == Command.MSG) | (command == Command.RCOM)]
        if len(numbered) and not line.series.numbered:
            line.series = Series(line.series.sender, line.series.receiver, True, marks=line.series.marks)
            line.waiting, line.near = line.waiting[:0], line.near[:0]
        if line.series.numbered:
            points, odd, rows = self._numbered(line, batch, numbered, acks, marks)
        else:
            points, rows = _points(batch, bare, line.bare + np.arange(len(bare)), np.full(len(bare), BARE)), bare
            line.bare += len(bare)
            odd = np.zeros(len(points), np.bool_)
        if marks:
            line.series.add_marks(np.array(marks, MARK))
        place = np.searchsorted(points["time"], [mark[0] for mark in marks])
        odd[place[place < len(points)]] = True
        self._wait(line, points, odd)
        if (place == len(points)).any():
            line.near[-NEAR:] = True
            line.after = NEAR
        self._describe_points(line, batch, rows)
        self._store(line, len(line.waiting) - NEAR)

    def _numbered(
        self, line: _Line, batch: FrameBatch, rows: Int, acks: Int, marks: list[tuple[Any, ...]]
    ) -> tuple[npt.NDArray[Any], Bool, Int]:
        """Points of frames with numbers and of the ACKs of them, in order; which are odd; and their rows."""
        order = np.argsort(batch.frames["ordinal"][rows], kind="stable")
        rows = rows[order]
        numbers, kinds, gaps = self._told(line)
        if len(numbers) != len(rows) or ((numbers & MASK) != batch.sequence[rows]).any():
            placed = _aligned(batch.sequence[rows], numbers & MASK)
            line.series.unplaced += len(rows) - len(placed)
            told = slice(len(placed))
            rows, numbers, kinds, gaps = rows[placed], numbers[told], kinds[told], gaps[told]
        sent = _points(batch, rows, numbers, kinds)
        for place in np.flatnonzero(gaps).tolist():
            point = sent[place]
            first = int(numbers[place - 1] if place else line.last or 0) + 1
            where = int(point["time"]), int(point["packet"]), int(point["connection"])
            marks.append((*where, LEFT_OUT, True, first, int(point["number"]) - 1, 1))
        odd = gaps | (kinds == RESENT)
        odd[1:] |= (np.diff(numbers) < 0) | (np.diff(sent["connection"]) != 0)
        ordinals = batch.frames["ordinal"]
        behind = np.searchsorted(ordinals[rows], ordinals[acks])
        near = np.concatenate(([line.last if line.last is not None else 0], numbers))[behind]
        confirmed = near + signed(batch.sequence[acks] - near & MASK)
        answers = _points(batch, acks, confirmed, np.full(len(acks), ACK))
        if len(numbers):
            line.last = int(numbers[-1])
        points = np.concatenate((sent, answers))
        order = np.argsort(np.concatenate((ordinals[rows], ordinals[acks])), kind="stable")
        odd = np.concatenate((odd, np.zeros(len(answers), np.bool_)))
        return points[order], odd[order], np.concatenate((rows, acks))[order]

    def _told(self, line: _Line) -> tuple[Int, Int, Bool]:
        """Unwrapped numbers and kinds of the frames that the timeline got since the last time; which follow a gap."""
        timeline = self._analysis.timeline(line.series.sender, line.series.receiver)
        numbers, kinds, gaps = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
        spans = [] if line.span is None else [line.span]
        if timeline is not None:
            spans += [span for span in timeline.take() if span.kind != "confirmed"]
        left_out = False
        for span in spans:
            if span.kind == "missing":
                left_out = True
                continue
            taken = line.taken if span is line.span else 0
            run = np.arange(span.first + taken, span.last + 1)
            numbers.append(run)
            kinds.append(np.full(len(run), SENT if span.kind == "sent" else RESENT))
            gaps.append(np.zeros(len(run), np.bool_))
            gaps[-1][:1] = left_out
            left_out = False
            line.span, line.taken = span, span.last - span.first + 1
        return np.concatenate(numbers), np.concatenate(kinds), np.concatenate(gaps)

    def _wait(self, line: _Line, points: npt.NDArray[Any], odd: Bool) -> None:
        """Put points behind those that wait, and mark what is near an odd one."""
        first = len(line.waiting)
        points["place"] = line.points + np.arange(len(points))
        line.points += len(points)
        line.waiting = np.concatenate((line.waiting, points))
        reach = np.zeros(len(line.waiting) + 1, np.int64)
        places = np.flatnonzero(odd) + first
        np.add.at(reach, np.maximum(places - NEAR, 0), 1)
        np.add.at(reach, np.minimum(places + NEAR + 1, len(line.waiting)), -1)
        near = np.concatenate((line.near, np.zeros(len(points), np.bool_))) | (np.cumsum(reach[:-1]) > 0)
        near[first : first + line.after] = True
        line.near = near
        line.after = max(line.after - len(points), 0)
        if len(places):
            line.after = max(line.after, NEAR - (len(line.waiting) - 1 - int(places[-1])))

    def _forget_texts(self) -> None:
        """Of points that were thinned out since."""
        kept = [
            points
            for line in self._lines.values()
            for points in (line.series.usual.points, line.series.near.points, line.waiting)
        ]
        moved = self.texts.keep(np.unique(np.concatenate([points["text"] for points in kept])))
        for points in kept:
            points["text"] = moved[points["text"]]

    def _describe_points(self, line: _Line, batch: FrameBatch, rows: Int) -> None:
        """Give their texts to the newest points, which are those of ``rows``, as far as they are going to stay."""
        points, near = line.waiting[len(line.waiting) - len(rows) :], line.near[len(line.near) - len(rows) :]
        stays = near.copy()
        stays[-NEAR:] = True  # what comes next may be an anomaly
        numbered = points.copy()
        numbered["text"] = np.arange(len(points))
        stays[line.series.usual.staying(numbered[:-NEAR][~near[:-NEAR]])["text"]] = True
        places = np.flatnonzero(stays & (points["kind"] != ACK))
        points["text"][places] = [self.texts.place(text) for text in self._describe(batch, rows[places])]

    def _store(self, line: _Line, count: int) -> None:
        """Thin the first ``count`` points that wait."""
        if count <= 0:
            return
        points, near = line.waiting[:count], line.near[:count]
        line.waiting, line.near = line.waiting[count:].copy(), line.near[count:].copy()
        capacity = max(512, POINTS // (2 * len(self._lines)))
        line.series.usual.add(points[~near], capacity)
        line.series.near.add(points[near], capacity)


def _kind(event: ConnectionEvent) -> int | None:
    """Kind of the mark for an event; the end of a connection has one only when nothing else told it."""
    if event.kind == "end":
        return ABANDONED if event.connection.ended_by == "abandoned" else None
    return _EVENTS.get(event.kind)


def _points(batch: FrameBatch, rows: Int, numbers: Int, kinds: npt.NDArray[Any]) -> npt.NDArray[Any]:
    points = np.zeros(len(rows), POINT)
    for name in ("time", "packet", "connection"):
        points[name] = batch.frames[name][rows]
    points["number"], points["kind"], points["count"] = numbers, kinds, 1
    return points


def _aligned(found: Int, told: Int) -> Int:
    """Places in ``found`` of the numbers ``told``, in order; the others are those that the analysis did not take."""
    places: list[int] = []
    for place, number in enumerate(found.tolist()):
        if len(places) < len(told) and told[len(places)] == number:
            places.append(place)
    return np.array(places, np.int64)
