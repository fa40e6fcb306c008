"""What the kernels themselves recorded of a scenario: their trace events, their logs, their clocks.

The trace prints numbers as symbols; the tables below turn them back.  They are written from the trace header
(include/trace/events/dlm.h of 6.1 and 6.12) and the constants that it names (fs/dlm/dlm_internal.h, include/uapi/linux
dlmconstants.h and dlm.h), and share nothing with `dlmtrace.wire`: this is the other witness.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from evidence import kernel_record, scenario

VERSIONS = {"3.1": 0x00030001, "3.2": 0x00030002}
COMMANDS = {"MSG": 1, "RCOM": 2, "OPTS": 3, "ACK": 4, "FIN": 5}
MESSAGE_TYPES = {
    "REQUEST": 1,
    "CONVERT": 2,
    "UNLOCK": 3,
    "CANCEL": 4,
    "REQUEST_REPLY": 5,
    "CONVERT_REPLY": 6,
    "UNLOCK_REPLY": 7,
    "CANCEL_REPLY": 8,
    "GRANT": 9,
    "BAST": 10,
    "LOOKUP": 11,
    "REMOVE": 12,
    "LOOKUP_REPLY": 13,
    "PURGE": 14,
}
RECOVERY_TYPES = {
    "STATUS": 1,
    "NAMES": 2,
    "LOOKUP": 3,
    "LOCK": 4,
    "STATUS_REPLY": 5,
    "NAMES_REPLY": 6,
    "LOOKUP_REPLY": 7,
    "LOCK_REPLY": 8,
}
MODES = {"IV": -1, "NL": 0, "CR": 1, "CW": 2, "PR": 3, "PW": 4, "EX": 5}
LOCK_FLAGS = {
    "NOQUEUE": 0x1,
    "CANCEL": 0x2,
    "CONVERT": 0x4,
    "VALBLK": 0x8,
    "QUECVT": 0x10,
    "IVVALBLK": 0x20,
    "CONVDEADLK": 0x40,
    "PERSISTENT": 0x80,
    "NODLCKWT": 0x100,
    "NODLCKBLK": 0x200,
    "EXPEDITE": 0x400,
    "NOQUEUEBAST": 0x800,
    "HEADQUE": 0x1000,
    "NOORDER": 0x2000,
    "ORPHAN": 0x4000,
    "ALTPR": 0x8000,
    "ALTCW": 0x10000,
    "FORCEUNLOCK": 0x20000,
    "TIMEOUT": 0x40000,
}
STATUS_FLAGS = {"DEMOTED": 0x1, "VALNOTVALID": 0x2, "ALTMODE": 0x4}
INTERNAL_FLAGS = {  # 6.12 names the first two only and prints the others as a number
    "USER": 0x1,
    "ORPHAN": 0x2,
    "MSTCPY": 0x10000,
    "RESEND": 0x20000,
    "DEAD": 0x40000,
    "OVERLAP_UNLOCK": 0x80000,
    "OVERLAP_CANCEL": 0x100000,
    "ENDOFLIFE": 0x200000,
    "DEADLOCK_CANCEL": 0x1000000,
    "STUB_MS": 0x2000000,
}

HEADER_FIELDS = ("h_version", "h_lockspace", "h_nodeid", "h_length", "h_cmd")
MESSAGE_FIELDS = (
    "m_type",
    "m_nodeid",
    "m_pid",
    "m_lkid",
    "m_remid",
    "m_parent_lkid",
    "m_parent_remid",
    "m_exflags",
    "m_sbflags",
    "m_flags",
    "m_lvbseq",
    "m_hash",
    "m_status",
    "m_grmode",
    "m_rqmode",
    "m_bastmode",
    "m_asts",
    "m_result",
)
RECOVERY_FIELDS = ("rc_type", "rc_result", "rc_id", "rc_seq", "rc_seq_reply")
WIDE_FIELDS = ("rc_id", "rc_seq", "rc_seq_reply")  # unsigned 64 bits

CONTENT = {
    "message": np.dtype([(name, "<i8") for name in HEADER_FIELDS + MESSAGE_FIELDS]),
    "rcom": np.dtype([(name, "<u8" if name in WIDE_FIELDS else "<i8") for name in HEADER_FIELDS + RECOVERY_FIELDS]),
}
"""Every field that the trace prints of a frame inside DLM_OPTS, as numbers, under the kernel's name."""

