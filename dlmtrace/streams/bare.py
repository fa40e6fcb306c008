"""A stream without sequence numbers: protocol 3.0 and 3.1, and 3.2 towards such a peer.

Nothing is repeated after a reset, so the verdict on a reconnect rests on TCP alone: what it had not acknowledged when
the connection died is gone; what it had may still have been dropped unread (docs/findings.md, the reconnect verdict).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from dlmtrace.streams.pair import Death, Pair
from dlmtrace.streams.receiver import WINDOW
from dlmtrace.streams.results import Reconnect, Stream

RETRANSMITS = 400_000_000
"""ns after which TCP has sent again what was not acknowledged: Linux waits 200 ms (TCP_RTO_MIN) beside what it has
measured, which a receiver that delays its acknowledgements makes 200 ms longer at most; real captures show 291 ms."""


class BareTracker:
    """Feed it the stream's MSG and RCOM frames and the ends of the pair's connections, in order of capture."""

    def __init__(
        self, stream: Stream, pair: Pair, numbers: Iterator[int], decided: Callable[[Reconnect], None]
    ) -> None:
        self.stream, self.pair, self._numbers, self.decided = stream, pair, numbers, decided
        self.lost: Callable[[tuple[int, int]], None] | None = None  # is told of frames that never came
        self.carrier: int | None = None
        self._end = 0  # stream position behind the last frame
        # stream positions behind the frames that TCP has not acknowledged, and their times (ns)
        self._waiting: deque[tuple[int, int]] = deque(maxlen=WINDOW)

    def send(self, carrier: int, end: int, time: int, packet: int, fresh: bool) -> None:
        """A frame; ``fresh``: an RCOM STATUS, with which a node that joins begins."""
        if self.carrier is not None and carrier != self.carrier:
            death = self.pair.deaths.get(self.carrier >> 1)
            if death is not None and not (death.kind == "fin" and fresh):
                self._resume(death, carrier, time, packet)
            self._waiting.clear()
        self.carrier, self._end = carrier, end
        self._waiting.append((end, time))

    def send_run(self, last: int, ends: list[int], times: list[int]) -> None:
        """Frames that follow on the same connection up to position ``last``; ``ends`` of those not acknowledged."""
        self._end = last
        self._waiting.extend(zip(ends, times, strict=True))

    def acknowledge(self, position: int) -> None:
        """TCP has acknowledged the stream's connection up to ``position``."""
        while self._waiting and self._waiting[0][0] <= position:
            self._waiting.popleft()

    def _resume(self, death: Death, carrier: int, time: int, packet: int) -> None:
        assert self.carrier is not None
        direction = death.connection.directions[self.carrier & 1]
        self.acknowledge(direction.acknowledged)
        begun = direction.sent > max(self._end, direction.acknowledged)  # a frame that was not sent whole
        hit = len(self._waiting) + begun
        record = Reconnect(
            f"r{next(self._numbers)}",
            self.stream.sender,
            self.stream.receiver,
            death.connection.name,
            f"c{(carrier >> 1) + 1}",
            death.kind,
            death.time,
            time,
            death.packet,
            packet,
        )
        if self.pair.lost_since(0):  # whatever it lost, there may have been acknowledgements beside it
            record.reason = "the capture has holes in the connections of these nodes, or only one direction of one"
        elif self._waiting and self._should_be_acknowledged(death):
            record.reason = "the capture lacks acknowledgements of TCP: bytes without one were not sent again for long"
        elif hit:
            record.verdict, record.lost_frames = "unsafe", hit
            if self.lost is not None:
                for end, _ in self._waiting:
                    self.lost((self.carrier, end))
            record.reason = (
                f"TCP had not acknowledged {hit} frames when the connection died: this protocol resends nothing"
            )
        else:
            record.verdict = "unprotected"
            record.reason = "TCP had acknowledged everything, but a reset can drop what the receiver had not read"
        self.decided(record)

    def _should_be_acknowledged(self, death: Death) -> bool:
        """Was the oldest byte under way so long that TCP sends it again unless it was acknowledged?"""
        assert self.carrier is not None
        direction = death.connection.directions[self.carrier & 1]
        return death.time - self._waiting[0][1] > RETRANSMITS and not direction.retransmitted_segments
