"""The expected verdict on every reconnect, from the truth about its frames (the rules of the findings page).

A reconnect of a stream: the connection on which its sender had sent frames ended, and the sender's frames went on over
another connection, or should have.  Frames *at risk* are those seen on the wire before and not confirmed when the old
connection ended, and those whose numbers were given out before what the new connection carries but never seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Literal, NamedTuple

from dlmtrace.simulate.evidence import Streams, both_restarted, receiver_kept, restarted_alone, restarts, silent_since
from dlmtrace.simulate.frames import type_of
from dlmtrace.simulate.sightings import ConnectionTruth
from dlmtrace.simulate.truth import Epoch, FrameTruth, Log, Stream, Transmission
from dlmtrace.wire.enums import Command, RecoveryType

Verdict = Literal["safe", "unsafe", "reset", "unprotected", "inconclusive"]

EndedBy = Literal["rst", "fin", "abandoned"]

STARVED = 300
"""Frames in a row that a receiver ignores before the silence of its ACKs proves a hole (no release waits that long)."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """One reconnect of a stream, with the verdict that an observer of everything would give."""

    sender: int
    receiver: int
    epoch: int
    """place in the stream's epochs; -1 for a stream of bare frames"""
    old_connection: int
    new_connection: int | None
    """None: the stream did not go on"""
    ended_by: EndedBy
    ended: int
    """ns at which the old connection ended, at the capture point"""
    at_risk: tuple[int, ...]
    """numbers (bare frames: places in the stream) sent and not confirmed when it ended"""
    resent: tuple[int, ...]
    """of these, seen on the new connection"""
    lost: tuple[int, ...]
    """of these, never delivered"""
    verdict: Verdict
    reason: str
    also: frozenset[Verdict] = frozenset()
    """what an observer of the packets alone may say instead, since they do not prove the verdict"""
    repaired_by: int | None = None
    """unsafe, but delivered later: place among the stream's reconnects of the one that did it"""
    apparent: bool = False
    """packets may show that this is none: a RST passed that did not end the old connection; or that was closed in
    order when the stream had left it, or, without numbers, before its sender goes on as a node does that joins"""


class _Part:
    """Consecutive transmissions of an epoch on one connection."""

    def __init__(
        self, connection: int, entries: list[tuple[Transmission, FrameTruth]], finished: tuple[int, int] | None
    ) -> None:
        self.connection = connection
        self.entries = entries
        self.first_order = entries[0][0].order
        self.last_order = entries[-1][0].order
        self.seen = {frame for transmission, frame in entries if transmission.seen is not None}
        self.highest = max((frame.place for frame in self.seen), default=-1)
        self.began = min((t.seen for t, _ in entries if t.seen is not None), default=entries[0][0].written)
        # lives of the receiver's record that looked at its frames, until one took the FIN: that starts again in order
        self.lives = {
            transmission.receiver_incarnation
            for transmission, _ in entries
            if transmission.receiver_incarnation is not None
            and transmission.handled is not None
            and (finished is None or (transmission.handled, transmission.order) <= finished)
        }


def _parts(frames: Sequence[FrameTruth]) -> list[_Part]:
    """An epoch by connection, in the order in which the sender wrote; only where the capture saw a whole frame."""
    fins = ((frame.delivered, frame.delivered_by) for frame in frames if frame.command == Command.FIN)
    finished = min(((time, order) for time, order in fins if time is not None and order is not None), default=None)
    entries = [(transmission, frame) for frame in frames for transmission in frame.transmissions if transmission.begun]
    entries.sort(key=lambda entry: entry[0].order)
    parts = [
        _Part(key, list(group), finished) for key, group in groupby(entries, key=lambda entry: entry[0].connection)
    ]
    return [part for part in parts if part.seen]


