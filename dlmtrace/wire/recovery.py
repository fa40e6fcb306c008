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
from dlmtrace.wire.fields import Enumerated, Flags, Hexadecimal

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
    "rl_asts" / Flags(C.Int8ul, AstFlags) * "Callbacks that the lock has",
    "rl_wait_type" / Enumerated(C.Int16ul, MessageType) * "Type of the reply that the lock was waiting for, or 0",
    "rl_namelen" / C.Int16ul * "Bytes of rl_name that count, at most 64",
    "rl_name" / C.Bytes(64) * "Resource name, zeros behind it",
)
"""struct rcom_lock, payload of LOCK and LOCK_REPLY, 108 bytes."""
