"""What a stream's time-sequence graph is drawn from: its frames and ACKs as points, what happened to it as marks.

Points are thinned by time as they come, so that memory does not grow with the capture: of the points of one kind and
connection that share a bin, the first and the last stay.  The bins widen as the capture goes on.  Points near an
anomaly have bins of their own, which only widen when there are very many of them.  Marks that share a bin become one
that counts them: none is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

SENT, RESENT, ACK, BARE = range(4)
"""Kinds of points: a new number, one that was sent before, an ACK of the receiver, a frame without a number."""

OPENED, CLOSED, RESET, ABANDONED, HOLE, LEFT_OUT = range(6)
"""Kinds of marks: SYN or INIT, FIN or SHUTDOWN, RST or ABORT, a connection that just ended, bytes that the capture does
not hold, numbers that were jumped over."""

POINT = np.dtype(
    [
        ("time", "<i8"),  # ns
        ("number", "<i8"),  # unwrapped; of an ACK the next number expected; of a bare frame how many came before it
        ("packet", "<i8"),  # identity
        ("connection", "<i4"),  # index
        ("kind", "u1"),
        ("place", "<i8"),  # in the series: points before it
        ("count", "<i4"),  # points of its kind from here on that it stands for, itself included
        ("text", "<i4"),  # what the frame is: index into Texts.texts
    ]
)

MARK = np.dtype(
    [
        ("time", "<i8"),
        ("packet", "<i8"),
        ("connection", "<i4"),
        ("kind", "u1"),
        ("forward", "?"),  # by the stream's sender, or in its direction
        ("first", "<i8"),  # LEFT_OUT: the numbers; HOLE: 0 and how many bytes
        ("last", "<i8"),
        ("count", "<i4"),  # marks that it stands for
    ]
)

BIN = 1000
"""ns of the narrowest bin: times have microseconds in most captures.  Nothing is thinned before there is too much."""

MARKS = 2000
"""Marks of a stream that are kept one by one."""


def thin_points(points: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Of the points (in order of time) of one kind and connection in one bin of ``width`` ns the first and the last."""
    if not len(points):
        return points
    order, starts = _bins(points, ("kind", "connection"), width)
    behind = np.append(starts[1:], len(points))
    kept = np.unique(np.concatenate((starts, behind - 1)))
    thinned = points[order[kept]]
    thinned["count"] = np.add.reduceat(points["count"][order], kept)
    in_time: npt.NDArray[Any] = thinned[np.argsort(order[kept], kind="stable")]
    return in_time


def merge_marks(marks: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Marks of one kind, connection and direction in one bin become one that stands for all."""
    order, starts = _bins(marks, ("kind", "connection", "forward"), width)
    merged = marks[order[starts]]
    sorted_marks = marks[order]
    merged["count"] = np.add.reduceat(sorted_marks["count"], starts)
    merged["first"] = np.minimum.reduceat(sorted_marks["first"], starts)
    hole = merged["kind"] == HOLE
    last = np.maximum.reduceat(sorted_marks["last"], starts)
    merged["last"] = np.where(hole, np.add.reduceat(sorted_marks["last"], starts), last)
    in_time: npt.NDArray[Any] = merged[np.argsort(order[starts], kind="stable")]
    return in_time


def few_marks(marks: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    """About so many marks at most, merged in bins as narrow as that allows."""
    width = BIN
    while len(marks) > capacity and width < 1 << 62:
        width *= 2
        marks = merge_marks(marks, width)
    return marks


def _bins(rows: npt.NDArray[Any], keys: tuple[str, ...], width: int) -> tuple[Int, Int]:
    """The order that puts rows of one group and bin together, and where in it each of these begins."""
    bins = rows["time"] // width
    columns = [bins, *(rows[key] for key in keys)]
    order = np.lexsort(columns)
    new = np.zeros(len(rows), np.bool_)
    new[:1] = True
    for column in columns:
        new[1:] |= np.diff(column[order].astype(np.int64)) != 0
    return order, np.flatnonzero(new)


@dataclass(slots=True)
class Thinned:
    """Points in order of time, at most about twice ``capacity`` of them."""

    points: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, POINT))
    width: int = BIN

    def add(self, points: npt.NDArray[Any], capacity: int) -> None:
        """Take in points that come after those that are there."""
        self.points = np.concatenate((self.points, self.staying(points)))
        if len(self.points) > 2 * capacity:
            self.shrink(capacity)

    def staying(self, points: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of these points those that the present bins leave."""
        return points if self.width == BIN else thin_points(points, self.width)

    def shrink(self, capacity: int) -> None:
        """Widen the bins until no more than ``capacity`` points are left, or all share one bin."""
        span = int(self.points["time"][-1] - self.points["time"][0]) if len(self.points) else 0
        while len(self.points) > capacity:
            self.width *= 2
            self.points = thin_points(self.points, self.width)
            if self.width > 2 * span:
                break


@dataclass(slots=True)
class Series:
    """The points and marks of one directed node pair."""

    sender: int
    receiver: int
    numbered: bool = False  # has it sequence numbers?  Without, points are BARE
    usual: Thinned = field(default_factory=Thinned)
    near: Thinned = field(default_factory=Thinned)  # points next to an anomaly
    marks: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, MARK))
    unplaced: int = 0  # frames whose number is nonsense (SEQ210): they are not drawn

    @property
    def points(self) -> npt.NDArray[Any]:
        """All points, dtype POINT, in order of capture."""
        points = np.concatenate((self.usual.points, self.near.points))
        return points[np.argsort(points["place"])]

    def add_marks(self, marks: npt.NDArray[Any]) -> None:
        """Take in marks; they are merged when there are more than MARKS."""
        self.marks = few_marks(np.concatenate((self.marks, marks)), MARKS)
