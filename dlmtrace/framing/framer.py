"""Ordered payload to frames: the bytes of each direction are joined, walked, and every frame told what carried it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.framing.frames import CUT, FRAME, HOLE, MISSING, SKIP, UNFINISHED, FrameBatch
from dlmtrace.framing.synchronise import HOLE as HOLE_REASON
from dlmtrace.framing.synchronise import Found, Framing, Sync, walk
from dlmtrace.framing.walk import chain
from dlmtrace.gather import Bytes, gather
from dlmtrace.transport.connections import Connection
from dlmtrace.transport.direction import GRACE
from dlmtrace.transport.pieces import Pieces, Run, joined
from dlmtrace.wire.columns import HEADER
from dlmtrace.wire.enums import Command

Int = npt.NDArray[np.int64]

COMMAND_OFFSET: int = HEADER.fields["h_cmd"][1]  # type: ignore[index]

_CARRIES = -(1 << 62)
"""Keys of buffers with leftovers go down from here, below those of ``Pieces``."""

ENDED_LIMIT = 4096
"""Directions remembered that ended: their connections may go on all the same."""

_NOTHING = np.empty(0, np.int64)


class Rows:
    """Pieces of the joined buffer: what was left of the last batch, then this batch's, run by run.

    ``table`` has a column a piece and the rows length, position, hole, cut, ordinal, packet, time of ``Pieces``.
    """

    __slots__ = ("cut", "hole", "length", "ordinal", "packet", "position", "table", "time")

    def __init__(self, table: Int) -> None:
        self.table = table
        self.length, self.position, self.hole, self.cut, self.ordinal, self.packet, self.time = table


@dataclass(slots=True)
class _Direction:
    """One direction between two batches."""

    framing: Framing
    carry: Bytes = field(default_factory=lambda: np.empty(0, np.uint8))  # of a frame whose end is still to come
    rows: Int | None = None  # what carried it: a table of Rows


@dataclass(slots=True)
class _RunRows:
    """Rows start … stop are those of a run, with what was left over from the last batch in front."""

    run: Run
    direction: _Direction
    start: int
    stop: int


@dataclass(slots=True)
class _Stretch:
    """Contiguous bytes low … high of the joined buffer, the first at stream ``position``."""

    direction: _Direction
    connection: Connection
    side: int
    low: int
    high: int
    position: int
    first_row: int
    hole: int  # bytes missing before it
    unmeasured: bool  # is that number only a least one?
    closed: int | None  # see synchronise.walk

    @property
    def plain(self) -> bool:
        """Does a frame begin with its first byte?"""
        return not self.hole and self.direction.framing.sync > Sync.LOST and self.direction.framing.expected is None

    def walk(self, data: memoryview, low: int) -> Found:
        """The exact walk from ``low`` on."""
        framing = self.direction.framing
        position = self.position + low - self.low
        if self.hole:
            framing.before = b""
        if self.unmeasured:
            framing.sync, framing.reason, framing.expected = Sync.LOST, HOLE_REASON, None
        elif self.hole and framing.expected is None:
            framing.expected = self.position - self.hole
        if self.closed != UNFINISHED:
            return walk(data, low, self.high, position, framing, self.closed)
        found = walk(data, low, self.high, position, framing, None)
        known = framing.sync is not Sync.LOST
        if known:
            framing = replace(framing)  # the connection may go on all the same, and its last frame with it
        rest = walk(data, found.stop, self.high, position + found.stop - low, framing, UNFINISHED)
        stop = found.stop if known else rest.stop
        return Found(found.frames + rest.frames, found.skips + rest.skips, stop)


class Framer:
    """Feed it Pieces; it gives FrameBatches.

    ``settled`` is the lowest ordinal that a frame of a later batch can have; None: that of the next packet.
    """

    def __init__(self) -> None:
        self.settled: int | None = None
        self._directions: dict[tuple[int, int], _Direction] = {}
        self._ended: dict[tuple[int, int], _Direction] = {}

    def feed(self, pieces: Pieces) -> FrameBatch:
        """The frames that these pieces complete."""
        rows, runs, buffer = self._join(pieces)
        ends = np.cumsum(rows.length)
        stretches, firsts = _stretches(runs, rows, ends)
        table = _Table(stretches, rows, ends, buffer)
        table.chains = self._walk_plainly([i for i in firsts if stretches[i].plain], stretches, table)
        for i, stretch in enumerate(stretches):
            if i not in table.done:
                result = stretch.walk(table.data, stretch.low)
                table.found.append((i, result))
                self._keep(stretch, result.stop, table)
        connections = {run.connection.index: run.connection for run in pieces.runs}
        connections |= {event.connection.index: event.connection for event in pieces.events}
        for run in pieces.runs:
            if run.ended:
                self._end((run.connection.index, run.side))
        self.settled = self._settled(pieces)
        return FrameBatch(buffer, table.frames(), _holes(pieces), table.skips(), pieces.events, connections)

    def _settled(self, pieces: Pieces) -> int | None:
        oldest = list(pieces.waiting.values())
        recent = int(pieces.time.max(initial=0)) - GRACE
        for key, direction in self._directions.items():
            if direction.rows is not None:
                rows = Rows(direction.rows)
                lost = direction.framing.sync is Sync.LOST  # what comes next may show frames in what is here
                if key in pieces.waiting or (lost and int(rows.time[-1]) > recent):
                    oldest.append(int(rows.ordinal.min()))
        return min(oldest, default=None)

    def _join(self, pieces: Pieces) -> tuple[Rows, list[_RunRows], Bytes]:
        """Each run's rows behind what was left of its direction, and the bytes of all of them."""
        buffers = dict(pieces.buffers)
        runs: list[_RunRows] = []
        left: list[Int] = []  # tables of rows
        places: list[int] = []  # where each of their rows belongs among the pieces
        carries: list[tuple[int, int, int]] = []  # the same of the bytes: place, key of buffers, length
        count = 0
        for run in pieces.runs:
            direction = self._direction(run, pieces)
            start = run.start + count
            if direction.rows is not None:
                buffers[_CARRIES - len(carries)] = direction.carry
                carries.append((run.start, _CARRIES - len(carries), len(direction.carry)))
                left.append(direction.rows)
                places += [run.start] * direction.rows.shape[1]
                count += direction.rows.shape[1]
                direction.rows = None
            runs.append(_RunRows(run, direction, start, run.stop + count))
        names = ("length", "position", "hole", "cut", "ordinal", "packet", "time")
        table = np.stack([getattr(pieces, name) for name in names])
        buffer, offset, length = pieces.buffer, pieces.offset, pieces.length
        if carries:
            table = np.insert(table, places, np.concatenate(left, axis=1), axis=1)
            place, key, size = zip(*carries, strict=True)
            buffer, offset = np.insert(buffer, place, key), np.insert(offset, place, 0)
            length = np.insert(length, place, size)
        return Rows(table), runs, joined(buffers, buffer, offset, length)

    def _direction(self, run: Run, pieces: Pieces) -> _Direction:
        key = (run.connection.index, run.side)
        direction = self._directions.get(key) or self._ended.pop(key, None)
        if direction is None:
            begun = run.connection.directions[run.side].begin_seen
            if run.stop > run.start and pieces.position[run.start] > pieces.hole[run.start]:
                begun = False  # it went on after it had been forgotten
            direction = _Direction(Framing(Sync.CERTAIN if begun else Sync.LOST))
        self._directions[key] = direction
        return direction

    def _end(self, key: tuple[int, int]) -> None:
        self._ended[key] = self._directions.pop(key)
        if len(self._ended) > ENDED_LIMIT:
            del self._ended[next(iter(self._ended))]

    def _walk_plainly(self, plain: list[int], stretches: list[_Stretch], table: _Table) -> tuple[Int, Int, Int]:
        """The stretches that are nothing but a chain of frames: offset, length, stretch of these."""
        if not plain:
            return _NOTHING, _NOTHING, _NOTHING
        buffer = table.buffer
        index = np.array(plain, np.int64)
        low = np.array([stretches[i].low for i in plain], np.int64)
        high = np.array([stretches[i].high for i in plain], np.int64)
        chains = chain(buffer, low, high, table.ends - table.rows.length)
        command = buffer[chains.offset + COMMAND_OFFSET]
        numbered = (command == Command.OPTS) | (command == Command.ACK)
        frames = np.bincount(chains.stretch, minlength=len(plain))
        options = np.bincount(chains.stretch[numbered], minlength=len(plain))
        last = np.cumsum(frames) - 1
        header = gather(buffer, HEADER, chains.offset[last[frames > 0]])
        identities = iter(zip(header["h_version"].tolist(), header["h_nodeid"].tolist(), strict=True))
        outcome = zip(
            plain, chains.stop.tolist(), chains.proved.tolist(), frames.tolist(), options.tolist(), strict=True
        )
        for i, stop, proved, count, with_options in outcome:
            if not proved:
                continue
            stretch = stretches[i]
            framing = stretch.direction.framing
            if count:
                framing.identity = next(identities)
                framing.carries_options |= with_options > 0
                framing.sent_bare |= count > with_options
            table.done.add(i)
            if stretch.closed is not None:
                result = stretch.walk(table.data, stop)
                table.found.append((i, result))
                stop = result.stop
            self._keep(stretch, stop, table)
        return chains.offset, chains.length, index[chains.stretch]

    def _keep(self, stretch: _Stretch, stop: int, table: _Table) -> None:
        """Bytes from ``stop`` on wait for the next batch."""
        if stop == stretch.high:
            return
        stretch.direction.carry = table.buffer[stop : stretch.high].copy()
        stretch.direction.rows = table.rows_of(stop, stretch.high)


