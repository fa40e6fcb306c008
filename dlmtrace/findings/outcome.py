"""What a run comes to: counts, a verdict on the whole, an exit status."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from dlmtrace.findings.catalogue import severity
from dlmtrace.streams.results import Finding, Reconnect, Severity

FAILED, INCONCLUSIVE = 1, 3
"""Exit status: a finding at or above the level to fail on; none, but the capture cannot tell."""


LIMIT = 65_536
"""Bound of what is counted by stream; forged frames could name any number of nodes."""


@dataclass(slots=True)
class Outcome:
    """Counts findings by severity, and remembers whether anything stayed undecided."""

    errors: int = 0
    warnings: int = 0
    notes: int = 0
    grave: Counter[tuple[int | None, int | None, str]] = field(default_factory=Counter)
    """errors and warnings by sender, receiver and code"""
    undecided: int = 0  # reconnects whose verdict is inconclusive
    empty: bool = False  # was there no DLM frame at all?

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        level = severity(finding)
        self.errors += level == "error"
        self.warnings += level == "warning"
        self.notes += level == "note"
        key = finding.sender, finding.receiver, finding.code
        if level != "note" and (key in self.grave or len(self.grave) < LIMIT):
            self.grave[key] += 1

    def judge(self, reconnect: Reconnect) -> None:
        """Count a reconnect."""
        self.undecided += reconnect.verdict == "inconclusive"

    @property
    def total(self) -> int:
        """All findings."""
        return self.errors + self.warnings + self.notes

    @property
    def verdict(self) -> Literal["clean", "findings", "inconclusive"]:
        """The verdict on the whole: errors come before what the capture cannot tell, and that before warnings."""
        if not self.errors and (self.undecided or self.empty):
            return "inconclusive"
        return "findings" if self.errors or self.warnings else "clean"

    def status(self, fail_on: Severity) -> int:
        """Exit status when findings from ``fail_on`` on are failures."""
        failed = {"error": self.errors, "warning": self.errors + self.warnings, "note": self.total}
        if failed[fail_on]:
            return FAILED
        return INCONCLUSIVE if self.undecided or self.empty else 0
