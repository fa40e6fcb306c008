"""Which findings the user wants: codes or beginnings of codes, the more exact one wins (as ruff selects its rules)."""

from __future__ import annotations

from collections.abc import Iterable

from dlmtrace.findings.catalogue import CATALOGUE, SEVERITIES, severity
from dlmtrace.streams.results import Finding, Severity


def selected_codes(select: Iterable[str], ignore: Iterable[str]) -> frozenset[str]:
    """The codes that are selected; all when ``select`` is empty.  Of two words as exact, the one that ignores wins.

    A word is a code, the beginning of one (``SEQ``, ``SEQ20``) or a name.  Raises ValueError with a word that is none.
    """
    wanted, unwanted = _exactness(select), _exactness(ignore)
    everything = {} if wanted else dict.fromkeys(CATALOGUE, 0)
    taken = everything | wanted
    return frozenset(code for code in taken if taken[code] > unwanted.get(code, -1))


def _exactness(words: Iterable[str]) -> dict[str, int]:
    """For every code that a word means: the length of the longest such word, a name counting as a whole code."""
    found: dict[str, int] = {}
    for word in words:
        meant = [code for code, entry in CATALOGUE.items() if code.startswith(word.upper()) or word == entry.name]
        if not word or not meant:
            raise ValueError(word)
        for code in meant:
            found[code] = max(found.get(code, 0), min(len(word), len(code)))
    return found


def at_least(finding: Finding, level: Severity) -> bool:
    """Is the finding as grave as ``level`` or graver?"""
    return SEVERITIES.index(severity(finding)) <= SEVERITIES.index(level)
