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


class BareTracker:
    """Feed it the stream's MSG and RCOM frames and the ends of the pair's connections, in order of capture."""

    def __init__(
        self, stream: Stream, pair: Pair, numbers: Iterator[int], decided: Callable[[Reconnect], None]
    ) -> None:
        self.stream, self.pair, self._numbers, self.decided = stream, pair, numbers, decided
        self.lost: Callable[[tuple[int, int]], None] | None = None  # is told of frames that never came
        self.carrier: int | None = None
        self._ends: deque[int] = deque(maxlen=WINDOW)  # stream positions behind the frames not acknowledged by TCP

    def send(self, carrier: int, end: int, time: int, packet: int, fresh: bool) -> None:
        """A frame; ``fresh``: an RCOM STATUS, with which a node that joins begins."""
        if self.carrier is not None and carrier != self.carrier:
            death = self.pair.deaths.get(self.carrier >> 1)
            if death is not None and not (death.kind == "fin" and fresh):
                self._resume(death, carrier, time, packet)
            self._ends.clear()
        self.carrier = carrier
        self._ends.append(end)

    def send_run(self, ends: list[int]) -> None:
        """Frames that follow on the same connection."""
        self._ends.extend(ends)

    def acknowledge(self, position: int) -> None:
        """TCP has acknowledged the stream's connection up to ``position``."""
        while self._ends and self._ends[0] <= position:
            self._ends.popleft()

    def _resume(self, death: Death, carrier: int, time: int, packet: int) -> None:
        assert self.carrier is not None
        self.acknowledge(death.connection.directions[self.carrier & 1].acknowledged)
        hit = len(self._ends)
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
        if self.pair.lost_anything(self.carrier) or self.pair.lost_since(death.time):
            record.reason = "the capture has a hole in the old connection, or only one of its directions"
        elif hit:
            record.verdict, record.lost_frames = "unsafe", hit
            if self.lost is not None:
                for end in self._ends:
                    self.lost((self.carrier, end))
            record.reason = (
                f"TCP had not acknowledged {hit} frames when the connection died: this protocol resends nothing"
            )
        else:
            record.verdict = "unprotected"
            record.reason = "TCP had acknowledged everything, but a reset can drop what the receiver had not read"
        self.decided(record)
