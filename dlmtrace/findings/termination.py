"""FIN501, FIN502 and FIN505: nodes that take leave and are not heard, or go without (protocol page §6.6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dlmtrace.findings.connections import was_refused
from dlmtrace.findings.identity import Identities, Key
from dlmtrace.findings.ranges import Place, Ranges, place
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.results import Leave
from dlmtrace.streams.termination import State, Termination
from dlmtrace.transport.connections import CLIENT, SERVER, Connection, ConnectionEvent
from dlmtrace.transport.serial import signed
from dlmtrace.wire.enums import Command

Int = npt.NDArray[np.int64]
Flag = npt.NDArray[np.bool_]

FIN_TIMEOUT = 5_000_000_000
"""ns that a node waits for the ACK of its FIN and for the peer's FIN (6.3 and later; up to 6.2 it is 3 minutes)."""

SILENCE = 2_000_000_000
"""ns without a connection after which the last one is taken for the last: a node that needs one dials every second."""

PAIR_LIMIT = 65_536
"""Pairs remembered; no cluster comes near it, forged packets could."""

CONNECTION_LIMIT = 16
"""Connections of a pair remembered: it uses two at a time."""

_MASK = 0xFFFFFFFF


@dataclass(slots=True)
class _Fin:
    """A node's FIN; ``confirmed`` and ``answered``: is it, or was that judged?"""

    number: int
    where: Place
    confirmed_at: int | None = None  # ns
    confirmed: bool = False
    answered: bool = False


@dataclass(slots=True)
class _Side:
    """One node of a pair."""

    termination: Termination = field(default_factory=Termination)
    fin: _Fin | None = None
    numbered: bool = False  # has it sent OPTS?
    used: deque[Connection] = field(default_factory=lambda: deque(maxlen=4))  # over which its last frames came

    @property
    def last(self) -> Connection | None:
        """Over which its last frame came that its peer may have read."""
        return next((connection for connection in reversed(self.used) if not was_refused(connection)), None)

    def use(self, connection: Connection) -> None:
        """Its next frame comes over this one."""
        if not self.used or self.used[-1] is not connection:
            self.used.append(connection)


@dataclass(slots=True)
class _Pair:
    sides: dict[int, _Side] = field(default_factory=dict)
    connections: dict[int, Connection] = field(default_factory=dict)  # the last ones, by index

    def side(self, host: int) -> _Side:
        if host not in self.sides:
            self.sides[host] = _Side()
        return self.sides[host]

    def moves(self, key: Key, connection: int) -> bool:
        """May the next plain frame of this direction, over this connection, change anything here?"""
        sender, receiver = self.side(key[0]), self.side(key[1])
        known = sender.numbered and sender.used and sender.used[-1].index == connection
        return not known or receiver.termination.state == State.CLOSED


