"""Numbers of the protocol and their kernel names (fs/dlm/dlm_internal.h, include/uapi/linux/dlmconstants.h).

A number that is missing here is not an error: the wire may carry it, and it is then shown as the number it is.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Command(IntEnum):
    """h_cmd: what a frame is (protocol page §1.1)."""

    MSG = 1
    RCOM = 2
    OPTS = 3
    ACK = 4
    FIN = 5


class MessageType(IntEnum):
    """m_type: what a DLM_MSG asks or answers (protocol page §2.2)."""

    REQUEST = 1
    CONVERT = 2
    UNLOCK = 3
    CANCEL = 4
    REQUEST_REPLY = 5
    CONVERT_REPLY = 6
    UNLOCK_REPLY = 7
    CANCEL_REPLY = 8
    GRANT = 9
    BAST = 10
    LOOKUP = 11
    REMOVE = 12
    LOOKUP_REPLY = 13
    PURGE = 14


class RecoveryType(IntEnum):
    """rc_type: step of recovery (protocol page §3.1); a reply is its request + 4."""

    STATUS = 1
    NAMES = 2
    LOOKUP = 3
    LOCK = 4
    STATUS_REPLY = 5
    NAMES_REPLY = 6
    LOOKUP_REPLY = 7
    LOCK_REPLY = 8


class Mode(IntEnum):
    """Lock modes (protocol page §2.4); IV is "no mode", as in the requested mode of a granted lock."""

    IV = -1
    NL = 0
    CR = 1
    CW = 2
    PR = 3
    PW = 4
    EX = 5


class Status(IntEnum):
    """Queue of the resource that a lock is on at the sender (DLM_LKSTS_*, protocol page §2.1)."""

    NONE = 0
    WAITING = 1
    GRANTED = 2
    CONVERT = 3


class LockFlags(IntFlag):
    """m_exflags and rl_exflags: DLM_LKF_* as the caller of dlm_lock gave them (protocol page §2.4)."""

    NOQUEUE = 0x1
    CANCEL = 0x2
    CONVERT = 0x4
    VALBLK = 0x8
    QUECVT = 0x10
    IVVALBLK = 0x20
    CONVDEADLK = 0x40
    PERSISTENT = 0x80
    NODLCKWT = 0x100
    NODLCKBLK = 0x200
    EXPEDITE = 0x400
    NOQUEUEBAST = 0x800
    HEADQUE = 0x1000
    NOORDER = 0x2000
    ORPHAN = 0x4000
    ALTPR = 0x8000
    ALTCW = 0x10000
    FORCEUNLOCK = 0x20000
    TIMEOUT = 0x40000


class StatusFlags(IntFlag):
    """m_sbflags: DLM_SBF_* of the lock status block (protocol page §2.4)."""

    DEMOTED = 0x1
    VALNOTVALID = 0x2
    ALTMODE = 0x4


class InternalFlags(IntFlag):
    """m_flags and rl_flags: DLM_IFL_* (protocol page §2.4).

    Only USER and ORPHAN mean anything to the receiver; the high half leaks out of senders up to kernel 6.3.
    """

    USER = 0x1
    ORPHAN = 0x2
    MSTCPY = 0x10000
    RESEND = 0x20000
    DEAD = 0x40000
    OVERLAP_UNLOCK = 0x80000
    OVERLAP_CANCEL = 0x100000
    ENDOFLIFE = 0x200000
    WATCH_TIMEWARN = 0x400000
    TIMEOUT_CANCEL = 0x800000
    DEADLOCK_CANCEL = 0x1000000
    STUB_MS = 0x2000000


class AstFlags(IntFlag):
    """m_asts and rl_asts: the callbacks that the sender's lock has (protocol page §2.1)."""

    COMP = 0x1
    BAST = 0x2


class LockspaceFlags(IntFlag):
    """rf_lsflags: DLM_LSFL_*, equal on all nodes of a lockspace (protocol page §3.3)."""

    NODIR = 0x1
    TIMEWARN = 0x2
    FS = 0x4
    NEWEXCL = 0x8
    SOFTIRQ = 0x10


class StatusRequestFlags(IntFlag):
    """rs_flags of an RCOM STATUS (protocol page §3.3)."""

    NEED_SLOTS = 0x1


class RecoveryStatus(IntFlag):
    """DLM_RS_*: rc_result of an RCOM STATUS_REPLY, the phases this node has finished (protocol page §3.5)."""

    NODES = 0x1
    NODES_ALL = 0x2
    DIR = 0x4
    DIR_ALL = 0x8
    LOCKS = 0x10
    LOCKS_ALL = 0x20
    DONE = 0x40
    DONE_ALL = 0x80


class Result(IntEnum):
    """m_result, rl_result and negative rc_result: minus an errno, in the numbers of the wire (protocol page §2.5)."""

    EPERM = -1
    ENOENT = -2
    ESRCH = -3
    EAGAIN = -11
    ENOMEM = -12
    ENOTBLK = -15
    EBUSY = -16
    EEXIST = -17
    EINVAL = -22
    EDEADLK = -35
    EBADR = -53
    EBADSLT = -57
    EPROTO = -71
    EOPNOTSUPP = -95
    ETIMEDOUT = -110
    EINPROGRESS = -115
    ECANCEL = -0x10001
    EUNLOCK = -0x10002