SYMBOLS: dict[str, dict[str, int]] = {
    "h_version": VERSIONS,
    "h_cmd": COMMANDS,
    "m_type": MESSAGE_TYPES,
    "m_grmode": MODES,
    "m_rqmode": MODES,
    "m_bastmode": MODES,
    "rc_type": RECOVERY_TYPES,
}
FLAGS: dict[str, dict[str, int]] = {"m_exflags": LOCK_FLAGS, "m_sbflags": STATUS_FLAGS, "m_flags": INTERNAL_FLAGS}

LINE = re.compile(r".*\[\d+\] \S+ +(\d+)\.(\d{6}): dlm_(send|recv)(?:_(message|rcom))?: (.*)")


def _fields_pattern(kind: str) -> re.Pattern[str]:
    """6.1 prints `seq=7` (with a comma behind it for RCOM), 6.12 `dst=2 h_seq=7`; the rest is the same."""
    fields = "".join(rf" {name}=(\S*)" for name in CONTENT[kind].names or ())
    tail = r" rc_buf=0x(\w*)" if kind == "rcom" else r" m_extra=0x(\w*)(?: res_name=0x\w*)?"
    return re.compile(rf"(?:dst=(\d+) h_)?seq=(\d+),?{fields}{tail}")


FIELDS = {kind: _fields_pattern(kind) for kind in CONTENT}
SOCKET_CALL = re.compile(r"nodeid=(\d+) ret=(-?\d+)")
RETRANSMIT = re.compile(r"\[ *([\d.]+)\] dlm: retransmit dlm msg, seq (\d+), nodeid (\d+)")
IGNORE = re.compile(
    r"\[ *([\d.]+)\] dlm: ignore dlm msg because seq mismatch, seq: (\d+), expected: (\d+), nodeid: (\d+)"
)
SUPPRESSED = re.compile(r"(dlm_midcomms_\w+): (\d+) callbacks suppressed")


def number(field: str, text: str) -> int:
    """The number that the kernel printed as `text`: a symbol, flags joined with |, or digits; unknown bits are hex."""
    if field in FLAGS:
        return sum(FLAGS[field][word] if word in FLAGS[field] else int(word, 16) for word in text.split("|") if word)
    if field in SYMBOLS:
        return SYMBOLS[field][text] if text in SYMBOLS[field] else int(text, 16)
    return int(text)


@dataclass(frozen=True)
class Events:
    """`dlm_send_message`, `dlm_recv_rcom` … of one boot: row i of all members belongs to one event.

    ``time`` is capture time in ns; ``peer`` the destination of a send (0 where 6.1 does not tell) and the sender of a
    receive; ``content`` has the dtype ``CONTENT[kind]``; ``tail`` is m_extra or rc_buf.
    """

    time: npt.NDArray[np.int64]
    peer: npt.NDArray[np.int64]
    sequence: npt.NDArray[np.int64]
    content: npt.NDArray[Any]
    tail: list[bytes]

    def __len__(self) -> int:
        return len(self.tail)


@dataclass(frozen=True)
class SocketCalls:
    """`dlm_send` and `dlm_recv` of one boot that moved bytes, whatever frames they held."""

    time: npt.NDArray[np.int64]
    peer: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Trace:
    """The trace of one boot of one node.  Event keys are ("send", "message"), ("recv", "rcom") …"""

    node: int
    boot: int
    events: dict[tuple[str, str], Events]
    calls: dict[str, SocketCalls]
    last_time: int  # capture time of the last line, ns
    lost: int  # events that the trace buffer could not hold, as the trace itself says


class Retransmission(NamedTuple):
    """`retransmit dlm msg`: the frame was queued to be sent again."""

    time: int  # ns, good to some milliseconds: the log's clock is not quite the trace's
    sequence: int
    peer: int  # where it goes


class Ignored(NamedTuple):
    """`ignore dlm msg because seq mismatch`: the frame came and was dropped."""

    time: int
    sequence: int
    expected: int
    peer: int  # where it came from


class Log(NamedTuple):
    """The kernel log of one boot.  Both lists are rate-limited: 10 lines in 5 s; ``suppressed`` counts by function."""

    retransmitted: list[Retransmission]
    ignored: list[Ignored]
    suppressed: dict[str, int]


