"""The termination handshake with one peer as a table (protocol page §6.6), and the drain-first rule of v3.

A method per event looks its row up, takes the new state, and returns what the endpoint has to do: acknowledge the FIN,
send one, reset the peer's record, warn.  ``users`` counts the lockspaces that have the peer as member.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from dlmtrace.streams.termination import State


class Trigger(Enum):
    """Events of the table; the first two count only when they make users leave or reach 0."""

    MEMBER_ADDED = "add_member"
    MEMBER_REMOVED = "remove_member"
    VERSION_FRAME = "version-detection frame"
    SHUTDOWN = "local shutdown"
    FIN = "FIN, users > 0"
    FIN_UNUSED = "FIN, users = 0"
    FIN_CONFIRMED = "ACK covering own FIN"
    TIMEOUT = "shutdown wait expires"
    COMM_REMOVED = "midcomms_close"


class Action(NamedTuple):
    """What a row asks of the endpoint, in this order, and the state it leads to."""

    after: State
    acknowledges: bool = False
    """the FIN is acknowledged by every release; where this is false, only up to 6.2"""
    resets: bool = False
    """both counters, the version and the unconfirmed frames are forgotten before ``after`` is entered"""
    sends_fin: bool = False
    warns: bool = False
    ignores: bool = False
    """the frame that caused it is dropped"""
    advances: bool = True
    """a FIN takes its number (in v3 it does not)"""


_CLOSED, _ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT, _LAST_ACK, _CLOSING = State
_TERMINATING = (_FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT, _LAST_ACK, _CLOSING)

TABLE: dict[tuple[State, Trigger], Action] = {
    (_CLOSED, Trigger.MEMBER_ADDED): Action(_ESTABLISHED),
    (_CLOSED, Trigger.VERSION_FRAME): Action(_ESTABLISHED),
    (_CLOSED, Trigger.FIN): Action(_CLOSED, warns=True),
    (_CLOSED, Trigger.FIN_UNUSED): Action(_CLOSED, warns=True),
    (_ESTABLISHED, Trigger.SHUTDOWN): Action(_FIN_WAIT1, sends_fin=True),
    (_ESTABLISHED, Trigger.FIN): Action(_CLOSE_WAIT, acknowledges=True),
    (_ESTABLISHED, Trigger.FIN_UNUSED): Action(_LAST_ACK, acknowledges=True, sends_fin=True),
    (_FIN_WAIT1, Trigger.FIN_CONFIRMED): Action(_FIN_WAIT2),
    (_FIN_WAIT1, Trigger.FIN): Action(_CLOSING, acknowledges=True),
    (_FIN_WAIT1, Trigger.FIN_UNUSED): Action(_CLOSING, acknowledges=True),
    (_FIN_WAIT2, Trigger.FIN): Action(_CLOSED, acknowledges=True, resets=True),
    (_FIN_WAIT2, Trigger.FIN_UNUSED): Action(_CLOSED, acknowledges=True, resets=True),
    (_CLOSING, Trigger.FIN_CONFIRMED): Action(_CLOSED, resets=True),
    (_CLOSING, Trigger.FIN): Action(_CLOSING, warns=True),
    (_CLOSING, Trigger.FIN_UNUSED): Action(_CLOSING, warns=True),
    (_CLOSE_WAIT, Trigger.MEMBER_REMOVED): Action(_LAST_ACK, sends_fin=True),
    (_CLOSE_WAIT, Trigger.FIN): Action(_CLOSE_WAIT, warns=True),
    (_CLOSE_WAIT, Trigger.FIN_UNUSED): Action(_CLOSE_WAIT, warns=True),
    (_LAST_ACK, Trigger.FIN_CONFIRMED): Action(_CLOSED, resets=True),
    (_LAST_ACK, Trigger.FIN): Action(_LAST_ACK),
    (_LAST_ACK, Trigger.FIN_UNUSED): Action(_LAST_ACK),
    **{(state, Trigger.MEMBER_ADDED): Action(_ESTABLISHED, resets=True) for state in _TERMINATING},
    **{(state, Trigger.VERSION_FRAME): Action(_ESTABLISHED, resets=True) for state in _TERMINATING},
    **{(state, Trigger.TIMEOUT): Action(_CLOSED, resets=True) for state in State},
    **{(state, Trigger.COMM_REMOVED): Action(_CLOSED, resets=True) for state in State},
}
"""State and event to action; an event without a row changes nothing."""


class Termination:
    """The handshake of the merged kernels.

    ``stuck_reset`` and ``acknowledges_every_fin`` are the dialect's; see ``Dialect``.
    """

    def __init__(self, stuck_reset: bool, acknowledges_every_fin: bool) -> None:
        self.state = State.CLOSED
        self.users = 0
        self._stuck_reset = stuck_reset
        self._acknowledges_every_fin = acknowledges_every_fin

    def _take(self, trigger: Trigger) -> Action:
        action = TABLE.get((self.state, trigger), Action(self.state))
        self.state = action.after
        return action

    def member_added(self) -> Action:
        """A lockspace has the peer as member now."""
        self.users += 1
        return self._take(Trigger.MEMBER_ADDED) if self.users == 1 else Action(self.state)

    def member_removed(self) -> Action:
        """A lockspace lost the peer."""
        self.users -= 1
        return self._take(Trigger.MEMBER_REMOVED) if self.users == 0 else Action(self.state)

    def version_frame(self) -> Action:
        """RCOM STATUS, NAMES or a reply came (5.14–6.5), or any first frame of a 3.2 peer (6.6)."""
        if self.state in _TERMINATING and not self._stuck_reset:
            return Action(self.state, ignores=True)
        return self._take(Trigger.VERSION_FRAME)

    def shutdown(self) -> Action:
        """The last lockspace of this node is gone."""
        return self._take(Trigger.SHUTDOWN)

    def fin_received(self) -> Action:
        """The peer's FIN came in its turn."""
        action = self._take(Trigger.FIN if self.users else Trigger.FIN_UNUSED)
        return action._replace(acknowledges=action.acknowledges or self._acknowledges_every_fin)

    def fin_confirmed(self) -> Action:
        """An ACK covered our own FIN."""
        return self._take(Trigger.FIN_CONFIRMED)

    def queue_drained(self) -> Action:
        """Nothing is unconfirmed any more; of no account here."""
        return Action(self.state)

    def timed_out(self) -> Action:
        """The handshake did not end in time."""
        return self._take(Trigger.TIMEOUT)

    def comm_removed(self) -> Action:
        """The cluster manager removed the peer's address (fencing)."""
        self.users = 0
        return self._take(Trigger.COMM_REMOVED)


