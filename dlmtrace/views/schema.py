"""Prints the schema of JSON lines for docs/decode.md from the declarations: ``python -m dlmtrace.views.schema``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from dlmtrace.views.frame_fields import HEADER_KEYS
from dlmtrace.views.jsonl import SCHEMA
from dlmtrace.wire.fields import fields_of
from dlmtrace.wire.frame import Envelope
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
from dlmtrace.wire.structures import FIELDS


class Key(NamedTuple):
    """A key of every line."""

    name: str
    kind: str
    meaning: str


KEYS = (
    Key("schema", "string", f"`{SCHEMA}`"),
    Key("frame", "number", "number of the frame in the run, from 1; frames that are not shown count too"),
    Key("file", "string", "capture file of `packet`"),
    Key("packet", "number", "number, in its file, of the packet that completed the frame"),
    Key("first_file", "string", "capture file of `first_packet`"),
    Key("first_packet", "number", "packet with the frame's first byte"),
    Key("last_file", "string", "capture file of `last_packet`"),
    Key("last_packet", "number", "packet with the frame's last captured byte"),
    Key("time", "string", "time of `packet`: UTC, ISO 8601 with nanoseconds"),
    Key("connection", "string", "`c1`, `c2`, … by first packet"),
    Key("transport", "string", "`tcp` or `sctp`"),
    Key("source", "string", "address and port of the sender"),
    Key("destination", "string", "address and port of the receiver"),
    Key("sender", "number", "node id of the sender, h_nodeid"),
    Key("receiver", "number or null", "node id of the receiver; null until a frame of that node was seen"),
    Key("position", "number", "place of the frame's first byte in the stream of its connection and direction, from 0"),
    Key("length", "number", "bytes of the frame, h_length"),
    Key("captured", "number", "bytes of it that the capture holds"),
    Key("state", "string", "`whole`, `cut` (by the snaplen), `missing` (its end was not captured), `unfinished`"),
    Key("sequence", "number or null", "h_seq of OPTS and ACK"),
    Key("version", "string", "protocol version of the sender, `3.2`"),
    Key("command", "string", "`MSG`, `RCOM`, `ACK`, …; `OPTS/MSG` when OPTS carries it"),
    Key("type", "string or null", "m_type or rc_type by name"),
    Key("lockspace", "string or null", "name of the lockspace when it was given, else its id as `0x…`"),
    Key("resource", "string or null", "resource name as people know it: `glock 2/17`, or escaped text"),
    Key("granted_mode", "string or null", "granted mode, `PR`; null for none"),
    Key("requested_mode", "string or null", "requested mode"),
    Key("blocking_mode", "string or null", "BAST: the mode that another node waits for"),
    Key("result", "string or null", "what a reply says: `0`, `EAGAIN`, `master 2`, `NODES|DIR`, …"),
    Key("flags", "string or null", "flags as the list shows them: `NOQUEUE|VALBLK sb:ALTMODE fl:USER`"),
    Key("header", "object", "the 16 bytes that the frame begins with"),
    Key("options", "object or null", "OPTS behind its header"),
    Key("inner", "object or null", "header of the frame that OPTS carries"),
    Key("message", "object or null", "MSG behind its header"),
    Key("recovery", "object or null", "RCOM behind its header"),
    Key("raw", "string or null", "bytes of a body that fits no structure"),
    Key("surplus", "string or null", "bytes of OPTS behind the frame that it carries"),
)
"""Keys of every line, in order."""

_PAYLOADS: tuple[tuple[str, Any], ...] = (
    ("STATUS", StatusRequest),
    ("NAMES", LastName),
    ("LOOKUP", LookupName),
    ("LOCK and LOCK_REPLY", LockTransfer),
    ("STATUS_REPLY", StatusReply),
    ("STATUS_REPLY of protocol 3.0", StatusReplyShort),
    ("a slot", RecoverySlot),
    ("NAMES_REPLY", NameList),
    ("an entry", NameEntry),
)


def lines() -> Iterator[str]:
    """The schema, line by line."""
    yield "| key | type | what |"
    yield "|---|---|---|"
    yield from (f"| `{key.name}` | {key.kind} | {key.meaning} |" for key in KEYS)
    yield from _object("header and inner", HEADER_KEYS)
    yield from _object("options", [name for name in _names(Envelope) if name != "inner"])
    yield from _object("options.o_opts", _names(OptionList))
    yield from _object("options.o_opts.options[]", _names(Option))
    yield from _object("message", _names(Message))
    yield from _object("recovery", _names(Recovery))
    for title, declaration in _PAYLOADS:
        yield from _object(f"recovery.rc_buf, {title}", _names(declaration))


def _names(declaration: Any) -> list[str]:
    return [field.name for field in fields_of(declaration)]


def _object(title: str, names: list[str] | tuple[str, ...]) -> Iterator[str]:
    yield f"\n#### {title}\n"
    yield "| key | type | what |"
    yield "|---|---|---|"
    yield from (f"| `{name}` | {_type(name)} | {FIELDS[name].meaning} |" for name in names)


def _type(name: str) -> str:
    field = FIELDS[name]
    if field.integer:
        return "string, decimal" if field.size == 8 else "number"
    if name in ("options", "slots", "entries"):
        return "array"
    return "object" if name in ("o_opts", "rc_buf") else "string, hexadecimal"


if __name__ == "__main__":
    print("\n".join(lines()))
