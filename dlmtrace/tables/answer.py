"""The answer to a query as aligned text."""

from __future__ import annotations

import pyarrow as pa

from dlmtrace.tables.arrow import Arrow
from dlmtrace.tables.texts import plain_rows
from dlmtrace.views.terminal import BOLD, Terminal
from dlmtrace.wire.names import escape


class AnswerText:
    """Makes lines of record batches, the names of the columns first.

    The first batch decides how wide the columns are: a longer text further down pushes the rest of its line.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._widths: list[int] = []

    def text(self, batch: Arrow) -> str:
        """The next rows, each with its line feed."""
        rows = [[_printable(cell) for cell in row] for row in plain_rows(batch)]
        lines = []
        numbers = [_is_number(kind) for kind in batch.schema.types]
        if not self._widths:
            titles = [_printable(name) for name in batch.schema.names]
            self._widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
            lines.append(self._terminal.line(self._line(titles, numbers), BOLD))
        lines += [self._terminal.line(self._line(row, numbers)) for row in rows]
        return "\n".join([*lines, ""])

    def _line(self, cells: list[str], numbers: list[bool]) -> str:
        padded = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, self._widths, numbers, strict=True)
        )
        return "  ".join(padded).rstrip()


def _is_number(kind: Arrow) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _printable(text: str) -> str:
    """``text`` without control characters; names of resources are escaped already, and stay as they are."""
    return (
        text if text.isprintable() else "".join(letter if letter.isprintable() else escape(letter) for letter in text)
    )