def _left_out(frame: FrameTruth, new: _Part) -> bool:
    """Whether the stream went on past a frame on ``new`` although the receiver still lacks it."""
    if frame.delivered_by is not None and frame.delivered_by <= new.last_order:
        return False
    mine = [transmission for transmission, other in new.entries if other is frame]
    if any(transmission.handled is None for transmission in mine):
        return False  # on its way when the connection ended
    last = max((transmission.order for transmission in mine), default=-1)
    return any(t.order > last and other.place > frame.place and t.seen is not None for t, other in new.entries)


def _waited(frame: FrameTruth, old: _Part, new: _Part) -> bool:
    """Whether a copy of the frame still waited for ``new`` when that ended."""
    return any(
        old.last_order < copy.queued <= new.last_order
        and (copy.written is None or copy.written > new.last_order)
        and (copy.discarded is None or copy.discarded > new.first_order)
        for copy in frame.copies
    )


def reconnects(log: Log, connections: list[ConnectionTruth]) -> list[Reconnect]:
    """All reconnects, by stream and in order."""
    found: list[Reconnect] = []
    for key in sorted(log.streams):
        stream = log.streams[key]
        found += _sequenced(stream, connections, log.streams) if stream.reliable else _bare(stream, connections)
    holed = {log.pair_of(index) for index, connection in enumerate(connections) if connection.holes}
    return [_doubted(entry) if frozenset((entry.sender, entry.receiver)) in holed else entry for entry in found]


def _doubted(reconnect: Reconnect) -> Reconnect:
    """Bytes that never passed the capture point leave its reader in doubt."""
    doubt: frozenset[Verdict] = frozenset({"inconclusive"})
    return replace(reconnect, also=reconnect.also | doubt - {reconnect.verdict})


class _Change(NamedTuple):
    """A stream changed its connection, or should have."""

    stream: Stream
    number: int
    epoch: Epoch
    upto: list[_Part]
    """the epoch's parts up to the one that ended"""
    new: _Part | None
    later: list[_Part]
    ended_by: EndedBy
    ended: int
    at_risk: list[FrameTruth]

    def judged(self, judgement: _Judgement) -> Reconnect:
        new = set[FrameTruth]() if self.new is None else self.new.seen
        return Reconnect(
            self.stream.sender,
            self.stream.receiver,
            self.number,
            self.upto[-1].connection,
            None if self.new is None else self.new.connection,
            self.ended_by,
            self.ended,
            _numbers(self.at_risk),
            _numbers(frame for frame in self.at_risk if frame in new),
            _numbers(frame for frame in self.at_risk if frame.delivered is None),
            *judgement,
        )


class _Judgement(NamedTuple):
    verdict: Verdict
    reason: str
    also: frozenset[Verdict] = frozenset()
    repaired_by: int | None = None


def _numbers(frames: Iterable[FrameTruth]) -> tuple[int, ...]:
    return tuple(frame.sequence for frame in frames if frame.sequence is not None)


def _end(part: _Part, resumed: int | None, connections: list[ConnectionTruth]) -> tuple[EndedBy, int]:
    """How and when a connection ended, at the latest when its stream resumed elsewhere."""
    connection = connections[part.connection]
    ended = connection.last if connection.ended is None else connection.ended
    if resumed is not None:
        ended = min(ended, resumed)
    return "abandoned" if connection.ended_by == "open" else connection.ended_by, ended


