"""All findings that `dlmtrace analyze` knows, by code."""

from __future__ import annotations

from dlmtrace.findings.entries import acknowledgements, capture, connections, frames, sequence, termination, versions
from dlmtrace.findings.entry import Entry
from dlmtrace.streams.results import Finding, Severity

GROUPS = {
    "FRM": "Frames",
    "SEQ": "Sequence numbers",
    "ACK": "Acknowledgements",
    "CON": "Connections and reconnects",
    "FIN": "Termination",
    "VER": "Versions",
    "CAP": "The capture itself",
}
"""What the first three letters of a code stand for."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""From the gravest to the lightest."""

_MODULES = (frames, sequence, acknowledgements, connections, termination, versions, capture)

CATALOGUE: dict[str, Entry] = {entry.code: entry for module in _MODULES for entry in sorted(module.ENTRIES, key=str)}
"""Every entry by its code, in the order of the groups."""


def matching(word: str) -> list[Entry]:
    """The entry with this code or name, or else all whose code or name begins so; capital letters do not matter."""
    for entry in CATALOGUE.values():
        if word.upper() == entry.code or word.lower() == entry.name:
            return [entry]
    beginnings = word.upper(), word.lower()
    return [
        entry for entry in CATALOGUE.values() if entry.code.startswith(beginnings) or entry.name.startswith(beginnings)
    ]


def severity(finding: Finding) -> Severity:
    """How grave a finding is: its own severity, or else that of its entry."""
    return finding.severity or CATALOGUE[finding.code].severity
