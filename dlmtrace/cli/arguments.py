"""Reading the texts of options."""

from __future__ import annotations

import re
from collections.abc import Iterable

import typer


def items(texts: Iterable[str]) -> list[str]:
    """The parts of comma lists, of an option that may be repeated."""
    return [item.strip() for text in texts for item in text.split(",") if item.strip()]


def bad(option: str, text: str, expected: str) -> typer.BadParameter:
    """The error to raise for a text that an option cannot take."""
    return typer.BadParameter(f"{text!r} is not {expected}", param_hint=option)


def stream_of(text: str) -> tuple[int, int] | None:
    """Sender and receiver of ``1-2``, ``1→2``, ``1->2`` or ``1>2``; None for any other text."""
    found = re.fullmatch("([0-9]+)(?:-|→|->|>)([0-9]+)", text)
    return None if found is None else (int(found[1]), int(found[2]))
