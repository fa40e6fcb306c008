"""What the packets of a capture show of the truth and what they leave open: frames taken, records begun anew."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from dlmtrace.simulate.endpoint import EQUAL_ACKS
from dlmtrace.simulate.frames import type_of
from dlmtrace.simulate.network import Settings
from dlmtrace.simulate.sequence import before
from dlmtrace.simulate.sightings import ConnectionTruth
from dlmtrace.simulate.truth import Epoch, FrameTruth, Log, Stream, Transmission
from dlmtrace.wire.enums import RecoveryType

ACKNOWLEDGEMENT_DELAY = 200_000_000
"""ns by which a TCP delays its acknowledgement at most: no sooner is its silence a sign."""

Streams = Mapping[tuple[int, int], Stream]
"""By sender and receiver."""


def doubt(log: Log, connections: list[ConnectionTruth], settings: Settings) -> None:
    """Note of which frames the capture does not show whether the receiver took them (after ``confirm``)."""
    way = settings.delay + settings.jitter + settings.work_delay
    sight = _Sight(log, connections)
    for stream in log.streams.values():
        older_lives: set[int] = set()
        for epoch in stream.epochs:
            refused = _unnoticed(log.streams, stream, epoch, older_lives, connections)
            older_lives |= _lives(epoch)
            heard = max((ack.written for ack in stream.acknowledgements if ack.epoch is epoch), default=0)
            older = epoch is stream.epochs[0] and _may_be_older(stream)
            holed: set[tuple[int, int]] = set()  # directions of which a later byte has passed, and is in doubt
            for frame in reversed(epoch.frames):
                if frame.delivered is not None:
                    frame.undecided = frame.confirmed is None and not any(map(sight.shows, frame.transmissions))
                else:
                    looked = any(each.receiver_incarnation in refused for each in frame.transmissions if each.seen)
                    frame.undecided = sight.leaves_open(frame, heard - way, holed) or looked or (older and frame.seen)
            follows = False  # what came behind a frame that may have been taken may have been taken, too
            for frame in epoch.frames:
                if frame.delivered is None:
                    passed = any(each.seen is not None and heard <= each.seen + way for each in frame.transmissions)
                    frame.undecided = follows = frame.undecided or (follows and passed)


def _may_be_older(stream: Stream) -> bool:
    """Whether it may be older than the capture: its first number never passed, so that its numbers may begin anywhere,
    and the few ACKs that passed confirm nothing, as those do that were under way when a capture begins."""
    epoch = stream.epochs[0]
    frames, acks = epoch.frames, [ack for ack in stream.acknowledgements if ack.epoch in (None, epoch)]
    return len(acks) < EQUAL_ACKS and not frames[0].seen and all(frame.confirmed is None for frame in frames)


def _lives(epoch: Epoch) -> set[int]:
    """Lives of the receiver's record that looked at frames of the epoch."""
    looked = (each.receiver_incarnation for frame in epoch.frames for each in frame.transmissions)
    return {life for life in looked if life is not None}


def _unnoticed(
    streams: Streams, stream: Stream, epoch: Epoch, older: set[int], connections: list[ConnectionTruth]
) -> set[int]:
    """Lives of the receiver's record that took what they did not wait for, though packets do not show it: it goes on
    with the numbers of ``older`` epochs although the sender started again, or started again in the midst of this one.
    """
    lives = _lives(epoch)
    if lives & older:
        return set() if receiver_kept(streams, stream, epoch, connections) else lives & older
    return set() if restarted_alone(streams, stream.receiver, stream.sender) else lives - {min(lives, default=0)}


def receiver_kept(streams: Streams, stream: Stream, epoch: Epoch, connections: list[ConnectionTruth]) -> bool:
    """Do packets show that the receiver did not start again when ``epoch`` began: by its own numbers, or by an ACK of
    more than the new epoch had sent by then?  One on a connection that has ended may be late."""
    if restarted_alone(streams, stream.sender, stream.receiver):
        return True
    older = stream.epochs[: stream.epochs.index(epoch)]
    for ack in stream.acknowledgements:
        ended = connections[ack.connection].first_end
        if ack.epoch in older and (ended is None or ack.seen < ended):
            passed = [f.place for f in epoch.frames if any((t.seen or ack.seen) < ack.seen for t in f.transmissions)]
            if passed and epoch.place(ack.expected) > max(passed) + 1:
                return True
    return False


