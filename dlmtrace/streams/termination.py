"""How two nodes take leave of each other: the state that one node's kernel has for its peer, from the frames.

The table is that of midcomms.c (protocol page §6.6), as far as the wire shows it: which lockspaces still need the peer,
and when a wait runs out, stays inside the node.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class State(IntEnum):
    """States with the numbers and names of midcomms.c."""

    CLOSED = 1
    ESTABLISHED = 2
    FIN_WAIT1 = 3
    FIN_WAIT2 = 4
    CLOSE_WAIT = 5
    LAST_ACK = 6
    CLOSING = 7


class Trigger(Enum):
    """What the wire shows."""

    FRAME = "a frame of the peer"
    FIN_SENT = "own FIN"
    FIN_RECEIVED = "the peer's FIN, in its turn"
    FIN_CONFIRMED = "ACK covering own FIN"
    RESTART = "numbers start again at 0"


TABLE: dict[tuple[State, Trigger], State] = {
    (State.CLOSED, Trigger.FRAME): State.ESTABLISHED,
    (State.CLOSED, Trigger.FIN_SENT): State.FIN_WAIT1,  # not a step of the kernel: the capture began late
    (State.ESTABLISHED, Trigger.FIN_SENT): State.FIN_WAIT1,
    (State.ESTABLISHED, Trigger.FIN_RECEIVED): State.CLOSE_WAIT,
    (State.FIN_WAIT1, Trigger.FIN_CONFIRMED): State.FIN_WAIT2,
    (State.FIN_WAIT1, Trigger.FIN_RECEIVED): State.CLOSING,
    (State.FIN_WAIT2, Trigger.FIN_RECEIVED): State.CLOSED,
    (State.CLOSE_WAIT, Trigger.FIN_SENT): State.LAST_ACK,
    (State.LAST_ACK, Trigger.FIN_CONFIRMED): State.CLOSED,
    (State.CLOSING, Trigger.FIN_CONFIRMED): State.CLOSED,
    **{(state, Trigger.RESTART): State.ESTABLISHED for state in State},
}
"""State and event to the next state; an event without a row changes nothing."""

WAITS_FOR = {
    State.FIN_WAIT1: "the ACK of its FIN",
    State.FIN_WAIT2: "the peer's FIN",
    State.CLOSE_WAIT: "its own lockspaces to let the peer go",
    State.LAST_ACK: "the ACK of its FIN",
    State.CLOSING: "the ACK of its FIN",
}
"""What a node in this state is waiting for."""


class Termination:
    """What one node believes about its peer.  A resent FIN and a second ACK change nothing."""

    def __init__(self) -> None:
        self.state = State.CLOSED

    def _take(self, trigger: Trigger) -> None:
        self.state = TABLE.get((self.state, trigger), self.state)

    def frame(self) -> None:
        """The peer sent anything."""
        self._take(Trigger.FRAME)

    def fin_sent(self) -> None:
        """The node takes leave."""
        self._take(Trigger.FIN_SENT)

    def fin_received(self) -> None:
        """The peer took leave, and the node's kernel took its FIN: it acknowledged it."""
        self._take(Trigger.FIN_RECEIVED)

    def fin_confirmed(self) -> None:
        """The peer has the node's FIN."""
        self._take(Trigger.FIN_CONFIRMED)

    def restarted(self) -> None:
        """One of the two begins again with number 0."""
        self._take(Trigger.RESTART)

    @property
    def waits_for(self) -> str | None:
        """What the node waits for, None when for nothing."""
        return WAITS_FOR.get(self.state)
