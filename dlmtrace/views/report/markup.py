"""Pieces of HTML.  Everything that is not markup goes through ``text`` or an attribute of ``element``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import NewType

from dlmtrace.wire import names

Markup = NewType("Markup", str)
"""A string that is HTML already."""


def text(words: str) -> Markup:
    """Words from anywhere, the wire included: control characters and direction marks are shown, not obeyed.

    Backslashes stay: names from the wire come with theirs doubled.
    """
    return Markup(escape("".join(letter if letter.isprintable() else names.escape(letter) for letter in words)))


def prose(sentence: str) -> Markup:
    """A sentence of the catalogue: code between backticks."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", escape(sentence)))


def element(name: str, *parts: Markup, **attributes: str | int | None) -> Markup:
    """An element.  ``class_`` is class, ``data_x`` is data-x; an attribute that is None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{''.join(parts)}</{name}>")


def joined(parts: Iterable[Markup]) -> Markup:
    """Pieces behind each other."""
    return Markup("".join(parts))


def table(columns: Iterable[str], rows: Iterable[Markup], **attributes: str | int | None) -> Markup:
    """A table; rows come from ``row``."""
    head = element("tr", *(element("th", text(column), scope="col") for column in columns))
    return element("table", element("thead", head), element("tbody", *rows), **attributes)


def row(columns: Iterable[str], cells: Iterable[Markup], **attributes: str | int | None) -> Markup:
    """A row; each cell knows its column's name, for narrow pages."""
    pairs = zip(columns, cells, strict=True)
    return element("tr", *(element("td", cell, data_name=column) for column, cell in pairs), **attributes)
