"""Numbers of a frame as the views write them, each text made once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from enum import IntEnum
from typing import Generic, TypeVar

import numpy as np

from dlmtrace.wire.enums import Command, Mode, Result
from dlmtrace.wire.names import resource_text
from dlmtrace.wire.recovery import result_text
from dlmtrace.wire.structures import FIELDS

Key = TypeVar("Key", bound=Hashable)

REMEMBERED = 65_536
"""Texts that a Texts keeps; a capture can hold any number of names."""

ABSENT = int(np.iinfo(np.int64).min)
"""Stands in integer columns for a field that the frame does not have or the capture does not hold."""


class Texts(dict[Key, str], Generic[Key]):
    """Texts by key, made by ``make`` when first asked for; forgets all when it has grown to REMEMBERED."""

    def __init__(self, make: Callable[[Key], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> str:
        if len(self) >= REMEMBERED:
            self.clear()
        text = self[key] = self._make(key)
        return text


def _name(values: type[IntEnum], number: int) -> str:
    member = values._value2member_map_.get(number)
    return str(number) if member is None else str(member.name)


def _command(commands: tuple[int, int]) -> str:
    outer, inner = commands
    text = _name(Command, outer)
    return f"{text}/{_name(Command, inner)}" if outer == Command.OPTS and inner else text


def _type(key: tuple[int, int]) -> str:
    command, number = key
    return FIELDS["m_type" if command == Command.MSG else "rc_type"].text(number) if number else ""


def _mode(number: int) -> str:
    return "" if number in (ABSENT, Mode.IV) else _name(Mode, number)


def _modes(modes: tuple[int, int, int]) -> str:
    granted, requested, blocking = map(_mode, modes)
    wanted = f"→{requested}" if requested else ""
    return granted + wanted + (f"!{blocking}" if blocking else "")


def _flags(flags: tuple[int, int, int]) -> str:
    fields = zip(flags, ("m_exflags", "m_sbflags", "m_flags"), ("", "sb:", "fl:"), strict=True)
    return " ".join(prefix + FIELDS[field].text(bits) for bits, field, prefix in fields if bits > 0)


def _result(number: int) -> str:
    return "" if number == ABSENT else _name(Result, number)


COMMANDS: Texts[tuple[int, int]] = Texts(_command)
"""By h_cmd and the carried h_cmd: ``MSG``, or ``OPTS/MSG`` when OPTS carries it."""
TYPES: Texts[tuple[int, int]] = Texts(_type)
"""By the carried h_cmd and m_type or rc_type."""
MODE: Texts[int] = Texts(_mode)
"""One mode; empty for IV, which is none."""
MODES: Texts[tuple[int, int, int]] = Texts(_modes)
"""By granted, requested and blocked mode: ``PR``, ``→PR``, ``PR→EX``; ``PR!EX`` is held and in the way of EX."""
FLAGS: Texts[tuple[int, int, int]] = Texts(_flags)
"""By flags of the caller (DLM_LKF_), of the status block (DLM_SBF_, ``sb:``) and of the lock (DLM_IFL_, ``fl:``)."""
RESULTS: Texts[int] = Texts(_result)
"""By m_result or rl_result: 0 or an errno."""
RECOVERY_RESULTS: Texts[tuple[int, int]] = Texts(lambda key: result_text(*key))
"""By rc_type and rc_result."""
VERSIONS: Texts[int] = Texts(FIELDS["h_version"].text)
"""By h_version: ``3.2``."""
RESOURCES: Texts[bytes] = Texts(resource_text)
"""By the name on the wire: ``glock 2/17``, or escaped."""
