"""What a run comes to: counts, a verdict on the whole, an exit status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from dlmtrace.findings.catalogue import severity
from dlmtrace.streams.results import Finding, Reconnect

UNDECIDED = "CON403"
FAILED, INCONCLUSIVE = 1, 3
"""Exit status: a finding at or above the level to fail on; none, but the capture cannot tell."""


class FailOn(StrEnum):
    """The lightest severity that makes the exit status 1."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    NEVER = "never"


@dataclass(slots=True)
class Outcome:
    """Counts findings by severity, and remembers whether anything stayed undecided."""

    errors: int = 0
    warnings: int = 0
    notes: int = 0
    concerns: int = 0  # errors and warnings about the cluster rather than about the capture
    undecided: int = 0  # reconnects whose verdict is inconclusive
    empty: bool = False  # was there no DLM frame at all?

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        level = severity(finding)
        self.errors += level == "error"
        self.warnings += level == "warning"
        self.notes += level == "note"
        about_capture = finding.code.startswith("CAP") or finding.code == UNDECIDED
        self.concerns += level == "error" or (level == "warning" and not about_capture)

    def judge(self, reconnect: Reconnect) -> None:
        """Count a reconnect."""
        self.undecided += reconnect.verdict == "inconclusive"

    @property
    def verdict(self) -> Literal["clean", "findings", "inconclusive"]:
        """The verdict on the whole."""
        if self.concerns:
            return "findings"
        return "inconclusive" if self.undecided or self.empty else "clean"

    def status(self, fail_on: FailOn) -> int:
        """Exit status; always 0 when nothing is to fail."""
        if fail_on is FailOn.NEVER:
            return 0
        failed = {
            FailOn.ERROR: self.errors,
            FailOn.WARNING: self.errors + self.warnings,
            FailOn.NOTE: self.errors + self.warnings + self.notes,
        }
        if failed[fail_on]:
            return FAILED
        return INCONCLUSIVE if self.undecided or self.empty else 0
