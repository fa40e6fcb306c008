"""Frames to streams: every frame, ACK and end of a connection goes to the tracker of its directed node pair."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from dlmtrace.capture.packets import CaptureFact
from dlmtrace.capture.segments import TrafficSummary
from dlmtrace.findings.rules import Rules
from dlmtrace.framing.frames import UNFINISHED, WHOLE, FrameBatch
from dlmtrace.framing.synchronise import STREAM_END
from dlmtrace.streams.bare import BareTracker
from dlmtrace.streams.copies import Batches, FirstCopies
from dlmtrace.streams.directory import Directed, Directory
from dlmtrace.streams.fates import Fates
from dlmtrace.streams.numbering import Numbering
from dlmtrace.streams.pair import Death, Pair
from dlmtrace.streams.plain import PlainRuns, Run
from dlmtrace.streams.receiver import Arrival
from dlmtrace.streams.results import Dialect, Finding, Leave, Reconnect, Stream
from dlmtrace.streams.rows import NO_ROWS, Int, Rows, rows_of_pairs
from dlmtrace.streams.timeline import Timeline
from dlmtrace.streams.tracker import Tracker
from dlmtrace.transport.connections import Connection, ConnectionEvent
from dlmtrace.wire.enums import Command, RecoveryType

CONNECTION_LIMIT = 1000
"""Connections kept for the report; further ones are counted only."""

RECONNECT_LIMIT = 10_000
"""Reconnects kept one by one, of the harmless ones (safe, reset) and of the others; further ones are counted only."""

FINDING_LIMIT = 1000
"""Findings of one code and stream that are kept one by one."""


_Both = list[tuple[Directed, Rows]]
"""The two streams of a pair, and what a batch holds of each."""


class Analysis:
    """Feed it batches of frames; ``streams``, ``reconnects`` and ``findings`` grow as they become final.

    ``fates`` is told what became of the frames that it watches.
    """

    def __init__(self, dialect: Dialect = "auto", fates: Fates | None = None) -> None:
        self.dialect = dialect
        self.fates = fates
        self._directory = Directory(self._make)
        self.nodes = self._directory.nodes
        self.connections: dict[int, Connection] = {}
        self.reconnects: list[Reconnect] = []
        self.findings: list[Finding] = []
        self._kept: dict[tuple[str, int | None, int | None], list[Finding]] = {}
        self._batches = Batches()
        self.verdicts: Counter[str] = Counter()  # of all reconnects, those no longer kept one by one included
        self._numbers = itertools.count(1)  # of reconnects, as they begin
        self._recovery_seen: int | None = None  # ns, of the last RCOM frame
        self._rules = Rules(self._directory.host, self.report)

    @property
    def streams(self) -> list[Stream]:
        """All streams, by sender and receiver."""
        return [directed.stream for directed in self._directory.all]

    def feed(self, batch: FrameBatch) -> None:
        """Take in a batch."""
        if self._directory.learn(batch):
            self._rename()
        self._batches.add(batch)
        for index, connection in batch.connections.items():
            if index in self.connections or len(self.connections) < CONNECTION_LIMIT:
                self.connections[index] = connection
        self._count(batch)
        exact = self._take_plain(batch)
        for _, kind, index in self._order(batch, exact):
            if kind == _FRAME:
                self._frame(batch, index)
            elif kind == _HOLE:
                self._lose(batch, batch.holes[index])
            elif kind == _SKIP:
                if batch.skips[index]["reason"] != STREAM_END:  # the end of a connection in the midst of a frame
                    self._lose(batch, batch.skips[index])
            else:
                self._event(batch.events[index])
        self._rules.feed(batch)

    def finish(self, facts: list[CaptureFact], traffic: TrafficSummary) -> None:
        """The capture is over."""
        self._rules.finish(facts, traffic)
        for directed in self._directory.all:
            directed.tracker.finish()
            directed.bare.finish()
        for directed in self._directory.all:
            stream = directed.stream
            stream.commands = {_COMMANDS.get(key, str(key)): count for key, count in sorted(directed.commands.items())}
            stream.frames = sum(directed.commands.values())

    def progress(self, sender: int, receiver: int) -> tuple[int, Numbering | None]:
        """A stream as it stands: its frames so far, and its numbers, None while it has none."""
        directed = self._directory.between(sender, receiver)
        return sum(directed.commands.values()), directed.tracker.numbering

    def timeline(self, sender: int, receiver: int) -> Timeline | None:
        """What a stream did in time order; None when there is no such stream."""
        directed = self._directory.get(sender, receiver)
        return None if directed is None else directed.tracker.timeline

    def leaves(self) -> list[Leave]:
        """How nodes took leave of each other, by node and peer."""
        return self._rules.leaves()

    # Who talks to whom.

    def hosts(self, connection: Connection) -> tuple[int, int]:
        """Node ids of the client and the server, as ``streams`` has them; negative while they are not known."""
        return self._directory.hosts(connection)

    @property
    def renamed(self) -> dict[int, int]:
        """Negative numbers of nodes that were not known yet, and the ids that they got since."""
        return self._directory.renamed

    def _rename(self) -> None:
        """What was told already of nodes that have only now got their ids."""
        name = self._directory.name
        for record in self.reconnects:
            record.sender, record.receiver = name(record.sender), name(record.receiver)
        for (code, sender, receiver), kept in list(self._kept.items()):
            if sender is None or receiver is None or self.renamed.keys().isdisjoint((sender, receiver)):
                continue
            del self._kept[code, sender, receiver]
            self._kept.setdefault((code, name(sender), name(receiver)), []).extend(kept)
            for finding in kept:
                finding.sender, finding.receiver = name(sender), name(receiver)

    def _make(self, stream: Stream, pair: Pair) -> Directed:
        tracker = Tracker(stream, pair, self.dialect, self.report, self._numbers, self._decided)
        bare = BareTracker(stream, pair, self._numbers, self._decided)
        if self.fates is not None:
            tracker.revised, bare.lost = self.fates.note, self.fates.lose
        return Directed(stream, tracker, bare, FirstCopies(self._batches))

    # One batch.

    def _count(self, batch: FrameBatch) -> None:
        """Frames per stream, command and version."""
        if not len(batch):
            return
        ends = batch.ends
        command, version = batch.header["h_cmd"], batch.header["h_version"]
        if command.max() < _FEW_COMMANDS and not len(batch.changing):
            counts = np.bincount(ends.of * _FEW_COMMANDS + command, minlength=len(ends.number) * _FEW_COMMANDS)
            codes = np.flatnonzero(counts)
            end = codes // _FEW_COMMANDS
            columns = [end, codes % _FEW_COMMANDS, version[ends.last][end], counts[codes]]
        else:
            kinds, frequencies = np.unique(np.stack((ends.of, command, version)), axis=1, return_counts=True)
            columns = [*kinds, frequencies]
        of_end = [self._directory.sent(batch.connections[number >> 1], number & 1) for number in ends.number.tolist()]
        for index, kind, spoken, count in zip(*(column.tolist() for column in columns), strict=True):
            directed = of_end[index]
            directed.commands[kind] += count
            directed.versions[spoken] += count
        for number, directed in zip(ends.number.tolist(), of_end, strict=True):
            connection = batch.connections[number >> 1]
            spoken = (
                directed.versions.most_common(1)[0][0] if len(directed.versions) > 1 else next(iter(directed.versions))
            )
            directed.stream.version = f"{spoken >> 16}.{spoken & 0xFFFF}"
            directed.tracker.pair.know(connection)
            names = directed.stream.connections
            if len(names) < CONNECTION_LIMIT and connection.name not in names:
                names.append(connection.name)

    def _take_plain(self, batch: FrameBatch) -> Int:
        """Take what goes by columns; the rows that do not, in order."""
        if not len(batch):
            return np.empty(0, np.int64)
        disturbed = {
            frozenset(self._hosts(batch, event.connection.index)) for event in batch.events if event.kind != "open"
        }
        for row in np.unique(np.concatenate((batch.holes["connection"], batch.skips["connection"]))).tolist():
            disturbed.add(frozenset(self._hosts(batch, row)))
        for index in np.unique(batch.frames["connection"][batch.frames["state"] != WHOLE]).tolist():
            disturbed.add(frozenset(self._hosts(batch, index)))
        rows = rows_of_pairs(batch, self.hosts)
        exact: list[Int] = []
        candidates: list[_Both] = []
        runs: list[Run] = []
        for low, high in {(min(hosts), max(hosts)) for hosts in rows}:
            hosts = (low, high)
            both = [(self._directory.between(*each), rows.get(each, NO_ROWS)) for each in (hosts, hosts[::-1])]
            if frozenset(hosts) not in disturbed and not any(sent.several for _, sent in both):
                self._begin_pair(both, batch)
                if _may_be_plain(both):
                    candidates.append(both)
                    for (directed, sent), (_, back) in zip(both, both[::-1], strict=True):
                        runs.append(Run(directed.tracker, sent.carrier, sent.numbered, back.acks))
                    continue
            exact += [each for _, sent in both for each in sent.all]
        if runs:
            plain = PlainRuns(runs, batch)
            chosen = [index for index in range(len(candidates)) if plain.plain[2 * index : 2 * index + 2].all()]
            polls = np.flatnonzero((batch.header["h_cmd"] == Command.RCOM) & (batch.type == RecoveryType.STATUS))
            last_polls = dict(zip(batch.ends.number.tolist(), batch.ends.last_among(polls).tolist(), strict=True))
            for index in chosen:
                self._remember(candidates[index], batch, last_polls)
            bare = [rows.bare for index in chosen for _, rows in candidates[index] if len(rows.bare)]
            if bare:
                self._see_recovery(batch, np.concatenate(bare))
            plain.take([number for index in chosen for number in (2 * index, 2 * index + 1)])
            rest = set(range(len(candidates))) - set(chosen)
            exact += [each for index in rest for _, sent in candidates[index] for each in sent.all]
        return np.sort(np.concatenate(exact)) if exact else np.empty(0, np.int64)

    def _begin_pair(self, both: _Both, batch: FrameBatch) -> None:
        """Streams that have not begun begin with their first frame; what a pair sent until then goes frame by frame."""
        (one, _), (other, _) = both
        if one.tracker.numbering is not None and other.tracker.numbering is not None:
            return
        first = [int(rows.numbered[0]) for each, rows in both if each.tracker.numbering is None and len(rows.numbered)]
        if not first and not _have_numbers(both):
            first += [int(rows.bare[0]) for each, rows in both if each.bare.carrier is None and len(rows.bare)]
        if not first:
            return
        begin = max(first) + 1
        rows = np.sort(np.concatenate([each for _, rows in both for each in rows.before(begin)]))
        for row in rows.tolist():
            self._frame(batch, row)
        for _, each in both:
            each.drop_before(begin)

    def _remember(self, both: _Both, batch: FrameBatch, last_polls: dict[int, int]) -> None:
        """What is kept of a plain pair's rows beside its numbers; ``last_polls`` are rows by the end that sent them."""
        numbered = _have_numbers(both)
        for (directed, rows), (back, _) in zip(both, both[::-1], strict=True):
            poll = last_polls.get(rows.carrier, -1)
            polled = len(rows.bare) > 0 and poll >= rows.bare[0]
            if polled:
                back.tracker.judgement.poll(int(batch.frames["time"][poll]))
            if polled or len(rows.numbered):
                directed.tracker.polled = bool(polled and (not len(rows.numbered) or poll > rows.numbered[-1]))
            if directed.tracker.numbering is not None and len(rows.numbered):
                directed.copies.add_run(directed.tracker.numbering.next, rows.numbered)
            if len(rows.bare) and not numbered:
                connection = batch.connections[rows.carrier >> 1]
                ends = batch.frames["position"][rows.bare] + batch.frames["length"][rows.bare]
                acknowledged = connection.directions[rows.carrier & 1].acknowledged
                directed.bare.acknowledge(acknowledged)
                waiting = ends > acknowledged
                times = batch.frames["time"][rows.bare]
                directed.bare.send_run(int(ends[-1]), ends[waiting].tolist(), times[waiting].tolist())

    def _see_recovery(self, batch: FrameBatch, bare: Int) -> None:
        recovery = bare[batch.command[bare] == Command.RCOM]
        if len(recovery):
            self._recovery_seen = int(batch.frames["time"][recovery].max())

    def _hosts(self, batch: FrameBatch, index: int) -> tuple[int, int]:
        connection = batch.connections[index]
        return self.hosts(connection)

    def _order(self, batch: FrameBatch, exact: Int) -> Iterable[tuple[int, int, int]]:
        """Frames that do not go by columns, events and losses, by capture order: (ordinal, kind, index)."""
        ordinals = batch.frames["ordinal"][exact].tolist()
        frames = [(ordinal, _FRAME, row) for row, ordinal in zip(exact.tolist(), ordinals, strict=True)]
        rest = [(event.ordinal, _EVENT, index) for index, event in enumerate(batch.events)]
        # what is missing at the end of a direction is told when its connection is over, but was missing when that began
        closing = {event.packet: event.ordinal for event in batch.events if event.kind in ("fin", "rst")}
        holes = zip(batch.holes["packet"].tolist(), batch.holes["ordinal"].tolist(), strict=True)
        rest += [(closing.get(packet, ordinal), _HOLE, row) for row, (packet, ordinal) in enumerate(holes)]
        rest += [(ordinal, _SKIP, row) for row, ordinal in enumerate(batch.skips["ordinal"].tolist())]
        return sorted(frames + rest) if rest else frames

    def _lose(self, batch: FrameBatch, row: Any) -> None:
        """Bytes that are not there, or belong to no frame."""
        connection = batch.connections[int(row["connection"])]
        pair = self._directory.pair(*self.hosts(connection))
        carrier = connection.index * 2 + int(row["side"])
        pair.lose(carrier, int(row["position"]), int(row["length"]), int(row["time"]))

    def _frame(self, batch: FrameBatch, row: int) -> None:
        frame: Any = batch.frames[row]
        if frame["state"] == UNFINISHED:
            return  # its connection ended in the middle of it: no kernel got it, and it is told late
        connection = batch.connections[int(frame["connection"])]
        side = int(frame["side"])
        command = int(batch.header["h_cmd"][row])
        carried = int(batch.command[row])
        directed, back = self._directory.of(connection, side)
        position = int(frame["position"])
        carrier = connection.index * 2 + side
        packet, time = int(frame["packet"]), int(frame["time"])
        length = int(frame["length"])
        arrival = Arrival(0, carrier, position + length, length, int(frame["ordinal"]), packet, time)
        if command == Command.OPTS:
            death = directed.tracker.pair.deaths.get(connection.index)
            if death is not None and death.kind == "rst":
                arrival.came = connection.directions[side].acknowledged >= arrival.end
            data = batch.bytes_of(row)
            numbering = directed.tracker.numbering

            def same(number: int) -> bool | None:
                first = directed.copies.find(number)
                if first is None:
                    return None
                length = min(len(first), len(data))
                return first[:length] == data[:length]

            fin = carried == Command.FIN
            directed.tracker.send(int(batch.sequence[row]), arrival, position, connection, fin, same)
            if self.fates is not None:
                self.fates.pass_by(arrival, directed.tracker)
            if directed.tracker.numbering is not numbering:
                directed.copies.clear()
            if directed.tracker.took_new:
                directed.copies.add(arrival.number, row)
        elif command == Command.ACK:
            back.tracker.acknowledge(int(batch.sequence[row]), arrival)
        elif command in (Command.MSG, Command.RCOM):
            kind = int(batch.type[row])
            if command == Command.RCOM:
                self._recovery_seen = time
                if kind == RecoveryType.STATUS:
                    back.tracker.judgement.poll(time)
                    directed.tracker.polled = True
            if (directed.stream.version, back.stream.version) == ("3.2", "3.2"):
                return  # nodes that number their frames: these have their own repetition
            if directed.tracker.numbering is None and back.tracker.numbering is None:
                fresh = command == Command.RCOM and kind == RecoveryType.STATUS
                if directed.bare.carrier == carrier:
                    directed.bare.acknowledge(connection.directions[side].acknowledged)
                directed.bare.send(carrier, arrival.end, time, packet, fresh)

    def _event(self, event: ConnectionEvent) -> None:
        connection = event.connection
        kind = connection.ended_by if event.kind == "end" else event.kind
        if kind == "open":
            return
        forward, back = self._directory.of(connection, 0)
        if kind == "survived":
            forward.tracker.pair.survive(connection)
            forward.tracker.survive(connection)
            back.tracker.survive(connection)
            return
        side = None if event.kind == "end" else event.side
        death = Death(connection, kind, event.ordinal, event.packet, event.time, side)
        forward.tracker.pair.die(death)
        for directed in (forward, back):
            directed.tracker.die(death)
            directed.bare.die(death)

    def report(self, finding: Finding) -> None:
        """One more finding; of one code and stream the last one kept stands for all that follow (``count``)."""
        key = (finding.code, finding.sender, finding.receiver)
        kept = self._kept.setdefault(key, [])
        if len(kept) < FINDING_LIMIT:
            kept.append(finding)
            self.findings.append(finding)
        else:
            kept[-1].count += finding.count
            kept[-1].evidence["collapsed"] = kept[-1].evidence.get("collapsed", 0) + 1

    def _decided(self, record: Reconnect) -> None:
        """A verdict is final."""
        record.sender, record.receiver = self._directory.name(record.sender), self._directory.name(record.receiver)
        if record.verdict == "reset":
            followed = self._recovery_seen is not None and self._recovery_seen > record.ended
            record.reason += "; RCOM recovery was seen to follow" if followed else "; no RCOM recovery was seen"
        harmless = self.verdicts["safe"] + self.verdicts["reset"]
        before = harmless if record.verdict in ("safe", "reset") else self.verdicts.total() - harmless
        self.verdicts[record.verdict] += 1
        if before < RECONNECT_LIMIT:
            self.reconnects.append(record)
        code = _CODES[record.verdict]
        old, new = record.old_connection, record.new_connection or "nothing"
        self.report(
            Finding(
                code,
                f"{record.reconnect}, {old} to {new}: {record.reason}",
                record.sender,
                record.receiver,
                record.new_connection or old,
                record.resumed_packet or record.ended_packet,
                record.resumed or record.ended,
                record.unconfirmed[0][0] if record.unconfirmed else None,
                record.unconfirmed[-1][1] if record.unconfirmed else None,
                max(record.lost_frames, 1),
                evidence={"reconnect": record.reconnect},
            )
        )


def _may_be_plain(both: _Both) -> bool:
    """Do the nodes, each of which uses one connection, send bare frames only where that is nothing new?"""
    return _have_numbers(both) or not any(
        len(rows.bare) and directed.bare.carrier != rows.carrier for directed, rows in both
    )


def _have_numbers(both: _Both) -> bool:
    (one, _), (other, _) = both
    return one.tracker.numbering is not None or other.tracker.numbering is not None


_FEW_COMMANDS = 8  # all that kernels send lie below
_COMMANDS = {int(command): command.name for command in Command}
_CODES = {
    "unsafe": "CON401",
    "unprotected": "CON402",
    "inconclusive": "CON403",
    "safe": "CON404",
    "reset": "CON408",
}

_HOLE, _SKIP, _FRAME, _EVENT = range(4)  # in this order where one packet brings several
