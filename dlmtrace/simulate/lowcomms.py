"""Connections of one node (fs/dlm/lowcomms.c): one or two per peer, a send queue of pages, dialling again after errors.

* A node sends on its primary connection and receives on that and on the other one.  What it dials is primary; what it
  accepts is primary when there is none, else it becomes the other one and replaces the one before (protocol page §7.2).
* The queue's unit is a page of whole frames; frames join the last page as long as they fit.  When the connection
  closes, a page that was sent in part is discarded, so that a connection never begins inside a frame (§6.3).
* What a socket error does depends on the release (§7.3, ``Reconnecting``).  An orderly close by the peer only closes.

No I/O here: sockets and time come from a ``Transport``, which calls ``accepted``, ``readable``, ``writable`` and
``failed``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from dlmtrace.simulate import frames
from dlmtrace.simulate.dialects import SECOND, Dialect, Reconnecting
from dlmtrace.simulate.endpoint import Endpoint, Outgoing
from dlmtrace.simulate.events import Event
from dlmtrace.wire.header import MAXIMUM_LENGTH

PAGE_SIZE = 4096
RECEIVE_SIZE = MAXIMUM_LENGTH
"""Bytes of a queue page, and of one read."""

DIAL_DELAY = SECOND
DIAL_TRIES = 4
"""ns before a refused dial is repeated, and up to 6.1 how often."""


class Socket(Protocol):
    """A stream socket that never blocks; its methods raise OSError once it is broken."""

    def send(self, data: bytes) -> int:
        """Bytes of ``data`` taken, 0 when there is no room (or no connection yet)."""

    def receive(self, limit: int) -> bytes | None:
        """Bytes that arrived, ``b""`` when the peer closed, None when nothing is there now."""

    def finish(self) -> None:
        """Close the sending direction."""

    def close(self) -> None:
        """Close both directions; what was taken is still sent, but unread data makes it a reset."""


class Transport(Protocol):
    """Sockets and time for one node."""

    def now(self) -> int:
        """Time in ns."""

    def call_later(self, delay: int, callback: Callable[[], None]) -> None:
        """Call back in ``delay`` ns."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call back when a worker is free, after a short while."""

    def dial(self, peer: int) -> Socket:
        """A socket that begins to connect to ``peer``; ``writable`` or ``failed`` follows."""

    def listen(self, wanted: bool) -> None:
        """Accept connections from now on, or refuse them."""


class Observer:
    """Hears what happens to frames; for the truth of a simulation.  Stream positions count bytes of a direction."""

    def queued(self, peer: int, outgoing: Outgoing) -> None:
        """``outgoing`` joined the send queue."""

    def wrote(self, peer: int, socket: Socket, position: int, outgoing: Outgoing) -> None:
        """The socket took the first byte of ``outgoing``, at ``position`` of what this node sends."""

    def discarded(self, peer: int, outgoing: Outgoing) -> None:
        """``outgoing`` left the queue without having been sent whole."""

    def handled(self, peer: int, socket: Socket, position: int, events: list[Event]) -> None:
        """The frame that began at ``position`` of what the peer sends caused ``events``."""


class _Page:
    __slots__ = ("data", "frames", "sent")

    def __init__(self) -> None:
        self.data = bytearray()
        self.frames: list[tuple[int, Outgoing]] = []  # with the offset of each
        self.sent = 0

    def append(self, outgoing: Outgoing) -> None:
        self.frames.append((len(self.data), outgoing))
        self.data += outgoing.frame


class _Connection:
    __slots__ = ("leftover", "read_pending", "received", "sent", "socket")

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.leftover = b""
        self.received = 0  # bytes handled as whole frames
        self.sent = 0
        self.read_pending = False


