"""A node: endpoints, lowcomms and a small application on top, that joins, sends messages, leaves.

The application stands in for the lock manager: it polls a new peer with RCOM STATUS, asks for its names once, then
sends messages that call for no reply.  What has to wait for the join is sent when the join is done.
"""

from __future__ import annotations

from dlmtrace.simulate import frames
from dlmtrace.simulate.dialects import SECOND, Dialect
from dlmtrace.simulate.endpoint import Endpoint
from dlmtrace.simulate.events import Delivered, Event, RecordReset, ShutdownFinished
from dlmtrace.simulate.lowcomms import Lowcomms, Observer, Transport
from dlmtrace.wire.enums import Command, RecoveryType
from dlmtrace.wire.names import lockspace_id

LOCKSPACE = lockspace_id("simulated")
"""Global id of the one lockspace that the nodes share."""

RECOVERY_TIMER = 5 * SECOND
"""ns after which an unanswered STATUS or NAMES is sent again (protocol page §3.6)."""


class _Peer:
    """What the application knows of a peer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.member = False
        self.joined = False
        self.waiting = 0  # messages to send after the join
        self.next_message = 0
        self.received: list[int] = []
        self.asked = 0  # rc_id of the last request
        self.timer: int | None = None


class Node:
    """One boot of a cluster node; ``members`` are all nodes of the lockspace.

    ``first_sequence`` and ``incarnation`` are passed to the endpoints, ``observer`` to lowcomms.
    """

    def __init__(
        self,
        node: int,
        dialect: Dialect,
        transport: Transport,
        members: tuple[int, ...],
        *,
        observer: Observer | None = None,
        first_sequence: int = 0,
        incarnation: int = 0,
    ) -> None:
        self.node = node
        self.dialect = dialect
        self.members = tuple(sorted(members))
        self.left = False
        """whether this node left and has closed its connections"""
        self._transport = transport
        self._first_sequence = first_sequence
        self._incarnation = incarnation
        self._peers: dict[int, _Peer] = {}
        self._leaving: list[int] = []
        self._identity = incarnation << 32  # the kernel's counter starts at random: no two boots ask alike
        self._recovery_sequence = 1 + (incarnation << 32 if dialect.random_recovery_sequence else 0)
        self.lowcomms = Lowcomms(dialect, transport, self._on_events, observer or Observer())

    # the cluster manager

    def add_comm(self, peer: int) -> None:
        """The peer's address becomes known."""
        incarnation = self._incarnation
        if peer in self._peers:
            incarnation = self._peers[peer].endpoint.incarnation
        endpoint = Endpoint(self.node, peer, self.dialect, first_sequence=self._first_sequence, incarnation=incarnation)
        self._peers[peer] = _Peer(endpoint)
        self.lowcomms.add(endpoint)

    def remove_comm(self, peer: int) -> None:
        """The peer is fenced: its address and all about it are forgotten."""
        state = self._peers[peer]
        state.member = state.joined = False
        self._on_events(peer, state.endpoint.comm_removed())
        self.lowcomms.remove(peer)

    def add_member(self, peer: int) -> None:
        """The peer is member of the lockspace: connect to it and poll it."""
        state = self._peers[peer]
        state.member = True
        self.left = False
        self._transport.listen(True)
        self._on_events(peer, state.endpoint.member_added())
        self.lowcomms.connect(peer)
        self._ask(peer, state, RecoveryType.STATUS)

    def remove_member(self, peer: int) -> None:
        """The peer left the lockspace in order."""
        state = self._peers[peer]
        if not state.member:
            return
        state.member = state.joined = False
        self._on_events(peer, state.endpoint.member_removed(self._transport.now()))
        self._settle(peer, state)

    def leave(self) -> None:
        """Leave the lockspace: terminate with one peer after another, then close the connections."""
        self._leaving = [peer for peer in self._peers if peer in self.members and self._peers[peer].member]
        for peer in self._leaving:
            self.remove_member(peer)
        self._terminate_next()

    # the application

    def send_messages(self, peer: int, count: int) -> None:
        """Send ``count`` messages to the peer, now or when the join is done; none to a peer that is gone."""
        state = self._peers.get(peer)
        if state is None or not state.member:
            return
        if not state.joined:
            state.waiting += count
            return
        process = state.endpoint.incarnation  # another one after each reset of the numbers
        ends = LOCKSPACE, self.node, peer, self.members
        for _ in range(count):
            frame = frames.message(self.dialect.version, *ends, state.next_message, process)
            state.next_message += 1
            state.endpoint.send(frame, self._transport.now())
        self._settle(peer, state)

    def received(self, peer: int) -> list[int]:
        """Numbers of the messages from ``peer`` that were delivered, in order."""
        return self._peers[peer].received

    def endpoint(self, peer: int) -> Endpoint:
        """The reliability layer towards ``peer``."""
        return self._peers[peer].endpoint

    # inside

    def _on_events(self, peer: int, events: list[Event]) -> None:
        state = self._peers[peer]
        self.lowcomms.collect(peer)
        for event in events:
            match event:
                case Delivered(frame=frame):
                    self._deliver(peer, state, frame)
                case RecordReset():
                    state.joined = False
                    if state.member:  # a stuck termination was given up
                        self._transport.call_soon(lambda: self._ask(peer, state, RecoveryType.STATUS))
                case ShutdownFinished():
                    self._terminate_next()
        self._settle(peer, state)

    def _deliver(self, peer: int, state: _Peer, frame: bytes) -> None:
        if frames.read_header(frame).command == Command.MSG:
            state.received.append(frames.message_number(frame))
            return
        kind = frames.type_of(frame)
        if kind in (RecoveryType.STATUS, RecoveryType.NAMES):
            request = frames.recovery_identity(frame), frames.recovery_sequence(frame)
            self._say(state, RecoveryType(kind + 4), *request)
        elif kind == RecoveryType.STATUS_REPLY and state.member and not state.joined:
            self._ask(peer, state, RecoveryType.NAMES)
        elif kind == RecoveryType.NAMES_REPLY and state.member and not state.joined:
            state.joined = True
            count, state.waiting = state.waiting, 0
            self.send_messages(peer, count)

    def _ask(self, peer: int, state: _Peer, kind: RecoveryType) -> None:
        """Send STATUS or NAMES, and STATUS again when the join is not done after a while."""
        self._identity += 1
        identity = self._identity
        self._say(state, kind, identity)
        self._settle(peer, state)

        def again() -> None:
            if state.member and not state.joined and identity == state.asked:
                self._ask(peer, state, RecoveryType.STATUS)

        state.asked = identity
        self._transport.call_later(RECOVERY_TIMER, again)

    def _say(self, state: _Peer, kind: RecoveryType, identity: int, request: int = 0) -> None:
        ends = self.dialect.version, LOCKSPACE, self.node
        frame = frames.recovery(*ends, kind, identity, self._recovery_sequence, request)
        names = kind in (RecoveryType.NAMES, RecoveryType.NAMES_REPLY)
        if names and self.dialect.names_in_options and state.endpoint.version is not None:
            state.endpoint.send(frame, self._transport.now())
        else:
            state.endpoint.send_stateless(frame)

    def _terminate_next(self) -> None:
        if self._leaving:
            peer = self._leaving.pop(0)
            self._on_events(peer, self._peers[peer].endpoint.shutdown(self._transport.now()))
        elif not self.left:
            self.left = True
            self._transport.listen(False)
            for peer in self._peers:
                self.lowcomms.finish(peer)

    def _settle(self, peer: int, state: _Peer) -> None:
        """Hand over what the endpoint wants to send, and see to its timer."""
        self.lowcomms.collect(peer)
        due = state.endpoint.next_timeout()
        if due is None or due == state.timer:
            return
        state.timer = due

        def expired() -> None:
            if state.timer == due:
                state.timer = None
                self._on_events(peer, state.endpoint.timeout(self._transport.now()))

        self._transport.call_later(due - self._transport.now(), expired)
