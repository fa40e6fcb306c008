"""From a frame to those that belong to it: its reply or request, and further copies of it.

Requests and replies are paired as the protocol page says (§2.2 for messages, §3.1 for recovery): by lockspace, the two
nodes and the asker's lock id, or by rc_id and recovery number.  Lock ids are used again, so the nearest match counts.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.browse.store import FrameStore
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.gather import gather
from dlmtrace.streams.nodes import NodeTable
from dlmtrace.wire.columns import LOCK, RECOVERY
from dlmtrace.wire.enums import Command, MessageType, Mode, RecoveryType
from dlmtrace.wire.header import LockspaceHeader

_HEADER = LockspaceHeader.sizeof()

REPLIES: dict[tuple[int, int], tuple[tuple[int, int], ...]] = {
    **{
        (Command.MSG, request): tuple((Command.MSG, reply) for reply in replies)
        for request, replies in {
            MessageType.REQUEST: (MessageType.REQUEST_REPLY,),
            MessageType.CONVERT: (MessageType.CONVERT_REPLY,),
            MessageType.UNLOCK: (MessageType.UNLOCK_REPLY,),
            MessageType.CANCEL: (MessageType.CANCEL_REPLY,),
            MessageType.LOOKUP: (MessageType.LOOKUP_REPLY, MessageType.REQUEST_REPLY),
        }.items()
    },
    **{
        (Command.RCOM, request): ((Command.RCOM, RecoveryType(request + 4)),)
        for request in (RecoveryType.STATUS, RecoveryType.NAMES, RecoveryType.LOOKUP, RecoveryType.LOCK)
    },
}
"""By command and type of a request: those of its replies."""

REQUESTS = {
    reply: tuple(request for request, replies in REPLIES.items() if reply in replies)
    for reply in chain.from_iterable(REPLIES.values())
}
"""By command and type of a reply: those of its requests."""


class _Key(NamedTuple):
    """What a request and its reply have in common, one array each over the frames of a batch."""

    lockspace: npt.NDArray[np.int64]
    number: npt.NDArray[np.uint64]  # the asker's lock id, or rc_id
    recovery: npt.NDArray[np.uint64]  # rc_seq of the asker; 0 for messages
    lock: npt.NDArray[np.int64]  # rl_lkid of LOCK and LOCK_REPLY, whose rc_id is that of the resource


def partner(store: FrameStore, nodes: NodeTable, row: int) -> int | str:
    """The reply of a request, the request of a reply, or why there is none."""
    batch = store.rows(row, row + 1)
    kind = int(batch.command[0]), int(batch.type[0])
    if kind not in REPLIES and kind not in REQUESTS:
        return "this frame neither asks for a reply nor is one"
    if not (batch.is_message | batch.is_recovery)[0]:
        return "the capture does not hold enough of this frame"
    if _goes_down(batch):
        return "a conversion to a weaker mode has no reply"
    key = [values[0] for values in _key(batch)]
    ends = int(nodes.receivers(batch)[0]), int(batch.header["h_nodeid"][0])
    forward = kind in REPLIES
    kinds = REPLIES[kind] if forward else REQUESTS[kind]
    for first, chunk in store.chunks(row + 1) if forward else store.chunks_before(row):
        fits = (chunk.is_message | chunk.is_recovery) & (chunk.header["h_nodeid"] == ends[0])
        fits &= np.logical_or.reduce([(chunk.command == command) & (chunk.type == type) for command, type in kinds])
        fits &= nodes.receivers(chunk) == ends[1]
        for values, value in zip(_key(chunk), key, strict=True):
            fits &= values == value
        found = np.flatnonzero(fits)
        if len(found):
            return first + int(found[0 if forward else -1])
    return "the capture has no reply to this frame" if forward else "the capture has no request for this reply"


def next_copy(store: FrameStore, nodes: NodeTable, row: int) -> int | str:
    """The next frame with the same number and bytes in the same stream, behind the last one the first; or why none."""
    batch = store.rows(row, row + 1)
    if batch.header["h_cmd"][0] != Command.OPTS:
        return "only numbered frames are sent again"
    receiver = int(nodes.receivers(batch)[0])
    data = batch.bytes_of(0)
    for first, chunk in chain(store.chunks(row + 1), store.chunks()):
        fits = (chunk.sequence == batch.sequence[0]) & (chunk.header["h_cmd"] == Command.OPTS)
        fits &= (chunk.header["h_nodeid"] == batch.header["h_nodeid"][0]) & (nodes.receivers(chunk) == receiver)
        for place in np.flatnonzero(fits).tolist():
            if chunk.bytes_of(place) == data and first + place != row:
                return first + int(place)
    return "this frame was sent once"


def _goes_down(batch: FrameBatch) -> bool:
    """Is it a CONVERT that the master answers with nothing (§2.2)?"""
    if batch.command[0] != Command.MSG or batch.type[0] != MessageType.CONVERT:
        return False
    message = batch.message(np.zeros(1, np.int64))
    granted, requested = int(message["m_grmode"][0]), int(message["m_rqmode"][0])
    return requested < granted and {granted, requested} != {Mode.PR, Mode.CW}


def _key(batch: FrameBatch) -> _Key:
    count = len(batch)
    key = _Key(batch.lockspace, np.zeros(count, np.uint64), np.zeros(count, np.uint64), np.zeros(count, np.int64))
    rows = np.flatnonzero(batch.is_message)
    message: npt.NDArray[Any] = batch.message(rows)
    asks = np.isin(batch.type[rows], [type for command, type in REPLIES if command == Command.MSG])
    asks |= batch.type[rows] == MessageType.LOOKUP_REPLY  # it repeats the asker's id where others have their own
    key.number[rows] = np.where(asks, message["m_lkid"], message["m_remid"])
    rows = np.flatnonzero(batch.is_recovery)
    recovery: npt.NDArray[Any] = batch.recovery(rows)
    key.number[rows] = recovery["rc_id"]
    key.recovery[rows] = np.where(batch.type[rows] > RecoveryType.LOCK, recovery["rc_seq_reply"], recovery["rc_seq"])
    body = batch.inner_offset[rows] + _HEADER + RECOVERY.itemsize
    locks = np.isin(batch.type[rows], (RecoveryType.LOCK, RecoveryType.LOCK_REPLY))
    locks &= body + LOCK.itemsize <= batch.body_end[rows]
    rows, body = rows[locks], body[locks]
    key.lock[rows] = gather(batch.buffer, LOCK, batch.frames["offset"][rows] + body)["rl_lkid"]
    return key
