"""FRM106, FRM109 and FRM111: names, lock value blocks and the other payloads of a frame (protocol page §2, §3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.findings.frames import is_of_dlm
from dlmtrace.findings.losses import Losses
from dlmtrace.findings.ranges import Place, Ranges, place
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.gather import gather
from dlmtrace.wire.columns import CONFIG, CONFIG_SHORT, HEADER, LOCK, MESSAGE, RECOVERY, SLOT, STATUS_REQUEST
from dlmtrace.wire.enums import MessageType, RecoveryType
from dlmtrace.wire.hashes import BLOCK, jhashes
from dlmtrace.wire.message import NAMED, VALUED
from dlmtrace.wire.recovery import CHUNK_END, NAMES_END

Int = npt.NDArray[np.int64]
Flag = npt.NDArray[np.bool_]

NAME_LIMIT = 64
"""Bytes of the longest resource name (DLM_RESNAME_MAXLEN)."""

NOT_READY = 0xFFFFFFFF
"""rf_lvblen of a lockspace that is not ready."""

LOCKSPACE_LIMIT = 4096
"""Lockspaces whose lvblen is remembered."""

SLOTS_SINCE = 0x00030001
"""First h_version whose STATUS_REPLY has the long configuration (§8)."""

_NAME, _VALUE, _NOTHING = 1, 2, 3
_TAIL = np.zeros(256, np.uint8)  # what stands behind a message of each type
_TAIL[list(MessageType)] = _NOTHING
_TAIL[list(NAMED)], _TAIL[list(VALUED)] = _NAME, _VALUE
_MESSAGE_SIZE, _RECOVERY_SIZE = HEADER.itemsize + MESSAGE.itemsize, HEADER.itemsize + RECOVERY.itemsize
_UNUSED: dict[np.dtype[Any], list[tuple[str, ...]]] = {
    MESSAGE: [("m_parent_lkid", "m_parent_remid")],
    STATUS_REQUEST: [("rs_unused1",), ("rs_unused2",)],
    CONFIG: [("rf_flags",), ("rf_unused1",), ("rf_unused2",)],
    SLOT: [("ro_unused1",), ("ro_unused2",)],
    LOCK: [("rl_parent_lkid", "rl_parent_remid")],
}
"""Fields that every kernel leaves at 0; those of a group are neighbours and read as one number."""


class ValueLengths:
    """The LVB lengths that the STATUS_REPLYs of each lockspace have announced (rf_lvblen)."""

    def __init__(self) -> None:
        self._lengths: dict[int, set[int]] = {}

    def learn(self, lockspace: Int, length: Int) -> None:
        """These were announced."""
        for space, size in set(zip(lockspace.tolist(), length.tolist(), strict=True)):
            if size != NOT_READY and (space in self._lengths or len(self._lengths) < LOCKSPACE_LIMIT):
                self._lengths.setdefault(space, set()).add(size)

    def wrong(self, lockspace: Int, length: Int) -> Flag:
        """Is it none of the announced lengths of its lockspace?  False where none is known."""
        pairs = [space << 16 | size for space, sizes in self._lengths.items() for size in sizes]
        unlike: Flag = np.isin(lockspace, list(self._lengths)) & ~np.isin(lockspace << 16 | length, pairs)
        return unlike

    def announced(self, lockspace: int) -> str:
        """For people."""
        return " or ".join(map(str, sorted(self._lengths[lockspace])))


class PayloadRules:
    """Looks at all payloads of a batch by columns."""

    def __init__(self, ranges: Ranges, losses: Losses) -> None:
        self._ranges, self._losses = ranges, losses
        self._lengths = ValueLengths()
        self._big_endian: dict[int, Place | None] = {}  # lockspace -> a frame with such a hash; None once it is told

    def feed(self, batch: FrameBatch) -> None:
        """The frames of a batch."""
        recovery = np.flatnonzero(batch.is_recovery)
        if len(recovery):
            self._recovery(batch, recovery)
        messages = np.flatnonzero(batch.is_message)
        if len(messages):
            self._messages(batch, messages)

    # Messages.

    def _messages(self, batch: FrameBatch, rows: Int) -> None:
        start = batch.frames["offset"][rows]
        body = start + batch.inner_offset[rows] + HEADER.itemsize
        self._padding(batch, rows, body, MESSAGE)
        tail = batch.inner["h_length"][rows].astype(np.int64) - _MESSAGE_SIZE
        kind = _TAIL[np.minimum(batch.type[rows], len(_TAIL) - 1)]
        named = kind == _NAME
        self._names(batch, rows[named], tail[named], 1)
        valued = np.flatnonzero((kind == _VALUE) & (tail > 0))
        self._values(batch, rows[valued], tail[valued])
        surplus = (kind == _NOTHING) & (tail > 0)
        for row, size in _pairs(rows[surplus], tail[surplus]):
            name = MessageType(int(batch.type[row])).name
            self._find(batch, row, "FRM109", f"{size} bytes behind a {name}, which has nothing there")
        rows, start, body, tail = rows[named], start[named], body[named], tail[named]
        at = body + MESSAGE.itemsize
        whole = (tail >= 1) & (tail <= NAME_LIMIT) & (at + tail <= start + batch.body_end[rows])
        rows, body, at, tail = rows[whole], body[whole], at[whole], tail[whole]
        self._check_hashes(batch, rows, at, tail, _field(batch, MESSAGE, "m_hash", body))

    def _check_hashes(self, batch: FrameBatch, rows: Int, at: Int, length: Int, claimed: Any) -> None:
        right = (jhashes(batch.buffer, at, length) == claimed) | (claimed == 0)  # 0: not set
        for index in np.flatnonzero(~right).tolist():
            row, one = int(rows[index]), slice(index, index + 1)
            if jhashes(batch.buffer, at[one], length[one], big_endian=True)[0] == claimed[index]:
                if len(self._big_endian) < LOCKSPACE_LIMIT:
                    self._big_endian.setdefault(int(batch.lockspace[row]), place(batch, row))
            else:
                text = f"m_hash {int(claimed[index])} is not the hash of the resource name"
                self._find(batch, row, "FRM111", text)
        if self._big_endian:
            self._compare_byte_orders(batch.lockspace[rows[right & (length > BLOCK)]])

    def _compare_byte_orders(self, little_endian: Int) -> None:
        """Big-endian nodes among themselves agree on their hashes, but not with others in the same lockspace."""
        for lockspace, where in self._big_endian.items():
            if where is not None and (little_endian == lockspace).any():
                text = "m_hash is that of a big-endian node, but others in the lockspace are little-endian"
                self._ranges.add("FRM111", text, where)
                self._big_endian[lockspace] = None

    # Recovery.

    def _recovery(self, batch: FrameBatch, rows: Int) -> None:
        kind = batch.type[rows]
        tail = batch.inner["h_length"][rows].astype(np.int64) - _RECOVERY_SIZE
        room = batch.body_end[rows] - batch.inner_offset[rows] - _RECOVERY_SIZE  # of the tail, what was captured
        at = batch.frames["offset"][rows] + batch.inner_offset[rows] + _RECOVERY_SIZE
        self._status_replies(batch, rows, kind == RecoveryType.STATUS_REPLY, tail, at, room)
        asked = (kind == RecoveryType.STATUS) & (room >= STATUS_REQUEST.itemsize)
        self._padding(batch, rows[asked], at[asked], STATUS_REQUEST)
        for wanted, least in ((RecoveryType.LOOKUP, 1), (RecoveryType.NAMES, 0)):
            named = kind == wanted
            self._names(batch, rows[named], tail[named], least)
        self._locks(batch, rows, kind, tail, at, room)
        lists = kind == RecoveryType.NAMES_REPLY
        self._name_lists(batch, rows[lists], at[lists], tail[lists], room[lists])

    def _status_replies(self, batch: FrameBatch, rows: Int, replies: Flag, tail: Int, at: Int, room: Int) -> None:
        if not replies.any():
            return
        rows, tail, at, room = rows[replies], tail[replies], at[replies], room[replies]
        short = batch.inner["h_version"][rows] < SLOTS_SINCE
        needed = np.where(short, CONFIG_SHORT.itemsize, CONFIG.itemsize)
        for row, size in _pairs(rows[tail < needed], tail[tail < needed]):
            self._find(batch, row, "FRM109", f"a STATUS_REPLY with {size} bytes of configuration")
        here = room >= CONFIG_SHORT.itemsize
        self._lengths.learn(batch.lockspace[rows[here]], _field(batch, CONFIG_SHORT, "rf_lvblen", at[here]))
        here = ~short & (room >= CONFIG.itemsize)
        rows, tail, at, room = rows[here], tail[here], at[here], room[here]
        self._padding(batch, rows, at, CONFIG)
        slots = _field(batch, CONFIG, "rf_num_slots", at).astype(np.int64)
        many = slots * SLOT.itemsize > tail - CONFIG.itemsize
        for row, count in _pairs(rows[many], slots[many]):
            self._find(batch, row, "FRM109", f"a STATUS_REPLY announces {count} slots, more than it has room for")
        slots = np.minimum(slots, (room - CONFIG.itemsize) // SLOT.itemsize)
        owner = np.repeat(np.arange(len(rows)), slots)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(slots) - slots, slots)
        where = at[owner] + CONFIG.itemsize + place * SLOT.itemsize
        self._padding(batch, rows[owner], where, SLOT)

    def _locks(self, batch: FrameBatch, rows: Int, kind: Int, tail: Int, at: Int, room: Int) -> None:
        reply = kind == RecoveryType.LOCK_REPLY
        here = (reply | (kind == RecoveryType.LOCK)) & (room >= LOCK.itemsize)
        rows, reply, size, at = rows[here], reply[here], tail[here] - LOCK.itemsize, at[here]
        self._padding(batch, rows, at, LOCK)
        length = _field(batch, LOCK, "rl_namelen", at).astype(np.int64)
        odd = (length < 1) | (length > NAME_LIMIT)
        for row, value in _pairs(rows[odd], length[odd]):
            self._find(batch, row, "FRM109", f"rl_namelen {value} is not in 1 … {NAME_LIMIT}")
        for row, value in _pairs(rows[reply & (size > 0)], size[reply & (size > 0)]):
            self._find(batch, row, "FRM109", f"{value} bytes behind a LOCK_REPLY, which has no LVB")
        valued = ~reply & (size > 0)
        self._values(batch, rows[valued], size[valued])

    def _name_lists(self, batch: FrameBatch, rows: Int, at: Int, tail: Int, room: Int) -> None:
        """All lists at once, a name of each at a time."""
        position, going = np.zeros(len(rows), np.int64), np.arange(len(rows))
        while len(going):
            unread = position[going] + 2 > room[going]
            ended = unread & (room[going] == tail[going])
            for row in rows[going[ended]].tolist():
                self._find(batch, row, "FRM109", "a list of names without its end")
            going = going[~unread]
            length = gather(batch.buffer, np.dtype(">u2"), at[going] + position[going]).astype(np.int64)
            named = (length != CHUNK_END) & (length != NAMES_END)
            odd = named & (length > NAME_LIMIT)
            for row, value in _pairs(rows[going[odd]], length[odd]):
                self._find(batch, row, "FRM109", f"a name of {value} bytes in a list of names")
            position[going] += 2 + length
            going = going[named & ~odd]

    # What both have.

    def _names(self, batch: FrameBatch, rows: Int, length: Int, least: int) -> None:
        odd = (length < least) | (length > NAME_LIMIT)
        for row, size in _pairs(rows[odd], length[odd]):
            self._find(batch, row, "FRM109", f"a resource name of {size} bytes")

    def _values(self, batch: FrameBatch, rows: Int, length: Int) -> None:
        lockspace = batch.lockspace[rows]
        wrong = self._lengths.wrong(lockspace, length)
        for row, size in _pairs(rows[wrong], length[wrong]):
            announced = self._lengths.announced(int(batch.lockspace[row]))
            self._find(batch, row, "FRM109", f"an LVB of {size} bytes in a lockspace whose rf_lvblen is {announced}")

    def _padding(self, batch: FrameBatch, rows: Int, at: Int, layout: np.dtype[Any]) -> None:
        for names in _UNUSED[layout]:
            together = np.dtype(f"u{sum(layout[name].itemsize for name in names)}")
            odd = np.flatnonzero(gather(batch.buffer, together, at + _offset(layout, names[0])))
            for name in names if len(odd) else ():
                for row in rows[odd[_field(batch, layout, name, at[odd]) != 0]].tolist():
                    self._find(batch, row, "FRM106", f"{name} is not 0")

    def _find(self, batch: FrameBatch, index: int, code: str, text: str) -> None:
        where = place(batch, index)
        if is_of_dlm(batch, index) and self._losses.sure(where):
            self._ranges.add(code, text, where)


def _field(batch: FrameBatch, layout: np.dtype[Any], name: str, at: Int) -> npt.NDArray[Any]:
    """One field of the structures at these offsets of the batch's buffer."""
    return gather(batch.buffer, layout[name], at + _offset(layout, name))


def _offset(layout: np.dtype[Any], name: str) -> int:
    assert layout.fields is not None
    return layout.fields[name][1]


def _pairs(rows: Int, values: npt.NDArray[Any]) -> list[tuple[int, int]]:
    return list(zip(rows.tolist(), values.tolist(), strict=True))
