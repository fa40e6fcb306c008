"""The texts of the selecting options, read into a Selection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from dlmtrace.cli.arguments import bad, items
from dlmtrace.cli.lockspaces import lockspaces

if TYPE_CHECKING:
    from dlmtrace.views.selection import Ranges, Selection

END = (1 << 63) - 1
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Selectors:
    """The options as they were given, see the help of ``dlmtrace decode``."""

    nodes: list[str]
    peers: list[str]
    commands: list[str]
    types: list[str]
    lockspaces: list[str]
    resources: list[str]
    sequences: list[str]
    packets: list[str]
    connections: list[str]
    times: list[str]

    @classmethod
    def of(cls, *options: list[str] | None) -> Selectors:
        """From the options of a command, in the order of the fields."""
        return cls(*(option or [] for option in options))

    def selection(self, origin: int, local: bool) -> Selection:
        """The selection; relative times count from ``origin`` (ns), others without a zone are ``local`` or UTC.

        Raises typer.BadParameter for a text that cannot be read.
        """
        from dlmtrace.views.selection import Selection
        from dlmtrace.wire.enums import MessageType, RecoveryType

        message_types = _named(self.types, MessageType)
        recovery_types = _named(self.types, RecoveryType)
        for text in items(self.types):
            if not _named([text], MessageType) and not _named([text], RecoveryType):
                raise bad("--type", text, "a message or recovery type such as REQUEST, '*_REPLY' or 9")
        return Selection(
            senders=_ranges("--node", self.nodes),
            receivers=_ranges("--peer", self.peers),
            commands=_commands(self.commands),
            message_types=message_types if self.types else None,
            recovery_types=recovery_types if self.types else None,
            lockspaces=frozenset(lockspaces("--lockspace", self.lockspaces)) or None,
            resources=tuple(self.resources) or None,
            sequences=_ranges("--seq", self.sequences),
            packets=_ranges("--packet", self.packets),
            connections=_connections(self.connections),
            times=_times(self.times, origin, local),
        )


def _number(text: str) -> int | None:
    try:
        return int(text, 0) if text.lower().startswith("0x") else int(text)
    except ValueError:
        return None


def _ranges(option: str, texts: list[str]) -> Ranges | None:
    """``7``, ``3-9``, ``3-``, ``-9``."""
    ranges = []
    for text in items(texts):
        first, dash, last = text.partition("-")
        low, high = _number(first or "0"), _number(last) if last else (END if dash else _number(first))
        if text == "-" or low is None or high is None:
            raise bad(option, text, "a number or a range such as 7, 3-9 or 3-")
        if low > high:
            raise bad(option, text, "a range: it ends before it begins")
        ranges.append((low, high))
    return ranges or None


def _connections(texts: list[str]) -> Ranges | None:
    """``c3``, ``c2-c5``; the letter may be left out."""
    ranges = _ranges("--connection", [text.lower().replace("c", "") for text in texts])
    return None if ranges is None else [(low - 1, high - 1) for low, high in ranges]


def _named(texts: list[str], values: type[IntEnum]) -> frozenset[int]:
    """Values by name, shell pattern or number."""
    found = set()
    for text in items(texts):
        number = _number(text)
        if number is not None:
            found.add(number)
        else:
            found.update(int(value) for value in values if fnmatchcase(value.name, text.upper()))
    return frozenset(found)


def _commands(texts: list[str]) -> frozenset[int] | None:
    from dlmtrace.wire.enums import Command

    for text in items(texts):
        if not _named([text], Command):
            raise bad("--command", text, f"one of {', '.join(command.name for command in Command)}, or a number")
    return _named(texts, Command) or None


def _times(texts: list[str], origin: int, local: bool) -> Ranges | None:
    """``FROM..TO``, either end may be left out; between seconds a dash will do."""
    ranges = []
    for text in texts:
        between = re.fullmatch(r"([0-9.]*)-([0-9.]*)", text)
        first, dots, last = (between[1], "-", between[2]) if between else text.partition("..")
        low, high = _moment(first, origin, local, -END), _moment(last, origin, local, END)
        if not dots or low is None or high is None:
            raise bad("--time", text, "a range such as 1.5..3 (seconds) or 2026-11-22T05:13:40Z..2026-11-22T05:14Z")
        if low > high:
            raise bad("--time", text, "a range: it ends before it begins")
        ranges.append((low, high))
    return ranges or None


def _moment(text: str, origin: int, local: bool, default: int) -> int | None:
    """Nanoseconds since 1970 of seconds behind ``origin`` or an ISO 8601 time; None when it cannot be read."""
    if not text:
        return default
    if re.fullmatch(r"[0-9]+(\.[0-9]{1,9})?", text):
        return origin + _nanoseconds(*text.partition(".")[::2])
    parts = re.fullmatch(r"([0-9-]{10}(?:[T ][0-9:]{5,8})?)(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:?[0-9]{2})?", text)
    if not parts:
        return None
    try:
        moment = datetime.fromisoformat(parts[1] + (parts[3] or ""))
    except ValueError:
        return None
    if moment.tzinfo is None and not local:
        moment = moment.replace(tzinfo=UTC)
    return _nanoseconds(str(int(moment.timestamp())), parts[2] or "")


def _nanoseconds(seconds: str, fraction: str) -> int:
    return int(seconds) * SECOND + int(fraction.ljust(9, "0"))