def _sequenced(stream: Stream, connections: list[ConnectionTruth], streams: Streams) -> list[Reconnect]:
    """Reconnects of a stream of numbered frames."""
    found: list[Reconnect] = []
    before: tuple[int, Epoch, list[_Part]] | None = None

    def change(number: int, epoch: Epoch, parts: list[_Part], old: int, new: _Part | None, inside: bool) -> _Change:
        upto = parts[: old + 1]
        ended_by, ended = _end(upto[-1], None if new is None else new.began, connections)
        risky = _at_risk(epoch, upto, ended, new if inside else None)
        return _Change(stream, number, epoch, upto, new, parts[old + 2 :], ended_by, ended, risky)

    for number, epoch in enumerate(stream.epochs):
        parts = _parts(epoch.frames)
        if not parts:
            continue
        if before is not None and before[1].ended_by != "fin":
            boundary = change(*before, len(before[2]) - 1, parts[0], inside=False)
            found.append(boundary.judged(_judge_restart(boundary, epoch, streams, connections)))
        for old in range(len(parts) - 1):
            inner = change(number, epoch, parts, old, parts[old + 1], inside=True)
            judgement = _judge(inner, len(found), streams)
            left = connections[parts[old].connection].closed_behind(parts[old + 1].began)
            found.append(replace(inner.judged(judgement), apparent=left and judgement.verdict != "unsafe"))
        before = number, epoch, parts
    if before is not None and before[1].ended_by != "fin":
        last = change(*before, len(before[2]) - 1, None, inside=True)
        connection = connections[last.upto[-1].connection]
        first = connection.first_end
        apparent = connection.ended_by == "open" or not last.at_risk
        if apparent and first is not None:
            last = last._replace(ended=first, at_risk=_at_risk(before[1], last.upto, first, None))
        if last.at_risk and first is not None:
            confirmed = all(frame.confirmed is not None for frame in last.at_risk)
            judgement = _Judgement("safe" if confirmed else "inconclusive", "the stream did not go on")
            found.append(replace(last.judged(judgement), apparent=apparent))
    return found


def _at_risk(epoch: Epoch, upto: list[_Part], ended: int, new: _Part | None) -> list[FrameTruth]:
    seen = set[FrameTruth]().union(*(part.seen for part in upto))
    sent = seen if new is None else seen | new.seen
    highest = max([part.highest for part in upto] + ([] if new is None else [new.highest]))
    risky = []
    for frame in epoch.frames[: highest + 1]:
        unconfirmed = frame.confirmed is None or frame.confirmed > ended
        skipped = frame not in sent and frame.place < highest and not _written_in_turn(frame, new)
        if unconfirmed and (frame in seen or skipped):
            risky.append(frame)
    return risky


def _written_in_turn(frame: FrameTruth, new: _Part | None) -> bool:
    """Whether a frame was written to the new connection before what follows it; its bytes may never have passed."""
    if new is None:
        return False
    after = min((t.order for t, other in new.entries if other.place > frame.place and t.seen is not None), default=-1)
    return any(t.connection == new.connection and t.order < after for t in frame.transmissions)


def _judge(change: _Change, place: int, streams: Streams) -> _Judgement:
    """A change of connection inside an epoch, the ``place``-th reconnect of its stream."""
    new = change.new
    assert new is not None
    owner = next((life for part in [*change.upto, new] for life in sorted(part.lives)), None)
    anew = new.lives - {owner} if owner is not None else set()
    if anew and not _in_step(new, anew):
        shown = restarted_alone(streams, change.stream.receiver, change.stream.sender)
        return _Judgement("unsafe", "the receiver's numbers started again, the sender's did not", _unless(shown))
    # else the receiver came back, but took the repeated frames from the first one on, as the record before would have
    returned = anew or any(change.upto[-1].began < began for began in _returns(change, streams))
    unnoticed: frozenset[Verdict] = frozenset({"unsafe", "inconclusive"}) if returned else frozenset()
    left = [frame for frame in change.at_risk if _left_out(frame, new)]
    if left and not all(_waited(frame, change.upto[-1], new) for frame in left):
        went_on = new.highest > change.at_risk[-1].place  # beyond what was at risk: else the rest may still come
        proven = went_on and _proven(change, new, left[0])
        return _Judgement("unsafe", "frames were left out", _unless(proven), _repair(left, change.later, place))
    # else what was left out waited behind what the new connection carried before that ended, too
    doubtful: frozenset[Verdict] = frozenset({"unsafe"}) if left else unnoticed
    if not all(frame.confirmed is not None for frame in change.at_risk):
        return _Judgement("inconclusive", "no confirmation came before the end", doubtful)
    reason = "everything was confirmed" if change.at_risk else "nothing was at risk"
    next_ends = change.later[0].began if change.later else None
    late = next_ends is not None and any(
        frame not in new.seen and frame.confirmed is not None and frame.confirmed > next_ends
        for frame in change.at_risk
    )
    unheard = late or left or silent_since(streams, change.stream, new.began)
    return _Judgement("safe", reason, doubtful | {"inconclusive"} if unheard else doubtful)


