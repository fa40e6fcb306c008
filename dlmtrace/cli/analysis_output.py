"""Where the analysis goes: a report, lines as things become final, one JSON object, or JSON lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from dlmtrace.findings.outcome import Outcome
from dlmtrace.findings.selection import at_least
from dlmtrace.views.analysis import (
    Run,
    capture_record,
    connection_records,
    document,
    finding_record,
    node_records,
    reconnect_record,
    stream_record,
    summary_record,
)
from dlmtrace.views.analysis_text import VERDICT_CODES, AnalysisText

if TYPE_CHECKING:
    from dlmtrace.capture.packets import FileSummary
    from dlmtrace.streams.analysis import Analysis
    from dlmtrace.streams.results import Finding, Reconnect, Severity
    from dlmtrace.views.live import LiveView


class Output(Protocol):
    """Takes reconnects and selected findings as they become final, a reconnect before its finding."""

    def reconnect(self, reconnect: Reconnect) -> None:
        """A verdict."""

    def finding(self, finding: Finding) -> None:
        """A finding that is to be shown."""

    def finish(self, run: Run) -> None:
        """The run is over."""


class Report:
    """The text, when all is known."""

    def __init__(self, view: AnalysisText) -> None:
        self._view = view
        self._findings: list[Finding] = []

    def reconnect(self, reconnect: Reconnect) -> None:
        """Comes with the rest."""

    def finding(self, finding: Finding) -> None:
        """Kept for the end."""
        self._findings.append(finding)

    def finish(self, run: Run) -> None:
        """Print everything."""
        print("\n".join(self._view.report(run, self._findings)))


class Screen(Report):
    """Findings on the screen as they come, the text at the end."""

    def __init__(self, view: AnalysisText, screen: LiveView) -> None:
        super().__init__(view)
        self._screen = screen

    def finding(self, finding: Finding) -> None:
        """Shown, and kept for the end."""
        super().finding(finding)
        self._screen.add(finding)


class Following:
    """A line for everything that becomes final; the verdict last."""

    def __init__(self, view: AnalysisText) -> None:
        self._view = view
        self._judged: dict[str, Reconnect] = {}

    def reconnect(self, reconnect: Reconnect) -> None:
        """Its finding decides whether it is shown."""
        self._judged[reconnect.reconnect] = reconnect

    def finding(self, finding: Finding) -> None:
        """Print the line at once."""
        if finding.code in VERDICT_CODES:
            line = self._view.reconnect(self._judged.pop(finding.evidence["reconnect"]))
        else:
            line = self._view.finding(finding, alone=True)
        print(line, flush=True)

    def finish(self, run: Run) -> None:
        """Print the verdict on the whole."""
        print("\n".join(["", *self._view.summary(run)]))


class Document:
    """One JSON object."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []

    def reconnect(self, reconnect: Reconnect) -> None:
        """Comes with the rest."""

    def finding(self, finding: Finding) -> None:
        """Kept for the end."""
        self._findings.append(finding)

    def finish(self, run: Run) -> None:
        """Print the object."""
        print(json.dumps(document(run, self._findings), indent=2))


class Lines:
    """JSON lines."""

    def __init__(self, files: list[FileSummary]) -> None:
        self._files = files

    def reconnect(self, reconnect: Reconnect) -> None:
        """Print it at once."""
        self._print("reconnect", reconnect_record(reconnect))

    def finding(self, finding: Finding) -> None:
        """Print it at once."""
        self._print("finding", finding_record(finding, self._files))

    def finish(self, run: Run) -> None:
        """Print what only the end tells."""
        self._print("capture", capture_record(run))
        for node in node_records(run):
            self._print("node", node)
        for connection in connection_records(run):
            self._print("connection", connection)
        for stream in run.streams:
            self._print("stream", stream_record(stream))
        self._print("summary", summary_record(run))

    def _print(self, kind: str, record: dict[str, Any]) -> None:
        print(json.dumps({"record": kind, **record}), flush=True)


class Intake:
    """Takes what became final out of the analysis, so that it does not pile up there, and counts and shows it."""

    def __init__(
        self, analysis: Analysis, output: Output, codes: frozenset[str], level: Severity, limit: int | None
    ) -> None:
        self.outcome = Outcome()
        self._analysis = analysis
        self._output = output
        self._codes = codes
        self._level = level
        self._left = limit
        self._judged = 0  # reconnects that were passed on

    def take(self) -> None:
        """Pass on what became final since the last time."""
        for reconnect in self._analysis.reconnects[self._judged :]:
            self.outcome.judge(reconnect)
            self._output.reconnect(reconnect)
        self._judged = len(self._analysis.reconnects)
        for finding in self._analysis.findings:
            if finding.code in self._codes:
                self.outcome.add(finding)
                if self._left != 0 and at_least(finding, self._level):
                    self._left = None if self._left is None else self._left - 1
                    self._output.finding(finding)
        self._analysis.findings.clear()
