"""When a connection that was closed or reset is over.

A FIN from each side closes it.  A RST resets it, unless the other side takes it for a forgery and goes on (RFC 5961).
So a connection is over only when nothing but RSTs came for LINGER of capture time, and has survived when both sides did
send later than half of that behind the RST.  One that was reset is over as far as anybody can tell then: what fits
where it left off shows that it was not (``incarnations``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dlmtrace.capture.segments import FIN, RST

LINGER = 1_000_000_000
"""ns"""


@dataclass(slots=True)
class Ending:
    """What is known of it; the lists by flow (even, odd), times in ns."""

    alive: list[int]  # time of the flow's last packet that is no RST
    finished: list[bool] = field(default_factory=lambda: [False, False])  # did it send a FIN?
    reset_at: list[int | None] = field(default_factory=lambda: [None, None])  # when it sent the last RST that was news
    closing: int | None = None  # when both FINs or a RST had come, or a new connection took its place

    def note(self, flow: int, flags: int, now: int) -> bool:
        """A packet; is it the first FIN or RST of its flow, or a RST long after the one before?"""
        if flags & RST:
            last = self.reset_at[flow]
            news = last is None or now - last >= LINGER
            if news:
                self.reset_at[flow] = now
            self.close(now)
            return news
        self.alive[flow] = now
        if not flags & FIN:
            return False
        news, self.finished[flow] = not self.finished[flow], True
        if all(self.finished):
            self.close(now)
        return news

    def close(self, now: int) -> None:
        """Nothing more is to be expected, from now on."""
        if self.closing is None:
            self.closing = now

    def is_silent(self, now: int) -> bool:
        """Was it closed or reset, and has nothing come for long?"""
        return self.closing is not None and now - max(self.closing, *self.alive) >= LINGER

    @property
    def was_reset(self) -> bool:
        """Did a RST come?"""
        return any(time is not None for time in self.reset_at)

    def survived(self) -> bool:
        """Have both sides gone on after a RST?"""
        if self.closing is None or not self.was_reset or all(self.finished):
            return False
        return min(self.alive) > self.closing + LINGER // 2

    def go_on(self) -> None:
        """Forget the RST."""
        self.reset_at = [None, None]
        self.closing = None

    def copy(self) -> Ending:
        """One that can be asked what if."""
        return Ending([*self.alive], [*self.finished], [*self.reset_at], self.closing)


def may_be_decided(closing: int | None, now: int) -> bool:
    """Is ``now`` so late that a connection closed at ``closing`` may be over or have survived?"""
    return closing is not None and now > closing + LINGER // 2
