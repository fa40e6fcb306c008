"""Lockspaces as users name them."""

from __future__ import annotations

import re

from dlmtrace.cli.arguments import bad, items


def lockspaces(option: str, texts: list[str]) -> dict[int, str | None]:
    """Lockspaces by id: ``NAME`` has the id that dlm_controld gives it, ``NAME=0x…`` another one, ``0x…`` no name.

    Raises typer.BadParameter for a text that is none of these.
    """
    from dlmtrace.wire.names import lockspace_id

    found: dict[int, str | None] = {}
    for text in items(texts):
        name, equals, number = text.rpartition("=")
        if not equals and not number.lower().startswith("0x"):
            found[lockspace_id(text)] = text
        elif re.fullmatch("0[xX][0-9a-fA-F]{1,8}", number):
            found[int(number, 16)] = name or None
        else:
            raise bad(option, text, "a lockspace such as NAME, NAME=0x1a2b3c4d or 0x1a2b3c4d")
    return found


def named(lockspaces: dict[int, str | None]) -> dict[int, str]:
    """Those that have a name."""
    return {number: name for number, name in lockspaces.items() if name is not None}
