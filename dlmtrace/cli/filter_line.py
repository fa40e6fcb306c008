"""The filter line of the browser: the selecting options of ``dlmtrace decode``, as one would type them in a shell."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from dlmtrace.cli.arguments import bad
from dlmtrace.cli.lockspaces import lockspaces, named
from dlmtrace.cli.selectors import Selectors

if TYPE_CHECKING:
    from dlmtrace.views.selection import Selection

OPTIONS = {
    "node": "nodes",
    "peer": "peers",
    "command": "commands",
    "type": "types",
    "lockspace": "lockspaces",
    "resource": "resources",
    "seq": "sequences",
    "packet": "packets",
    "connection": "connections",
    "time": "times",
}
"""Names of the options, and of the selectors that they give."""


class Filter(NamedTuple):
    """What a line selects, and the names of lockspaces in it, by id."""

    selection: Selection
    lockspaces: dict[int, str]


def read_filter(line: str, origin: int) -> Filter:
    """Read ``--node 1 --type '*_REPLY'``; the dashes may be left out, ``=`` may stand in front of a value.

    Relative times count from ``origin`` (ns).  Raises typer.BadParameter for a text that cannot be read.
    """
    try:
        words = shlex.split(line)
    except ValueError:
        raise bad("filter", line, "a line whose quotation marks are closed") from None
    given: dict[str, Any] = {field.name: [] for field in fields(Selectors)}
    while words:
        word = words.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if name not in OPTIONS:
            raise bad("filter", word, f"one of {', '.join(OPTIONS)}")
        if not equals and not words:
            raise bad("filter", word, "followed by a value")
        given[OPTIONS[name]].append(value if equals else words.pop(0))
    selectors = Selectors(**given)
    return Filter(selectors.selection(origin, local=False), named(lockspaces("lockspace", selectors.lockspaces)))
