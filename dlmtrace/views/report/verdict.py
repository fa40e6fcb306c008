"""The verdict in one sentence, and what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dlmtrace.findings.catalogue import CATALOGUE, severity
from dlmtrace.streams.results import Finding, Severity
from dlmtrace.views.analysis import Run
from dlmtrace.views.analysis_text import VERDICT_CODES, headline, listed, many, summary_line
from dlmtrace.views.places import Places

ADVISED = 4
"""Kinds of findings whose advice is given."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``word`` is that of analyze; ``advice`` has the codes and their advice, Markdown sentences."""

    word: str
    sentence: str
    counts: str
    advice: list[tuple[str, str]]


def verdict(run: Run, findings: Sequence[Finding], places: Places) -> Verdict:
    """``findings`` come gravest first."""
    grave = [finding for finding in findings if severity(finding) != "note"]
    gravest = [finding for finding in grave if severity(finding) == severity(grave[0])]
    codes = list(dict.fromkeys(finding.code for finding in gravest))
    codes.sort(key=lambda code: (code.startswith("CAP"), _FIRST.index(code) if code in _FIRST else len(_FIRST)))
    return Verdict(
        headline(run.outcome)[0], _sentence(run, gravest, codes, places), summary_line(run), _advice(codes[:ADVISED])
    )


_FIRST = ("SEQ211", "CON401", "SEQ202", "CON408", "CAP902", "CAP901", "CAP908", "CAP907", "CAP904")
"""Codes that tell best what happened, where there are several of the same severity; those on the capture come last."""


_REFERENCE = re.compile("As for [A-Z]{3}[0-9]{3}|See what made it necessary")


def _advice(codes: Sequence[str]) -> list[tuple[str, str]]:
    """What to do for each code; a sentence that several have comes once."""
    said: set[str] = set()
    advice = []
    for code in codes:
        sentences = [each for each in CATALOGUE[code].advice.split(". ") if each.rstrip(".") not in said]
        if sentences and _REFERENCE.match(sentences[0]):
            continue  # to the advice for another code
        said.update(each.rstrip(".") for each in sentences)
        if sentences:
            advice.append((code, ". ".join(sentences)))
    return advice


def _sentence(run: Run, gravest: Sequence[Finding], codes: Sequence[str], places: Places) -> str:
    outcome = run.outcome
    if outcome.empty:
        return "There is no DLM in this capture."
    undecided = [each for each in run.analysis.reconnects if each.verdict == "inconclusive"]
    if outcome.verdict == "inconclusive" and undecided:
        first = undecided[0]
        where = places.stream(first.sender, first.receiver)
        return f"The capture cannot tell what became of some frames of {where}: {first.reason}."
    if not gravest:
        nodes = listed([places.node(number) for number in sorted(run.analysis.nodes.nodes)])
        again = sum(epoch.duplicates for stream in run.streams for epoch in stream.epochs)
        story = f"; {many(again, 'frame')} came again, none was lost" if again else ""
        return f"Nothing went wrong between the nodes {nodes}{story}."
    told = next(finding for finding in gravest if finding.code == codes[0])
    where = "" if told.sender is None else f"on {places.stream(told.sender, told.receiver)} "
    others = len(gravest) - 1
    level: Severity = severity(told)
    more = f", and {many(others, f'more {level}')}" if others else ""
    message = told.message.partition(": ")[2] if told.code in VERDICT_CODES else told.message
    if told.code.startswith("CAP"):
        return (
            f"Nothing shows that anything went wrong, but the capture does not hold everything: {where}{message}{more}."
        )
    if level == "error":
        return f"The lock service was or will be damaged: {where}{message}{more}."
    return f"No damage is proven, but there is something to look at: {where}{message}{more}."