def silent_since(streams: Streams, stream: Stream, began: int) -> bool:
    """Did the receiver poll after ``began`` (ns), as a node does that comes back, but acknowledge nothing any more?

    It may have come back before, and have ignored all that was sent since: a node listens before it polls.
    """
    back = streams.get((stream.receiver, stream.sender))
    polls = (
        transmission.seen
        for frame in (back.bare if back else [])
        for transmission in frame.transmissions
        if type_of(transmission.outgoing.frame) == RecoveryType.STATUS
    )
    polled = any(seen is not None and seen > began for seen in polls)
    return polled and not any(ack.seen > began for ack in stream.acknowledgements)


class _Sight:
    """What TCP shows of transmissions."""

    def __init__(self, log: Log, connections: list[ConnectionTruth]) -> None:
        self._connections = connections
        self._waited: dict[tuple[int, int], int] = {}  # ns, when the first frame passed that TCP never acknowledged
        for each in log.transmissions():
            if each.seen is not None and each.end > connections[each.connection].acknowledged[each.side]:
                self._waited.setdefault((each.connection, each.side), each.seen)

    def shows(self, taken: Transmission) -> bool:
        """Is it plain that this one came, which the receiver looked at?"""
        connection = self._connections[taken.connection]
        if taken.handled is None or taken.end <= connection.acknowledged[taken.side]:
            return taken.handled is not None
        late = taken.seen is None or (connection.reset is not None and taken.seen > connection.reset)
        return not late and connection.last <= self._waited[taken.connection, taken.side] + ACKNOWLEDGEMENT_DELAY

    def leaves_open(self, frame: FrameTruth, since: int, holed: set[tuple[int, int]]) -> bool:
        """May the receiver have looked at one that it never got?  It was heard before ``since``; adds to ``holed``."""
        found = False
        for each in frame.transmissions:
            connection, direction = self._connections[each.connection], (each.connection, each.side)
            passed = (each.seen is not None and each.seen >= since) or direction in holed
            came = each.end <= connection.acknowledged[each.side] or connection.reset is None
            if connection.reset is not None and each.seen is not None and each.seen <= connection.reset:
                came = came or connection.reset <= self._waited[direction] + ACKNOWLEDGEMENT_DELAY
            if passed and came and each.handled is None:
                found = True
                holed.add(direction)
        return found


def restarts(stream: Stream | None) -> list[tuple[Epoch, Epoch, int]]:
    """Where packets show that a sender's numbers started again: the epochs before and after, and when, in ns.

    A first frame with the bytes of the old one of its number looks like a copy of that.
    """
    found = []
    epochs = [] if stream is None else [epoch for epoch in stream.epochs if epoch.sent()]
    for old, new in pairwise(epochs):
        first, previous = new.frames[0].transmissions, old.frames[0].transmissions
        began = min((each.seen for each in first if each.seen is not None), default=None)
        copy = bool(first and previous) and first[0].outgoing.frame == previous[0].outgoing.frame
        if began is not None and not copy and old.ended_by == "restart":
            found.append((old, new, began))
    return found


def both_restarted(streams: Streams, stream: Stream, old: Epoch, new: Epoch) -> bool:
    """Do packets show that the receiver started again, too: by its own numbers, or by an ACK below the old ones?"""
    if restarts(streams.get((stream.receiver, stream.sender))):
        return True
    confirmed = [ack.expected for ack in stream.acknowledgements if ack.epoch is old]
    fresh = [ack.expected for ack in stream.acknowledgements if ack.epoch is new]
    return any(before(number, confirmed[-1]) for number in fresh) if confirmed else False


def restarted_alone(streams: Streams, sender: int, receiver: int) -> bool:
    """Do packets show that ``sender`` started again, but ``receiver`` did not: did that go on with its old numbers?"""
    back = streams.get((receiver, sender))
    for _, _, began in restarts(streams.get((sender, receiver))):
        for epoch in [] if back is None else back.epochs:
            seen = [each.seen for frame in epoch.frames for each in frame.transmissions if each.seen is not None]
            if seen and min(seen) < began < max(seen):
                return True
    return False
