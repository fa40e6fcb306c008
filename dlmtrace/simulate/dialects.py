"""How the kernels that speak DLM differ on the wire: one record per group of releases (protocol page §5–§8)."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    random_recovery_sequence: bool = False
    """rc_seq begins at random in each boot (6.3), else at 0 (protocol page §3.1)."""
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


_BARE = Dialect("3.1", VERSION_3_1, Acknowledging.NEVER, Resending.NEVER, Reconnecting.NEXT_SEND)
_SERIES = Dialect(
    "v3",
    VERSION_3_2,
    Acknowledging.EVERY_FRAME,
    Resending.ACKS_AND_TIMER,
    Reconnecting.NEXT_SEND,
    queues_future=True,
    shutdown_timeout=300 * SECOND,
)
_5_14 = Dialect(
    "5.14",
    VERSION_3_2,
    Acknowledging.EXPECTED_FRAME,
    Resending.SOCKET_ERROR,
    Reconnecting.AT_ONCE,
    stuck_reset=True,
    acknowledges_every_fin=True,
)
_5_15 = replace(_5_14, name="5.15", acknowledging=Acknowledging.RECEIVE_RUN)
_6_1_STABLE = replace(_5_15, name="6.1.y", acknowledges_every_fin=False)
_6_2 = replace(_5_15, name="6.2", reconnecting=Reconnecting.FAILED_SEND)
_6_3 = replace(
    _6_2,
    name="6.3",
    stuck_reset=False,
    acknowledges_every_fin=False,
    random_recovery_sequence=True,
    shutdown_timeout=5 * SECOND,
    close_timeout=5 * SECOND,
)
_6_5 = replace(_6_3, name="6.5", acknowledging=Acknowledging.COUNTED)
_6_6 = replace(_6_5, name="6.6", any_first_frame=True, names_in_options=True)
_6_7 = replace(_6_6, name="6.7", acknowledges_first=True)

DIALECTS = {
    dialect.name: dialect for dialect in (_BARE, _SERIES, _5_14, _5_15, _6_1_STABLE, _6_2, _6_3, _6_5, _6_6, _6_7)
}
"""Dialects by name; each holds from the release of its name to the next one.

``3.1``: kernels before 5.14.  ``v3``: the patch series of March 2021, never released.  ``6.1.y``: the stable tree with
its back-ports.  ``6.7``: up to 6.12 at least.
"""
