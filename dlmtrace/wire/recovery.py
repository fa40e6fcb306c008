"""DLM_RCOM: recovery of a lockspace, with every payload (protocol page §3, fs/dlm/rcom.c, dir.c, dlm_internal.h)."""

from __future__ import annotations

import construct as C

from dlmtrace.wire.enums import (
    AstFlags,
    InternalFlags,
    LockFlags,
    LockspaceFlags,
    MessageType,
    Mode,
    RecoveryStatus,
    RecoveryType,
    Result,
    Status,
    StatusRequestFlags,
)
from dlmtrace.wire.fields import Bounded, Enumerated, Flags, Hexadecimal

RecoveryBody = C.Struct(
    "rc_type" / Enumerated(C.Int32ul, RecoveryType) * "Step of recovery",
    "rc_result"
    / C.Int32sl
    * "STATUS_REPLY: phases finished, or -3 (lockspace unknown); LOOKUP_REPLY: master node; negative: minus an errno",
    "rc_id" / Hexadecimal(C.Int64ul) * "Names the request; the reply repeats it",
    "rc_seq" / Hexadecimal(C.Int64ul) * "Recovery number of the sender; random start from kernel 6.3",
    "rc_seq_reply" / Hexadecimal(C.Int64ul) * "Replies: rc_seq of the request; 0 in requests",
)
"""Behind the header of an RCOM frame, 32 bytes."""


def result_text(rc_type: int, rc_result: int) -> str:
    """rc_result as its type means it: phases of a STATUS_REPLY, the node of a LOOKUP_REPLY, an errno (§3.2)."""
    if rc_type == RecoveryType.STATUS_REPLY and rc_result > 0:
        return Flags(C.Int32ul, RecoveryStatus).text(rc_result)
    if rc_type == RecoveryType.LOOKUP_REPLY and rc_result > 0:
        return f"node {rc_result}"
    return Enumerated(C.Int32sl, Result).text(rc_result)


RecoveryStatusRequest = C.Struct(
    "rs_flags" / Flags(C.Int32ul, StatusRequestFlags) * "NEED_SLOTS: send the table of slots",
    "rs_unused1" / C.Int32ul * "Zero",
    "rs_unused2" / C.Int64ul * "Zero",
)
"""struct rcom_status, payload of STATUS, 16 bytes; absent in protocol 3.0."""

RecoveryConfigShort = C.Struct(
    "rf_lvblen" / C.Int32ul * "Bytes of a lock value block in this lockspace; 0xffffffff: lockspace not ready",
    "rf_lsflags" / Flags(C.Int32ul, LockspaceFlags) * "Flags of the lockspace, equal on all nodes",
    "rf_unused" / C.Int64ul * "Not used in protocol 3.0",
)
"""struct rcom_config of protocol 3.0, 16 bytes."""

RecoveryConfig = C.Struct(
    *RecoveryConfigShort.subcons[:2],
    "rf_flags" / C.Int32ul * "Zero",
    "rf_our_slot" / C.Int16ul * "Slot of the replying node, 0 = none",
    "rf_num_slots" / C.Int16ul * "Slots that follow; 0 unless NEED_SLOTS was asked",
    "rf_generation" / C.Int32ul * "Generation of the lockspace",
    "rf_unused1" / C.Int32ul * "Zero",
    "rf_unused2" / C.Int64ul * "Zero",
)
"""struct rcom_config of protocols 3.1 and 3.2, 32 bytes."""

RecoverySlot = C.Struct(
    "ro_nodeid" / C.Int32ul * "Node that has the slot",
    "ro_slot" / C.Int16ul * "Number of the slot, from 1",
    "ro_unused1" / C.Int16ul * "Zero",
    "ro_unused2" / C.Int64ul * "Zero",
)
"""struct rcom_slot, 16 bytes."""

