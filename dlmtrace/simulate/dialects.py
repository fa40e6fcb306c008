"""How the kernels that speak DLM differ on the wire: one record per group of releases (protocol page §5–§8)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SECOND = 1_000_000_000
"""ns; all times of the simulator are ns."""

VERSION_3_1 = 0x00030001
VERSION_3_2 = 0x00030002
"""h_version of the two protocols: bare frames, and the reliability layer."""


class Acknowledging(Enum):
    """When a receiver sends an ACK for frames that are neither FIN nor repeated (§5)."""

    NEVER = "never"
    EVERY_FRAME = "after every OPTS frame, whatever its number"
    EXPECTED_FRAME = "after every OPTS frame that was expected, before it is delivered"
    RECEIVE_RUN = "once at the end of a receive run that delivered something, in state ESTABLISHED"
    COUNTED = "when more than 32 are due and a frame is sent, or more than 256 are due"


class Resending(Enum):
    """What makes a sender repeat unconfirmed frames (§6.3)."""

    NEVER = "never"
    ACKS_AND_TIMER = "a frame after 3 equal ACKs for it; a timer of 30 s for frames older than 15 s"
    SOCKET_ERROR = "all of them after a socket error"


class Reconnecting(Enum):
    """What lowcomms does with a socket error (§7.3)."""

    NEXT_SEND = "close; dial when there is something to send"
    AT_ONCE = "close the sending connection whichever of the two failed, repeat, dial at once"
    FAILED_SEND = "repeat in the error callback; the next send fails, closes and dials"


@dataclass(frozen=True)
class Dialect:
    """Wire behaviour of a group of releases."""

    name: str
    """Release that brought this behaviour, or ``3.1`` and ``v3``."""
    version: int
    """h_version of every frame sent."""
    acknowledging: Acknowledging
    resending: Resending
    reconnecting: Reconnecting
    queues_future: bool = False
    """A frame ahead of the expected number is kept for later (v3) instead of dropped."""
    any_first_frame: bool = False
    """Any first frame sets the peer's version (6.6); before, only RCOM STATUS, NAMES and their replies."""
    stuck_reset: bool = False
    """A version-detection frame in a terminating state resets the peer's record (up to 6.2), else it is ignored."""
    acknowledges_every_fin: bool = False
    """A FIN is acknowledged in any state (up to 6.2), else only where the termination table says so."""
    names_in_options: bool = False
    """RCOM NAMES and NAMES_REPLY travel inside OPTS (6.6)."""
    acknowledges_first: bool = False
    """The ACK that a new frame triggers goes out before that frame (6.7), else behind it."""
    shutdown_timeout: int = 180 * SECOND
    """ns that a node waits for the termination handshake before it resets the peer's record."""
    close_timeout: int = 10 * SECOND
    """ns that it then waits for the peer's TCP FIN before it closes the socket."""
    retransmission_timer: int = 30 * SECOND
    """ns from arming the timer to its expiry (ACKS_AND_TIMER)."""
    retransmission_age: int = 15 * SECOND
    """ns; frames older than this are repeated when the timer expires (ACKS_AND_TIMER)."""

    @property
    def reliable(self) -> bool:
        """Whether it has the reliability layer."""
        return self.version == VERSION_3_2


def _merged(name: str, acknowledging: Acknowledging, reconnecting: Reconnecting, **rules: bool | int) -> Dialect:
    return Dialect(name, VERSION_3_2, acknowledging, Resending.SOCKET_ERROR, reconnecting, **rules)  # type: ignore[arg-type]


_SHORT = {"shutdown_timeout": 5 * SECOND, "close_timeout": 5 * SECOND}
_OLD_TERMINATION = {"stuck_reset": True, "acknowledges_every_fin": True}

DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect("3.1", VERSION_3_1, Acknowledging.NEVER, Resending.NEVER, Reconnecting.NEXT_SEND),
        Dialect(
            "v3",
            VERSION_3_2,
            Acknowledging.EVERY_FRAME,
            Resending.ACKS_AND_TIMER,
            Reconnecting.NEXT_SEND,
            queues_future=True,
            shutdown_timeout=300 * SECOND,
        ),
        _merged("5.14", Acknowledging.EXPECTED_FRAME, Reconnecting.AT_ONCE, **_OLD_TERMINATION),
        _merged("5.15", Acknowledging.RECEIVE_RUN, Reconnecting.AT_ONCE, **_OLD_TERMINATION),
        _merged("6.1.y", Acknowledging.RECEIVE_RUN, Reconnecting.AT_ONCE, stuck_reset=True),
        _merged("6.2", Acknowledging.RECEIVE_RUN, Reconnecting.FAILED_SEND, **_OLD_TERMINATION),
        _merged("6.3", Acknowledging.RECEIVE_RUN, Reconnecting.FAILED_SEND, **_SHORT),
        _merged("6.5", Acknowledging.COUNTED, Reconnecting.FAILED_SEND, **_SHORT),
        _merged(
            "6.6",
            Acknowledging.COUNTED,
            Reconnecting.FAILED_SEND,
            any_first_frame=True,
            names_in_options=True,
            **_SHORT,
        ),
        _merged(
            "6.7",
            Acknowledging.COUNTED,
            Reconnecting.FAILED_SEND,
            any_first_frame=True,
            names_in_options=True,
            acknowledges_first=True,
            **_SHORT,
        ),
    )
}
"""Dialects by name; each holds from the release of its name to the next one.

``3.1``: kernels before 5.14.  ``v3``: the patch series of March 2021, never released.  ``6.1.y``: the stable tree with
its back-ports.  ``6.7``: up to 6.12 at least.
"""
