"""ACK: the receivers' acknowledgements."""

from __future__ import annotations

from dlmtrace.findings.entry import Entry

ENTRIES = (
    Entry(
        "ACK301",
        "ack-beyond-sent",
        "error",
        when="An ACK confirms numbers above the highest that was sent, though both directions of all connections of "
        "the pair are captured without a hole.",
        meaning="The sender frees everything that waits for confirmation, without a word. The two kernels no longer "
        "agree on the numbers, or the ACK is not the receiver's: a later socket error would resend nothing.",
        wrong_if="Frames that the cluster had and the capture did not: with a hole or an uncaptured connection "
        "CAP910 is raised instead.",
        advice="Look at the ACK (`dlmtrace decode FILE --packet N -V`) and at the connection it came on. If the "
        "kernel sent it, look for a reset of one side only (SEQ207).",
        anomalies=("A14",),
    ),
    Entry(
        "ACK302",
        "ack-regress",
        "warning",
        when="An ACK is lower than one that the receiver sent before in the same epoch, and not at a reconnect.",
        meaning="The sender ignores it. From 6.5 on two CPUs may send ACKs at once and swap them, and two "
        "connections may deliver them in another order than they were sent; a large step back means that the "
        "receiver's record was reset.",
        wrong_if="Two connections, captured at one place, whose packets the capture shows in another order than they "
        "were sent in; packets reordered by the capture itself (CAP906).",
        advice="A step of a few numbers needs nothing. After a large one look whether the receiver goes on from "
        "there (SEQ207), or whether the higher ACK was forged (ACK301).",
        anomalies=("A15",),
    ),
    Entry(
        "ACK303",
        "duplicate-acks",
        "note",
        when="The same ACK comes three times or more in a row. One finding for each epoch tells for how many numbers.",
        meaning="Merged kernels answer every copy of a frame that they have with the same ACK, so a burst of them "
        "follows a resend. In the patch series it means that the receiver waits for that number.",
        wrong_if="Nothing is concluded from it. ACKs repeated by TCP are not counted.",
        advice="None, when a resend (SEQ204) stands beside it. Otherwise look for SEQ203 and SEQ211.",
        anomalies=("A16",),
    ),
    Entry(
        "ACK304",
        "ack-starvation",
        "warning",
        when="More than 300 frames were delivered without an ACK for more than 1 s, though the direction in which "
        "ACKs travel is captured.",
        meaning="The receiver should have confirmed after 257 frames at the latest (6.5 and later; earlier kernels "
        "after every read or every frame). Its kernel is stuck, or its record of the peer is not in the state "
        "ESTABLISHED.",
        wrong_if="ACKs travel on the receiver's own connection, which may be another than the data's: with an "
        "uncaptured connection or a hole in the ACKs' direction it is not raised.",
        advice="On the receiver look at `/sys/kernel/debug/dlm/comms/NODE/state` and for hung tasks in the kernel "
        "log. SEQ211 beside it means that a frame is missing.",
        anomalies=("A18",),
    ),
    Entry(
        "ACK305",
        "unconfirmed-at-end",
        "note",
        when="Frames are still unconfirmed when the capture ends.",
        meaning="Healthy from 6.5 on: an idle pair keeps up to 32 (two-way traffic) or 256 frames (one-way) "
        "unconfirmed for as long as it stays idle. With earlier kernels the ACK was simply still to come.",
        wrong_if="Nothing is concluded from it: whether they were delivered is not known.",
        advice="None. To know what became of them, capture longer.",
        anomalies=("A7",),
    ),
)
