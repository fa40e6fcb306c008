"""SEQ: the sequence numbers of a stream, which a receiver must see one after the other."""

from __future__ import annotations

from dlmtrace.findings.entry import Entry, LogLine

_MISMATCH = LogLine("receiver", "ignore dlm msg because seq mismatch, seq: %u, expected: %u, nodeid: %d")
_RESENT = LogLine("sender", "retransmit dlm msg, seq %u, nodeid %d")
_HOLES = (
    "A frame that the cluster had and the capture did not. It is not raised across a hole in the TCP stream, a cut "
    "packet or a connection of the pair that was not captured; CAP901 to CAP904 stand there instead."
)
_REPAIR = (
    "The kernel repeats what is unconfirmed only when a socket of the pair fails: another reset of the pair's "
    "connections (`ss -K dst ADDRESS '( sport = :21064 or dport = :21064 )'` on one node) makes it resend "
    "everything; fencing a node ends it too. Keep the capture and the kernel logs of both nodes for a report; "
    "`dlmtrace streams FILE SENDER-RECEIVER` shows what was sent, confirmed, resent and missing."
)

ENTRIES = (
    Entry(
        "SEQ201",
        "sequence-gap",
        "error",
        when="On a connection that was running, a frame comes whose number is above the expected one, and no byte of "
        "the connection is missing in between.",
        meaning="A correct sender cannot do this: numbers are given out in the order of the queue. The receiver "
        "drops the frame and everything behind it without an ACK until the missing numbers come.",
        log=(_MISMATCH,),
        wrong_if=_HOLES,
        advice="Look at the frames around the gap (`dlmtrace decode FILE --node SENDER --seq RANGE`): who sent them, "
        "on which connection? If the numbers never come, SEQ211 tells what it cost. " + _REPAIR,
        anomalies=("A1",),
    ),
    Entry(
        "SEQ202",
        "reconnect-gap",
        "error",
        when="A new connection, or the pair's other one, carries on above numbers that were lost with the old one "
        "and that are then neither sent again nor confirmed before the numbering ends. Where the capture ends first, "
        "a later reconnect may still bring them: CON401 and SEQ211 tell of the standstill, this does not.",
        meaning="The receiver waits for the lost numbers and drops everything behind them without an ACK. TCP is "
        "well and both kernels say ESTABLISHED, but the locks stand still. It happens when the copies to be resent "
        "were queued on a connection that died as well, or when the old connection was closed in an orderly way, "
        "after which nothing is resent.",
        log=(_MISMATCH, _RESENT),
        wrong_if=_HOLES + " The kernel's line about the resend proves nothing: only the wire does.",
        advice=_REPAIR,
        anomalies=("A3",),
        supersedes=("SEQ201",),
    ),
    Entry(
        "SEQ203",
        "duplicate",
        "warning",
        when="A number that was sent before in the same epoch comes again with the same bytes, and no reconnect and "
        "no error on a connection of the pair explains it.",
        meaning="The receiver drops the copy and sends its ACK once more; nothing is executed twice. Merged kernels "
        "repeat only after a socket error, so either the error was not captured or the sender is none of them.",
        log=(_MISMATCH,),
        wrong_if="A packet that was captured twice, or repeated by TCP: both are told apart by their TCP numbers. An "
        "RST that passed outside of the capture.",
        advice="Look for a reset in the sender's kernel log at that time (`socket error sending to node`). Run again "
        "with `--dialect v3` if the nodes run the patch series instead of a released kernel.",
        anomalies=("A4",),
    ),
    Entry(
        "SEQ204",
        "resend",
        "note",
        when="Numbers are sent again after a reconnect or after an error on either connection of the pair. The "
        "evidence says how many frames and bytes, how old the oldest was, and how many had been delivered before.",
        meaning="This is what the sequence numbers are for: the sender queues every unconfirmed frame once more, "
        "oldest first; the receiver takes what it lacks and drops what it has. From 6.5 on up to 32 (two-way "
        "traffic) or 256 frames (one-way) are unconfirmed at any time, so most of a resend has usually been "
        "delivered.",
        log=(_RESENT, _MISMATCH),
        wrong_if="Nothing is concluded from it: a resend does not prove that anything had been lost.",
        advice="None for the resend. If there are many, find what kills the connections (CON401 to CON406).",
        anomalies=("A6",),
        supersedes=("SEQ203",),
    ),
    Entry(
        "SEQ205",
        "transient-gap",
        "note",
        when="A new connection begins above the expected number and soon goes back to it.",
        meaning="Usual order after a reconnect: frames that were queued but never sent go first, then the copies "
        "from the oldest unconfirmed one on, then new frames. The receiver drops those that come too early; their "
        "copies follow.",
        log=(_MISMATCH, _RESENT),
        wrong_if="Nothing is concluded from it.",
        advice="None.",
        anomalies=("A2",),
        supersedes=("SEQ201", "SEQ202"),
    ),
    Entry(
        "SEQ206",
        "conflicting-duplicate",
        "error",
        when="A number comes again within one epoch with other bytes than before.",
        meaning="A resend is a byte for byte copy, so these are two different messages under one number. The "
        "receiver keeps the one that came first and drops the other, which its sender believes delivered.",
        log=(_MISMATCH,),
        wrong_if="A reset of the numbers that the capture does not show (the FIN exchange or the new first contact "
        "is missing): then it is a new epoch. Only frames whose bytes are captured whole are compared.",
        advice="Compare the two frames (`dlmtrace decode FILE --node SENDER --seq N -V -x`). Either something else "
        "writes into the connection or one kernel has reset its numbers without the other.",
        anomalies=("A5",),
        supersedes=("SEQ203", "SEQ204"),
    ),
    Entry(
        "SEQ207",
        "sequence-restart",
        "warning",
        at_worst="error",
        when="Numbering starts again at 0 with no FIN exchange before it. An error where only one side starts again "
        "and the other goes on with its old numbers; a warning where both do. Going from 4294967295 to 0 is no "
        "restart.",
        meaning="The record of the peer was reset: the cluster manager took the node's comms away (fencing, "
        "leaving), the node booted again, or the wait for a FIN ran out. If both sides restart, lock recovery "
        "repairs what was under way. If one does not, all that it sends is out of sequence and is dropped.",
        log=(
            LogLine("either", "closing connection to node %d"),
            LogLine("either", "reset node %d because shutdown stuck"),
            _MISMATCH,
        ),
        wrong_if="A hole before the restart could hide the FIN exchange: then the capture cannot tell and says so "
        "(CAP901, CAP903).",
        advice="Look in the cluster manager's log for fencing or a membership change of that node at that time. If "
        "only one side restarted, the survivor's record must go: fence the node or remove and add its comms entry.",
        anomalies=("A8",),
        supersedes=("SEQ201", "SEQ202", "SEQ203", "SEQ206"),
    ),
    Entry(
        "SEQ208",
        "fast-retransmit",
        "warning",
        when="A number is sent again on the same connection after three or more ACKs that carried exactly this number.",
        meaning="The rule of the third version of the patch series: three equal ACKs mean a frame in the middle was "
        "lost. It was taken out before the series was merged; no released kernel does this.",
        log=(LogLine("sender", "retransmit because multiple acks received"),),
        wrong_if="A reset on the pair's other connection that was not captured explains it just as well. Copies made "
        "by TCP are told apart by their TCP numbers.",
        advice="With a released kernel, look at the sender's log for a socket error. With the patch series, ask why "
        "frames are missing on a connection that TCP keeps in order.",
        anomalies=("A17",),
        supersedes=("SEQ203",),
    ),
    Entry(
        "SEQ209",
        "timeout-retransmit",
        "warning",
        when="A number is sent again on the same connection 15 s or more after it was sent first, with no error on "
        "any connection of the pair.",
        meaning="The rule of the third version of the patch series: a timer of 30 s resends what has waited for 15 "
        "s. It was taken out before the series was merged; no released kernel does this.",
        log=(LogLine("sender", "retransmit because ack timeout"),),
        wrong_if="A reset on the pair's other connection that was not captured explains it just as well.",
        advice="With a released kernel, look at the sender's log for a socket error. With the patch series, ask why "
        "the ACK did not come: the receiver may be stuck.",
        anomalies=("A17",),
        supersedes=("SEQ203",),
    ),
    Entry(
        "SEQ210",
        "far-future",
        "error",
        when="A number is more than 65,536 ahead of the expected one, or so far off (2^31 and more) that before and "
        "after cannot be told apart.",
        meaning="The receiver drops it. No queue holds that many unconfirmed frames: the frame was forged or "
        "damaged, or belongs to an epoch that the capture did not see begin.",
        log=(_MISMATCH,),
        wrong_if="A long hole in the capture, or a new epoch whose start was not captured. " + _HOLES,
        advice="Look at the frame (`dlmtrace decode FILE --node SENDER --seq N -V -x`) and at the connection it came "
        "on: is it one of the kernel's own?",
        anomalies=("A1",),
        supersedes=("SEQ201", "SEQ202"),
    ),
    Entry(
        "SEQ211",
        "stalled-stream",
        "error",
        when="The receiver stands still for 1 s or more at a number that does not come, while the sender goes on "
        "with higher ones. The evidence says from when to when, and how many frames were dropped.",
        meaning="The receiver waits for the missing number and drops everything behind it, unconfirmed and unlogged "
        "but for a rate-limited line. TCP is well, both kernels say ESTABLISHED, `send_queue_count` of the sender "
        "grows, and every lock that needs an answer hangs. Only another socket error, which resends everything, or a "
        "reset of the peer's record ends it.",
        log=(_MISMATCH,),
        wrong_if="Frames that came on a connection which the receiver had already given up are told apart by TCP's "
        "acknowledgements and by the next ACK of DLM. " + _HOLES,
        advice=_REPAIR + " On the nodes, `/sys/kernel/debug/dlm/comms/NODE/send_queue_count` and "
        "`/sys/kernel/debug/dlm/LOCKSPACE_waiters` show the backlog and the locks that hang.",
        anomalies=("A1", "A3"),
    ),
)
