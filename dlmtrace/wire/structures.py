"""Every structure of the wire, in the order in which a reader meets them; documentation and the tree draw on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlmtrace.wire.fields import Field, fields_of
from dlmtrace.wire.frame import Envelope, Frame
from dlmtrace.wire.header import LockspaceHeader, SequenceHeader
from dlmtrace.wire.message import Message
from dlmtrace.wire.options import Option, OptionList
from dlmtrace.wire.recovery import (
    LastName,
    LockTransfer,
    LookupName,
    NameEntry,
    NameList,
    Recovery,
    RecoverySlot,
    StatusReply,
    StatusReplyShort,
    StatusRequest,
)


@dataclass(frozen=True, slots=True)
class Structure:
    """A wire structure: ``title`` for people, ``section`` of the protocol page, ``declaration`` in Construct."""

    title: str
    section: str
    declaration: Any


STRUCTURES = (
    Structure("Frame", "1", Frame),
    Structure("Header of MSG, RCOM and FIN", "1.1", LockspaceHeader),
    Structure("Header of OPTS and ACK", "1.1", SequenceHeader),
    Structure("OPTS, behind its header", "4", Envelope),
    Structure("Options of OPTS", "4", OptionList),
    Structure("One option", "4", Option),
    Structure("MSG, behind its header", "2", Message),
    Structure("RCOM, behind its header", "3.1", Recovery),
    Structure("RCOM STATUS, payload (none in protocol 3.0)", "3.3", StatusRequest),
    Structure("RCOM STATUS_REPLY, payload in protocols 3.1 and 3.2", "3.3", StatusReply),
    Structure("RCOM STATUS_REPLY, payload in protocol 3.0", "3.3", StatusReplyShort),
    Structure("One slot", "3.3", RecoverySlot),
    Structure("RCOM NAMES, payload", "3.2", LastName),
    Structure("RCOM NAMES_REPLY, payload", "3.4", NameList),
    Structure("One name, or a terminator", "3.4", NameEntry),
    Structure("RCOM LOOKUP, payload (LOOKUP_REPLY has none)", "3.2", LookupName),
    Structure("RCOM LOCK and LOCK_REPLY, payload", "3.3", LockTransfer),
)

FIELDS: dict[str, Field] = {field.name: field for structure in STRUCTURES for field in fields_of(structure.declaration)}
"""Any field by its name: the kernel's prefixes make names unique, and one that occurs twice means the same in both."""
