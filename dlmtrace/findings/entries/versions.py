"""VER: protocol versions of the two nodes of a pair."""

from __future__ import annotations

from dlmtrace.findings.entry import Entry, LogLine

_MISMATCH = LogLine("receiver", "version mismatch detected, assumed 0x%08x but node %d has 0x%08x")
_SEQUENCE = LogLine("receiver", "in an invalid sequence")

ENTRIES = (
    Entry(
        "VER601",
        "version-change",
        "error",
        when="The frames of one node to one peer change `h_version`, with no reset of the pair in between.",
        meaning="The receiver has kept the version of the first frame and drops every frame with another one.",
        log=(_MISMATCH,),
        wrong_if="A reset that was not captured (the node rebooted with another kernel while nobody looked). Frames "
        "of a foreign connection from the node's address count as the node's, as they do for the kernel.",
        advice="Which connection do the odd frames come on? If the node was upgraded in place, the survivors must "
        "drop their record of it: fence it, or remove and add its comms entry.",
        anomalies=("A21",),
    ),
    Entry(
        "VER602",
        "bare-message",
        "error",
        when="Between two nodes that both label their frames 3.2, a MSG, or an RCOM other than STATUS, NAMES and "
        "their replies, travels without DLM_OPTS around it.",
        meaning="The receiver drops it: between 3.2 nodes such frames must have a number. Towards a 3.1 peer the "
        "same frames are right, and still labelled 3.2.",
        log=(
            LogLine("receiver", "unsupported h_cmd received: %u"),
            LogLine("receiver", "unsupported rcom type received"),
        ),
        wrong_if="A peer whose own frames were not captured may speak 3.1: then it is not raised.",
        advice="Look at the frame and its connection (`dlmtrace decode FILE --packet N -V`). A kernel sends this "
        "only while it takes its peer for 3.1: look for `version 0x00030001 for node` in its log.",
        anomalies=("A19",),
    ),
    Entry(
        "VER603",
        "unexpected-first-frame",
        "warning",
        when="The first frame of a fresh pair is none of RCOM STATUS, NAMES and their replies.",
        meaning="Kernels up to 6.5 drop what comes from a peer that has not introduced itself; 6.6 and later take it "
        "and learn the version from it.",
        log=(_SEQUENCE,),
        wrong_if="A capture that began late, or a reconnect of an old pair, which begins with anything: it is raised "
        "only where the beginning of the connection was captured and the numbers begin at 0.",
        advice="See whether the frame was answered or resent. If the sender had talked to the node before, one of "
        "the two has lost its record (SEQ207).",
        anomalies=("A22",),
    ),
    Entry(
        "VER604",
        "options-before-version",
        "note",
        when="DLM_OPTS frames are sent before any frame of the peer was seen.",
        meaning="A kernel cannot do this: it sends no DLM_OPTS before it knows that the peer speaks 3.2. So the "
        "peer's frames were sent, and the capture does not have them.",
        log=(_SEQUENCE,),
        wrong_if="It is raised only at number 0 on a connection whose beginning was captured; what is missing is "
        "then the peer's direction, or another connection of the pair (CAP903, CAP904).",
        advice="Capture both directions from the start of the pair if the beginning matters.",
        anomalies=("A20",),
    ),
    Entry(
        "VER605",
        "mixed-versions",
        "warning",
        when="The two nodes of a pair label their frames with different minor versions.",
        meaning="They fall back to the older protocol: no numbers, no ACKs, no FIN, so that a reset connection loses "
        "messages for good. A 3.2 node still labels its own frames 3.2. 3.2 and 3.0 do not understand each other at "
        "all.",
        log=(LogLine("either", "version 0x%08x for node %d detected"),),
        wrong_if="A pair whose node was upgraded in the middle of the capture speaks both, one after the other; that "
        "is VER601 or a reset.",
        advice="Bring all nodes to a kernel from 5.14 on; the protocol's author advises against mixing for long.",
    ),
)
