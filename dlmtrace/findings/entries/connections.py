"""CON: reconnects, and connections that die."""

from __future__ import annotations

from dlmtrace.findings.entry import Entry, LogLine
from dlmtrace.findings.verdicts import rules

_SOCKET_ERROR = LogLine("either", "socket error sending to node")
_RESENT = LogLine("sender", "retransmit dlm msg, seq %u, nodeid %d")
_MISMATCH = LogLine("receiver", "ignore dlm msg because seq mismatch, seq: %u, expected: %u, nodeid: %d")
_WHO = (
    "Find out who ended the connection: the packet that did it is named; compare the TTL and the IP identification "
    "of an RST with the node's other packets to tell a forged one, and look for firewalls with connection tracking "
    "on the way."
)

ENTRIES = (
    Entry(
        "CON401",
        "unsafe-reconnect",
        "error",
        when=rules("unsafe"),
        meaning="Frames of the lock service were lost, or nobody listened to them any more. With 3.2 the receiver "
        "drops everything behind the first lost number until it comes; a later reconnect that resends it "
        "(`repaired_by`) ends the standstill. With 3.1 and 3.0 nothing is ever resent: whoever waits for an answer "
        "to a lost message waits for ever.",
        log=(_SOCKET_ERROR, _MISMATCH),
        wrong_if="Frames that the cluster had and the capture did not: with a hole, a cut packet or an uncaptured "
        "connection in the evidence the verdict is `inconclusive` (CON403). A loss under 3.1 is proven by TCP's own "
        "acknowledgements; where the capture lost any packet of the two nodes it may have lost these, too.",
        advice="See which locks hang: `/sys/kernel/debug/dlm/LOCKSPACE_waiters` on both nodes. If nothing repaired "
        "it, reset the pair's connections once more (3.2) or fence a node (3.1). " + _WHO,
        anomalies=("A3", "A7", "A8"),
    ),
    Entry(
        "CON402",
        "unprotected-reconnect",
        "warning",
        when=rules("unprotected"),
        meaning="TCP took everything in, but what the receiving kernel had not read from its socket when the RST "
        "came is thrown away, and without sequence numbers nobody notices. Whether that happened cannot be seen on "
        "the wire.",
        log=(_SOCKET_ERROR,),
        wrong_if="Nothing is claimed beyond what TCP's numbers prove. A sender of 3.2 whose peer speaks 3.1 is "
        "unprotected too, though its frames say 3.2.",
        advice="Look for locks that hang since then (`/sys/kernel/debug/dlm/LOCKSPACE_waiters`). Upgrade the nodes "
        "that still speak 3.1 (kernels before 5.14). " + _WHO,
        anomalies=("A7",),
    ),
    Entry(
        "CON403",
        "undecided-reconnect",
        "warning",
        when=rules("inconclusive"),
        meaning="Nothing is known: the frames in question may have been delivered, resent or lost where the capture "
        "did not look.",
        wrong_if="Nothing is claimed.",
        advice="The reason names what hides the evidence. Capture whole packets (`tcpdump -s 0`), with a larger "
        "buffer (`-B`), on the node itself, all connections of the pair, and go on for some seconds after the "
        "reconnect. The kernel logs of both nodes may tell: repeated `ignore dlm msg because seq mismatch` lines "
        "with a growing `seq` and a fixed `expected` mean an unsafe reconnect.",
        anomalies=("A7",),
    ),
    Entry(
        "CON404",
        "safe-reconnect",
        "note",
        when=rules("safe"),
        meaning="The sequence numbers did their work: nothing was lost and nothing was executed twice.",
        log=(_SOCKET_ERROR, _RESENT),
        wrong_if="An ACK that was forged. ACKs are cumulative, so one ACK that the capture shows is enough evidence "
        "for all numbers below it.",
        advice="None for the locks. It should not happen often, though. " + _WHO,
        anomalies=("A6", "A7"),
    ),
    Entry(
        "CON408",
        "peer-reset",
        "warning",
        when=rules("reset"),
        meaning="The record of the peer was thrown away on both sides, as when a node is fenced, crashes or leaves "
        "without taking leave. Unconfirmed frames are dropped by design; recovery of the lockspaces rebuilds the "
        "locks.",
        log=(
            LogLine("either", "closing connection to node %d"),
            LogLine("either", "version 0x%08x for node %d detected"),
        ),
        wrong_if="A hole that hides a FIN exchange makes an orderly leave look like this; then the verdict is "
        "`inconclusive`.",
        advice="Look in the cluster manager's log why the node went. If no recovery was seen to follow, see whether "
        "the lockspaces are still in recovery on the survivors (`dlm_tool ls`).",
        anomalies=("A8",),
    ),
    Entry(
        "CON405",
        "silent-after-reset",
        "warning",
        when="A connection died with unconfirmed frames, and no new one came within 2 s.",
        meaning="A kernel dials again as soon as the error is reported to it (up to 6.1) or its next send fails (6.2 "
        "and later), then every second. It was not told, has nothing to send, or cannot reach the peer; until it "
        "dials, the frames wait.",
        log=(_SOCKET_ERROR, LogLine("sender", "connect to node %d try %d error %d")),
        wrong_if="A new connection over a path that is not captured; a capture that ends within the 2 s is not judged.",
        advice="Is the peer up and reachable (`ping`, firewall rules for port 21064)? If only one end got the RST, "
        "the other still believes in the old connection. " + _WHO,
        anomalies=("A7",),
    ),
    Entry(
        "CON406",
        "connection-flapping",
        "warning",
        when="Three or more connections between one pair within a second, or an RST right after a connection was "
        "accepted.",
        meaning="Somebody refuses or kills the connections. A kernel accepts every connection and closes at once "
        "those whose source address is no configured node.",
        log=(LogLine("receiver", "connect from non cluster IPv4 node"), _SOCKET_ERROR),
        wrong_if="Both nodes dial at the same moment when a peer joins: two connections are normal, and do not count.",
        advice="Does the source address stand in the cluster configuration of the receiver? A node with several "
        "addresses must dial from its first one. " + _WHO,
        anomalies=("A43",),
    ),
    Entry(
        "CON407",
        "partial-frame-at-close",
        "warning",
        when="A connection ended inside a frame, and that frame was not sent again.",
        meaning="The receiver throws the beginning of the frame away with the connection. With 3.2 the number stays "
        "unconfirmed and belongs to the verdict of the reconnect; with 3.1 the message is lost.",
        wrong_if="The end of the capture, a hole or a cut packet also leave a frame unfinished; those are not counted.",
        advice="See the verdict of the reconnect (CON401 to CON404).",
    ),
)
