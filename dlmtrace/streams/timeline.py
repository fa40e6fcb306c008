"""What a stream did in time order, in ranges: sent, confirmed, sent again, left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["sent", "confirmed", "resent", "missing"]

LIMIT = 10_000
"""Ranges kept for a stream; further ones are counted only."""


@dataclass(slots=True)
class Span:
    """Numbers ``first`` … ``last`` (unwrapped); ``time`` and ``packet`` are those of the first."""

    time: int  # ns
    packet: int
    kind: Kind
    first: int
    last: int
    connection: int  # index
    until: int  # ns, of the last


class Timeline:
    """Ranges grow while the stream simply goes on, and end when it changes its connection or repeats something."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.dropped = 0
        self._growing: dict[Kind, Span] = {}

    def note(
        self, kind: Kind, first: int, last: int, connection: int, time: int, packet: int, until: int | None = None
    ) -> None:
        """Numbers ``first`` … ``last`` on a connection; for "confirmed" the one that the ACK came on."""
        until = time if until is None else until
        growing = self._growing.get(kind)
        if growing is not None and growing.connection == connection and growing.last + 1 == first:
            growing.last, growing.until = last, until
            return
        if kind != "confirmed":
            self._growing.clear()
        span = Span(time, packet, kind, first, last, connection, until)
        self._growing[kind] = span
        if len(self.spans) < LIMIT:
            self.spans.append(span)
        else:
            self.dropped += 1

    def take(self) -> list[Span]:
        """Hand over the ranges that began since the last time; the newest ones may still grow."""
        spans, self.spans = self.spans, []
        return spans
