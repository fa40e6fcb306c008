"""Sentences of Markdown as text for people: wrapped, with code in colour where there are colours."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace

from dlmtrace.views.terminal import CYAN, Terminal


def coloured(text: str, colour: str, terminal: Terminal) -> str:
    """``text``, never cut, in ``colour`` when there are colours."""
    return replace(terminal, width=None).line(text, colour)


def paragraph(text: str, terminal: Terminal, first: str = "", further: str = "", width: int | None = None) -> str:
    """``text`` behind ``first``, wrapped to the terminal or else to ``width``, further lines behind ``further``.

    Words are never broken.  Without a width it stays one line.
    """
    width = terminal.width or width
    if width is not None:
        wrapper = textwrap.TextWrapper(
            width=max(width, len(further) + 20),
            initial_indent=first,
            subsequent_indent=further,
            break_long_words=False,
            break_on_hyphens=False,
        )
        text = wrapper.fill(text)
    else:
        text = first + text
    if terminal.colours:
        text = re.sub("`([^`]+)`", lambda code: coloured(code[1], CYAN, terminal), text)
    return text
