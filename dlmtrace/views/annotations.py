"""Findings as comments on packets, and a comment on the capture as a whole."""

from __future__ import annotations

from dlmtrace.capture.packets import packet_number
from dlmtrace.streams.results import Finding, Reconnect
from dlmtrace.views.analysis import Run
from dlmtrace.views.analysis_text import AnalysisText, many
from dlmtrace.views.places import Places
from dlmtrace.views.terminal import Terminal

LIMIT = 100_000
"""Findings that become comments; further ones are only counted."""

PER_PACKET = 20
"""Comments on one packet; further ones are only counted."""

BESIDE = 20
"""Findings without a packet that are listed in the comment on the whole."""


class Annotations:
    """Collects findings as they become final; ``places`` are those of the run, which reads one file."""

    def __init__(self, places: Places) -> None:
        self._text = AnalysisText(Terminal(), places)
        self._by_packet: dict[int, list[Finding]] = {}
        self._beside: list[Finding] = []
        self._kept = 0
        self._left_out = 0
        self.about = self.verdict = ""

    def reconnect(self, reconnect: Reconnect) -> None:
        """Its finding says it all."""

    def finding(self, finding: Finding) -> None:
        """Keep a finding; its count may still grow."""
        if self._kept == LIMIT:
            self._left_out += 1
            return
        self._kept += 1
        if finding.packet is None:
            self._beside.append(finding)
        else:
            self._by_packet.setdefault(packet_number(finding.packet), []).append(finding)

    def finish(self, run: Run) -> None:
        """Write the comment on the whole: the verdict, and what belongs to no packet."""
        heading, *lines = filter(None, self._text.summary(run))
        self.verdict = lines[0]
        lines += [self._text.remark(finding) for finding in self._beside[:BESIDE]]
        more = len(self._beside) - BESIDE
        if more > 0:
            lines.append(f"{many(more, 'more finding')} without a packet")
        if self._left_out:
            lines.append(f"{many(self._left_out, 'more finding')} left out: only {LIMIT} become comments")
        self.about = "\n".join([f"dlmtrace: {heading}", *lines])

    def comments(self) -> dict[int, list[str]]:
        """The comments by the number of their packet."""
        return {packet: self._on_packet(findings) for packet, findings in self._by_packet.items()}

    def _on_packet(self, findings: list[Finding]) -> list[str]:
        texts = [f"dlmtrace: {self._text.remark(finding)}" for finding in findings[:PER_PACKET]]
        more = len(findings) - PER_PACKET
        return [*texts, f"dlmtrace: {many(more, 'more finding')} here"] if more > 0 else texts
