"""Libraries that only some commands need, and that an installation may therefore lack."""

from __future__ import annotations

import importlib.util


class MissingExtra(Exception):
    """A command needs a library that is not installed; the message says which, and how to get it."""


def require(command: str, extra: str, *libraries: str) -> None:
    """Raise MissingExtra unless these libraries, which ``extra`` brings, are installed."""
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise MissingExtra(f"{command} needs {library}: pip install 'dlmtrace[{extra}]'")
