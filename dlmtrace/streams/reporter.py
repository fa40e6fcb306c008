"""Findings of one stream, with its sender and receiver in them."""

from __future__ import annotations

from collections.abc import Callable

from dlmtrace.streams.numbers import MASK
from dlmtrace.streams.receiver import Arrival
from dlmtrace.streams.results import Finding, Reconnect, Severity, Stream


class Reporter:
    """Builds findings about a stream and hands them to ``report``."""

    def __init__(self, stream: Stream, report: Callable[[Finding], None]) -> None:
        self._stream, self._report = stream, report

    def tell(self, finding: Finding) -> None:
        """Hand on a finding."""
        finding.sender, finding.receiver = self._stream.sender, self._stream.receiver
        self._report(finding)

    def find(
        self,
        code: str,
        arrival: Arrival,
        message: str,
        first: int | None = None,
        last: int | None = None,
        count: int = 1,
        evidence: dict[str, int] | None = None,
    ) -> None:
        """A finding at a frame; ``first`` … ``last`` are unwrapped numbers."""
        finding = self.at(code, arrival, message, first, last)
        finding.count, finding.evidence = count, dict(evidence or {})
        self.tell(finding)

    def at(
        self, code: str, arrival: Arrival, message: str, first: int | None = None, last: int | None = None
    ) -> Finding:
        """A finding at a frame, not handed on yet."""
        return Finding(
            code,
            message,
            connection=f"c{(arrival.carrier >> 1) + 1}",
            packet=arrival.packet,
            time=arrival.time,
            seq_first=None if first is None else first & MASK,
            seq_last=None if last is None else last & MASK,
        )

    def of_range(self, code: str, message: str, low: int, high: int) -> None:
        """A finding about the unwrapped numbers low … high, at no packet."""
        self.tell(Finding(code, message, seq_first=low & MASK, seq_last=high & MASK, count=high - low + 1))

    def of_reconnect(
        self,
        code: str,
        record: Reconnect,
        message: str,
        low: int | None = None,
        high: int | None = None,
        count: int = 1,
        severity: Severity | None = None,
    ) -> None:
        """A finding at the place where a reconnect took up the stream; numbers as on the wire."""
        self.tell(
            Finding(
                code,
                message,
                connection=record.new_connection,
                packet=record.resumed_packet,
                time=record.resumed,
                seq_first=low,
                seq_last=high,
                count=count,
                severity=severity,
            )
        )


def span(low: int, high: int) -> str:
    """Unwrapped numbers as text."""
    return str(low & MASK) if low == high else f"{low & MASK}–{high & MASK}"