def _rising(ordinal: Int) -> Int:
    """The stable order of capture."""
    if not len(ordinal):
        return _NOTHING
    step = ordinal - ordinal.min()
    # the sort of so small a type is a radix sort
    return np.argsort(step.astype(np.uint16) if step.max() < 1 << 16 else step, kind="stable")


def _stretches(runs: list[_RunRows], rows: Rows, ends: Int) -> tuple[list[_Stretch], list[int]]:
    """Runs cut at their holes; also the index of each run's first stretch."""
    stretches: list[_Stretch] = []
    firsts = []
    missing = np.flatnonzero(rows.hole)
    bounds = np.searchsorted(missing, [[each.start, each.stop] for each in runs]).tolist() if len(missing) else None
    for number, each in enumerate(runs):
        run, direction, start, stop = each.run, each.direction, each.start, each.stop
        breaks = missing[bounds[number][0] : bounds[number][1]].tolist() if bounds else []
        cuts = [start, *(row for row in breaks if row > start), stop]
        if start == stop:
            continue
        firsts.append(len(stretches))
        if run.ended:
            tail = UNFINISHED if not run.tail_hole else CUT if run.tail_hole == run.tail_cut else MISSING
        for first, behind in pairwise(cuts):
            closed: int | None = None
            if behind < stop:
                closed = CUT if rows.hole[behind] == rows.cut[behind] else MISSING
            elif run.ended:
                closed = tail
            low = int(ends[first - 1]) if first else 0
            high, position, hole = int(ends[behind - 1]), int(rows.position[first]), int(rows.hole[first])
            unmeasured = run.connection.transport == "sctp" and hole > int(rows.cut[first])
            where = (run.connection, run.side, low, high, position, first, hole, unmeasured)
            stretches.append(_Stretch(direction, *where, closed))
    return stretches, firsts


