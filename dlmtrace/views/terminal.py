"""What the output can show: how wide a line may be, and whether it may have colours."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TextIO

BOLD, DIM, RED, YELLOW, CYAN = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[36m"
_PLAIN = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Terminal:
    """``width`` is that of a terminal in columns, None where lines are never cut: in a file or a pipe."""

    width: int | None = None
    colours: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> Terminal:
        """What ``stream`` can show; NO_COLOR (no-color.org) and a dumb terminal have no colours."""
        if not stream.isatty():
            return cls()
        try:
            width = os.get_terminal_size(stream.fileno()).columns
        except OSError:
            width = 0
        colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in (None, "dumb")
        return cls(width or 80, colours)

    def line(self, text: str, colour: str = "") -> str:
        """``text`` cut to the width, in ``colour`` when there are colours.  Every character must be one column wide."""
        if self.width is not None and len(text) > self.width:
            text = text[: self.width - 1] + "…"
        return f"{colour}{text}{_PLAIN}" if colour and self.colours else text
