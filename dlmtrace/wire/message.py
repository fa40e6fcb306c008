"""DLM_MSG: requests for locks and their answers (protocol page §2, fs/dlm/dlm_internal.h struct dlm_message)."""

from __future__ import annotations

from typing import Any

import construct as C

from dlmtrace.wire.enums import AstFlags, InternalFlags, LockFlags, MessageType, Mode, Result, Status, StatusFlags
from dlmtrace.wire.fields import Enumerated, Flags, Hexadecimal

MessageBody = C.Struct(
    "m_type" / Enumerated(C.Int32ul, MessageType) * "What the message asks or answers",
    "m_nodeid"
    / C.Int32ul
    * "Partner node as the sender sees it (0xffffffff: master unknown); LOOKUP_REPLY: the master, the answer itself",
    "m_pid" / C.Int32ul * "Process that owns the lock; PURGE: process whose locks to purge, 0 = all",
    "m_lkid" / Hexadecimal(C.Int32ul) * "Lock id on the sender; LOOKUP_REPLY: on the receiver",
    "m_remid" / Hexadecimal(C.Int32ul) * "Lock id on the receiver; 0 in REQUEST and LOOKUP",
    "m_parent_lkid" / Hexadecimal(C.Int32ul) * "Zero (sub-locks were never made)",
    "m_parent_remid" / Hexadecimal(C.Int32ul) * "Zero (sub-locks were never made)",
    "m_exflags" / Flags(C.Int32ul, LockFlags) * "DLM_LKF_ flags given by the caller",
    "m_sbflags" / Flags(C.Int32ul, StatusFlags) * "DLM_SBF_ flags of the lock status block",
    "m_flags" / Flags(C.Int32ul, InternalFlags) * "Internal flags; only the low half means anything to the receiver",
    "m_lvbseq" / C.Int32ul * "Sequence number of the lock value block",
    "m_hash" / Hexadecimal(C.Int32ul) * "jhash of the resource name; 0 in LOOKUP_REPLY, PURGE and some error replies",
    "m_status" / Enumerated(C.Int32sl, Status) * "Queue that the lock is on at the sender",
    "m_grmode" / Enumerated(C.Int32sl, Mode) * "Granted mode",
    "m_rqmode" / Enumerated(C.Int32sl, Mode) * "Requested mode; IV once granted",
    "m_bastmode" / Enumerated(C.Int32sl, Mode) * "BAST: mode that the blocked requester wants; else 0",
    "m_asts" / Flags(C.Int32ul, AstFlags) * "Callbacks that the sender's lock has: a capability, not an event",
    "m_result" / Enumerated(C.Int32sl, Result) * "Replies: 0 or minus an errno; UNLOCK_REPLY succeeds with EUNLOCK",
)
"""The 18 words behind the header, 72 bytes."""

NAMED = frozenset({MessageType.REQUEST, MessageType.LOOKUP, MessageType.REMOVE})
"""Types whose tail is the resource name (§2.3)."""

VALUED = frozenset(
    {
        MessageType.CONVERT,
        MessageType.UNLOCK,
        MessageType.REQUEST_REPLY,
        MessageType.CONVERT_REPLY,
        MessageType.GRANT,
    }
)
"""Types whose tail is the lock value block, when there is a tail (§2.3)."""


def _tail_of(types: frozenset[MessageType]) -> Any:
    return C.IfThenElse(lambda context: context.m_type in types, C.GreedyBytes, C.Bytes(0))


Message = MessageBody + C.Struct(
    "m_name" / _tail_of(NAMED) * "Resource name, 1 to 64 bytes, not terminated: REQUEST, LOOKUP, REMOVE",
    "m_lvb" / _tail_of(VALUED) * "Lock value block: CONVERT, UNLOCK, REQUEST_REPLY, CONVERT_REPLY, GRANT",
    "m_other" / C.GreedyBytes * "Tail of a type that should have none, or of an unknown type",
)
"""A whole DLM_MSG behind its header; the kernel's m_extra is told apart, at most one of the three tails has bytes."""
