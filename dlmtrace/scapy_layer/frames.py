"""The frame kinds as scapy packets: DLM_MSG, DLM_RCOM, DLM_OPTS, DLM_ACK, DLM_FIN, each with its header.

The header is not a layer of its own, because its second word is read by h_cmd, which comes behind it on the wire.
"""

from __future__ import annotations

import struct
from typing import Any

from scapy.config import conf
from scapy.packet import Packet

from dlmtrace.scapy_layer.fields import scapy_fields
from dlmtrace.wire.enums import Command, MessageType, Mode, RecoveryType
from dlmtrace.wire.fields import fields_of, integer_format
from dlmtrace.wire.header import LockspaceHeader, SequenceHeader
from dlmtrace.wire.message import Message, MessageBody
from dlmtrace.wire.options import Option, OptionHeader, OptionList, Options
from dlmtrace.wire.recovery import RecoveryBody

HEADER_SIZE: int = LockspaceHeader.sizeof()

VERSION_3_2 = 0x00030002

_HEADER = {field.name: field for field in fields_of(LockspaceHeader)}


def header_value(name: str, data: bytes) -> int:
    """An integer of the header at the start of ``data``, which holds 16 bytes at least."""
    field = _HEADER[name]
    value: int = struct.unpack_from(integer_format(field.declaration) or "", data, field.offset or 0)[0]
    return value


def _header_fields(header: Any, command: int) -> list[Any]:
    return scapy_fields(header, {"h_version": VERSION_3_2, "h_nodeid": 1, "h_length": None, "h_cmd": command})


class DLM(Packet):  # type: ignore[misc]
    """Any frame: ``DLM(data)`` gives the class of its kind, and this class for a kind that is unknown or too short.

    Bytes that cannot be a frame become Raw, bytes behind h_length become Padding.  ``packet[DLM]`` finds every kind.
    """

    name = "DLM"
    match_subclass = True
    fields_desc = _header_fields(LockspaceHeader, 0)
    fixed_size = HEADER_SIZE
    """Bytes of header and body, without what depends on the data."""

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kwargs: Any) -> Any:
        if not _pkt:
            return cls
        if len(_pkt) < HEADER_SIZE or header_value("h_length", _pkt) < HEADER_SIZE:
            return conf.raw_layer
        kind = _KINDS.get(header_value("h_cmd", _pkt), DLM)
        return kind if kind.fixed_size <= min(len(_pkt), header_value("h_length", _pkt)) else DLM

    def dissect(self, s: bytes) -> None:
        length = max(header_value("h_length", s), HEADER_SIZE)
        super().dissect(s[:length])
        if s[length:]:
            self.add_payload(conf.padding_layer(s[length:]))

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        frame = bytearray(pkt + pay)
        if self.h_length is None:
            field = _HEADER["h_length"]
            struct.pack_into(integer_format(field.declaration) or "", frame, field.offset or 0, len(frame))
        return bytes(frame)

    def mysummary(self) -> tuple[str, list[type[Packet]]]:
        return f"{self.name} from node {self.h_nodeid}", [DLMOptions]


class DLMMessage(DLM):
    """DLM_MSG: a request for a lock, its answer, or news of it (protocol page §2)."""

    name = "DLM MSG"
    fields_desc = _header_fields(LockspaceHeader, Command.MSG) + scapy_fields(
        Message, {"m_type": MessageType.REQUEST, "m_grmode": Mode.IV}
    )
    fixed_size = HEADER_SIZE + MessageBody.sizeof()

    def mysummary(self) -> tuple[str, list[type[Packet]]]:
        return self.sprintf("DLM MSG %m_type% from node %h_nodeid%"), [DLMOptions]


class DLMRecovery(DLM):
    """DLM_RCOM: a step of recovery, with the payload of its type behind it (protocol page §3)."""

    name = "DLM RCOM"
    fields_desc = _header_fields(LockspaceHeader, Command.RCOM) + scapy_fields(
        RecoveryBody, {"rc_type": RecoveryType.STATUS}
    )
    fixed_size = HEADER_SIZE + RecoveryBody.sizeof()

    def guess_payload_class(self, payload: bytes) -> Any:
        kind = super().guess_payload_class(payload)
        return kind if getattr(kind, "fixed_size", 0) <= len(payload) else conf.raw_layer

    def mysummary(self) -> tuple[str, list[type[Packet]]]:
        return self.sprintf("DLM RCOM %rc_type% from node %h_nodeid%"), [DLMOptions]


class DLMOption(Packet):  # type: ignore[misc]
    """One option of a DLM_OPTS; no kernel sends any (protocol page §4)."""

    name = "DLM option"
    fields_desc = scapy_fields(Option, fills={"t_length": lambda option: OptionHeader.sizeof() + len(option.t_value)})


def _option_bytes(frame: DLMOptions) -> int:
    return sum(map(len, frame.options))


def _inner_command(frame: DLMOptions) -> int:
    return frame.payload.h_cmd if isinstance(frame.payload, DLM) else 0


class DLMOptions(DLM):
    """DLM_OPTS: a sequence number, options, and the frame they belong to as the payload (protocol page §4)."""

    name = "DLM OPTS"
    fields_desc = (
        _header_fields(SequenceHeader, Command.OPTS)
        + scapy_fields(
            Options,
            fills={"o_nextcmd": _inner_command, "o_optlen": lambda frame: _option_bytes(frame) + len(frame.unread)},
        )
        + scapy_fields(
            OptionList,
            lists={"options": (Option, DLMOption)},
            limits={
                "options": lambda frame: frame.o_optlen,
                "unread": lambda frame: frame.o_optlen - _option_bytes(frame),
            },
        )
    )
    fixed_size = HEADER_SIZE + Options.sizeof()

    def guess_payload_class(self, payload: bytes) -> Any:
        kind = DLM.dispatch_hook(payload)
        return conf.raw_layer if kind is DLMOptions else kind  # OPTS does not nest

    def mysummary(self) -> tuple[str, list[type[Packet]]]:
        return f"DLM OPTS {self.h_seq}", []


class DLMAck(DLM):
    """DLM_ACK: the next sequence number that its sender expects (protocol page §5)."""

    name = "DLM ACK"
    fields_desc = _header_fields(SequenceHeader, Command.ACK)

    def mysummary(self) -> tuple[str, list[type[Packet]]]:
        return f"DLM ACK {self.h_seq} from node {self.h_nodeid}", []


class DLMFin(DLM):
    """DLM_FIN: the sender leaves; kernels send it inside OPTS (protocol page §5)."""

    name = "DLM FIN"
    fields_desc = _header_fields(LockspaceHeader, Command.FIN)


_KINDS: dict[int, type[DLM]] = {
    Command.MSG: DLMMessage,
    Command.RCOM: DLMRecovery,
    Command.OPTS: DLMOptions,
    Command.ACK: DLMAck,
    Command.FIN: DLMFin,
}
