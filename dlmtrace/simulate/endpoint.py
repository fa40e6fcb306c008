"""The reliability layer towards one peer (fs/dlm/midcomms.c) as a protocol engine without I/O or clock.

Frames go in by ``receive`` and come out by ``take_output``; what happened is returned as events.  The rules:

* Each OPTS frame takes the next number of its direction and stays unconfirmed until an ACK above it comes.
* A frame is delivered when its number is the expected one.  One from the past is dropped and acknowledged again, one
  from the future dropped (merged kernels) or kept (v3).
* After a socket error all unconfirmed frames are queued once more, in order, unless a copy still waits (merged), or a
  frame is repeated after three equal ACKs or by timer (v3), or never (3.1, or towards a 3.1 peer).
* Numbers belong to the pair of nodes, not to a connection: only a reset of the record starts them again.

The caller moves ``take_output`` to a connection, tells ``left_queue`` when a frame has left its send queue, and hands
in the time in ns where it matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from dlmtrace.simulate import frames
from dlmtrace.simulate.dialects import VERSION_3_1, VERSION_3_2, Acknowledging, Dialect, Resending
from dlmtrace.simulate.events import (
    Cause,
    Confirmed,
    Delivered,
    Event,
    FinReceived,
    Ignored,
    Queued,
    Reason,
    RecordReset,
    Resent,
    ShutdownFinished,
    StateChanged,
    VersionDetected,
    Warned,
)
from dlmtrace.simulate.sequence import before, following, past
from dlmtrace.simulate.termination import Action, DrainingTermination, Termination
from dlmtrace.streams.termination import State
from dlmtrace.wire.enums import Command

ACKNOWLEDGE_ON_SEND = 32
ACKNOWLEDGE_ON_DELIVERY = 256
"""Delivered frames that may stay unacknowledged when a frame is sent, and at all (6.5, protocol page §5)."""

EQUAL_ACKS = 3
"""ACKs for one number that make v3 repeat it (DLM_RETRANS_ACK_COUNT)."""


class VersionUnknown(Exception):
    """Nothing but STATUS and NAMES can be sent to a peer whose version was not seen (the kernel gives ENOBUFS)."""


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """A frame on its way to a connection's send queue; a copy has its original's ``number``."""

    frame: bytes
    """all bytes, OPTS included"""
    command: int
    """h_cmd of the outer header"""
    sequence: int | None
    """number of an OPTS frame, expected number of an ACK, None for a bare frame"""
    number: int
    """counts the frames of this endpoint"""
    incarnation: int
    """life of the record in which it was queued: counts its resets"""
    cause: Cause
    """``new``, or why it is repeated"""


class _Unconfirmed:
    __slots__ = ("copy_waits", "equal_acks", "fin", "outgoing", "queued")

    def __init__(self, outgoing: Outgoing, queued: int, fin: bool) -> None:
        self.outgoing = outgoing
        self.queued = queued
        self.fin = fin
        self.equal_acks = 0
        self.copy_waits = False


class _Kept(NamedTuple):
    command: int
    inner: bytes


class Endpoint:
    """What ``node`` keeps about ``peer``.

    ``first_sequence`` is where numbers start (the kernel's DLM_SEQ_INIT, 0); both nodes must agree on it.
    ``incarnation`` numbers the first life of the record, for those who compare the lives of a rebooted node.
    Methods return the events that they caused.
    """

    def __init__(
        self, node: int, peer: int, dialect: Dialect, *, first_sequence: int = 0, incarnation: int = 0
    ) -> None:
        self.node = node
        self.peer = peer
        self.dialect = dialect
        self.incarnation = incarnation
        self.version: int | None = None
        """h_version of the peer, None until it was seen"""
        self._first = first_sequence
        self._send_next = self._expected = first_sequence
        self._record = dialect.any_first_frame
        self._unconfirmed: dict[int, _Unconfirmed] = {}  # by number, oldest first
        self._future: dict[int, _Kept] = {}
        self._due = 0  # delivered frames that no ACK of a run or of a count has covered
        self._fin_sent = False
        self._timer: int | None = None
        self._deadline: int | None = None
        self._frames_queued = 0
        self._output: list[Outgoing] = []
        self._events: list[Event] = []
        self._termination = (
            DrainingTermination()
            if dialect.resending is Resending.ACKS_AND_TIMER
            else Termination(dialect.stuck_reset, dialect.acknowledges_every_fin)
        )

    # what can be asked

    @property
    def state(self) -> State:
        """State of the termination handshake."""
        return self._termination.state

    @property
    def expected(self) -> int:
        """The number expected next from the peer."""
        return self._expected

    @property
    def unconfirmed(self) -> tuple[int, ...]:
        """Numbers sent and not confirmed, oldest first."""
        return tuple(self._unconfirmed)

    def next_timeout(self) -> int | None:
        """Time in ns at which ``timeout`` wants to be called, None for never."""
        return min((time for time in (self._timer, self._deadline) if time is not None), default=None)

    def take_output(self) -> list[Outgoing]:
        """The frames to append to the send queue, in order; they are given out once."""
        output, self._output = self._output, []
        return output

    # the cluster manager

    def member_added(self) -> list[Event]:
        """A lockspace has the peer as member now."""
        self._record = True
        self._apply(self._termination.member_added)
        return self._flush()

    def member_removed(self, now: int) -> list[Event]:
        """A lockspace lost the peer."""
        self._apply(self._termination.member_removed, now)
        self._check_drained(now)
        return self._flush()

    def comm_removed(self) -> list[Event]:
        """The peer's address was removed (fencing): everything about it is forgotten, nothing is sent."""
        self._apply(self._termination.comm_removed)
        self._record = self.dialect.any_first_frame
        self._deadline = None
        return self._flush()

    def shutdown(self, now: int) -> list[Event]:
        """The last lockspace of this node is gone: say FIN; ``ShutdownFinished`` follows, at once to a 3.1 peer."""
        if self._speaks_options():
            self._deadline = now + self.dialect.shutdown_timeout
            self._apply(self._termination.shutdown, now)
            self._check_drained(now)
        else:
            self._apply(self._termination.timed_out)
            self._finish_shutdown(timed_out=False)
        return self._flush()

    # sending

    def send(self, frame: bytes, now: int) -> int | None:
        """Queue an MSG or RCOM, in OPTS when both sides speak 3.2; returns its number, None when bare.

        Raises VersionUnknown.
        """
        if self.dialect.reliable and self.version is None:
            raise VersionUnknown(f"node {self.node} has not seen the version of node {self.peer}")
        if not self._speaks_options():
            self.send_stateless(frame)
            return None
        if self._fin_sent:
            self._events.append(Warned("frame sent behind own FIN"))
        return self._send_options(frame, now, fin=False)

    def send_stateless(self, frame: bytes) -> None:
        """Queue a frame that has its own repetition: RCOM STATUS and its reply, up to 6.5 NAMES and its reply."""
        self._queue(frame, frames.read_header(frame).command, None)

    # receiving

    def receive(self, frame: bytes, now: int) -> list[Event]:
        """Take one whole frame from the peer."""
        head = frames.read_header(frame)
        if not self.dialect.reliable:
            self._receive_bare(frame, head)
        elif head.version not in (VERSION_3_1, VERSION_3_2):
            self._ignore("bad version")
        elif self._detect_version(frame, head):
            if head.version == VERSION_3_1:
                self._receive_bare(frame, head)
            elif head.command == Command.OPTS:
                self._receive_options(frame, head.word, now)
            elif head.command == Command.ACK:
                self._receive_ack(head.word)
            elif head.command == Command.RCOM and frames.type_of(frame) in frames.VERSION_TYPES:
                self._events.append(Delivered(frame, None))
            else:
                self._ignore("unsupported")
        self._check_drained(now)
        return self._flush()

    def receive_run_ended(self) -> list[Event]:
        """The socket had nothing more to read."""
        if self.dialect.acknowledging is Acknowledging.RECEIVE_RUN and self._due and self.state is State.ESTABLISHED:
            self._acknowledge()
        if self.dialect.acknowledging is Acknowledging.RECEIVE_RUN:
            self._due = 0
        return self._flush()

    # the connection and the clock

    def socket_error(self) -> list[Event]:
        """A connection of the pair broke: queue copies of what is unconfirmed."""
        if self.dialect.resending is Resending.SOCKET_ERROR:
            waiting = [entry for entry in self._unconfirmed.values() if not entry.copy_waits]
            self._resend(waiting, "socket error")
        return self._flush()

    def left_queue(self, outgoing: Outgoing) -> None:
        """``outgoing`` is no longer in the send queue: sent, or discarded with its page."""
        entry = self._unconfirmed.get(outgoing.sequence) if outgoing.sequence is not None else None
        if outgoing.cause != "new" and entry is not None and entry.outgoing.number == outgoing.number:
            entry.copy_waits = False

    def timeout(self, now: int) -> list[Event]:
        """Do what is due at ``now``."""
        if self._timer is not None and now >= self._timer:
            self._timer = None  # not armed again by its own expiry
            age = self.dialect.retransmission_age
            self._resend([entry for entry in self._unconfirmed.values() if now - entry.queued > age], "timer")
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            self._apply(self._termination.timed_out)
            self._finish_shutdown(timed_out=True)
        return self._flush()

    # rules

    def _speaks_options(self) -> bool:
        return self.dialect.reliable and self.version == VERSION_3_2

    def _detect_version(self, frame: bytes, head: frames.Header) -> bool:
        """Whether the frame may be handled; §6.4."""
        if not self.dialect.any_first_frame:
            detects = head.command == Command.RCOM and frames.type_of(frame) in frames.VERSION_TYPES
            if not self._record and not detects:
                self._ignore("no record")
                return False
            self._record = True
            if detects and self._apply(self._termination.version_frame).ignores:
                self._ignore("terminating")
                return False
        elif self.version is None and head.version == VERSION_3_2 and self.state is State.CLOSED:
            self._apply(self._termination.version_frame)
        if self.version is None:
            self.version = head.version
            self._events.append(VersionDetected(head.version))
        if self.version != head.version:
            self._ignore("version mismatch")
            return False
        return True

    def _receive_bare(self, frame: bytes, head: frames.Header) -> None:
        """3.1 frames, and any frame at a 3.1 node, which looks at no minor version."""
        if head.command not in (Command.MSG, Command.RCOM):
            self._ignore("unsupported")
        elif head.length < frames.MINIMUM[Command(head.command)]:
            self._ignore("too small")
        else:
            self._events.append(Delivered(frame, None))

    def _receive_options(self, frame: bytes, sequence: int, now: int) -> None:
        if len(frame) < frames.OPTIONS_SIZE:
            return self._ignore("too small")
        command, inner = frames.inner_frame(frame)
        if command not in (Command.MSG, Command.RCOM, Command.FIN):
            return self._ignore("unsupported")
        if len(inner) < frames.MINIMUM[Command(command)]:
            return self._ignore("too small")
        if sequence == self._expected:
            self._take(sequence, command, inner, now)
            while self._expected in self._future:
                followed = self._future.pop(self._expected)
                self._take(self._expected, followed.command, followed.inner, now)
        elif past(sequence, self._expected):
            self._events.append(Ignored("sequence mismatch", sequence, self._expected))
            self._acknowledge()
            return None
        elif self.dialect.queues_future:
            self._future[sequence] = _Kept(command, inner)
            self._events.append(Queued(sequence, self._expected))
        else:
            self._events.append(Ignored("sequence mismatch", sequence, self._expected))
        taken_fin = command == Command.FIN and sequence == self._expected  # v3: acknowledged, its number not taken
        if self.dialect.acknowledging is Acknowledging.EVERY_FRAME and not taken_fin:
            self._acknowledge()
        return None

    def _take(self, sequence: int, command: int, inner: bytes, now: int) -> None:
        """The frame whose turn it is."""
        if command == Command.FIN:
            self._expected = following(sequence)
            self._events.append(FinReceived(sequence))
            self._apply(self._termination.fin_received, now)
            return
        self._expected = following(sequence)
        acknowledging = self.dialect.acknowledging
        if acknowledging is Acknowledging.EXPECTED_FRAME:
            self._acknowledge()
        self._due += 1
        if acknowledging is Acknowledging.COUNTED and self._due > ACKNOWLEDGE_ON_DELIVERY:
            self._due = 0
            self._acknowledge()
        if self.state in (State.LAST_ACK, State.CLOSING):
            self._events.append(Warned("frame received behind the peer's FIN"))
        self._events.append(Delivered(inner, sequence))

    def _receive_ack(self, sequence: int) -> None:
        released: list[int] = []
        fin = False
        for number, entry in self._unconfirmed.items():
            if not before(number, sequence):
                break
            released.append(number)
            fin = fin or entry.fin
        for number in released:
            del self._unconfirmed[number]
        if released:
            self._events.append(Confirmed(tuple(released)))
        if fin:
            self._apply(self._termination.fin_confirmed)
        if released and not self._unconfirmed:
            self._timer = None
        equal = self._unconfirmed.get(sequence)
        if equal is not None and self.dialect.resending is Resending.ACKS_AND_TIMER:
            equal.equal_acks += 1  # never reset: each further one repeats the frame again
            if equal.equal_acks >= EQUAL_ACKS:
                self._resend([equal], "equal ACKs")

    def _apply(self, event: Callable[[], Action], now: int = 0) -> Action:
        """Let the handshake take an event (a method of it), and do what its row asks."""
        before_event = self.state
        action = event()
        if action.acknowledges:
            self._acknowledge()
        if not action.advances:
            self._expected = following(self._expected, -1)
        if action.resets:
            self._reset()
        if self.state is not before_event:
            self._events.append(StateChanged(before_event, self.state))
        if action.warns:
            self._events.append(Warned(f"FIN in state {before_event.name}"))
        if action.sends_fin:
            self._send_options(frames.fin(self.node), now, fin=True)
            self._fin_sent = True
        if action.resets and self._deadline is not None and self.state is State.CLOSED:
            self._finish_shutdown(timed_out=False)
        return action

    def _check_drained(self, now: int) -> None:
        if not self._unconfirmed:
            self._apply(self._termination.queue_drained, now)

    def _finish_shutdown(self, timed_out: bool) -> None:
        self._deadline = None
        self._record = self.dialect.any_first_frame
        self._events.append(ShutdownFinished(timed_out))

    def _reset(self) -> None:
        self._events.append(RecordReset(tuple(self._unconfirmed)))
        self.incarnation += 1
        self.version = None
        self._send_next = self._expected = self._first
        self._unconfirmed.clear()
        self._future.clear()
        self._due = 0
        self._fin_sent = False
        self._timer = None

    def _send_options(self, inner: bytes, now: int, fin: bool) -> int:
        sequence = self._send_next
        self._send_next = following(sequence)
        acknowledges = self.dialect.acknowledging is Acknowledging.COUNTED and self._due > ACKNOWLEDGE_ON_SEND
        if acknowledges:
            self._due = 0
            if self.dialect.acknowledges_first:
                self._acknowledge()
        outgoing = self._queue(frames.options(sequence, inner), Command.OPTS, sequence)
        self._unconfirmed[sequence] = _Unconfirmed(outgoing, now, fin)
        if acknowledges and not self.dialect.acknowledges_first:
            self._acknowledge()
        if self.dialect.resending is Resending.ACKS_AND_TIMER and self._timer is None:
            self._timer = now + self.dialect.retransmission_timer
        return sequence

    def _resend(self, entries: list[_Unconfirmed], cause: Cause) -> None:
        for entry in entries:
            entry.copy_waits = True
            self._output.append(replace(entry.outgoing, cause=cause))
        if entries:
            numbers = [entry.outgoing.sequence for entry in entries]
            self._events.append(Resent(tuple(number for number in numbers if number is not None), cause))

    def _acknowledge(self) -> None:
        self._queue(frames.acknowledgement(self.node, self._expected), Command.ACK, self._expected)

    def _queue(self, frame: bytes, command: int, sequence: int | None) -> Outgoing:
        outgoing = Outgoing(frame, command, sequence, self._frames_queued, self.incarnation, "new")
        self._frames_queued += 1
        self._output.append(outgoing)
        return outgoing

    def _ignore(self, reason: Reason) -> None:
        self._events.append(Ignored(reason))

    def _flush(self) -> list[Event]:
        events, self._events = self._events, []
        return events
