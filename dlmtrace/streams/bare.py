"""A stream without sequence numbers: protocol 3.0 and 3.1, and 3.2 towards such a peer.

Nothing is repeated after a reset, so the verdict on a reconnect rests on TCP alone: what it had not acknowledged when
the connection died is gone; what it had may still have been dropped unread (docs/findings.md, the reconnect verdict).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dlmtrace.streams.pair import Death, Pair
from dlmtrace.streams.receiver import WINDOW
from dlmtrace.streams.results import Reconnect, Stream

RETRANSMITS = 400_000_000
"""ns after which TCP has sent again what was not acknowledged: Linux waits 200 ms (TCP_RTO_MIN) beside what it has
measured, which a receiver that delays its acknowledgements makes 200 ms longer at most; real captures show 291 ms."""


class _Resumed(NamedTuple):
    """A stream went on over another connection."""

    old: int  # the carrier before
    end: int  # stream position behind the last frame there
    waiting: deque[tuple[int, int]]  # of the frames there, as BareTracker has them
    carrier: int
    time: int  # ns, and packet, of the first frame on the new connection
    packet: int


class BareTracker:
    """Feed it the stream's MSG and RCOM frames and the ends of the pair's connections, in order of capture."""

    def __init__(
        self, stream: Stream, pair: Pair, numbers: Iterator[int], decided: Callable[[Reconnect], None]
    ) -> None:
        self.stream, self.pair, self._numbers, self.decided = stream, pair, numbers, decided
        self.lost: Callable[[tuple[int, int]], None] | None = None  # is told of frames that never came
        self.carrier: int | None = None
        self._left: _Resumed | None = None  # it went on while the old connection seemed to live
        self._end = 0  # stream position behind the last frame
        # stream positions behind the frames that TCP has not acknowledged, and their times (ns)
        self._waiting: deque[tuple[int, int]] = deque(maxlen=WINDOW)

    def send(self, carrier: int, end: int, time: int, packet: int, fresh: bool) -> None:
        """A frame; ``fresh``: an RCOM STATUS, with which a node that joins begins."""
        if carrier != self.carrier and self.pair.outlived(carrier, self.carrier):
            return  # what TCP repeats on a connection that is over does not lead the stream back
        if self.carrier is not None and carrier != self.carrier:
            death = self.pair.deaths.get(self.carrier >> 1)
            self.finish()
            resumed = _Resumed(self.carrier, self._end, self._waiting, carrier, time, packet)
            if death is None:
                self._left = resumed
            elif death.kind != "fin" or not fresh:
                self._resume(death, resumed)
            self._waiting = deque(maxlen=WINDOW)
        self.carrier, self._end = carrier, end
        self._waiting.append((end, time))

    def die(self, death: Death) -> None:
        """A connection of the pair ended (called after Pair.die): that of a node that crashed, with what its new boot
        does not know, though that has begun already."""
        left = self._left
        if left is not None and left.old >> 1 == death.connection.index:
            self._left = None
            if death.kind != "fin":
                self._resume(death, left)

    def finish(self) -> None:
        """Nothing more comes of a connection that was left alone."""
        left, self._left = self._left, None
        connection = None if left is None else self.pair.connections.get(left.old >> 1)
        if left is not None and connection is not None:
            self._resume(Death(connection, "abandoned", 0, connection.last_packet, connection.closed), left)

    def send_run(self, last: int, ends: list[int], times: list[int]) -> None:
        """Frames that follow on the same connection up to position ``last``; ``ends`` of those not acknowledged."""
        self._end = last
        self._waiting.extend(zip(ends, times, strict=True))

    def acknowledge(self, position: int) -> None:
        """TCP has acknowledged the stream's connection up to ``position``."""
        _drop(self._waiting, position)

    def _resume(self, death: Death, resumed: _Resumed) -> None:
        direction, waiting = death.connection.directions[resumed.old & 1], resumed.waiting
        _drop(waiting, direction.acknowledged)
        begun = direction.sent > max(resumed.end, direction.acknowledged)  # a frame that was not sent whole
        hit = len(waiting) + begun
        record = Reconnect(
            f"r{next(self._numbers)}",
            self.stream.sender,
            self.stream.receiver,
            death.connection.name,
            f"c{(resumed.carrier >> 1) + 1}",
            death.kind,
            death.time,
            resumed.time,
            death.packet,
            resumed.packet,
        )
        if self.pair.lost_since(0):  # whatever it lost, there may have been acknowledgements beside it
            record.reason = "the capture has holes in the connections of these nodes, or only one direction of one"
        elif waiting and _should_be_acknowledged(death, resumed):
            record.reason = "the capture lacks acknowledgements of TCP: bytes without one were not sent again for long"
        elif hit:
            record.verdict, record.lost_frames = "unsafe", hit
            if self.lost is not None:
                for end, _ in waiting:
                    self.lost((resumed.old, end))
            record.reason = (
                f"TCP had not acknowledged {hit} frames when the connection died: this protocol resends nothing"
            )
        else:
            record.verdict = "unprotected"
            record.reason = "TCP had acknowledged everything, but a reset can drop what the receiver had not read"
        self.decided(record)


def _drop(waiting: deque[tuple[int, int]], position: int) -> None:
    """What TCP has acknowledged."""
    while waiting and waiting[0][0] <= position:
        waiting.popleft()


def _should_be_acknowledged(death: Death, resumed: _Resumed) -> bool:
    """Was the oldest byte under way so long that TCP sends it again unless it was acknowledged?"""
    direction = death.connection.directions[resumed.old & 1]
    return death.time - resumed.waiting[0][1] > RETRANSMITS and not direction.retransmitted_segments
