"""FIN: nodes that take leave of each other."""

from __future__ import annotations

from dlmtrace.findings.entry import Entry, LogLine

_STATE = LogLine("receiver", "unexpected state: %d")

ENTRIES = (
    Entry(
        "FIN501",
        "fin-unconfirmed",
        "warning",
        when="A FIN is not confirmed within 5 s, or not before the last connection of the pair is closed.",
        meaning="The leaving node waits (5 s from 6.3 on, 3 minutes before) and then resets its record of the peer, "
        "whatever the peer believes. The peer may be dead, or in a state in which it takes the FIN without an ACK "
        "(6.3 and later: all but ESTABLISHED, FIN_WAIT1 and FIN_WAIT2).",
        log=(LogLine("sender", "active shutdown timed out"),),
        wrong_if="The ACK of a FIN travels on the peer's own connection: with an uncaptured connection, a hole or "
        "the end of the capture within the 5 s it is not raised.",
        advice="Look in which state the peer is or was (`/sys/kernel/debug/dlm/comms/NODE/state`, or the table of "
        "states on the protocol page §6.6). If the node joins again, watch for SEQ207.",
        anomalies=("A9",),
    ),
    Entry(
        "FIN502",
        "half-terminated",
        "warning",
        when="A FIN was confirmed, and none came back within 5 s.",
        meaning="The peer still has lockspaces with the leaving node as a member (CLOSE_WAIT) and takes its leave "
        "only when the cluster manager removes it there. Until its time runs out the leaving node waits in FIN_WAIT2.",
        log=(LogLine("sender", "active shutdown timed out"),),
        wrong_if="A FIN on a connection that was not captured, or a capture that ends within the 5 s.",
        advice="See which lockspaces the peer still shares with the node (`dlm_tool ls`), and whether the cluster "
        "manager is slow or stuck.",
        anomalies=("A10",),
    ),
    Entry(
        "FIN503",
        "data-after-fin",
        "error",
        when="In one epoch a numbered frame other than a FIN follows the sender's own FIN.",
        meaning="A node that has taken leave must not send: the kernel warns on its own side, and the receiver, "
        "which may already have forgotten the pair, delivers the frame to a lockspace that is going away, or drops "
        "it.",
        log=(_STATE,),
        wrong_if="A restart of the numbers right after the FIN is a new epoch. A resend of older numbers behind the "
        "FIN is none of this either: only numbers above the FIN's count.",
        advice="Look for a WARN trace in the sender's kernel log. Keep the capture for a report.",
        anomalies=("A11",),
    ),
    Entry(
        "FIN504",
        "second-fin",
        "warning",
        when="Two FINs with different numbers from one sender in one epoch.",
        meaning="The sender's state for this peer went wrong: it took leave twice. A receiver in CLOSE_WAIT or "
        "CLOSING warns.",
        log=(_STATE,),
        wrong_if="A resent FIN has the number of the first one and does not count.",
        advice="Look for a WARN trace in both kernel logs. Keep the capture for a report.",
        anomalies=("A13",),
    ),
    Entry(
        "FIN505",
        "closed-without-fin",
        "warning",
        when="Two nodes that speak 3.2 closed their last connection in an orderly way, and no FIN exchange of DLM "
        "came before.",
        meaning="The record of the peer was removed (fencing, a comms entry taken away) without a leave, or the wait "
        "for the FIN ran out. After an orderly close nothing is resent.",
        log=(LogLine("either", "closing connection to node %d"),),
        wrong_if="A FIN exchange before the capture began, in a hole, or on a connection that was not captured.",
        advice="Look in the cluster manager's log for a removal of the node at that time. If the pair should still "
        "be connected, see whether it connects again and from which number on.",
        supersedes=("FIN501", "FIN502"),
    ),
)
