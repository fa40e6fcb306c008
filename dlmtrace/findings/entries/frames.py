"""FRM: frames that are not built as the protocol says."""

from __future__ import annotations

from dlmtrace.findings.entry import Entry, LogLine

_GUESSED = (
    "A header that is none: behind a hole, a cut packet or a start in the middle of a stream the next header is only "
    "recognised by its looks. Frames whose bytes the capture does not hold whole are not judged."
)
_BYTES = "`dlmtrace decode FILE --packet N -V -x` shows the bytes of the frame beside the fields they were read as"

ENTRIES = (
    Entry(
        "FRM101",
        "bad-length",
        "error",
        when="`h_length` is below 16, the size of the header itself, or above 4096. What follows belongs to no frame "
        "until a header is found again by its signature (CAP905).",
        meaning="The receiver gives up the rest of what it had read. Up to 6.1 the connection stays open and its "
        "parsing stays out of step. From 6.2 on the good frames of the same read are thrown away too; a receive-only "
        "connection is closed, on the other one reception stands still until a send fails. Numbered frames that went "
        "with it leave a gap in the stream.",
        log=(LogLine("receiver", "received invalid length header: %u from node %d, will abort message parsing"),),
        wrong_if=_GUESSED,
        advice=_BYTES + ". Find out what wrote them: a program of its own at the DLM port, the debugfs file "
        "`rawmsg`, a broken middlebox. Then look whether the stream went on: SEQ201 and SEQ211 say when it did not.",
        anomalies=("A25",),
        supersedes=("FRM105",),
    ),
    Entry(
        "FRM102",
        "bad-version",
        "error",
        when="`h_version` is none of 3.0 (0x00030000), 3.1 (0x00030001) and 3.2 (0x00030002).",
        meaning="The receiver skips the frame and reads on behind it. If it was a DLM_OPTS frame its number is not "
        "used up, so that everything with a higher number is ignored from then on. Kernels from 5.14 on skip 3.0 in "
        "the same way.",
        log=(LogLine("receiver", "received invalid version header: %u from node %d, will skip this message"),),
        wrong_if=_GUESSED,
        advice=_BYTES + ". No known kernel sends another version: look for a foreign sender, or for bytes that were "
        "changed on the way (a wrong TCP checksum in Wireshark).",
        anomalies=("A25",),
    ),
    Entry(
        "FRM103",
        "unknown-command",
        "error",
        when="`h_cmd` is none that the frame's own version has (MSG and RCOM; 3.2 has OPTS, ACK and FIN too), or "
        "`o_nextcmd` or the `h_cmd` of a carried frame is none of MSG, RCOM and FIN.",
        meaning="The receiver skips the frame. In a DLM_OPTS frame the number is not used up, so that everything "
        "with a higher number is ignored from then on.",
        log=(
            LogLine("receiver", "unsupported h_cmd received: %u"),
            LogLine("receiver", "unsupported o_nextcmd received: %u"),
            LogLine("receiver", "unsupported inner h_cmd received: %u"),
        ),
        wrong_if=_GUESSED,
        advice=_BYTES + ". No kernel sends such a command: look for a foreign sender.",
        anomalies=("A25",),
        supersedes=("FRM104",),
    ),
    Entry(
        "FRM104",
        "inner-mismatch",
        "warning",
        when="A DLM_OPTS frame and the frame that it carries contradict each other: `o_nextcmd` is not the carried "
        "`h_cmd`, the carried `h_length` is not what the outer one leaves, or version or node id differ.",
        meaning="Kernels do not compare the two headers; only the carried node id is checked. The carried frame is "
        "taken by its own header, and one that claims more bytes than there are makes the kernel read past its end.",
        wrong_if=_GUESSED,
        advice=_BYTES + ". No kernel sends such a frame: look for a foreign sender.",
        anomalies=("A24",),
    ),
    Entry(
        "FRM105",
        "short-frame",
        "error",
        when="A frame is shorter than its kind needs: MSG 88 bytes, RCOM 48, RCOM LOCK and LOCK_REPLY 156, OPTS 24 "
        "plus its options plus what it carries.",
        meaning="The receiver skips the frame. In a DLM_OPTS frame the number is not used up and no ACK is sent, so "
        "that everything with a higher number is ignored from then on. A bare RCOM is no longer checked from 6.6 on.",
        log=(
            LogLine("receiver", "msg too small"),
            LogLine("receiver", "rcom msg too small"),
            LogLine("receiver", "opts msg too small"),
            LogLine("receiver", "fin too small"),
            LogLine("receiver", "recovery message %d from %d is too short"),
        ),
        wrong_if="The 3.0 protocol has shorter STATUS frames; they are known. " + _GUESSED,
        advice=_BYTES + ". No kernel sends such a frame: look for a foreign sender.",
        anomalies=("A25",),
    ),
    Entry(
        "FRM106",
        "nonzero-padding",
        "warning",
        when="A field that every kernel leaves at zero is not: `h_pad`, `o_pad`, `o_pad2`, `t_pad`, the parent lock "
        "ids or the unused words of the recovery payloads.",
        meaning="Kernels do not look at these fields, and none writes to them: their pages are zeroed before use.",
        wrong_if=_GUESSED,
        advice=_BYTES + ". The sender is no known kernel, or the bytes were changed on the way, or a newer protocol "
        "has found a use for the field.",
        anomalies=("A27",),
    ),
    Entry(
        "FRM107",
        "options-present",
        "note",
        when="`o_optlen` is not 0: options stand between the DLM_OPTS header and the frame that it carries.",
        meaning="Every kernel skips options unread, and none sends any. The frame that they precede is taken as usual.",
        wrong_if=_GUESSED,
        advice=_BYTES + ", each option with its type and length. Ask which implementation sends them.",
        anomalies=("A28",),
    ),
    Entry(
        "FRM108",
        "malformed-option",
        "warning",
        when="An option of a DLM_OPTS frame is shorter than its own header of 8 bytes or runs past `o_optlen`.",
        meaning="Nothing happens: kernels skip options unread.",
        wrong_if="Whether `t_length` counts the option's header is written down nowhere; it is taken to. " + _GUESSED,
        advice=_BYTES + ", the unreadable rest of the options as raw bytes.",
        anomalies=("A28",),
    ),
    Entry(
        "FRM109",
        "bad-payload",
        "warning",
        when="A payload does not fit its frame: a resource name of 0 or more than 64 bytes, an LVB of another length "
        "than the lockspace's `rf_lvblen`, bytes where the type has none, a list of names without its end, more "
        "slots than there is room for, an `rl_namelen` that is 0 or above 64.",
        meaning="Kernels check no length behind the fixed part of a frame beyond what `h_length` leaves. An LVB is "
        "copied up to the shorter of the two lengths; a list without its end makes that step of the recovery fail "
        "with error -22.",
        wrong_if="An LVB length is only judged once a STATUS_REPLY has told the lockspace's. " + _GUESSED,
        advice=_BYTES + ". Compare `rf_lvblen` in the STATUS_REPLY of all nodes (`dlmtrace decode FILE --type "
        "STATUS_REPLY -V`).",
        anomalies=("A25",),
    ),
    Entry(
        "FRM110",
        "node-id-mismatch",
        "error",
        when="The `h_nodeid` of a frame is not the id that its source address has sent under until then.",
        meaning="The kernel knows a peer by its source address alone. It drops a MSG or RCOM whose node id does not "
        "belong to the address, after its number was used up and acknowledged: it is never repeated, and who waits "
        "for it waits for ever. OPTS and ACK headers are not checked.",
        log=(LogLine("receiver", "invalid h_nodeid %d from %d lockspace %x"),),
        wrong_if="Several nodes behind one address (NAT, a capture of several clusters). Several addresses of one "
        "node are normal and are learnt, and so is a new id with which a node introduces itself on its only "
        "connection.",
        advice="Compare the node ids and addresses in the cluster configuration of all nodes (`corosync.conf`, "
        "`/sys/kernel/config/dlm/cluster/comms`); `dlmtrace info FILE` lists what the frames say.",
        anomalies=("A23",),
    ),
    Entry(
        "FRM111",
        "hash-mismatch",
        "warning",
        when="`m_hash` of a message with a resource name is not the kernel's hash of that name.",
        meaning="The hash chooses the directory node. Sender and receiver then look for the same name in two places: "
        "lookups go to a node that does not keep the entry.",
        log=(
            LogLine("receiver", "receive_remove from %d bad nodeid %d"),
            LogLine("receiver", "dlm_master_lookup from %d dir %d our %d h %x %d"),
        ),
        wrong_if="A big-endian node hashes names of more than 12 bytes in its own way. Among such nodes that does no "
        "harm, so it is only raised where others in the lockspace hash as little-endian nodes do. " + _GUESSED,
        advice=_BYTES + ". Is the sender big-endian (s390x) and the others not? Otherwise the name or the hash was "
        "changed.",
        anomalies=("A36",),
    ),
)
