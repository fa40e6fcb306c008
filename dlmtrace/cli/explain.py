"""``dlmtrace explain``: what the findings mean."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

EXAMPLES = """
Examples:

dlmtrace explain

dlmtrace explain SEQ211

dlmtrace explain unsafe-reconnect safe-reconnect

dlmtrace explain FIN
"""


def explain(
    finding: Annotated[
        list[str] | None,
        typer.Argument(metavar="CODE|NAME", help="A finding by code or name, or several by the beginning of theirs."),
    ] = None,
) -> int:
    """Explain findings: when one is raised, what it means in the kernel, what to do. Without a name, list all."""
    from dlmtrace.findings.catalogue import CATALOGUE, matching
    from dlmtrace.views.explanation import explanation, listing
    from dlmtrace.views.terminal import Terminal

    wanted = {}
    for word in finding or []:
        found = matching(word)
        if not found:
            raise typer.BadParameter(
                f"{word!r} is no code or name of a finding; dlmtrace explain lists all", param_hint="CODE|NAME"
            )
        wanted.update({entry.code: entry for entry in found})
    terminal = Terminal.of(sys.stdout)
    if not wanted:
        print("\n".join(listing(terminal)))
    else:
        entries = [entry for code, entry in CATALOGUE.items() if code in wanted]
        print("\n\n".join("\n".join(explanation(entry, terminal)) for entry in entries))
    return 0