def _returns(change: _Change, streams: Streams) -> list[int]:
    """When (ns) packets show that the receiver's own numbers started again, before the next reconnect."""
    own = restarts(streams.get((change.stream.receiver, change.stream.sender)))
    return [began for _, _, began in own if not change.later or began < change.later[0].began]


def _in_step(new: _Part, anew: set[int]) -> bool:
    """Did a record that started again take the epoch's first number on the new connection?"""
    first = [transmission for transmission, frame in new.entries if not frame.place and transmission.ignored is None]
    return any(transmission.receiver_incarnation in anew for transmission in first)


def _repair(left: list[FrameTruth], later: list[_Part], place: int) -> int | None:
    """Place of the reconnect whose new connection delivered what was left out; None when something never was."""
    by = left[0].delivered_by
    if by is None or any(frame.delivered is None for frame in left):
        return None
    return next(place + step for step, part in enumerate(later, 1) if by <= part.last_order)


def _proven(change: _Change, new: _Part, first: FrameTruth) -> bool:
    """Whether packets prove that the receiver waits for ``first``: by an ACK, or by a silence that is too long."""
    ignored = [t for t, frame in new.entries if t.ignored is not None and frame.place > first.place]
    if len(ignored) >= STARVED:
        return True
    since = min((t.handled for t in ignored if t.handled is not None), default=None)
    return since is not None and any(
        ack.epoch is change.epoch and ack.written >= since and change.epoch.place(ack.expected) <= first.place
        for ack in change.stream.acknowledgements
    )


def _judge_restart(change: _Change, epoch: Epoch, streams: Streams, connections: list[ConnectionTruth]) -> _Judgement:
    """The sender's numbers started again with ``epoch``, without FIN."""
    assert change.new is not None
    if change.new.lives & set[int]().union(*(part.lives for part in change.upto)):
        shown = receiver_kept(streams, change.stream, epoch, connections)
        return _Judgement("unsafe", "the sender's numbers started again, the receiver's did not", _unless(shown))
    return _Judgement(
        "reset", "both started again", _unless(both_restarted(streams, change.stream, change.epoch, epoch))
    )


def _unless(proven: bool) -> frozenset[Verdict]:
    """What packets allow beside a verdict that they prove or not."""
    return frozenset() if proven else frozenset({"inconclusive"})


def _life(part: _Part) -> int:
    """Life of the sender's record; a connection carries frames of one only."""
    return part.entries[0][0].outgoing.incarnation


def _bare(stream: Stream, connections: list[ConnectionTruth]) -> list[Reconnect]:
    """Reconnects of a stream without numbers: TCP is the only protection.

    Where the old connection was closed in order and its sender joined anew, there is nothing that went on.
    """
    found = []
    for old, new in pairwise(_parts(stream.bare)):
        if connections[old.connection].closed_first and _life(old) != _life(new):
            continue
        ended_by, ended = _end(old, new.began, connections)
        side = old.entries[0][0].side
        acknowledged, passed = connections[old.connection].acknowledged[side], connections[old.connection].passed[side]
        hit = [frame.place for t, frame in old.entries if min(t.end, passed) > max(t.start, acknowledged)]
        lost = [frame.place for _, frame in old.entries if frame.delivered is None]
        joins = type_of(new.entries[0][0].outgoing.frame) == RecoveryType.STATUS
        found.append(
            Reconnect(
                stream.sender,
                stream.receiver,
                epoch=-1,
                old_connection=old.connection,
                new_connection=new.connection,
                ended_by=ended_by,
                ended=ended,
                at_risk=tuple(hit),
                resent=(),
                lost=tuple(lost),
                verdict="unsafe" if hit else "unprotected",
                reason="bytes were not acknowledged by TCP" if hit else "TCP acknowledged everything",
                apparent=connections[old.connection].closed_first and joins,
            )
        )
    return found
