"""One code of the catalogue of findings, and the texts that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from dlmtrace.streams.results import Severity


class LogLine(NamedTuple):
    """What a kernel logs: which node's kernel, and the text with the kernel's own placeholders (``%u``, ``%d``)."""

    node: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of finding.  Texts are Markdown sentences; ``at_worst`` is a graver severity that ``when`` explains."""

    code: str
    name: str
    severity: Severity
    when: str  # what must be seen before it is raised
    meaning: str  # what it means in the kernel
    wrong_if: str  # what would make it wrong, and how that is guarded against
    advice: str  # what to do next
    log: tuple[LogLine, ...] = ()
    anomalies: tuple[str, ...] = ()  # of the protocol page, §9
    supersedes: tuple[str, ...] = ()  # codes that are not raised for the same frames where this one is
    at_worst: Severity | None = None
