"""A bounded piece of a capture, frame by frame: which frames are in it, and what else happened between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.fates import Fate, Fates, Key
from dlmtrace.transport.connections import Connection
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.naming import Naming
from dlmtrace.wire.enums import Command

Int = npt.NDArray[np.int64]
Kind = Literal["frame", "open", "fin", "rst", "end", "hole", "gap"]

HAPPENINGS = 1000
"""What is kept beside the frames: connections that begin and end, holes; the oldest goes first."""

_WORDS = {
    ("open", "tcp"): "SYN",
    ("open", "sctp"): "INIT",
    ("fin", "tcp"): "FIN of TCP",
    ("fin", "sctp"): "SHUTDOWN",
    ("rst", "tcp"): "RST",
    ("rst", "sctp"): "ABORT",
}


@dataclass(slots=True)
class Item:
    """A frame, the beginning or end of a connection, a hole, or ("gap") frames that were left out."""

    kind: Kind
    ordinal: int
    time: int = 0  # ns
    packet: int = 0  # identity
    connection: Connection | None = None  # None for a gap
    side: int = 0  # who sent it
    label: str = ""
    row: int = -1  # of a frame: how many of the run came before it
    key: Key | None = None  # of a frame
    numbered: bool = False
    fate: Fate | None = None
    resent: bool = False


class Excerpt:
    """Chooses the first ``limit`` of the selected frames, or of those from packet ``first`` to packet ``last``; then
    ``context`` frames before and behind these belong to it as well.

    ``first`` and ``last`` are identities, or None.  Offer each batch before it is fed to the analysis, then call
    ``finish``.  ``before`` and ``behind`` count the selected frames that were left out.
    """

    def __init__(self, fates: Fates, limit: int, first: int | None, last: int | None, context: int) -> None:
        self.before = self.behind = 0
        self._frames = 0  # of the batches before
        self._fates = fates
        self._limit, self._first, self._last, self._context = limit, first, last, context
        self._lead: deque[Item] = deque()  # the last frames before the first one
        self._inside: list[Item] = []
        self._left_out = Item("gap", 0)  # of those inside
        self._skipped = 0
        self._tail: list[Item] = []
        self._happenings: deque[Item] = deque(maxlen=HAPPENINGS)

    @property
    def reached(self) -> bool:
        """Was there a frame at or behind the packet ``first``?"""
        return self._first is None or bool(self._inside or self._tail or self._skipped or self.behind)

    def offer(self, batch: FrameBatch, rows: Int, naming: Naming) -> None:
        """The frames ``rows`` of a batch are selected."""
        if not self._closed:
            self._happenings.extend(_happenings(batch))
        packets = batch.frames["packet"][rows]
        begin = 0 if self._first is None or self.reached else _first_true(packets >= self._first)
        end = len(rows)
        if self._last is not None:
            over = bool(self._tail or self.behind)
            end = begin if over else max(begin, _first_true(packets > self._last))
        self._take_lead(batch, rows[:begin], naming)
        self._take_inside(batch, rows[begin:end], naming)
        self._take_tail(batch, rows[end:], naming)
        self._frames += len(batch)

    @property
    def _closed(self) -> bool:
        """Does nothing that still comes belong to the excerpt?"""
        if self._last is None:
            return self._skipped > 0
        return len(self._tail) == self._context and self.behind > 0

    def _take_lead(self, batch: FrameBatch, rows: Int, naming: Naming) -> None:
        kept = rows[max(len(rows) - self._context, 0) :]
        self.before += len(rows) - len(kept)
        self._lead.extend(self._items(batch, kept, naming))
        while len(self._lead) > self._context:
            gone = self._lead.popleft()
            self.before += 1
            if gone.key is not None:
                self._fates.forget(gone.key)

    def _take_inside(self, batch: FrameBatch, rows: Int, naming: Naming) -> None:
        room = self._limit - len(self._inside)
        self._inside += self._items(batch, rows[:room], naming)
        if len(rows) > room:
            if not self._skipped:
                self._left_out.ordinal = int(batch.frames["ordinal"][rows[room]])
            self._skipped += len(rows) - max(room, 0)

    def _take_tail(self, batch: FrameBatch, rows: Int, naming: Naming) -> None:
        room = self._context - len(self._tail)
        self._tail += self._items(batch, rows[:room], naming)
        self.behind += max(len(rows) - room, 0)

    def _items(self, batch: FrameBatch, rows: Int, naming: Naming) -> list[Item]:
        if not len(rows):
            return []
        columns = FrameColumns(batch, rows, naming)
        labels = zip(columns.sequences, columns.commands, columns.types, columns.resources, strict=True)
        frames = columns.frames
        items = []
        for place, (sequence, command, kind, resource) in enumerate(labels):
            word = kind or command.rpartition("/")[2]
            words = (word, sequence) if command == "ACK" else (sequence, word, resource)
            frame = frames[place]
            connection, side = batch.connections[int(frame["connection"])], int(frame["side"])
            key = connection.index * 2 + side, int(frame["position"] + frame["length"])
            self._fates.watch(key)
            items.append(
                Item(
                    "frame",
                    int(frame["ordinal"]),
                    int(frame["time"]),
                    int(frame["packet"]),
                    connection,
                    side,
                    " ".join(filter(None, (*words, columns.notes.get(place)))),
                    self._frames + int(rows[place]),
                    key,
                    bool(columns.header["h_cmd"][place] == Command.OPTS),
                )
            )
        return items

    def finish(self) -> list[Item]:
        """Everything in order of capture, with what became of the frames; call it when the analysis is finished."""
        if self._last is None:
            self.behind = self._skipped
        elif self._skipped:
            self._left_out.label = f"{self._skipped} more frames"
            self._inside.append(self._left_out)
        frames = [*self._lead, *self._inside, *self._tail]
        for item in frames:
            if item.key is not None:
                item.fate = self._fates.of(item.key, item.numbered)
                item.resent = self._fates.was_sent_before(item.key)
        if not frames:
            return []
        # What happened before the first frame and behind the last one of the run belongs to these.
        low = frames[0].ordinal if frames[0].row else -1
        high = np.inf if frames[-1].row == self._frames - 1 else frames[-1].ordinal
        pairs = {_pair(item) for item in frames if item.connection is not None}
        beside = [item for item in self._happenings if low <= item.ordinal <= high and _pair(item) in pairs]
        return sorted([*frames, *(item for item in beside if _is_worth_telling(item))], key=lambda item: item.ordinal)


def _first_true(flags: npt.NDArray[np.bool_]) -> int:
    return int(np.argmax(flags)) if flags.any() else len(flags)


def _pair(item: Item) -> frozenset[str] | None:
    """The two hosts of an item, by address."""
    connection = item.connection
    return None if connection is None else frozenset((connection.client.address, connection.server.address))


def _happenings(batch: FrameBatch) -> Sequence[Item]:
    found = []
    for event in batch.events:
        if event.kind == "survived":
            continue
        word = _WORDS.get((event.kind, event.connection.transport), "left alone")
        found.append(Item(event.kind, event.ordinal, event.time, event.packet, event.connection, event.side, word))
    for hole in batch.holes:
        found.append(_hole(hole, batch.connections[int(hole["connection"])]))
    return found


def _hole(hole: Any, connection: Connection) -> Item:
    where = int(hole["ordinal"]), int(hole["time"]), int(hole["packet"]), connection, int(hole["side"])
    return Item("hole", *where, f"{hole['length']} bytes not captured")


def _is_worth_telling(item: Item) -> bool:
    """Not the first packet of a connection that the capture came to later, nor an end that was told already."""
    assert item.connection is not None
    if item.kind == "open":
        return item.connection.handshake_seen
    return item.kind != "end" or item.connection.ended_by == "abandoned"
