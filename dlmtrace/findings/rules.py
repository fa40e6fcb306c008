"""All rules that look at frames, connections and the capture; those on sequence numbers are the streams' own."""

from __future__ import annotations

from collections.abc import Callable

from dlmtrace.capture.packets import CaptureFact
from dlmtrace.capture.segments import TrafficSummary
from dlmtrace.findings.connections import FlappingRule, PartialFrameRule
from dlmtrace.findings.frames import FrameRules
from dlmtrace.findings.identity import Identities, IdentityRule
from dlmtrace.findings.losses import Losses
from dlmtrace.findings.payloads import PayloadRules
from dlmtrace.findings.ranges import Host, Ranges
from dlmtrace.findings.versions import VersionRules
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.results import Finding


class Rules:
    """Feed it batches; findings go to ``report`` as they become final.

    ``host`` names the node at one side of a connection, with a negative number while it is not known.
    """

    def __init__(self, host: Host, report: Callable[[Finding], None]) -> None:
        identities = Identities(host)
        self._ranges = Ranges(identities.host, report)
        self._losses = Losses()
        self._rules = (
            IdentityRule(identities, self._ranges, self._losses),
            FrameRules(self._ranges, self._losses),
            PayloadRules(self._ranges, self._losses),
            VersionRules(identities, self._ranges, self._losses),
            FlappingRule(identities, self._ranges),
        )
        self._partial_frames = PartialFrameRule(identities, self._ranges, self._losses)
        self._clock = 0  # ns, the highest time so far

    def feed(self, batch: FrameBatch) -> None:
        """Take in a batch."""
        self._losses.feed(batch)
        for rule in self._rules:
            rule.feed(batch)
        self._partial_frames.feed(batch)
        if len(batch):
            self._clock = max(self._clock, int(batch.frames["time"][-1]))
        self._ranges.settle(self._clock)

    def finish(self, facts: list[CaptureFact], traffic: TrafficSummary) -> None:
        """The capture is over."""
        self._partial_frames.finish()
        self._ranges.finish()
