"""The catalogue of findings as text for people: one entry with all it says, or a list of all."""

from __future__ import annotations

from collections.abc import Iterator

from dlmtrace.findings.catalogue import CATALOGUE, GROUPS
from dlmtrace.findings.entry import Entry
from dlmtrace.streams.results import Severity
from dlmtrace.views.prose import coloured, paragraph
from dlmtrace.views.terminal import BOLD, CYAN, RED, YELLOW, Terminal

COLOURS: dict[Severity, str] = {"error": RED, "warning": YELLOW, "note": CYAN}
"""Colour of each severity."""

_WIDTH = 100
"""Columns of a paragraph where no terminal has a say."""


def explanation(entry: Entry, terminal: Terminal) -> Iterator[str]:
    """One entry, line by line."""
    severity = entry.severity + (f" or {entry.at_worst}" if entry.at_worst else "")
    yield terminal.line(f"{entry.code} {entry.name}: {severity}", BOLD + COLOURS[entry.at_worst or entry.severity])
    yield from _section("Raised when", [entry.when], terminal)
    yield from _section("In the kernel", [entry.meaning], terminal)
    lines = [f"{line.node}: `{line.text}`" for line in entry.log]
    yield from _section("In the kernel log", lines or ["nothing"], terminal)
    yield from _section("What would make it wrong", [entry.wrong_if], terminal)
    yield from _section("What to do next", [entry.advice], terminal)
    yield from _section("See also", list(_relations(entry)), terminal)


def _section(title: str, paragraphs: list[str], terminal: Terminal) -> Iterator[str]:
    if paragraphs:
        yield ""
        yield terminal.line(title, BOLD)
    for text in paragraphs:
        yield paragraph(text, terminal, "  ", "  ", _WIDTH)


def _relations(entry: Entry) -> Iterator[str]:
    if entry.supersedes:
        yield f"not raised for the same frames: {', '.join(map(_reference, entry.supersedes))}"
    stronger = [other.code for other in CATALOGUE.values() if entry.code in other.supersedes]
    if stronger:
        yield f"raised instead where they apply: {', '.join(map(_reference, stronger))}"
    if entry.anomalies:
        yield f"anomalies {', '.join(entry.anomalies)} of the protocol page, docs/protocol.md §9"


def _reference(code: str) -> str:
    return f"{code} {CATALOGUE[code].name}"


def listing(terminal: Terminal) -> Iterator[str]:
    """All entries by group, a line each."""
    longest = max(len(entry.name) for entry in CATALOGUE.values())
    for group, title in GROUPS.items():
        yield terminal.line(f"{group} {title}", BOLD)
        for entry in CATALOGUE.values():
            if entry.code.startswith(group):
                title = f"{entry.code} {entry.name:{longest}} {entry.severity:7}"
                sentence = entry.when.partition(". ")[0].removesuffix(".").replace("`", "")
                line = terminal.line(f"{title} {sentence}")
                yield coloured(line[: len(title)], COLOURS[entry.severity], terminal) + line[len(title) :]
        yield ""
    yield terminal.line("dlmtrace explain CODE tells all about one of them.")
