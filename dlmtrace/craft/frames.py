"""DLM frames as a kernel would send them, built by the declarations of ``wire``; any field may be set otherwise.

Fields go by their kernel names as keywords (``m_rqmode=Mode.EX``, ``h_length=7``); an unknown one raises TypeError.
``sender`` is a node or its number, ``lockspace`` a name or an id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import index
from typing import Any, SupportsIndex

import numpy as np

from dlmtrace.wire.columns import CONFIG, HEADER, MESSAGE, OPTIONS, RECOVERY, SEQUENCE_HEADER, SLOT, STATUS_REQUEST
from dlmtrace.wire.enums import Command, MessageType, Mode, RecoveryType, Status, StatusRequestFlags
from dlmtrace.wire.header import SEQUENCED
from dlmtrace.wire.message import NAMED
from dlmtrace.wire.names import jhash, lockspace_id

VERSION = 0x00030002
"""h_version of kernels from 5.14 on."""


def frame(
    command: int,
    body: bytes = b"",
    /,
    *,
    sender: SupportsIndex = 1,
    lockspace: str | int = "test",
    **fields: int,
) -> bytes:
    """A header and ``body``; ``h_seq`` says the sequence number of OPTS and ACK."""
    header = SEQUENCE_HEADER if command in SEQUENCED else HEADER
    values = {"h_version": VERSION, "h_nodeid": index(sender), "h_cmd": command}
    if header is HEADER:
        values["h_lockspace"] = lockspace_id(lockspace) if isinstance(lockspace, str) else lockspace
    values["h_length"] = header.itemsize + len(body)
    return _build(header, values, fields) + body


def opts(sequence: int, inner: bytes, *, options: bytes = b"", **fields: int) -> bytes:
    """``inner`` (a whole frame) behind a sequence number; sender and version as its header says."""
    header = np.frombuffer(inner, HEADER, 1)[0]
    values = {"o_nextcmd": header["h_cmd"], "o_optlen": len(options)}
    mine, fields = _split(OPTIONS, fields)
    outer: dict[str, Any] = {"h_seq": sequence, "h_version": header["h_version"], **fields}
    return frame(Command.OPTS, _build(OPTIONS, values, mine) + options + inner, sender=header["h_nodeid"], **outer)


def ack(sequence: int, *, sender: SupportsIndex = 1, **fields: int) -> bytes:
    """The sender expects ``sequence`` next."""
    return frame(Command.ACK, sender=sender, h_seq=sequence, **fields)


def fin(sequence: int, *, sender: SupportsIndex = 1) -> bytes:
    """The sender leaves: a FIN inside OPTS, as kernels send it (protocol page §5)."""
    return opts(sequence, frame(Command.FIN, sender=sender, lockspace=0))


def message(
    kind: MessageType,
    extra: bytes = b"",
    *,
    sender: SupportsIndex = 1,
    lockspace: str | int = "test",
    **fields: int,
) -> bytes:
    """A bare DLM_MSG; ``extra`` is the resource name or the lock value block, whichever its kind has behind it."""
    values = {"m_type": kind, "m_grmode": Mode.IV, "m_rqmode": Mode.IV, "m_hash": jhash(extra) if kind in NAMED else 0}
    mine, fields = _split(MESSAGE, fields)
    body = _build(MESSAGE, values, mine) + extra
    return frame(Command.MSG, body, sender=sender, lockspace=lockspace, **fields)


def request(name: bytes, mode: Mode = Mode.PR, *, lkid: int = 1, **fields: Any) -> bytes:
    """A bare REQUEST for a lock on the resource ``name``."""
    return message(MessageType.REQUEST, name, m_rqmode=mode, m_lkid=lkid, **fields)


def granted(*, lkid: int = 1, remid: int = 1, mode: Mode = Mode.PR, **fields: Any) -> bytes:
    """A bare REQUEST_REPLY that grants the lock; ``remid`` is the id it has at the requester."""
    values = {"m_lkid": lkid, "m_remid": remid, "m_grmode": mode, "m_status": Status.GRANTED, "m_nodeid": 0}
    return message(MessageType.REQUEST_REPLY, **{**values, **fields})


def recovery(
    kind: RecoveryType,
    payload: bytes = b"",
    *,
    sender: SupportsIndex = 1,
    lockspace: str | int = "test",
    **fields: int,
) -> bytes:
    """A bare DLM_RCOM with the bytes of its payload."""
    mine, fields = _split(RECOVERY, fields)
    body = _build(RECOVERY, {"rc_type": kind, "rc_id": 1, "rc_seq": 1}, mine) + payload
    return frame(Command.RCOM, body, sender=sender, lockspace=lockspace, **fields)


def status(**fields: Any) -> bytes:
    """A bare STATUS that asks for the slots, the first frame on a connection."""
    mine, fields = _split(STATUS_REQUEST, fields)
    payload = _build(STATUS_REQUEST, {"rs_flags": StatusRequestFlags.NEED_SLOTS}, mine)
    return recovery(RecoveryType.STATUS, payload, **fields)


def status_reply(slots: Iterable[tuple[int, int]] = (), **fields: Any) -> bytes:
    """A bare STATUS_REPLY; ``slots``: node and slot number of each."""
    table = [_build(SLOT, {"ro_nodeid": node, "ro_slot": slot}, {}) for node, slot in slots]
    mine, fields = _split(CONFIG, fields)
    payload = _build(CONFIG, {"rf_lvblen": 32, "rf_num_slots": len(table)}, mine) + b"".join(table)
    return recovery(RecoveryType.STATUS_REPLY, payload, **{"rc_seq_reply": 1, **fields})


def _split(layout: np.dtype[Any], fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the structure ``layout``, and the others."""
    mine = {name: value for name, value in fields.items() if name in (layout.names or ())}
    return mine, {name: value for name, value in fields.items() if name not in mine}


def _build(layout: np.dtype[Any], values: Mapping[str, int], fields: Mapping[str, int]) -> bytes:
    """The bytes of a structure: 0, or else ``values``, or else ``fields``, which the caller asked for."""
    if unknown := fields.keys() - set(layout.names or ()):
        raise TypeError(f"there is no field {', '.join(sorted(unknown))} here")
    record = np.zeros(1, layout)
    for name, value in {**values, **fields}.items():
        record[name] = value
    return record.tobytes()
