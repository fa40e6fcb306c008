"""What really happened to every frame of a simulation: sent, delivered, confirmed, repeated, lost and why.

The account comes from the engines: lowcomms says where in which connection each frame was written, the endpoints say
what they did with it, and the capture point says what passed and when.  Nothing is read back from packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from dlmtrace.simulate.endpoint import Outgoing
from dlmtrace.simulate.events import Cause, Delivered, Event, FinReceived, Ignored, RecordReset
from dlmtrace.simulate.frames import inner_frame
from dlmtrace.simulate.lowcomms import Observer, Socket
from dlmtrace.simulate.network import Network
from dlmtrace.simulate.node import Node
from dlmtrace.simulate.sequence import MODULUS
from dlmtrace.simulate.tcp import TcpSocket
from dlmtrace.wire.enums import Command

EpochEnd = Literal["fin", "restart", "open"]


@dataclass(eq=False, slots=True)
class Transmission:
    """A frame, or a copy of it, written to a connection."""

    order: int
    """counts all writes of the simulation"""
    written: int
    """ns"""
    connection: int
    """index of the connection"""
    side: int
    start: int
    """stream position of its first byte"""
    outgoing: Outgoing
    begun: bool = False
    """whether its first byte passed the capture point"""
    seen: int | None = None
    """ns at which all its bytes, and those before them if they ever did, had passed the capture point; None: never"""
    packet: int | None = None
    """packet of the capture that completed it, from 1"""
    handled: int | None = None
    """ns at which the receiver's engine looked at it"""
    receiver_incarnation: int | None = None
    """life of the receiver's record that looked at it"""
    ignored: Ignored | None = None
    """why the receiver dropped it"""

    @property
    def end(self) -> int:
        """Stream position behind its last byte."""
        return self.start + len(self.outgoing.frame)

    @property
    def cause(self) -> Cause:
        """``new``, or why the frame was repeated."""
        return self.outgoing.cause


@dataclass(eq=False, slots=True)
class QueuedCopy:
    """A copy of a frame in the sender's queue."""

    queued: int
    """number of transmissions written before it was queued"""
    written: int | None = None
    """``order`` of its transmission; None: it was not written"""
    discarded: int | None = None
    """number of transmissions written before it was thrown away; None: it was not"""


@dataclass(eq=False, slots=True)
class FrameTruth:
    """One frame of a stream: in 3.2 an OPTS frame, in 3.1 any frame.  Copies are transmissions of the one frame."""

    sequence: int | None
    """its number, None for a bare frame"""
    place: int
    """place among the frames of its epoch, from 0; unlike the number it does not wrap"""
    command: int
    """h_cmd, for OPTS of the inner frame"""
    transmissions: list[Transmission] = field(default_factory=list)
    delivered: int | None = None
    """ns at which the receiver first took it (a new boot may take it again); None: never"""
    delivered_by: int | None = None
    """``order`` of the transmission that did it"""
    confirmed: int | None = None
    """ns at which the first ACK that covers it passed the capture point, before the next epoch began"""
    undecided: bool = False
    """whether the capture leaves open if it was taken: it was not, but its bytes passed, their connection was not
    reset, or before TCP's silence could tell, or TCP had acknowledged them, and what the receiver said since had left
    before they came, or the stream's first number never passed, and the receiver said next to nothing; or it was, but
    neither TCP nor the receiver lived to say so"""
    discarded: bool = False
    """whether a page with it was thrown away, sent in part or not at all"""
    copies: list[QueuedCopy] = field(default_factory=list)
    """all that were queued, written or not"""

    @property
    def seen(self) -> bool:
        """Whether it passed the capture point whole, once at least."""
        return any(transmission.seen is not None for transmission in self.transmissions)

    @property
    def resent(self) -> bool:
        """Whether a copy passed the capture point after something of it had."""
        return sum(transmission.seen is not None for transmission in self.transmissions) > 1

    @property
    def fate(self) -> str:
        """``delivered``, or why it was not."""
        if self.delivered is not None:
            return "delivered"
        ignored = [transmission.ignored for transmission in self.transmissions if transmission.ignored is not None]
        if ignored:
            last = ignored[-1]
            expected = f", {last.expected} was expected" if last.expected is not None else ""
            return f"ignored by the receiver: {last.reason}{expected}"
        if self.seen:
            return "lost with its connection"
        return "discarded with its queue page" if self.discarded else "not sent whole"


