"""Names of nodes, from a file of the user's."""

from __future__ import annotations

from pathlib import Path

import typer


def node_names(path: Path | None) -> dict[int, str]:
    """Names by node id: a line each, ``ID NAME``; what follows a # is a comment.

    Raises typer.BadParameter for a line that is none of these, OSError when the file cannot be read.
    """
    names: dict[int, str] = {}
    if path is None:
        return names
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not words[0].isdecimal():
            raise typer.BadParameter(f"{path}, line {number}: not a node id and a name", param_hint="--nodes")
        names[int(words[0])] = words[1]
    return names