class _Table:
    """What the walks found, to be told as rows with their provenance."""

    def __init__(self, stretches: list[_Stretch], rows: Rows, ends: Int, buffer: Bytes) -> None:
        self.stretches, self.rows, self.ends, self.buffer = stretches, rows, ends, buffer
        self.chains: tuple[Int, Int, Int] = (_NOTHING, _NOTHING, _NOTHING)
        self.found: list[tuple[int, Found]] = []
        self.done: set[int] = set()  # stretches walked by columns
        self._connection = np.array([stretch.connection.index for stretch in stretches], np.int64)
        self._side = np.array([stretch.side for stretch in stretches], np.int64)

    @cached_property
    def data(self) -> memoryview:
        """The buffer for the exact walk."""
        return memoryview(self.buffer.tobytes())

    def rows_of(self, low: int, high: int) -> Int:
        """The rows that the bytes low … high of the joined buffer came in, as a table."""
        first = int(np.searchsorted(self.ends, low, "right"))
        behind = int(np.searchsorted(self.ends, high)) + 1
        rows = Rows(self.rows.table[:, first:behind].copy())
        skipped = low - (int(self.ends[first]) - int(rows.length[0]))
        rows.length[0] -= skipped
        rows.position[0] += skipped
        rows.length[-1] -= int(self.ends[behind - 1]) - high
        rows.hole[:] = rows.cut[:] = 0
        completing = int(self._completing[first])
        if completing < first:  # a row without a byte stands for the packet that all of them had to wait for
            row = Rows(self.rows.table[:, completing : completing + 1].copy())
            row.length[0], row.position[0], row.hole[0], row.cut[0] = 0, rows.position[0], 0, 0
            return np.concatenate((row.table, rows.table), axis=1)
        return rows.table

    def frames(self) -> npt.NDArray[Any]:
        """FRAME rows in the order in which the frames became complete."""
        offset, length, stretch = self.chains
        captured, state = length, np.zeros(len(offset), np.int64)
        exact = [(i, *frame) for i, found in self.found for frame in found.frames]
        if exact:
            columns = np.array(exact, np.int64).T
            stretch = np.concatenate((stretch, columns[0]))
            offset, length = np.concatenate((offset, columns[1])), np.concatenate((length, columns[2]))
            captured, state = np.concatenate((captured, columns[3])), np.concatenate((state, columns[4]))
            # A chain can end where the exact walk goes on.
            order = np.argsort(offset, kind="stable")
            offset, length, captured, state, stretch = (
                column[order] for column in (offset, length, captured, state, stretch)
            )
        begun = np.searchsorted(offset, self.ends)
        first = np.repeat(np.arange(len(begun)), np.diff(begun, prepend=0))
        last = first.copy()
        over = np.flatnonzero(offset + captured > self.ends[first])
        last[over] = np.searchsorted(self.ends, (offset + captured)[over] - 1, "right")
        complete = self._completing[last]
        ordinal = self.rows.ordinal[complete]
        frames = np.empty(len(offset), FRAME)
        frames["offset"] = offset
        frames["length"] = length
        frames["captured"] = captured
        frames["state"] = state
        frames["side"] = self._side[stretch]
        frames["connection"] = self._connection[stretch]
        frames["position"] = self._position(offset, first)
        frames["first_packet"] = self.rows.packet[first]
        frames["last_packet"] = self.rows.packet[last]
        frames["packet"] = self.rows.packet[complete]
        frames["time"] = self.rows.time[complete]
        frames["ordinal"] = ordinal
        void = frames.view(f"V{FRAME.itemsize}")
        return void.take(_rising(ordinal)).view(FRAME)

    def skips(self) -> npt.NDArray[Any]:
        """SKIP rows."""
        exact = [(i, *skip) for i, found in self.found for skip in found.skips]
        rows = np.zeros(len(exact), SKIP)
        if exact:
            stretch, offset, length, reason = np.array(exact, np.int64).T
            first = np.searchsorted(self.ends, offset, "right")
            rows["connection"], rows["side"] = self._connection[stretch], self._side[stretch]
            rows["position"], rows["length"], rows["reason"] = self._position(offset, first), length, reason
            rows["offset"] = offset
            rows["packet"], rows["time"] = self.rows.packet[first], self.rows.time[first]
            rows["ordinal"] = self.rows.ordinal[first]
        return rows

    def _position(self, offset: Int, row: Int) -> Int:
        position: Int = self.rows.position[row] + offset - (self.ends[row] - self.rows.length[row])
        return position

    @cached_property
    def _completing(self) -> Int:
        """For each row the one that made it readable in order: the last to arrive of it and all before it."""
        index = np.arange(len(self.rows.length))
        begins = np.zeros(len(index), np.int64)
        begins[[stretch.first_row for stretch in self.stretches]] = 1
        key = self.rows.ordinal + (np.cumsum(begins) << 44)
        highest = np.maximum.accumulate(key)
        return np.maximum.accumulate(np.where(key == highest, index, 0))