@dataclass(eq=False, slots=True)
class Epoch:
    """The part of a stream between two resets of the sender's numbers."""

    incarnation: int
    """life of the sender's record"""
    frames: list[FrameTruth] = field(default_factory=list)
    """in the order of their numbers"""
    ended_by: EpochEnd = "open"

    @property
    def began(self) -> int:
        """ns at which the first of its frames that passed the capture point did."""
        return min(each.seen for frame in self.frames for each in frame.transmissions if each.seen is not None)

    def place(self, sequence: int) -> int:
        """Place of a number in ``frames``; len(frames) for the one that would come next."""
        first = self.frames[0].sequence
        assert first is not None
        return (sequence - first) % MODULUS

    def sent(self) -> list[int]:
        """Numbers that passed the capture point whole, in order."""
        return [frame.sequence for frame in self.frames if frame.seen and frame.sequence is not None]

    def delivered(self) -> list[int]:
        """Numbers that the receiver took, in order."""
        return [f.sequence for f in self.frames if f.delivered is not None and f.sequence is not None]

    def undecided(self) -> list[int]:
        """Numbers of which the capture does not show whether the receiver took them, in order."""
        return [frame.sequence for frame in self.frames if frame.undecided and frame.sequence is not None]

    def resent(self) -> list[int]:
        """Numbers that passed the capture point more than once, in order."""
        return [frame.sequence for frame in self.frames if frame.resent and frame.sequence is not None]

    def lost(self) -> list[int]:
        """Numbers that were given out and never taken by the receiver, in order."""
        return [f.sequence for f in self.frames if f.delivered is None and f.sequence is not None]

    def confirmed(self) -> list[int]:
        """Numbers that an ACK at the capture point covers, in order."""
        return [f.sequence for f in self.frames if f.confirmed is not None and f.sequence is not None]


@dataclass(eq=False, slots=True)
class Acknowledgement:
    """An ACK that passed the capture point, for frames of the other direction."""

    seen: int
    """ns"""
    packet: int
    """packet of the capture that completed it, from 1"""
    written: int
    """ns"""
    expected: int
    """its number"""
    epoch: Epoch | None
    """epoch of the stream whose frames it confirms; None: its sender had taken none"""
    connection: int
    """index of the connection"""


@dataclass(eq=False, slots=True)
class Stream:
    """One direction of a pair of nodes over all its connections."""

    sender: int
    receiver: int
    reliable: bool
    """whether both nodes speak 3.2, so that frames are numbered"""
    epochs: list[Epoch] = field(default_factory=list)
    """sequenced frames"""
    bare: list[FrameTruth] = field(default_factory=list)
    """frames without a number, ACKs left out, in the order queued"""
    acknowledgements: list[Acknowledgement] = field(default_factory=list)
    """from the receiver, in capture order"""


class Log:
    """What all recorders of a simulation reported: the streams by (sender, receiver), as far as the engines know."""

    def __init__(self, network: Network, reliable: frozenset[int]) -> None:
        self.streams: dict[tuple[int, int], Stream] = {}
        self.acknowledgements: list[tuple[int, int, Transmission, Epoch | None]] = []
        """sender and receiver of each ACK written, and the epoch whose frames it confirms"""
        self._network = network
        self._reliable = reliable  # nodes that speak 3.2
        # receiver, sender and life of the receiver's record -> epoch from which that record took frames last
        self._lives: dict[tuple[int, int, int], Epoch] = {}
        self._acknowledged: dict[Outgoing, Epoch | None] = {}
        self._epochs: dict[tuple[int, int, int], Epoch] = {}
        self._frames: dict[tuple[int, int, int, int], FrameTruth] = {}
        self._copies: dict[Outgoing, QueuedCopy] = {}
        self._transmissions: dict[tuple[int, int, int], tuple[Transmission, FrameTruth | None]] = {}

    def pair_of(self, connection: int) -> frozenset[int]:
        """The two nodes of a connection."""
        return frozenset(self._network.connections[connection].nodes)

    def transmissions(self) -> Iterable[Transmission]:
        """All of them, in the order written."""
        return (transmission for transmission, _ in self._transmissions.values())

    def queued(self, sender: int, receiver: int, outgoing: Outgoing) -> None:
        """A frame joined a send queue."""
        if outgoing.command == Command.ACK:
            self._acknowledged[outgoing] = self._lives.get((sender, receiver, outgoing.incarnation))
            return
        if outgoing.cause != "new":
            copy = self._copies[outgoing] = QueuedCopy(len(self._transmissions))
            self._frames[sender, receiver, outgoing.incarnation, outgoing.number].copies.append(copy)
            return
        reliable = {sender, receiver} <= self._reliable
        stream = self.streams.setdefault((sender, receiver), Stream(sender, receiver, reliable))
        frames, command = stream.bare, outgoing.command
        if outgoing.sequence is not None:
            life = (sender, receiver, outgoing.incarnation)
            if life not in self._epochs:
                self._epochs[life] = Epoch(outgoing.incarnation)
                stream.epochs.append(self._epochs[life])
            frames, command = self._epochs[life].frames, inner_frame(outgoing.frame)[0]
        frame = FrameTruth(outgoing.sequence, len(frames), command)
        self._frames[sender, receiver, outgoing.incarnation, outgoing.number] = frame
        frames.append(frame)

    def wrote(self, sender: int, receiver: int, socket: TcpSocket, position: int, outgoing: Outgoing) -> None:
        """A socket took the first byte of a frame."""
        key = (socket.connection.index, socket.side, position)
        transmission = Transmission(len(self._transmissions), self._network.now, *key, outgoing)
        frame = self._frames.get((sender, receiver, outgoing.incarnation, outgoing.number))
        self._transmissions[key] = transmission, frame
        if outgoing in self._copies:
            self._copies[outgoing].written = transmission.order
        if frame is not None:
            frame.transmissions.append(transmission)
        else:
            self.acknowledgements.append((sender, receiver, transmission, self._acknowledged[outgoing]))

    def discarded(self, sender: int, receiver: int, outgoing: Outgoing) -> None:
        """A frame left a send queue without having been sent whole."""
        frame = self._frames.get((sender, receiver, outgoing.incarnation, outgoing.number))
        if frame is not None:
            frame.discarded = True
        if outgoing in self._copies:
            self._copies[outgoing].discarded = len(self._transmissions)

    def handled(
        self, receiver: int, sender: int, socket: TcpSocket, position: int, incarnation: int, events: list[Event]
    ) -> None:
        """An endpoint took a frame, or dropped it."""
        transmission, frame = self._transmissions[socket.connection.index, 1 - socket.side, position]
        transmission.handled = self._network.now
        transmission.receiver_incarnation = incarnation
        for event in events:
            if isinstance(event, Ignored):
                transmission.ignored = event
            elif isinstance(event, Delivered | FinReceived) and frame is not None:
                if event.sequence is not None:
                    epoch = self._epochs[sender, receiver, transmission.outgoing.incarnation]
                    self._lives[receiver, sender, incarnation] = epoch
                    frame = epoch.frames[epoch.place(event.sequence)]  # v3: one that had waited for this one
                if frame.delivered is None:
                    frame.delivered, frame.delivered_by = self._network.now, transmission.order


