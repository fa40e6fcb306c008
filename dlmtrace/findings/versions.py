"""VER: which protocol version each node of a pair speaks to the other (protocol page §6.4, §8).

Rules, in plain words:
* A node's kernel keeps the version of the first frame of its peer and drops frames of any other one (VER601), until its
  record of the peer is reset: then the peer introduces itself with RCOM STATUS on a new connection and is answered.
* Two nodes that speak 3.2 number their messages (VER602); with a peer of an older version they do not (VER605).
* A pair begins with RCOM STATUS, NAMES or a reply to them (VER603), and numbers nothing before the peer spoke (VER604).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlmtrace.findings.frames import NEWEST, dotted, is_of_dlm
from dlmtrace.findings.identity import Identities, Key
from dlmtrace.findings.losses import Losses
from dlmtrace.findings.ranges import Place, Ranges, place
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.wire.enums import Command, MessageType, RecoveryType

Int = npt.NDArray[np.int64]

INTRODUCTIONS = (RecoveryType.STATUS, RecoveryType.NAMES, RecoveryType.STATUS_REPLY, RecoveryType.NAMES_REPLY)
"""RCOM types that introduce a node; they go bare between 3.2 nodes too (protocol page §3.2)."""

REPLY_TIMEOUT = 5_000_000_000
"""ns in which a node that introduces itself is answered, or else asks again (recover_timer)."""

PAIR_LIMIT = 65_536
"""Directed pairs remembered; no cluster comes near it, forged frames could."""


@dataclass(slots=True)
class _Wait:
    """Frames that are trouble or not, as later ones will tell."""

    first: Place
    last: Place
    version: int
    text: str
    count: int = 1


@dataclass(slots=True)
class _Direction:
    """What one node says to another."""

    version: int | None = None
    first: Place | None = None  # its first frame
    numbered: bool = False  # has it sent OPTS?
    change: _Wait | None = None  # another version than before: was the node restarted?
    bare: _Wait | None = None  # bare messages: which version does the peer speak?


class VersionRules:
    """Compares by columns; one by one goes what differs from what is known of its sender, and what comes first."""

    def __init__(self, identities: Identities, ranges: Ranges, losses: Losses) -> None:
        self._identities, self._ranges, self._losses = identities, ranges, losses
        self._directions: dict[Key, _Direction] = {}
        self._mixed: set[frozenset[int]] = set()  # pairs that are told
        self._first: dict[frozenset[int], Place | None] = {}  # a pair's first frame while it may be a wrong one
        self._changing: set[Key] = set()
        self._settled: set[Key] = set()

    def feed(self, batch: FrameBatch) -> None:
        """The frames of a batch."""
        if not len(batch):
            return
        if self._identities.renamed:
            self._rename()
        keys = self._identities.keys(batch)
        if not all(key in self._settled for key in keys):
            for key in keys:
                for each in (key, key[::-1]):
                    if each not in self._directions and len(self._directions) >= PAIR_LIMIT:
                        return
                    self._directions.setdefault(each, _Direction())
            self._begin_pairs(batch, keys)
        self._compare(batch, keys)
        for key in keys:
            if key not in self._settled:
                self._compare_pair(key)
        self._see_bare(batch, keys)
        self._settle_changes(batch, keys)
        if not all(key in self._settled for key in keys):
            self._see_first_numbers(batch, keys)
            self._settled.update(key for key in keys if self._is_settled(key))

    def _is_settled(self, key: Key) -> bool:
        """Is all that may be new of a direction known?  Changes of the version and bare messages may always come."""
        direction, back = self._directions[key], self._directions[key[::-1]]
        begun = direction.numbered or (direction.version is not None and direction.version != NEWEST)
        return begun and back.version is not None and back.bare is None

    def _rename(self) -> None:
        """What was kept of addresses belongs to the nodes that they turned out to be."""
        name = self._identities.name
        self._directions = {(name(one), name(two)): kept for (one, two), kept in self._directions.items()}
        self._first = {frozenset(map(name, pair)): kept for pair, kept in self._first.items()}
        self._changing = {(name(one), name(two)) for one, two in self._changing}
        self._settled.clear()

    # VER601

    def _compare(self, batch: FrameBatch, keys: list[Key]) -> None:
        expected = np.zeros(len(keys), np.int64)
        for index, (key, row) in enumerate(zip(keys, batch.ends.first.tolist(), strict=True)):
            direction = self._directions[key]
            if direction.version is None and is_of_dlm(batch, row) and self._losses.sure(place(batch, row)):
                direction.version = int(batch.header["h_version"][row])
            expected[index] = direction.version or 0
        spoken = batch.header["h_version"]
        usual = spoken[batch.ends.last]
        if not len(batch.changing) and ((usual == expected) | (expected == 0)).all():
            return
        of_row = expected[batch.ends.of]
        for row in np.flatnonzero((spoken != of_row) & (of_row != 0)).tolist():
            if is_of_dlm(batch, row) and self._losses.sure(place(batch, row)):
                self._change(batch, row, keys[int(batch.ends.of[row])])

    def _change(self, batch: FrameBatch, row: int, key: Key) -> None:
        direction, where = self._directions[key], place(batch, row)
        assert direction.version is not None
        version, change = int(batch.header["h_version"][row]), direction.change
        if change is not None and change.first.connection is where.connection and change.version == version:
            change.count, change.last = change.count + 1, where
            return
        text = f"h_version {dotted(version)} from a node that spoke {dotted(direction.version)} before"
        introduces = batch.header["h_cmd"][row] == Command.RCOM and batch.type[row] == RecoveryType.STATUS
        if change is None and introduces and _begins(where):
            direction.change = _Wait(where, where, version, text)
            self._changing.add(key)
        else:
            self._ranges.add("VER601", text, where)

    def _settle_changes(self, batch: FrameBatch, keys: list[Key]) -> None:
        for key in list(self._changing):
            direction = self._directions[key]
            change = direction.change
            assert change is not None
            answers = [index for index, each in enumerate(keys) if each == key[::-1]]
            answered = np.isin(batch.ends.of, answers) & (batch.command == Command.RCOM)
            answered &= (batch.type == RecoveryType.STATUS_REPLY) & (
                batch.frames["ordinal"] > change.first.row["ordinal"]
            )
            if answered.any():
                direction.version, direction.first = change.version, change.first
                self._settled.clear()
            elif int(batch.frames["time"][-1]) - change.first.time >= REPLY_TIMEOUT:
                self._ranges.add("VER601", change.text, change.first, count=change.count, last=change.last)
            else:
                continue
            direction.change = None
            self._changing.discard(key)

    # VER602, VER605

    def _see_bare(self, batch: FrameBatch, keys: list[Key]) -> None:
        command = batch.header["h_cmd"]
        bare = (command == Command.MSG) | (command == Command.RCOM) | (command == Command.FIN)
        rows = np.flatnonzero(bare & (batch.header["h_version"] == NEWEST))
        rows = rows[(command[rows] != Command.RCOM) | ~np.isin(batch.type[rows], INTRODUCTIONS)]
        if not len(rows):
            return
        peers = np.array([self._directions[key[::-1]].version or 0 for key in keys])[batch.ends.of[rows]]
        for row in rows[peers == NEWEST].tolist():
            where = place(batch, row)
            if self._losses.sure(where):
                self._ranges.add("VER602", _bare(batch, row), where)
        unknown = rows[peers == 0]
        for sender in np.unique(batch.ends.of[unknown]).tolist():
            mine = unknown[batch.ends.of[unknown] == sender]
            first, last, direction = place(batch, mine[0]), place(batch, mine[-1]), self._directions[keys[sender]]
            if direction.bare is not None:
                direction.bare.count, direction.bare.last = direction.bare.count + len(mine), last
            elif self._losses.sure(first):
                direction.bare = _Wait(first, last, NEWEST, _bare(batch, mine[0]), len(mine))

    def _compare_pair(self, key: Key) -> None:
        direction, back = self._directions[key], self._directions[key[::-1]]
        if direction.version is None:
            return
        if back.bare is not None:
            if direction.version == NEWEST:
                bare = back.bare
                self._ranges.add("VER602", bare.text, bare.first, count=bare.count, last=bare.last)
            back.bare = None
        if back.version in (None, direction.version) or min(key) < 0 or frozenset(key) in self._mixed:
            return
        self._mixed.add(frozenset(key))
        versions = sorted((each.version or 0, node) for each, node in ((direction, key[0]), (back, key[1])))
        text = " and ".join(f"node {node} speaks {dotted(version)}" for version, node in versions)
        firsts = [each.first for each in (direction, back) if each.first is not None]
        later = max(firsts, key=lambda where: int(where.row["ordinal"]))
        self._ranges.add("VER605", f"{text}: nothing is numbered, what a reset loses is lost", later)

    # VER603, VER604

    def _begin_pairs(self, batch: FrameBatch, keys: list[Key]) -> None:
        for key, row in sorted(zip(keys, batch.ends.first.tolist(), strict=True), key=lambda item: item[1]):
            direction, pair = self._directions[key], frozenset(key)
            if direction.first is None:
                direction.first = place(batch, row)
            if pair not in self._first:
                where = place(batch, row)
                introduces = batch.command[row] == Command.RCOM and int(batch.type[row]) in INTRODUCTIONS
                wrong = is_of_dlm(batch, row) and not introduces and _begins(where)
                self._first[pair] = where if wrong else None

    def _see_first_numbers(self, batch: FrameBatch, keys: list[Key]) -> None:
        """The first numbers of a pair tell whether it is fresh, or only its older connections were not captured."""
        waiting = [not self._directions[key].numbered for key in keys]
        if not any(waiting):
            return
        first = batch.ends.first_among(np.flatnonzero(batch.sequence >= 0))
        for row in sorted(row for row, wait in zip(first.tolist(), waiting, strict=True) if wait and row >= 0):
            key = keys[int(batch.ends.of[row])]
            direction, back, pair = self._directions[key], self._directions[key[::-1]], frozenset(key)
            direction.numbered = True
            where = place(batch, row)
            fresh = batch.header["h_cmd"][row] == Command.OPTS and where.number == 0
            began = self._first[pair]
            if fresh and began is not None:
                self._ranges.add("VER603", "the pair does not begin with RCOM STATUS or NAMES", began)
            self._first[pair] = None
            spoken = back.first is not None and back.first.row["ordinal"] < where.row["ordinal"]
            if fresh and not spoken and where.connection.handshake_seen:
                self._ranges.add("VER604", "OPTS before any frame of the peer", where)


def _begins(where: Place) -> bool:
    """Is it the very first of its direction, on a connection whose beginning was captured?"""
    return int(where.row["position"]) == 0 and where.connection.handshake_seen


def _bare(batch: FrameBatch, row: int) -> str:
    command, kind = int(batch.command[row]), int(batch.type[row])
    types = {Command.MSG: MessageType, Command.RCOM: RecoveryType}.get(Command(command))
    name = types(kind).name if types is not None and kind in types._value2member_map_ else ""
    return f"bare {f'{Command(command).name} {name}'.strip()} between two nodes that speak 3.2"
