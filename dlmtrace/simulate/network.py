"""A network of simulated hosts: a clock with events, links with delay, loss and cuts, and a capture point between them.

Everything is deterministic: the same seed and the same calls give the same packets at the same times.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from dlmtrace.simulate.lowcomms import Lowcomms
from dlmtrace.simulate.tcp import ACK, RST, SYN, Connection, Segment, TcpSocket

PORT = 21064
"""TCP port of DLM (protocol page §7.1)."""


@dataclass(frozen=True)
class Settings:
    """Properties of all links and sockets."""

    delay: int = 200_000
    """ns from one host to another; the capture point is half-way"""
    jitter: int = 0
    """ns, at most, that a packet takes longer on each half: more than the distance of packets, it reorders them"""
    loss: float = 0.0
    """part of the packets that each half of the way loses; those lost on the second half were captured"""
    segment_size: int = 1448
    """largest payload of a segment, bytes"""
    window: int = 32_768
    """bytes in flight per direction"""
    send_buffer: int = 65_536
    """bytes that a socket takes before it has no room"""
    work_delay: int = 50_000
    """ns, at most, until a worker of a node runs"""


class Network:
    """Hosts and their traffic.  ``captured`` is what passed the capture point: (time in ns, segment), in order."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self.settings = settings
        self.random = Random(seed)
        self.now = 0
        self.captured: list[tuple[int, Segment]] = []
        self.connections: list[Connection] = []
        self.hosts: dict[int, Host] = {}
        self._cut: dict[int, int] = {}  # node: until when its link is cut
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = 0
        self._ports: dict[int, int] = {}

    def at(self, time: int, callback: Callable[[], None]) -> None:
        """Call back at ``time`` (ns)."""
        self._counter += 1
        heapq.heappush(self._events, (time, self._counter, callback))

    def run(self, until: int) -> None:
        """Let time pass up to ``until`` (ns)."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, callback = heapq.heappop(events)
            callback()
        self.now = until

    def cut(self, node: int, until: int) -> None:
        """Cut the link of ``node``: nothing passes either way until the time ``until`` (ns)."""
        self._cut[node] = until

    def connection(self, client: int, server: int) -> Connection:
        """A new connection between nodes."""
        port = self._ports.get(client, 32_768 + 997 * client)
        self._ports[client] = port + 1
        isn = (self.random.getrandbits(32), self.random.getrandbits(32))
        self.connections.append(Connection(len(self.connections), (client, server), (port, PORT), isn))
        return self.connections[-1]

    def reset(self, connection: Connection, reaches: tuple[int, ...]) -> None:
        """Forge, at the capture point, a RST to each of the nodes in ``reaches``, as if from the other end."""
        for node in reaches:
            side = 1 - connection.nodes.index(node)
            self._pass(Segment(connection, side, connection.passed[side], RST, None, forged=True))

    def transmit(self, segment: Segment) -> None:
        """A host sends a segment."""
        if not self._lost(segment.sender):
            self.at(self.now + self._half(), lambda: self._pass(segment))

    def _pass(self, segment: Segment) -> None:
        """The segment is at the capture point."""
        self.captured.append((self.now, segment))
        connection, side = segment.connection, segment.side
        connection.passed[side] = max(connection.passed[side], segment.position + len(segment.payload))
        if not self._lost(segment.receiver):
            self.at(self.now + self._half(), lambda: self._arrive(segment))

    def _arrive(self, segment: Segment) -> None:
        host = self.hosts.get(segment.receiver)
        if host is not None and host.alive:
            host.arrived(segment)

    def _lost(self, node: int) -> bool:
        """Whether the link of ``node`` loses the packet that is on it."""
        return self.now < self._cut.get(node, 0) or (
            self.settings.loss > 0 and self.random.random() < self.settings.loss
        )

    def _half(self) -> int:
        settings = self.settings
        return settings.delay // 2 + (self.random.randrange(settings.jitter) if settings.jitter else 0)


class Host:
    """One boot of a node's machine: its sockets and workers.  A ``Transport`` for its lowcomms."""

    def __init__(self, network: Network, node: int) -> None:
        self.network = network
        self.node = node
        self.alive = True
        self.lowcomms: Lowcomms | None = None
        self._listening = True
        self._sockets: dict[int, TcpSocket] = {}  # by connection
        network.hosts[node] = self

    def crash(self) -> None:
        """Power off: nothing is sent, everything in memory is lost."""
        self.alive = False
        self._sockets.clear()

    # the transport of lowcomms

    def now(self) -> int:
        """Time in ns."""
        return self.network.now

    def call_later(self, delay: int, callback: Callable[[], None]) -> None:
        """Call back in ``delay`` ns, unless the machine has crashed by then."""
        self.network.at(self.network.now + delay, lambda: callback() if self.alive else None)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call back when a worker runs."""
        self.call_later(self.network.random.randrange(self.network.settings.work_delay) + 1, callback)

    def dial(self, peer: int) -> TcpSocket:
        """Begin to connect."""
        connection = self.network.connection(self.node, peer)
        socket = self._sockets[connection.index] = TcpSocket(self, connection, 0)
        socket.open()
        return socket

    def listen(self, wanted: bool) -> None:
        """Accept connections from now on, or refuse them."""
        self._listening = wanted

    def uses(self, connection: Connection) -> bool:
        """Whether this end of a connection is still in use."""
        socket = self._sockets.get(connection.index)
        return socket is not None and not socket.closed

    # for sockets

    def transmit(self, segment: Segment) -> None:
        """Put a segment on the wire."""
        self.network.transmit(segment)

    def arrived(self, segment: Segment) -> None:
        """A segment came for this machine."""
        socket = self._sockets.get(segment.connection.index)
        if socket is None and segment.flags == SYN and self._listening:
            socket = self._sockets[segment.connection.index] = TcpSocket(self, segment.connection, 1)
        if socket is not None:
            socket.arrived(segment)
        elif not segment.flags & RST:
            position = 0 if segment.acknowledges is None else segment.acknowledges
            end = segment.position + len(segment.payload) + bool(segment.flags & SYN)
            self.transmit(Segment(segment.connection, 1 - segment.side, position, RST | ACK, end))

    def forget(self, socket: TcpSocket) -> None:
        """The socket is gone; segments for it are answered with a RST from now on."""
        self._sockets.pop(socket.connection.index, None)

    def accepted(self, socket: TcpSocket) -> None:
        """A connection that a peer dialled is established."""
        if self.lowcomms is not None:
            self.lowcomms.accepted(socket.connection.nodes[0], socket)

    def readable(self, socket: TcpSocket) -> None:
        """Something came to read."""
        if self.lowcomms is not None:
            self.lowcomms.readable(socket)

    def writable(self, socket: TcpSocket) -> None:
        """There is room to send."""
        if self.lowcomms is not None:
            self.lowcomms.writable(socket)

    def failed(self, socket: TcpSocket, error: OSError) -> None:
        """The connection broke."""
        if self.lowcomms is not None:
            self.lowcomms.failed(socket, error)
