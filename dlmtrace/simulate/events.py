"""What an endpoint tells its user: small frozen events, in the order in which things happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dlmtrace.streams.termination import State

Cause = Literal["new", "socket error", "equal ACKs", "timer"]
"""Why a frame was queued: for the first time, or again and for which reason (protocol page §6.3)."""

Reason = Literal[
    "bad version",
    "no record",
    "version mismatch",
    "terminating",
    "unsupported",
    "too small",
    "sequence mismatch",
]
"""Why a frame was not taken (protocol page §1.3, §6.2, §6.4)."""


@dataclass(frozen=True, slots=True)
class VersionDetected:
    """The first frame handled told the peer's protocol version."""

    version: int
    """h_version of that frame"""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A frame for the application: MSG or RCOM."""

    frame: bytes
    """the frame itself, without OPTS"""
    sequence: int | None
    """its number; None when it came bare"""


@dataclass(frozen=True, slots=True)
class FinReceived:
    """The peer's FIN came in its turn."""

    sequence: int
    """the number that it had"""


@dataclass(frozen=True, slots=True)
class Queued:
    """A frame came ahead of its turn and waits for the ones before it (v3)."""

    sequence: int
    """its number"""
    expected: int
    """the number whose turn it is"""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A frame was dropped."""

    reason: Reason
    """the rule that dropped it"""
    sequence: int | None = None
    """sequence mismatch: its number"""
    expected: int | None = None
    """sequence mismatch: the number that would have been taken"""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """An ACK released frames from the unconfirmed set."""

    sequences: tuple[int, ...]
    """their numbers, oldest first"""


@dataclass(frozen=True, slots=True)
class Resent:
    """Copies of unconfirmed frames were queued."""

    sequences: tuple[int, ...]
    """their numbers in the order queued"""
    cause: Cause
    """what made it so"""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The termination handshake moved on."""

    before: State
    """state left"""
    after: State
    """state entered"""


@dataclass(frozen=True, slots=True)
class RecordReset:
    """The peer's record was reset: both counters at their start, version unknown (protocol page §6.5)."""

    unconfirmed: tuple[int, ...]
    """numbers that were still unconfirmed and are now forgotten"""


@dataclass(frozen=True, slots=True)
class ShutdownFinished:
    """The local shutdown ends and the sockets may close."""

    timed_out: bool
    """whether the handshake did not end in time"""


@dataclass(frozen=True, slots=True)
class Warned:
    """The kernel prints a WARN here: something that the protocol does not foresee."""

    text: str
    """what happened"""


Event = (
    VersionDetected
    | Delivered
    | FinReceived
    | Queued
    | Ignored
    | Confirmed
    | Resent
    | StateChanged
    | RecordReset
    | ShutdownFinished
    | Warned
)