class Recorder(Observer):
    """Reports to ``log`` what happens in one boot of ``node``; ``node`` is set as soon as it exists."""

    node: Node

    def __init__(self, log: Log) -> None:
        self._log = log

    def queued(self, peer: int, outgoing: Outgoing) -> None:
        self._log.queued(self.node.node, peer, outgoing)

    def wrote(self, peer: int, socket: Socket, position: int, outgoing: Outgoing) -> None:
        assert isinstance(socket, TcpSocket)
        self._log.wrote(self.node.node, peer, socket, position, outgoing)

    def discarded(self, peer: int, outgoing: Outgoing) -> None:
        self._log.discarded(self.node.node, peer, outgoing)

    def handled(self, peer: int, socket: Socket, position: int, events: list[Event]) -> None:
        assert isinstance(socket, TcpSocket)
        # a FIN may have reset the record that took it
        incarnation = self.node.endpoint(peer).incarnation - sum(isinstance(event, RecordReset) for event in events)
        self._log.handled(self.node.node, peer, socket, position, incarnation, events)


def confirm(log: Log) -> None:
    """Note, from the ACKs that the capture saw, in each stream when its frames were confirmed, and how epochs ended."""
    seen = [entry for entry in log.acknowledgements if entry[2].seen is not None]
    seen.sort(key=lambda entry: (entry[2].packet, entry[2].order))
    confirmed: dict[Epoch, int] = {}
    over = {old: new.began for stream in log.streams.values() for old, new in pairwise(stream.epochs) if new.sent()}
    for sender, receiver, transmission, epoch in seen:
        outgoing = transmission.outgoing
        assert outgoing.sequence is not None
        assert transmission.seen is not None
        assert transmission.packet is not None
        stream = log.streams.get((receiver, sender))
        if stream is not None:
            stream.acknowledgements.append(
                Acknowledgement(
                    transmission.seen,
                    transmission.packet,
                    transmission.written,
                    outgoing.sequence,
                    epoch,
                    transmission.connection,
                )
            )
        if epoch is None or over.get(epoch, transmission.seen) < transmission.seen:
            continue
        end = epoch.place(outgoing.sequence)
        if end <= len(epoch.frames):  # else: before the epoch's first number
            for frame in epoch.frames[confirmed.get(epoch, 0) : end]:
                frame.confirmed = transmission.seen
            confirmed[epoch] = max(confirmed.get(epoch, 0), end)
    for stream in log.streams.values():
        for number, epoch in enumerate(stream.epochs, 1):
            if any(frame.command == Command.FIN and frame.seen for frame in epoch.frames):
                epoch.ended_by = "fin"
            elif number < len(stream.epochs):
                epoch.ended_by = "restart"