RecoveryLock = C.Struct(
    "rl_ownpid" / C.Int32ul * "Process that owns the lock",
    "rl_lkid" / Hexadecimal(C.Int32ul) * "Lock id on the holder",
    "rl_remid" / Hexadecimal(C.Int32ul) * "LOCK: 0; LOCK_REPLY: lock id on the new master",
    "rl_parent_lkid" / Hexadecimal(C.Int32ul) * "Zero",
    "rl_parent_remid" / Hexadecimal(C.Int32ul) * "Zero",
    "rl_exflags" / Flags(C.Int32ul, LockFlags) * "DLM_LKF_ flags given by the caller",
    "rl_flags" / Flags(C.Int32ul, InternalFlags) * "Internal flags, as m_flags",
    "rl_lvbseq" / C.Int32ul * "Sequence number of the lock value block",
    "rl_result" / Enumerated(C.Int32sl, Result) * "LOCK_REPLY: 0, or minus an errno (EEXIST: had it already, fine)",
    "rl_rqmode" / Enumerated(C.Int8sl, Mode) * "Requested mode",
    "rl_grmode" / Enumerated(C.Int8sl, Mode) * "Granted mode",
    "rl_status" / Enumerated(C.Int8sl, Status) * "Queue that the lock is on",
    "rl_asts" / Flags(C.Int8sl, AstFlags) * "Callbacks that the lock has",
    "rl_wait_type"
    / Enumerated(C.Int16ul, MessageType)
    * "Type of the message whose answer the lock was waiting for, or 0",
    "rl_namelen" / C.Int16ul * "Bytes of rl_name that count, at most 64",
    "rl_name" / C.Bytes(64) * "Resource name, zeros behind it",
)
"""struct rcom_lock, payload of LOCK and LOCK_REPLY, 108 bytes."""

_SLOTS_SINCE = 0x00030001
"""First h_version whose STATUS_REPLY has the long configuration (§8)."""

_ALL = 0xFFFF
"""More than any h_length leaves for a payload."""

_rest = "rest" / C.GreedyBytes * "Bytes behind what the payload declares; zeros from a kernel"

StatusRequest = RecoveryStatusRequest + C.Struct(_rest)
"""Payload of STATUS."""

StatusReply = RecoveryConfig + C.Struct("slots" / C.Array(C.this.rf_num_slots, RecoverySlot) * "Table of slots", _rest)
"""Payload of STATUS_REPLY in protocols 3.1 and 3.2."""

StatusReplyWithoutSlots = RecoveryConfig + C.Struct(_rest)
"""The same when rf_num_slots announces more than there is."""

StatusReplyShort = RecoveryConfigShort + C.Struct(_rest)
"""Payload of STATUS_REPLY in protocol 3.0."""

NAMES_END = 0xFFFF
"""n_length behind the last name of the node."""
CHUNK_END = 0
"""n_length behind the last name of this reply; the requester asks again from that name on."""

NameEntry = C.Struct(
    "n_length" / C.Int16ub * "Bytes of the name, big-endian; 0: end of this reply, 0xffff: end of all names",
    "n_name" / C.Bytes(lambda context: 0 if context.n_length == NAMES_END else context.n_length) * "Resource name",
)
"""One name of a NAMES_REPLY, or one of its two terminators (§3.4)."""

NameList = C.Struct(
    "entries"
    / C.Select(
        C.RepeatUntil(lambda entry, entries, context: entry["n_length"] in (CHUNK_END, NAMES_END), NameEntry),
        C.GreedyRange(NameEntry),  # no terminator: the names that are whole
    )
    * "Names, then the terminator",
    _rest,
)
"""Payload of NAMES_REPLY."""

LastName = C.Struct("last_name" / C.GreedyBytes * "Last name of the reply before; empty: from the start")
"""Payload of NAMES."""

LookupName = C.Struct("lookup_name" / C.GreedyBytes * "Name of the resource whose master is asked for")
"""Payload of LOOKUP."""

LockTransfer = RecoveryLock + C.Struct("rl_lvb" / C.GreedyBytes * "Lock value block, when the lock has one")
"""Payload of LOCK and LOCK_REPLY."""

Recovery = RecoveryBody + C.Struct(
    "rc_buf"
    / Bounded(
        lambda context: _ALL,
        C.Switch(
            C.this.rc_type,
            {
                RecoveryType.STATUS: StatusRequest,
                RecoveryType.NAMES: LastName,
                RecoveryType.LOOKUP: LookupName,
                RecoveryType.LOCK: LockTransfer,
                RecoveryType.STATUS_REPLY: C.IfThenElse(
                    lambda context: context["_"]["header"]["h_version"] < _SLOTS_SINCE,
                    StatusReplyShort,
                    C.Select(StatusReply, StatusReplyWithoutSlots),
                ),
                RecoveryType.NAMES_REPLY: NameList,
                RecoveryType.LOCK_REPLY: LockTransfer,
            },
            default=C.GreedyBytes,
        ),
    )
    * "Payload of its type; bytes when it has none, when the type is unknown, or when they do not fit",
)
"""A whole DLM_RCOM behind its header."""
