"""CON406 and CON407: connections that come and go too fast, or end inside a frame (protocol page §7)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.findings.frames import NEWEST, OLDEST
from dlmtrace.findings.identity import Identities, Key
from dlmtrace.findings.losses import Losses
from dlmtrace.findings.ranges import Place, Ranges, place, place_of_event
from dlmtrace.findings.versions import INTRODUCTIONS
from dlmtrace.framing.frames import UNFINISHED, FrameBatch
from dlmtrace.framing.synchronise import STREAM_END
from dlmtrace.transport.connections import CLIENT, SERVER, Connection, ConnectionEvent
from dlmtrace.wire.enums import Command

FLAPPING, WITHIN = 3, 1_000_000_000
"""Connections of a pair within so many ns that are too many; also the ns in which an RST follows an accept."""

PAIR_LIMIT = 65_536
"""Pairs remembered; no cluster comes near it, forged packets could."""

PARTIAL_LIMIT = 1000
"""Partial frames that may wait to be sent again."""

VERSIONS = [version.to_bytes(4, "little") for version in range(OLDEST, NEWEST + 1)]
"""How a frame begins."""


class FlappingRule:
    """CON406, from the beginnings and resets of connections."""

    def __init__(self, identities: Identities, ranges: Ranges) -> None:
        self._identities, self._ranges = identities, ranges
        self._opened: dict[frozenset[int], deque[ConnectionEvent]] = {}

    def feed(self, batch: FrameBatch) -> None:
        """The connections of a batch."""
        if self._identities.renamed:
            name = self._identities.name
            self._opened = {frozenset(map(name, pair)): opened for pair, opened in self._opened.items()}
        for event in batch.events:
            if event.kind == "open":
                self._open(event)
            elif event.kind == "rst":
                self._reset(event)

    def _open(self, event: ConnectionEvent) -> None:
        pair = frozenset(self._identities.host(event.connection, side) for side in (CLIENT, SERVER))
        if pair not in self._opened and len(self._opened) >= PAIR_LIMIT:
            return
        opened = self._opened.setdefault(pair, deque(maxlen=FLAPPING))
        fast_before = len(opened) == FLAPPING and opened[-1].time - opened[0].time <= WITHIN
        opened.append(event)
        if len(opened) < FLAPPING or event.time - opened[0].time > WITHIN:
            return
        last = place_of_event(event, CLIENT)
        first, count = (last, 1) if fast_before else (place_of_event(opened[0], CLIENT), FLAPPING)
        text = f"{FLAPPING} connections within {WITHIN / 1e9:g} s"
        self._ranges.add("CON406", text, first, count=count, last=last, together=pair)

    def _reset(self, event: ConnectionEvent) -> None:
        took = event.time - event.connection.opened
        if event.side == SERVER and took <= WITHIN and _never_answered(event.connection):
            text = f"RST {took / 1e6:.1f} ms after the connection was accepted"
            self._ranges.add("CON406", text, place_of_event(event, SERVER))


def _never_answered(connection: Connection) -> bool:
    """Was it accepted, but never used by who accepted it?"""
    return connection.handshake_seen and not connection.directions[SERVER].bytes


def was_refused(connection: Connection) -> bool:
    """Was it reset right after it was accepted?"""
    short = connection.closed - connection.opened <= WITHIN
    return short and _never_answered(connection) and connection.directions[SERVER].reset_packet is not None


@dataclass(slots=True)
class _Partial:
    """The beginning of a frame at the end of a connection; ``number``: the h_seq by which it would come again."""

    where: Place
    key: Key
    number: int
    text: str


class PartialFrameRule:
    """CON407, from the frames that stay unfinished when their connection ends."""

    def __init__(self, identities: Identities, ranges: Ranges, losses: Losses) -> None:
        self._identities, self._ranges, self._losses = identities, ranges, losses
        self._next: dict[Key, int] = {}  # the h_seq behind the last one sent
        self._waiting: list[_Partial] = []

    def feed(self, batch: FrameBatch) -> None:
        """The frames of a batch."""
        if self._identities.renamed:
            self._rename()
        keys = self._identities.keys(batch)
        numbered = (batch.header["h_cmd"] == Command.OPTS) & (batch.frames["state"] != UNFINISHED)
        last = batch.ends.last_among(np.flatnonzero(numbered))
        for row in np.flatnonzero(batch.frames["state"] == UNFINISHED).tolist():
            self._unfinished(batch, row)
        for skip in batch.skips[batch.skips["reason"] == STREAM_END]:
            end = np.flatnonzero(batch.ends.number == int(skip["connection"]) * 2 + int(skip["side"]))
            self._inside_header(batch, skip, int(last[end[0]]) if len(end) else -1)
        behind = zip(last.tolist(), keys, (batch.sequence[last] + 1 & 0xFFFFFFFF).tolist(), strict=True)
        for row, key, number in sorted(behind):
            if row >= 0 and (key in self._next or len(self._next) < PAIR_LIMIT):
                self._next[key] = number
        if self._waiting:
            self._see_repeated(batch, keys, numbered)

    def finish(self) -> None:
        """The capture is over: what was not sent again by now, was not."""
        for partial in self._waiting:
            self._tell(partial.where, partial.text)

    def _key(self, where: Place) -> Key:
        host = self._identities.host
        return host(where.connection, where.side), host(where.connection, 1 - where.side)

    def _rename(self) -> None:
        name = self._identities.name
        self._next = {(name(one), name(two)): number for (one, two), number in self._next.items()}
        for partial in self._waiting:
            partial.key = name(partial.key[0]), name(partial.key[1])

    def _unfinished(self, batch: FrameBatch, row: int) -> None:
        where = place(batch, row)
        text = f"the connection ended {where.row['captured']} bytes into a frame of {where.row['length']}"
        data = batch.bytes_of(row)
        if where.number is not None:
            self._wait(where, data, where.number, text)
        elif batch.command[row] != Command.RCOM or int(batch.type[row]) not in INTRODUCTIONS:
            self._wait(where, data, None, text)

    def _inside_header(self, batch: FrameBatch, skip: Any, last: int) -> None:
        """Its number is the one behind that of the end's last numbered frame; ``last`` is its row, if in the batch."""
        where = Place(batch.connections[int(skip["connection"])], skip.copy(), None)
        data = batch.buffer[skip["offset"] : skip["offset"] + skip["length"]].tobytes()
        number = self._next.get(self._key(where)) if last < 0 else int(batch.sequence[last]) + 1 & 0xFFFFFFFF
        self._wait(where, data, number, f"the connection ended {len(data)} bytes into a frame")

    def _wait(self, where: Place, data: bytes, number: int | None, text: str) -> None:
        """A partial frame; without ``number`` nothing says what would bring it again, and nothing does."""
        over = where.connection.ended_by != "open"  # and not only the capture
        if not over or not self._losses.sure(where) or data[:4] not in [each[: len(data)] for each in VERSIONS]:
            return
        if number is None:
            self._tell(where, text)
            return
        self._waiting.append(_Partial(where, self._key(where), number, text))
        if len(self._waiting) > PARTIAL_LIMIT:
            first = self._waiting.pop(0)
            self._tell(first.where, first.text)

    def _see_repeated(self, batch: FrameBatch, keys: list[Key], numbered: npt.NDArray[np.bool_]) -> None:
        still = []
        for partial in self._waiting:
            mine = [index for index, key in enumerate(keys) if key == partial.key]
            again = numbered & (batch.sequence == partial.number) & (batch.frames["time"] >= partial.where.time)
            again &= batch.frames["connection"] != partial.where.connection.index
            if not (again & np.isin(batch.ends.of, mine)).any():
                still.append(partial)
        self._waiting = still

    def _tell(self, where: Place, text: str) -> None:
        self._ranges.add("CON407", f"{text}, and the frame was not sent again", where)
