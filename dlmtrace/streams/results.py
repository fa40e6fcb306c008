"""What the analysis says: epochs, streams, reconnects and findings, as values.

The names are those of the JSON contract (docs/findings.md).  Sequence numbers are as on the wire (0 … 2^32-1); ranges
are inclusive and in the order of sending, so a range over the wrap reads (4294967290, 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Range = tuple[int, int]
Severity = Literal["error", "warning", "note"]
Verdict = Literal["safe", "unsafe", "reset", "unprotected", "inconclusive"]
Dialect = Literal["auto", "merged", "v3"]
Cause = Literal["reconnect", "other connection", "fast", "timeout", "unexplained"]


@dataclass(slots=True)
class Epoch:
    """The part of a stream between two sequence resets."""

    seq_first: int
    seq_last: int
    frames: int = 0  # DLM_OPTS frames, resends included
    delivered: int = 0  # distinct frames that the receiver's kernel took
    delivered_ranges: list[Range] = field(default_factory=list)
    duplicates: int = 0  # frames that came again
    resends: dict[str, int] = field(default_factory=dict)  # of these, by Cause
    missing: list[Range] = field(default_factory=list)  # inside the epoch, never seen on the wire
    confirmed_to: int | None = None  # the highest acknowledgement
    ended_by: Literal["fin", "restart", "open"] = "open"


@dataclass(slots=True)
class Stream:
    """One directed node pair over all its connections."""

    sender: int
    receiver: int
    version: str | None = None  # what it speaks: "3.2" with sequence numbers, "3.1" or "3.0" without
    connections: list[str] = field(default_factory=list)
    frames: int = 0
    commands: dict[str, int] = field(default_factory=dict)
    epochs: list[Epoch] = field(default_factory=list)


@dataclass(slots=True)
class Reconnect:
    """One connection of a stream ended and its data went on, or should have gone on, over another."""

    reconnect: str  # r1, r2, …
    sender: int
    receiver: int
    old_connection: str
    new_connection: str | None
    ended_by: str  # fin, rst, abandoned
    ended: int  # ns
    resumed: int | None  # ns
    ended_packet: int | None  # identity of the packet that ended it
    resumed_packet: int | None
    unconfirmed: list[Range] = field(default_factory=list)
    resent: list[Range] = field(default_factory=list)
    already_delivered: int = 0  # of the resent
    lost: list[Range] = field(default_factory=list)
    lost_frames: int = 0
    repaired_by: str | None = None
    verdict: Verdict = "inconclusive"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Leave:
    """How far one node's leave of another has come: what its kernel believes, as far as the wire shows it."""

    node: int
    peer: int
    state: str  # of midcomms.c (protocol page §6.6), such as "FIN_WAIT2"
    waits_for: str | None
    fin: int | None  # number of its FIN, as on the wire
    fin_packet: int | None  # identity
    fin_time: int | None  # ns
    confirmed: int | None  # ns, when the peer's ACK covered it


@dataclass(slots=True)
class Finding:
    """One entry of the catalogue, found: where, what, and the evidence for it.

    ``packet`` is an identity (capture.packets.packet_number, packet_file); ``time`` ns; ``evidence`` holds JSON values.
    """

    code: str
    message: str
    sender: int | None = None
    receiver: int | None = None
    connection: str | None = None
    packet: int | None = None
    time: int | None = None
    seq_first: int | None = None
    seq_last: int | None = None
    count: int = 1
    severity: Severity | None = None  # where it differs from the catalogue's
    evidence: dict[str, Any] = field(default_factory=dict)