def clock_offset(name: str, node: int, boot: int, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Nanoseconds to add to a node's monotonic clock to get capture time: between two comparisons, or the nearer."""
    facts = next(entry for entry in scenario(name)["nodes"] if entry["nodeid"] == node)
    samples = [sample for sample in facts["clock"] if sample["boot"] == boot]
    guest = [sample["guest_mono"] for sample in samples]
    base = samples[0]["host_minus_mono"]
    drift = np.interp(seconds, guest, [sample["host_minus_mono"] - base for sample in samples])
    result: npt.NDArray[np.int64] = (drift * 1e9).astype(np.int64) + round(base * 1e9)
    return result


def boots(name: str) -> Iterator[tuple[int, int]]:
    """(node, boot) of a scenario, in order."""
    for facts in scenario(name)["nodes"]:
        for boot in range(1, facts["boots"] + 1):
            yield facts["nodeid"], boot


@lru_cache(maxsize=4)
def traces(name: str) -> list[Trace]:
    """Every trace of a scenario; a node whose kernel has no DLM trace events has none."""
    found = ((node, boot, kernel_record(name, node, "trace", boot)) for node, boot in boots(name))
    return [_read_trace(name, node, boot, text) for node, boot, text in found if text is not None]


def log(name: str, node: int, boot: int = 1) -> Log:
    """What a node's kernel logged of sequence numbers."""
    text = kernel_record(name, node, "dmesg", boot) or ""

    def rows(pattern: re.Pattern[str]) -> Iterator[list[int]]:
        for seconds, *numbers in pattern.findall(text):
            offset = int(clock_offset(name, node, boot, np.array([float(seconds)]))[0])
            yield [round(float(seconds) * 1e9) + offset, *map(int, numbers)]

    suppressed: dict[str, int] = {}
    for function, count in SUPPRESSED.findall(text):
        suppressed[function] = suppressed.get(function, 0) + int(count)
    return Log([Retransmission(*row) for row in rows(RETRANSMIT)], [Ignored(*row) for row in rows(IGNORE)], suppressed)


def _read_trace(name: str, node: int, boot: int, text: str) -> Trace:
    times: dict[tuple[str, str], list[int]] = {}
    matches: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    lost, microseconds = 0, 0
    for line in text.splitlines():
        if "LOST" in line:
            lost += int(re.findall(r"LOST (\d+) EVENTS", line)[0])
        match = LINE.fullmatch(line)
        if match is None:
            continue
        seconds, micro, direction, kind, rest = match.groups()
        kind = kind or "call"
        microseconds = int(seconds) * 1_000_000 + int(micro)
        fields = (SOCKET_CALL if kind == "call" else FIELDS[kind]).fullmatch(rest)
        assert fields is not None, f"{name} node {node}: this trace line is not understood: {line}"
        matches.setdefault((direction, kind), []).append(fields.groups(default=""))
        times.setdefault((direction, kind), []).append(microseconds)

    def capture_time(mono: list[int]) -> npt.NDArray[np.int64]:
        since_boot = np.array(mono, np.int64)
        return since_boot * 1000 + clock_offset(name, node, boot, since_boot / 1e6)

    events, calls = {}, {}
    for direction in ("send", "recv"):
        rows = matches.get((direction, "call"), [])
        moved = np.array(rows, np.int64).reshape(len(rows), 2)
        keep = moved[:, 1] > 0
        calls[direction] = SocketCalls(
            capture_time(times.get((direction, "call"), []))[keep], moved[keep, 0], moved[keep, 1]
        )
        for kind in CONTENT:
            rows = matches.get((direction, kind), [])
            when = capture_time(times.get((direction, kind), []))
            events[direction, kind] = _events(direction, kind, rows, when)
    return Trace(node, boot, events, calls, int(capture_time([microseconds])[0]), lost)


def _events(direction: str, kind: str, rows: list[tuple[str, ...]], when: npt.NDArray[np.int64]) -> Events:
    content = np.zeros(len(rows), CONTENT[kind])
    columns = list(zip(*rows, strict=True)) or [()] * FIELDS[kind].groups
    for name, column in zip(content.dtype.names or (), columns[2:-1], strict=True):
        known = {text: number(name, text) for text in set(column)}
        content[name] = [known[text] for text in column]
    destination = np.array([int(text or 0) for text in columns[0]], np.int64)
    peer = destination if direction == "send" else content["h_nodeid"].astype(np.int64)
    sequence = np.array(list(map(int, columns[1])), np.int64)
    return Events(when, peer, sequence, content, [bytes.fromhex(text) for text in columns[-1]])
