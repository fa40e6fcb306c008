"""CAP: what the capture itself could not give."""

from __future__ import annotations

from dlmtrace.findings.entry import Entry

_NOT_THE_CLUSTER = "Nothing about the kernels: the capture is at fault, not the cluster."

ENTRIES = (
    Entry(
        "CAP901",
        "missing-bytes",
        "warning",
        when="A hole in a connection: bytes that the peer's TCP acknowledged or that later bytes jump over are not "
        "in the capture.",
        meaning=_NOT_THE_CLUSTER + " Nothing that rests on a missing frame is concluded across the hole.",
        wrong_if="Bytes that really never arrived are sent again by TCP, so a hole that stays is the capture's. When "
        "a connection dies, its last segments may be lost in the network as well.",
        advice="Capture with a larger buffer (`tcpdump -B 65536`), to a fast disk, with the filter `port 21064`, on "
        "the node itself rather than on a mirror port.",
    ),
    Entry(
        "CAP902",
        "truncated-packet",
        "warning",
        when="The snaplen of the capture cut bytes of DLM away.",
        meaning=_NOT_THE_CLUSTER + " Frames that are cut are still numbered when their header is there.",
        wrong_if="Nothing: the capture file itself says how long the packets were.",
        advice="Capture whole packets: `tcpdump -s 0`.",
    ),
    Entry(
        "CAP903",
        "started-mid-stream",
        "note",
        when="The first frame of a stream that the capture shows is not the stream's first: its connection was "
        "already open, or its number is not 0.",
        meaning=_NOT_THE_CLUSTER
        + " The numbers are learnt from the first frames; the FIN exchange or the versions from before are unknown.",
        wrong_if="Nothing is concluded from it.",
        advice="None, unless the beginning matters.",
    ),
    Entry(
        "CAP904",
        "one-sided",
        "warning",
        when="Of a connection or a pair of nodes only one direction was captured.",
        meaning=_NOT_THE_CLUSTER + " Without the ACKs of the other side nobody can tell what was delivered.",
        wrong_if="A node that keeps two connections to its peer sends on one of them only: a direction without data "
        "is normal and does not count as long as TCP's own acknowledgements are there.",
        advice="Capture on the node itself (`tcpdump -i any`) or mirror both directions; look for asymmetric routes "
        "and bonded interfaces of which only one was captured.",
    ),
    Entry(
        "CAP905",
        "resynchronised",
        "warning",
        when="The boundaries of frames were lost and found again by the signature of a header; the bytes in between "
        "were skipped.",
        meaning="Behind a hole or at the start of a capture: nothing about the kernels. Behind a bad length "
        "(FRM101): the receiver is out of step as well.",
        wrong_if="The signature is strong: three fixed bytes, a known command, a length, and the same again behind it.",
        advice="See what made it necessary: CAP901, CAP902, CAP903 or FRM101.",
    ),
    Entry(
        "CAP906",
        "clock-step",
        "note",
        when="The time of a packet is more than 1 s before that of an earlier one in the same file.",
        meaning=_NOT_THE_CLUSTER
        + " Orders within a connection come from TCP's numbers; only spans of time across the step are wrong.",
        wrong_if="Files that were merged without sorting by time look the same.",
        advice="Sort the file (`reordercap`), or see that the clock of the capturing machine is not stepped.",
    ),
    Entry(
        "CAP907",
        "truncated-file",
        "warning",
        when="The file ends inside a record or a block, or is damaged there.",
        meaning=_NOT_THE_CLUSTER + " Everything before that place was read.",
        wrong_if="A file that is still being written ends like this too.",
        advice="Copy the file again, or end the capturing program before reading.",
    ),
    Entry(
        "CAP908",
        "dropped-by-capturer",
        "warning",
        when="The statistics in the pcapng file say that the capturing program dropped packets.",
        meaning=_NOT_THE_CLUSTER
        + " Which packets, is not known; holes in connections are reported on their own (CAP901).",
        wrong_if="The number counts packets of all kinds, not only those of DLM.",
        advice="As for CAP901: a larger buffer, a narrower filter, a faster disk.",
    ),
    Entry(
        "CAP909",
        "undecodable-packets",
        "warning",
        when="Packets whose link type, encapsulation or network header is not supported, or is damaged; counted by "
        "reason.",
        meaning=_NOT_THE_CLUSTER + " They may hold DLM or not.",
        wrong_if="Nothing is concluded from them.",
        advice="Capture on a plain interface, or convert the file (`editcap -T`). A report with one such packet is "
        "welcome.",
    ),
    Entry(
        "CAP910",
        "unseen-but-confirmed",
        "warning",
        when="An ACK, of DLM or of TCP, covers frames that the capture never showed.",
        meaning="The cluster had them: the receiver's kernel confirms what it took in. Only the capture lost them.",
        wrong_if="An ACK that is forged or belongs to another epoch. Where both connections of the pair are captured "
        "without a hole the same sight is ACK301.",
        advice="As for CAP901.",
        supersedes=("SEQ201", "SEQ202", "ACK301"),
    ),
)
