"""The verdicts on a reconnect and the rules behind them."""

from __future__ import annotations

from typing import NamedTuple

from dlmtrace.streams.results import Verdict


class Rule(NamedTuple):
    """When a reconnect gets its verdict; ``code`` is the finding that says so."""

    verdict: Verdict
    code: str
    protocol: str
    text: str


RULES = (
    Rule("safe", "CON404", "3.2", "Every member of U is confirmed later in the same epoch, or U is empty."),
    Rule(
        "unsafe",
        "CON401",
        "3.2",
        "Some member of U is neither resent nor confirmed before the stream's next reconnect or the end of the "
        "epoch, although the stream went on (a higher number was sent on a new connection or on the pair's other "
        "one). Or numbering started again on one side only: a node came back and the survivor still speaks the old "
        "numbers. If a later reconnect resends the frames, `repaired_by` names it and they are not counted as lost; "
        "the verdict stays, since locks stood still in between.",
    ),
    Rule(
        "unsafe",
        "CON401",
        "3.0, 3.1, mixed",
        "Bytes of DLM frames were sent and not acknowledged by TCP when the connection died by RST or was abandoned. "
        "They are gone, since nothing is resent; the frames hit are counted.",
    ),
    Rule(
        "reset",
        "CON408",
        "3.2",
        "The epoch ended without FIN and both directions start again at 0: the node was fenced, crashed, or its "
        "comms entry was made anew. U is dropped by design, and recovery of the locks repairs it, not resending. The "
        "reason says whether recovery was seen to follow.",
    ),
    Rule(
        "unprotected",
        "CON402",
        "3.0, 3.1, mixed",
        "TCP acknowledged everything that was sent, but an RST can still drop what the receiver had not read: there "
        "is no proof either way.",
    ),
    Rule("inconclusive", "CON403", "3.0 to 3.2", "A hole, a cut packet or the end of the capture hides the evidence."),
)
"""The rules, in the words of ``UNCONFIRMED``."""

UNCONFIRMED = "U is the set of numbers that were sent in the epoch and not confirmed when the old connection ended."


def rules(verdict: Verdict) -> str:
    """When a finding for this verdict is raised, in sentences."""
    texts = [f"Protocol {rule.protocol}: {rule.text}" for rule in RULES if rule.verdict == verdict]
    if any("U" in text.split() for text in texts):
        texts.insert(0, UNCONFIRMED)
    return " ".join((f"A reconnect has the verdict `{verdict}`.", *texts))