def _holes(pieces: Pieces) -> npt.NDArray[Any]:
    """HOLE rows, those at the end of a direction last."""
    at = np.flatnonzero(pieces.hole)
    tails = [run for run in pieces.runs if run.tail_hole]
    rows = np.zeros(len(at) + len(tails), HOLE)
    if len(at):
        bounds = np.array([run.stop for run in pieces.runs])
        run_of = np.searchsorted(bounds, at, "right")
        inner = rows[: len(at)]
        inner["connection"] = np.array([run.connection.index for run in pieces.runs])[run_of]
        inner["side"] = np.array([run.side for run in pieces.runs])[run_of]
        inner["position"], inner["length"] = pieces.position[at] - pieces.hole[at], pieces.hole[at]
        inner["cut"], inner["packet"], inner["time"] = pieces.cut[at], pieces.packet[at], pieces.time[at]
        inner["ordinal"] = pieces.ordinal[at]
    ended = {event.connection.index: event for event in pieces.events if event.kind == "end"}
    for row, run in zip(rows[len(at) :], tails, strict=True):
        event = ended[run.connection.index]
        position = run.connection.directions[run.side].sent - run.tail_hole
        row["connection"], row["side"], row["position"] = run.connection.index, run.side, position
        row["length"], row["cut"] = run.tail_hole, run.tail_cut
        row["packet"], row["time"], row["ordinal"] = event.packet, event.time, event.ordinal
    return rows
