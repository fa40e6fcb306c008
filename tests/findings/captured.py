"""Captures, real and crafted, and what the analysis finds in them."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from evidence import capture_path

from dlmtrace.capture.packets import packet_number
from dlmtrace.capture.source import WINDOW, Capture
from dlmtrace.craft import Connection, Network, Node, status, status_reply
from dlmtrace.findings.catalogue import severity
from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.results import Finding

SECOND = 1_000_000_000


def analyse(paths: Sequence[Path], window: int = WINDOW) -> list[Finding]:
    """All findings in these files, which are read ``window`` bytes at a time."""
    return analysed(*paths, window=window).findings


def analysed(*paths: Path, window: int = WINDOW) -> Analysis:
    """The analysis of these files, which is over."""
    trace, analysis = Trace([str(path) for path in paths]), Analysis()
    trace.capture = Capture([str(path) for path in paths], window)
    for batch in trace.batches():
        analysis.feed(batch)
    analysis.finish(trace.capture.facts, trace.traffic)
    return analysis


@lru_cache(maxsize=4)
def findings_of(*files: str) -> list[Finding]:
    """All findings in captures of the repository."""
    return analyse([capture_path(file) for file in files])


def only(findings: list[Finding], *prefixes: str) -> list[Finding]:
    """Those whose code begins with one of these, in order of time, then of code."""
    chosen = [finding for finding in findings if finding.code.startswith(prefixes)]
    return sorted(chosen, key=lambda finding: (finding.time or 0, finding.code))


def above_note(findings: list[Finding]) -> list[str]:
    """Codes of all errors and warnings."""
    return [finding.code for finding in findings if severity(finding) != "note"]


class Lab:
    """Two nodes whose packets are crafted; ``findings()`` analyses what was written so far."""

    def __init__(self, path: Path) -> None:
        self.network = Network(path)
        self.path = path
        self.one = self.network.node(1, "10.0.0.1")
        self.two = self.network.node(2, "10.0.0.2")

    def meet(self, client: Node | None = None, server: Node | None = None, **fields: int) -> Connection:
        """A connection on which the nodes introduce themselves; ``fields`` go into both frames."""
        client, server = client or self.one, server or self.two
        connection = self.network.connect(client, server)
        connection.send(client, status(sender=client, **fields))
        connection.send(server, status_reply(sender=server, **fields))
        return connection

    def findings(self, *prefixes: str) -> list[Finding]:
        """Findings whose code begins so, the same however much of the file is read at a time."""
        self.network.write(self.path)
        found, one_by_one = (only(analyse([self.path], window), *prefixes) for window in (WINDOW, 1))
        assert found == one_by_one
        return found

    def codes(self, *prefixes: str) -> list[str]:
        """Their codes."""
        return [finding.code for finding in self.findings(*prefixes)]

    def texts(self, *prefixes: str) -> list[tuple[str, str]]:
        """Their codes and messages."""
        return [(finding.code, finding.message) for finding in self.findings(*prefixes)]


def numbered(finding: Finding) -> int | None:
    """The packet of a finding, as Wireshark numbers it."""
    return None if finding.packet is None else packet_number(finding.packet)
