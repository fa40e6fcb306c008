"""TCP as far as the simulator needs it: segments, acknowledgements, retransmission, FIN and RST (RFC 9293).

Stream positions count payload bytes of a direction from 0; a FIN takes the position behind the last byte.  Windows are
fixed, nothing is negotiated, and a segment lost is repeated by timer alone.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlmtrace.simulate.network import Host

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
"""TCP flags."""

MILLISECOND = 1_000_000
RETRANSMISSION_TIMEOUT = 200 * MILLISECOND
SYN_TIMEOUT = 1_000 * MILLISECOND
RETRANSMISSIONS = 8
"""First timeouts (each doubles), and how many are waited for before the connection fails with ETIMEDOUT."""

ACKNOWLEDGEMENT_DELAY = MILLISECOND // 2
"""ns that an ACK waits for data to travel with."""


class Connection:
    """What a TCP connection is to the wire: its 4-tuple by node, and how far each direction passed the capture point.

    Side 0 is the client.
    """

    __slots__ = ("index", "isn", "nodes", "passed", "ports")

    def __init__(self, index: int, nodes: tuple[int, int], ports: tuple[int, int], isn: tuple[int, int]) -> None:
        self.index = index
        self.nodes = nodes
        self.ports = ports
        self.isn = isn
        self.passed = [0, 0]


class Segment:
    """One TCP segment on its way; ``side`` is its sender's, ``position`` is -1 for a SYN.

    ``forged``: a RST, not by the host that it claims to come from.  ``broke``: a RST that broke the socket it came to.
    """

    __slots__ = ("acknowledges", "broke", "connection", "flags", "forged", "payload", "position", "side")

    def __init__(
        self,
        connection: Connection,
        side: int,
        position: int,
        flags: int,
        acknowledges: int | None,
        payload: bytes = b"",
        forged: bool = False,
    ) -> None:
        self.connection = connection
        self.side = side
        self.position = position
        self.flags = flags
        self.acknowledges = acknowledges
        self.payload = payload
        self.forged = forged
        self.broke = False

    @property
    def sender(self) -> int:
        """Node that the segment comes from, or claims to."""
        return self.connection.nodes[self.side]

    @property
    def receiver(self) -> int:
        """Node that it goes to."""
        return self.connection.nodes[1 - self.side]


class TcpSocket:
    """One end of a connection, on a host: what lowcomms uses (``send`` … ``close``), and what segments do to it."""

    def __init__(self, host: Host, connection: Connection, side: int) -> None:
        self.connection = connection
        self.side = side
        self.established = False
        self.closed = False  # by this end's user
        self._host = host
        self._settings = host.network.settings
        self._error: OSError | None = None
        self._dead = False
        # sending
        self._unacknowledged = 0
        self._next = 0
        self._data = bytearray()  # from _unacknowledged on
        self._finish = False
        self._finish_sent = False
        self._full = False
        self._timer = 0  # the timer that counts; older ones are void
        self._timer_runs = False
        self._timeouts = 0
        # receiving
        self._expected = 0
        self._early: dict[int, tuple[bytes, bool]] = {}
        self._received = bytearray()
        self._peer_finished = False
        self._acknowledgement_due = False

    # what lowcomms does

    def send(self, data: bytes) -> int:
        """Take what there is room for; OSError once broken."""
        if self._error is not None or self._finish:
            raise self._error or BrokenPipeError(errno.EPIPE, "closed for sending")
        if not self.established:
            return 0
        room = self._settings.send_buffer - len(self._data)
        taken = data[: max(room, 0)]
        self._full = len(taken) < len(data)
        self._data += taken
        self._transmit()
        return len(taken)

    def receive(self, limit: int) -> bytes | None:
        """Bytes in order; after an error first what had arrived, then OSError."""
        if self._received:
            data = bytes(self._received[:limit])
            del self._received[:limit]
            return data
        if self._error is not None:
            raise self._error
        return b"" if self._peer_finished else None

    def finish(self) -> None:
        """FIN behind what is buffered."""
        self._finish = True
        if self.established:
            self._transmit()

    def close(self) -> None:
        """FIN behind what is buffered; RST when something was not read."""
        if self.closed:
            return
        self.closed = True
        if self._dead:
            return
        if self._received or not self.established:
            if self.established:
                self._emit(self._next, RST | ACK)
            self._die()
            return
        self.finish()

    # what the wire does

    def open(self) -> None:
        """Send the SYN."""
        self._emit(-1, SYN)
        self._arm(SYN_TIMEOUT)

    def arrived(self, segment: Segment) -> None:
        """A segment of this connection came."""
        if self._dead:
            return
        if segment.flags & RST:
            if segment.forged or self.established or segment.flags & ACK:
                segment.broke = True
                self._break(ConnectionResetError if self.established else ConnectionRefusedError)
            return
        if segment.flags & SYN:
            self._handshake(segment)
            return
        if not self.established and self.side == 1:
            self.established = True
            self._disarm()
            self._host.accepted(self)
        if segment.acknowledges is not None:
            self._acknowledged(segment.acknowledges)
        if segment.payload or segment.flags & FIN:
            self._take(segment)

    def _handshake(self, segment: Segment) -> None:
        if self.side == 1:
            self._emit(-1, SYN | ACK)
            if not self._timer_runs:
                self._arm(SYN_TIMEOUT)
            return
        first = not self.established
        self.established = True
        self._emit(self._next, ACK)
        if first:
            self._disarm()
            self._transmit()
            self._host.writable(self)

    def _take(self, segment: Segment) -> None:
        if self.closed and segment.payload and segment.position + len(segment.payload) > self._expected:
            self._emit(self._next, RST | ACK)  # nobody will read it
            self._die()
            return
        self._early[segment.position] = (segment.payload, bool(segment.flags & FIN))
        in_order = segment.position <= self._expected
        news = False
        while early := [position for position in self._early if position <= self._expected]:
            payload, finish = self._early.pop(early[0])
            fresh = payload[self._expected - early[0] :]
            self._received += fresh
            self._expected += len(fresh)
            news = news or bool(fresh)
            if finish and early[0] + len(payload) == self._expected and not self._peer_finished:
                self._peer_finished = news = True
                self._expected += 1
        if in_order and news and not self._peer_finished:
            self._acknowledge_later()
        else:
            self._emit(self._next, ACK)
        if news and not self.closed:
            self._host.readable(self)

    def _acknowledged(self, position: int) -> None:
        if position <= self._unacknowledged:
            return
        fin_covered = self._finish_sent and position > self._unacknowledged + len(self._data)
        del self._data[: position - self._unacknowledged - fin_covered]
        self._unacknowledged = position
        self._next = max(self._next, position)
        self._timeouts = 0
        self._disarm()
        if self._next > self._unacknowledged:
            self._arm(RETRANSMISSION_TIMEOUT)
        self._transmit()
        if self._full and not self.closed:
            self._full = False
            self._host.writable(self)

    def _transmit(self) -> None:
        """Send what the window lets through."""
        if self._dead or self._finish_sent:
            return
        end = self._unacknowledged + len(self._data)
        limit = min(end, self._unacknowledged + self._settings.window)
        while self._next < limit:
            start = self._next - self._unacknowledged
            payload = bytes(self._data[start : min(start + self._settings.segment_size, limit - self._unacknowledged)])
            position, self._next = self._next, self._next + len(payload)
            self._emit(position, PSH | ACK, payload)
        if self._finish and self._next == end:
            self._finish_sent = True
            self._emit(self._next, FIN | ACK)
            self._next += 1
        if self._next > self._unacknowledged and not self._timer_runs:
            self._arm(RETRANSMISSION_TIMEOUT)

    def _emit(self, position: int, flags: int, payload: bytes = b"") -> None:
        acknowledges = self._expected if flags & ACK else None
        self._acknowledgement_due = False
        self._host.transmit(Segment(self.connection, self.side, position, flags, acknowledges, payload))

    def _acknowledge_later(self) -> None:
        if self._acknowledgement_due:  # every second segment at once
            self._emit(self._next, ACK)
            return
        self._acknowledgement_due = True
        self._host.call_later(ACKNOWLEDGEMENT_DELAY, self._acknowledge_if_due)

    def _acknowledge_if_due(self) -> None:
        if self._acknowledgement_due and not self._dead:
            self._emit(self._next, ACK)

    # retransmission

    def _arm(self, timeout: int) -> None:
        self._timer += 1
        self._timer_runs = True
        armed = self._timer
        self._host.call_later(timeout << self._timeouts, lambda: self._expired(armed))

    def _disarm(self) -> None:
        self._timer_runs = False
        self._timer += 1

    def _expired(self, armed: int) -> None:
        if armed != self._timer or self._dead:
            return
        self._timer_runs = False
        self._timeouts += 1
        if self._timeouts > RETRANSMISSIONS:
            self._break(TimeoutError)
        elif not self.established:
            self._emit(-1, SYN if self.side == 0 else SYN | ACK)
            self._arm(SYN_TIMEOUT)
        else:
            self._next = self._unacknowledged
            self._finish_sent = False
            self._transmit()

    # the end

    def _break(self, kind: type[OSError]) -> None:
        codes: dict[type[OSError], int] = {ConnectionRefusedError: errno.ECONNREFUSED, TimeoutError: errno.ETIMEDOUT}
        self._error = kind(codes.get(kind, errno.ECONNRESET), "the simulated connection broke")
        self._die()
        if not self.closed:
            self._host.failed(self, self._error)

    def _die(self) -> None:
        self._dead = True
        self._timer += 1
        self._host.forget(self)
