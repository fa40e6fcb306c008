"""Prints docs/findings.md from the catalogue: ``python -m dlmtrace.findings.document > docs/findings.md``."""

from __future__ import annotations

from collections.abc import Iterator

from dlmtrace.findings.catalogue import CATALOGUE, GROUPS
from dlmtrace.findings.entry import Entry
from dlmtrace.findings.verdicts import RULES, UNCONFIRMED

_BEGINNING = """\
# Findings

What `dlmtrace analyze` says, in which words, and what each of them means. `dlmtrace explain CODE` tells the same of one
finding. Printed from `dlmtrace/findings/` by `python -m dlmtrace.findings.document`; do not edit. A1 … A43 are the
anomalies of the [protocol page](protocol.md), §9. The output itself, with every key of JSON, has its own
[page](analysis.md).
"""

_WORDS = {
    "packet": "one record of the capture, numbered from 1 as Wireshark numbers it; with several files each has its own "
    "numbers and the file is named",
    "connection": "one TCP connection (one life of a 4-tuple, from SYN to FIN or RST) or one SCTP association: `c1`, "
    "`c2`, … by first packet",
    "frame": "one DLM frame, header and body; an OPTS frame *carries* another one and gives it a number",
    "stream": "a directed pair of nodes, `1→2`, over all its connections: it has the numbers, ACKs and reconnects",
    "epoch": "the part of a stream between two resets of its numbers",
    "delivered": "the receiver's kernel took the frame: its number was the expected one when it came",
    "confirmed": "an ACK of the receiver in the same epoch is greater than the number (serial arithmetic, RFC 1982)",
    "hole": "bytes of one direction of a connection that the capture does not hold, proven by TCP's own numbers",
    "error": "severity: the lock service was damaged or will be",
    "warning": "severity: suspicious, look at it",
    "note": "severity: normal, or only a fact",
}

_RULES = """
**The capture-loss rule.** What rests on something *missing* is only said when the capture cannot be what lost it. With
a hole, a cut packet or a connection that was not captured in its evidence, no such finding is raised: one about the
capture (CAP) stands there instead, and where a verdict was wanted it is `inconclusive`. One finding covers a contiguous
range, not one frame.

## The verdict on a reconnect

One for each stream and reconnect: the connection that carried the sender's frames ended (RST, FIN, or it was abandoned)
and the frames went on, or should have gone on, over another: a new one, or the pair's second one. An error on a
connection that carries no frames of the stream is no reconnect of it, but it explains a resend (SEQ204).
"""

_END = """\
## Exit status of analyze

| status | meaning |
|---|---|
| 0 | no finding at or above `--fail-on` (default `error`); always with `--fail-on never` |
| 1 | some |
| 2 | input or arguments that cannot be used |
| 3 | nothing to fail on, but the capture cannot tell: a verdict is `inconclusive`, or there is no DLM in it |
| 130 | interrupted; what was said until then holds |
"""


def lines() -> Iterator[str]:
    """The page, line by line."""
    yield _BEGINNING
    yield "## Words\n"
    yield "| word | meaning |"
    yield "|---|---|"
    yield from (f"| {word} | {meaning} |" for word, meaning in _WORDS.items())
    yield _RULES
    yield UNCONFIRMED + "\n"
    yield "| verdict | protocol | when | finding |"
    yield "|---|---|---|---|"
    for rule in RULES:
        yield f"| {rule.verdict} | {rule.protocol} | {rule.text} | {_link(rule.code)} |"
    yield "\n## Catalogue\n"
    yield "| code | name | severity |"
    yield "|---|---|---|"
    for entry in CATALOGUE.values():
        yield f"| {_link(entry.code)} | {entry.name} | {_severity(entry)} |"
    for group, title in GROUPS.items():
        yield f"\n## {group}: {title}"
        for entry in CATALOGUE.values():
            if entry.code.startswith(group):
                yield from _section(entry)
    yield "\n" + _END


def _section(entry: Entry) -> Iterator[str]:
    yield f"\n### {entry.code} {entry.name}\n"
    yield f"*{_severity(entry).capitalize()}.* {entry.when}\n"
    yield f"* **In the kernel:** {entry.meaning}"
    if entry.log:
        yield f"* **In the kernel log:** {'; '.join(f'{line.node}: `{line.text}`' for line in entry.log)}"
    yield f"* **What would make it wrong:** {entry.wrong_if}"
    yield f"* **What to do next:** {entry.advice}"
    if entry.supersedes:
        yield f"* **Not raised for the same frames:** {', '.join(map(_link, entry.supersedes))}"
    if entry.anomalies:
        yield f"* **Protocol page:** {', '.join(entry.anomalies)}"


def _severity(entry: Entry) -> str:
    return f"{entry.severity}, at worst {entry.at_worst}" if entry.at_worst else entry.severity


def _link(code: str) -> str:
    return f"[{code}](#{code.lower()}-{CATALOGUE[code].name})"


if __name__ == "__main__":
    print("\n".join(lines()).rstrip())