class TerminationRules:
    """Follows every FIN, the ACKs that cover it, and the ends of connections."""

    def __init__(self, identities: Identities, ranges: Ranges) -> None:
        self._identities, self._ranges = identities, ranges
        self._pairs: dict[frozenset[int], _Pair] = {}
        self._awaited: dict[Key, int] = {}  # lowest ACK that covers the peer's FIN, by who owes it and to whom
        self._watched: set[frozenset[int]] = set()  # pairs that may come to a finding as time goes on
        self._holes: dict[int, int] = {}  # end of a connection -> ns, of its last hole

    def feed(self, batch: FrameBatch) -> None:
        """The frames and connections of a batch."""
        if self._identities.renamed:
            self._rename()
        for event in batch.events:
            if event.kind == "end":
                self._watched.add(self._hosts(event.connection))
        ends = batch.holes["connection"].astype(np.int64) * 2 + batch.holes["side"]
        self._holes.update(zip(ends.tolist(), batch.holes["time"].tolist(), strict=True))
        self._follow(batch)
        self._judge(over=False)

    def finish(self) -> None:
        """The capture is over: what it does not show stays undecided."""
        self._judge(over=True)

    def leaves(self) -> list[Leave]:
        """Each node's view of each of its peers, by node and peer; it says nothing where a pair has no numbers."""
        found = []
        for hosts, pair in self._pairs.items():
            for node in hosts if len(hosts) == 2 else ():
                (peer,) = hosts - {node}
                side = pair.side(node)
                view = node, peer, side.termination.state.name, side.termination.waits_for
                if side.fin is None:
                    found.append(Leave(*view, None, None, None, None))
                    continue
                where = side.fin.where
                found.append(Leave(*view, side.fin.number, int(where.row["packet"]), where.time, side.fin.confirmed_at))
        return sorted(found, key=lambda leave: (leave.node, leave.peer))

    def _hosts(self, connection: Connection) -> frozenset[int]:
        return frozenset(self._identities.host(connection, side) for side in (CLIENT, SERVER))

    def _rename(self) -> None:
        name = self._identities.name
        self._pairs = {frozenset(map(name, hosts)): pair for hosts, pair in self._pairs.items()}
        self._watched = {frozenset(map(name, hosts)) for hosts in self._watched}
        self._awaited = {(name(one), name(two)): number for (one, two), number in self._awaited.items()}
        for pair in self._pairs.values():
            pair.sides = {name(host): side for host, side in pair.sides.items()}

    def _open(self, event: ConnectionEvent) -> None:
        hosts, connection = self._hosts(event.connection), event.connection
        if hosts not in self._pairs and len(self._pairs) >= PAIR_LIMIT:
            return
        pair = self._pairs.setdefault(hosts, _Pair())
        self._judge_close(pair, hosts, event.time)
        pair.connections[connection.index] = connection
        if len(pair.connections) > CONNECTION_LIMIT:
            oldest = next(iter(pair.connections))
            del pair.connections[oldest]
            self._holes.pop(2 * oldest, None)
            self._holes.pop(2 * oldest + 1, None)

    # Frames.

    def _follow(self, batch: FrameBatch) -> None:
        """All that matters of a batch, in order of capture."""
        ends, command = batch.ends, batch.header["h_cmd"]
        keys = self._identities.keys(batch)
        numbered = command == Command.OPTS
        fins, zeros = numbered & (batch.command == Command.FIN), numbered & (batch.sequence == 0)
        moving = [
            index
            for index, (key, end) in enumerate(zip(keys, ends.number.tolist(), strict=True))
            if self._pair(key).moves(key, end >> 1)
        ]
        first_numbered = ends.first_among(np.flatnonzero(numbered))[moving]
        chosen = (
            np.flatnonzero(fins | zeros),
            self._confirming(batch, keys, fins),
            first_numbered[first_numbered >= 0],
            ends.first[moving],
            ends.last[moving],
        )
        rows = np.unique(np.concatenate(chosen)).tolist()
        steps: list[tuple[int, int, ConnectionEvent | None]]
        steps = [(int(batch.frames["ordinal"][row]), row, None) for row in rows]
        steps += [(event.ordinal, -1, event) for event in batch.events if event.kind == "open"]
        for _, row, event in sorted(steps, key=lambda step: step[:2]):
            if event is not None:
                self._open(event)
                continue
            key, where = keys[int(ends.of[row])], place(batch, row)
            pair = self._pair(key)
            sender = pair.side(key[0])
            sender.use(where.connection)
            sender.numbered = sender.numbered or bool(numbered[row])
            if zeros[row] and not fins[row]:
                self._restart(pair, key, where.time)
            if fins[row]:
                self._fin(pair, key, where)
            elif command[row] == Command.ACK:
                self._confirm(pair, key, where)
            else:
                pair.side(key[1]).termination.frame()

    def _pair(self, key: Key) -> _Pair:
        """The pair; one that nobody remembers when there are too many."""
        return self._pairs.get(frozenset(key)) or _Pair()

    def _confirming(self, batch: FrameBatch, keys: list[Key], fins: Flag) -> Int:
        """ACKs that cover a FIN of the peer, sent before or in this batch."""
        covering = dict(self._awaited)
        for row in np.flatnonzero(fins).tolist():
            covering.setdefault(keys[int(batch.ends.of[row])][::-1], int(batch.sequence[row]) + 1)
        if not covering:
            return np.empty(0, np.int64)
        needed = np.array([covering.get(key, -1) for key in keys], np.int64)[batch.ends.of]
        rows = np.flatnonzero((batch.header["h_cmd"] == Command.ACK) & (needed >= 0))
        covers: Flag = signed(batch.sequence[rows] - needed[rows] & _MASK) >= 0
        return rows[covers]

    def _restart(self, pair: _Pair, key: Key, now: int) -> None:
        """A frame with number 0: behind a FIN it begins a new epoch."""
        sender, receiver = pair.side(key[0]), pair.side(key[1])
        if sender.fin is None:
            return
        self._judge_fin(pair, key, now, over=False)
        sender.fin = None
        self._awaited.pop(key[::-1], None)
        sender.termination.restarted()
        if receiver.fin is not None and receiver.fin.confirmed_at is not None:
            receiver.fin = None
            receiver.termination.restarted()

    def _fin(self, pair: _Pair, key: Key, where: Place) -> None:
        sender = pair.side(key[0])
        assert where.number is not None
        if sender.fin is not None:
            return  # sent again, or a second one (FIN504)
        self._judge_fin(pair, key[::-1], where.time, over=False)
        sender.fin = _Fin(where.number, where)
        self._awaited[key[::-1]] = where.number + 1
        sender.termination.fin_sent()
        self._watched.add(frozenset(key))

    def _confirm(self, pair: _Pair, key: Key, where: Place) -> None:
        """An ACK; if it covers the FIN of its receiver, its sender has that FIN."""
        fin = pair.side(key[1]).fin
        assert where.number is not None
        if fin is None or fin.confirmed_at is not None or where.row["ordinal"] < fin.where.row["ordinal"]:
            return
        if signed(where.number - (fin.number + 1) & _MASK) < 0:
            return
        self._judge_fin(pair, key[::-1], where.time, over=False)
        fin.confirmed_at, fin.confirmed = where.time, True
        self._awaited.pop(key, None)
        pair.side(key[1]).termination.fin_confirmed()
        pair.side(key[0]).termination.fin_received()

    # Judgement.

    def _judge(self, over: bool) -> None:
        for hosts in list(self._watched):
            pair = self._pairs.get(hosts)
            open_questions = False
            if pair is not None and len(hosts) == 2:
                one, other = hosts
                for key in ((one, other), (other, one)):
                    open_questions |= self._judge_fin(pair, key, self._ranges.now, over)
                open_questions |= self._judge_close(pair, hosts, self._ranges.now)
            if not open_questions:
                self._watched.discard(hosts)

    def _judge_fin(self, pair: _Pair, key: Key, now: int, over: bool) -> bool:
        """Is the sender's FIN confirmed and answered in time?  True while that is open."""
        fin, peer = pair.side(key[0]).fin, pair.side(key[1])
        if fin is None:
            return False
        if not fin.confirmed:
            closed = over and all(each.ended_by in ("fin", "rst") for each in pair.connections.values())
            if now - fin.where.time < FIN_TIMEOUT and not closed:
                return True
            fin.confirmed = fin.answered = True  # of one that is not confirmed, nobody expects an answer
            if self._is_whole(pair, key[1], fin.where.time):
                limit = "before the last connection was closed" if closed else f"within {FIN_TIMEOUT // 10**9} s"
                text = f"FIN {fin.number} was not confirmed {limit}: {_standing(pair, key)}"
                self._ranges.add("FIN501", text, fin.where)
        if not fin.answered and peer.fin is None and fin.confirmed_at is not None:
            if now - fin.confirmed_at < FIN_TIMEOUT:
                return True
            fin.answered = True
            if self._is_whole(pair, key[1], fin.confirmed_at):
                text = f"FIN {fin.number} was confirmed, but none came back within {FIN_TIMEOUT // 10**9} s"
                self._ranges.add("FIN502", f"{text}: {_standing(pair, key)}", fin.where)
        return False

    def _judge_close(self, pair: _Pair, hosts: frozenset[int], now: int) -> bool:
        """Did the two close their last connection without any FIN?  True while that is open."""
        sides = [pair.side(host) for host in hosts]
        connections = [each for each in pair.connections.values() if not was_refused(each)]
        if not all(side.numbered and side.fin is None for side in sides) or not connections:
            return False
        last = max(connections, key=lambda connection: connection.closed)
        if any(each.ended_by == "open" for each in connections) or last.ended_by != "fin":
            return False
        if now - last.closed < SILENCE:
            return True
        since = last.closed - FIN_TIMEOUT
        orderly = all(side.last is not None and side.last.ended_by == "fin" for side in sides)
        if orderly and all(self._is_whole(pair, host, since) for host in hosts):
            row = {"side": CLIENT, "packet": last.last_packet, "time": last.closed}
            text = f"the last connection was closed in an orderly way without FIN: {_standing(pair, sorted(hosts))}"
            self._ranges.add("FIN505", text, Place(last, row, None))
        for side in sides:
            side.numbered = False  # of the next epoch
        return False

    def _is_whole(self, pair: _Pair, host: int, since: int) -> bool:
        """Was everything captured that this node sent to its peer from ``since`` (ns) on, as far as that shows?"""
        last = pair.side(host).last
        if last is None or (last.ended_by != "open" and last.closed < since):
            return False
        for connection in pair.connections.values():
            side = SERVER if self._identities.host(connection, SERVER) == host else CLIENT
            direction = connection.directions[side]
            hole = self._holes.get(2 * connection.index + side)
            if connection.closed >= since and (
                direction.acknowledged > direction.sent + 1 or (hole is not None and hole >= since)
            ):
                return False
        return True


def _standing(pair: _Pair, hosts: Sequence[int]) -> str:
    """Who waits for whom."""
    return "; ".join(
        f"{f'node {host}' if host >= 0 else 'a node'} is in {termination.state.name}"
        + (f" and waits for {termination.waits_for}" if termination.waits_for else "")
        for host, termination in ((host, pair.side(host).termination) for host in hosts)
    )