class DrainingTermination(Termination):
    """The rule of v3: no handshake; a leaver drains its queue, sends FIN and waits for its ACK and the peer's FIN.

    The peer answers with its own FIN once the cluster manager has removed the member.  A FIN does not take its number.
    """

    def __init__(self) -> None:
        super().__init__(stuck_reset=False, acknowledges_every_fin=True)
        self._wanted = self._sent = self._confirmed = self._received = False

    def member_removed(self) -> Action:
        self.users -= 1
        self._wanted = self._wanted or self._received
        return Action(self.state)

    def version_frame(self) -> Action:
        self.state = State.ESTABLISHED
        return Action(self.state)

    def shutdown(self) -> Action:
        self._wanted = True
        return Action(self.state)

    def fin_received(self) -> Action:
        self._received = True
        self._wanted = self._wanted or self.users == 0
        return self._done()._replace(acknowledges=True, advances=False)

    def fin_confirmed(self) -> Action:
        self._confirmed = True
        return self._done()

    def queue_drained(self) -> Action:
        if not self._wanted or self._sent:
            return Action(self.state)
        self._sent = True
        return Action(self.state, sends_fin=True)

    def timed_out(self) -> Action:
        return self._ended()

    def comm_removed(self) -> Action:
        self.users = 0
        return self._ended()

    def _done(self) -> Action:
        return self._ended() if self._confirmed and self._received else Action(self.state)

    def _ended(self) -> Action:
        self._wanted = self._sent = self._confirmed = self._received = False
        self.state = State.CLOSED
        return Action(self.state, resets=True)
