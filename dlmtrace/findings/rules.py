"""All rules that look at frames, connections and the capture; those on sequence numbers are the streams' own."""

from __future__ import annotations

from collections.abc import Callable

from dlmtrace.capture.packets import CaptureFact
from dlmtrace.capture.segments import TrafficSummary
from dlmtrace.findings.capture import LossRules, SideRules, file_findings
from dlmtrace.findings.connections import FlappingRule, PartialFrameRule
from dlmtrace.findings.frames import FrameRules
from dlmtrace.findings.identity import Identities, IdentityRule
from dlmtrace.findings.losses import Losses
from dlmtrace.findings.payloads import PayloadRules
from dlmtrace.findings.ranges import Host, Ranges
from dlmtrace.findings.termination import TerminationRules
from dlmtrace.findings.versions import VersionRules
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.results import Finding, Leave


class Rules:
    """Feed it batches; findings go to ``report`` as they become final.

    ``host`` names the node at one side of a connection, with a negative number while it is not known.
    """

    def __init__(self, host: Host, report: Callable[[Finding], None]) -> None:
        self._report = report
        identities = Identities(host)
        self._ranges = Ranges(identities.shown, report)
        self._losses = Losses()
        self._rules = (
            IdentityRule(identities, self._ranges, self._losses),
            FrameRules(self._ranges, self._losses),
            PayloadRules(self._ranges, self._losses),
            VersionRules(identities, self._ranges, self._losses),
            FlappingRule(identities, self._ranges),
        )
        self._partial_frames = PartialFrameRule(identities, self._ranges, self._losses)
        self._lost = LossRules(self._ranges)
        self._sides = SideRules(identities, self._ranges)
        self._termination = TerminationRules(identities, self._ranges)

    def feed(self, batch: FrameBatch) -> None:
        """Take in a batch."""
        times = [event.time for event in batch.events] + batch.frames["time"][-1:].tolist()
        self._ranges.now = max(self._ranges.now, *times) if times else self._ranges.now
        self._losses.feed(batch)
        for rule in self._rules:
            rule.feed(batch)
        for each in (self._partial_frames, self._lost, self._sides, self._termination):
            each.feed(batch)
        self._ranges.settle()

    def leaves(self) -> list[Leave]:
        """How nodes took leave of each other, by node and peer."""
        return self._termination.leaves()

    def finish(self, facts: list[CaptureFact], traffic: TrafficSummary) -> None:
        """The capture is over."""
        self._partial_frames.finish()
        self._lost.finish(traffic)
        self._sides.finish()
        self._termination.finish()
        self._ranges.finish()
        file_findings(facts, traffic, self._report)