class _Pair:
    """The connections to one peer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.queue: deque[_Page] = deque()
        self.primary: _Connection | None = None
        self.other: _Connection | None = None
        self.send_pending = False
        self.reconnect = False
        self.dial_at = 0
        self.refused = 0
        self.loses_copies = False
        self.finished = False


class Lowcomms:
    """All connections of a node.  ``on_events`` gets what endpoints report."""

    def __init__(
        self,
        dialect: Dialect,
        transport: Transport,
        on_events: Callable[[int, list[Event]], None],
        observer: Observer,
    ) -> None:
        self._dialect = dialect
        self._transport = transport
        self._on_events = on_events
        self._observer = observer
        self._pairs: dict[int, _Pair] = {}
        self._of_socket: dict[Socket, int] = {}

    # the cluster manager

    def add(self, endpoint: Endpoint) -> None:
        """The peer of ``endpoint`` got an address."""
        self._pairs[endpoint.peer] = _Pair(endpoint)

    def connect(self, peer: int) -> None:
        """The peer became a member: dial it unless there is a connection."""
        self._pairs[peer].finished = False
        self._want_send(peer)

    def remove(self, peer: int) -> None:
        """The peer's address was removed: close both connections, empty the queue."""
        pair = self._pairs.pop(peer)
        self._close(peer, pair, pair.other)
        self._close(peer, pair, pair.primary)
        self._empty(peer, pair)

    def finish(self, peer: int) -> None:
        """Close the sending direction of both connections; a while later close them for good."""
        pair = self._pairs[peer]
        if pair.primary is not None:
            self._send(peer, pair)
        pair.finished = True
        connections = [connection for connection in (pair.other, pair.primary) if connection is not None]
        for connection in connections:
            connection.socket.finish()

        def force() -> None:
            for connection in connections:
                if connection in (pair.primary, pair.other):
                    self._close(peer, pair, connection)
            self._empty(peer, pair)

        self._transport.call_later(self._dialect.close_timeout, force)

    def close_in_order(self, peer: int) -> None:
        """Close the primary connection as after the peer's orderly close: nothing is repeated."""
        pair = self._pairs[peer]
        self._close(peer, pair, pair.primary)

    def lose_copies(self, peer: int) -> None:
        """Kernel bug of 6.2 and later: the next socket error finds its first queue page sent in part.

        The copies that the error callback queues join that page and are discarded with it when the connection
        closes; the sender goes on with the next number, and nobody repairs the hole until another error.
        """
        if self._dialect.reconnecting is not Reconnecting.FAILED_SEND:
            raise ValueError(f"kernels of dialect {self._dialect.name} repeat after they have closed")
        self._pairs[peer].loses_copies = True

    def primary(self, peer: int) -> Socket | None:
        """The socket on which this node sends to ``peer``."""
        pair = self._pairs.get(peer)
        return None if pair is None or pair.primary is None else pair.primary.socket

    # the endpoints

    def collect(self, peer: int) -> None:
        """Move what the peer's endpoint wants to send into the queue."""
        pair = self._pairs.get(peer)
        if pair is None:
            return
        output = pair.endpoint.take_output()
        for outgoing in output:
            if not pair.queue or len(pair.queue[-1].data) + len(outgoing.frame) > PAGE_SIZE:
                pair.queue.append(_Page())
            pair.queue[-1].append(outgoing)
            self._observer.queued(peer, outgoing)
        if any(outgoing.cause == "new" for outgoing in output):
            pair.refused = 0
        if output and self._dials(pair):
            self._want_send(peer)

    # the transport

    def accepted(self, peer: int, socket: Socket) -> None:
        """A connection came from ``peer``."""
        pair = self._pairs.get(peer)
        if pair is None:  # "connect from non cluster node"
            socket.close()
            return
        self._of_socket[socket] = peer
        if pair.primary is None:
            pair.primary = _Connection(socket)
            if pair.queue:
                self._want_send(peer)
        else:
            self._close(peer, pair, pair.other)
            pair.other = _Connection(socket)

    def readable(self, socket: Socket) -> None:
        """There is something to read, perhaps the end."""
        peer = self._of_socket.get(socket)
        connection = None if peer is None else self._connection(peer, socket)
        if peer is None or connection is None or connection.read_pending:
            return
        connection.read_pending = True
        self._transport.call_soon(lambda: self._read(peer, connection))

    def writable(self, socket: Socket) -> None:
        """The connection was established, or there is room again."""
        peer = self._of_socket.get(socket)
        if peer is not None:
            self._pairs[peer].refused = 0
            self._want_send(peer)

    def failed(self, socket: Socket, error: OSError) -> None:
        """The socket broke: the kernel's error report."""
        peer = self._of_socket.get(socket)
        if peer is None:
            return
        pair = self._pairs[peer]
        reconnecting = self._dialect.reconnecting
        if isinstance(error, ConnectionRefusedError):
            pair.dial_at = self._transport.now() + DIAL_DELAY
            pair.refused += 1
            self._close(peer, pair, pair.primary)
            self._repeat(peer, pair)
            if self._dials(pair):
                self._want_send(peer)
        elif reconnecting is Reconnecting.AT_ONCE:
            pair.reconnect = True
            self._want_send(peer)
        elif reconnecting is Reconnecting.FAILED_SEND:
            self._repeat(peer, pair)

    # workers

    def _want_send(self, peer: int) -> None:
        pair = self._pairs[peer]
        if pair.send_pending:
            return
        pair.send_pending = True
        delay = pair.dial_at - self._transport.now()
        if delay > 0:
            self._transport.call_later(delay, lambda: self._send(peer, pair))
        else:
            self._transport.call_soon(lambda: self._send(peer, pair))

    def _send(self, peer: int, pair: _Pair) -> None:
        """The send worker."""
        pair.send_pending = False
        if self._pairs.get(peer) is not pair or pair.finished:
            return
        if pair.reconnect:
            pair.reconnect = False
            self._close(peer, pair, pair.primary)
            self._repeat(peer, pair)
        if pair.primary is None:
            if pair.dial_at > self._transport.now():
                self._want_send(peer)
                return
            socket = self._transport.dial(peer)
            self._of_socket[socket] = peer
            pair.primary = _Connection(socket)
            return  # ``writable`` follows
        try:
            self._send_pages(peer, pair, pair.primary)
        except OSError:
            if self._dialect.reconnecting is not Reconnecting.AT_ONCE:
                self._close_broken(peer, pair)

    def _send_pages(self, peer: int, pair: _Pair, connection: _Connection) -> None:
        while pair.queue:
            page = pair.queue[0]
            taken = connection.socket.send(bytes(page.data[page.sent :]))
            if not taken:
                return
            start, page.sent = page.sent, page.sent + taken
            for offset, outgoing in page.frames:
                if start <= offset < page.sent:
                    self._observer.wrote(peer, connection.socket, connection.sent + offset - start, outgoing)
            connection.sent += taken
            if page.sent == len(page.data):
                pair.queue.popleft()
                for _, outgoing in page.frames:
                    pair.endpoint.left_queue(outgoing)

    def _close_broken(self, peer: int, pair: _Pair) -> None:
        """A send failed: close and dial again."""
        loses, pair.loses_copies = pair.loses_copies, False
        if loses and pair.queue:
            self._discard(peer, pair)
        self._close(peer, pair, pair.primary)
        if not loses and self._dialect.reconnecting is Reconnecting.FAILED_SEND:
            self._repeat(peer, pair)  # what the kernel forgets at times: copies in the page just discarded
        self._want_send(peer)

    def _read(self, peer: int, connection: _Connection) -> None:
        """The receive worker."""
        connection.read_pending = False
        pair = self._pairs.get(peer)
        if pair is None or connection not in (pair.primary, pair.other):
            return
        data: bytes | None = None
        broken = False
        try:
            while data := connection.socket.receive(RECEIVE_SIZE - len(connection.leftover)):
                self._handle(peer, pair, connection, data)
        except OSError:
            broken = True
        if (data is None and not broken) or self._dialect.reconnecting is Reconnecting.FAILED_SEND:
            self._report(peer, pair, pair.endpoint.receive_run_ended())
        if broken:
            self._receive_failed(peer, pair, connection)
        elif data is not None:
            self._close(peer, pair, connection)

    def _handle(self, peer: int, pair: _Pair, connection: _Connection, data: bytes) -> None:
        buffer = connection.leftover + data
        handled = 0
        for frame in frames.split(buffer):
            events = pair.endpoint.receive(frame, self._transport.now())
            self._observer.handled(peer, connection.socket, connection.received, events)
            handled += len(frame)
            connection.received += len(frame)
            self._report(peer, pair, events)
        connection.leftover = buffer[handled:]

    def _receive_failed(self, peer: int, pair: _Pair, connection: _Connection) -> None:
        reconnecting = self._dialect.reconnecting
        if reconnecting is Reconnecting.NEXT_SEND or (
            reconnecting is Reconnecting.FAILED_SEND and connection is pair.other
        ):
            self._close(peer, pair, connection)
        elif reconnecting is Reconnecting.FAILED_SEND:
            self._want_send(peer)

    # rules

    def _dials(self, pair: _Pair) -> bool:
        """Whether it would dial, after so many refusals."""
        return pair.refused < DIAL_TRIES or self._dialect.reconnecting is not Reconnecting.AT_ONCE

    def _connection(self, peer: int, socket: Socket) -> _Connection | None:
        pair = self._pairs[peer]
        for connection in (pair.primary, pair.other):
            if connection is not None and connection.socket is socket:
                return connection
        return None

    def _close(self, peer: int, pair: _Pair, connection: _Connection | None) -> None:
        if connection is None:
            return
        del self._of_socket[connection.socket]
        connection.socket.close()
        if connection is pair.other:
            pair.other = None
            return
        pair.primary = None
        if pair.queue and pair.queue[0].sent:
            self._discard(peer, pair)

    def _discard(self, peer: int, pair: _Pair) -> None:
        """Drop the first page of the queue."""
        page = pair.queue.popleft()
        for offset, outgoing in page.frames:
            pair.endpoint.left_queue(outgoing)
            if offset + len(outgoing.frame) > page.sent:
                self._observer.discarded(peer, outgoing)

    def _empty(self, peer: int, pair: _Pair) -> None:
        while pair.queue:
            self._discard(peer, pair)

    def _repeat(self, peer: int, pair: _Pair) -> None:
        self._report(peer, pair, pair.endpoint.socket_error())

    def _report(self, peer: int, pair: _Pair, events: list[Event]) -> None:
        self.collect(peer)
        if events:
            self._on_events(peer, events)
