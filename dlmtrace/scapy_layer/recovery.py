"""Payloads of DLM_RCOM as scapy packets (protocol page §3.3 and §3.4)."""

from __future__ import annotations

from scapy.packet import Packet, bind_bottom_up, bind_layers

from dlmtrace.scapy_layer.fields import scapy_fields
from dlmtrace.scapy_layer.frames import DLMRecovery
from dlmtrace.wire.enums import RecoveryType
from dlmtrace.wire.recovery import (
    LastName,
    LockTransfer,
    LookupName,
    NameEntry,
    NameList,
    RecoveryConfig,
    RecoveryConfigShort,
    RecoveryLock,
    RecoverySlot,
    RecoveryStatusRequest,
    StatusReply,
    StatusReplyShort,
    StatusRequest,
)


class DLMStatusRequest(Packet):  # type: ignore[misc]
    """Payload of STATUS."""

    name = "DLM rcom_status"
    fields_desc = scapy_fields(StatusRequest)
    fixed_size = RecoveryStatusRequest.sizeof()


class DLMSlot(Packet):  # type: ignore[misc]
    """One slot of a STATUS_REPLY."""

    name = "DLM rcom_slot"
    fields_desc = scapy_fields(RecoverySlot)


class DLMStatusReply(Packet):  # type: ignore[misc]
    """Payload of STATUS_REPLY in protocols 3.1 and 3.2; slots that do not fit leave their bytes in ``rest``."""

    name = "DLM rcom_config"
    fields_desc = scapy_fields(
        StatusReply,
        fills={"rf_num_slots": lambda reply: len(reply.slots)},
        lists={"slots": (RecoverySlot, DLMSlot)},
    )
    fixed_size = RecoveryConfig.sizeof()


class DLMStatusReplyShort(Packet):  # type: ignore[misc]
    """Payload of STATUS_REPLY in protocol 3.0."""

    name = "DLM rcom_config 3.0"
    fields_desc = scapy_fields(StatusReplyShort)
    fixed_size = RecoveryConfigShort.sizeof()


class DLMLastName(Packet):  # type: ignore[misc]
    """Payload of NAMES: where the list of names goes on."""

    name = "DLM last name"
    fields_desc = scapy_fields(LastName)


class DLMName(Packet):  # type: ignore[misc]
    """One name of a NAMES_REPLY, or with ``n_length`` 0 or 0xffff the end of the list."""

    name = "DLM name"
    fields_desc = scapy_fields(NameEntry, fills={"n_length": lambda entry: len(entry.n_name)})


class DLMNames(Packet):  # type: ignore[misc]
    """Payload of NAMES_REPLY; ``entries`` ends with a terminator."""

    name = "DLM names"
    fields_desc = scapy_fields(NameList, lists={"entries": (NameEntry, DLMName)})


class DLMLookupName(Packet):  # type: ignore[misc]
    """Payload of LOOKUP."""

    name = "DLM lookup name"
    fields_desc = scapy_fields(LookupName)


class DLMLock(Packet):  # type: ignore[misc]
    """Payload of LOCK and LOCK_REPLY."""

    name = "DLM rcom_lock"
    fields_desc = scapy_fields(LockTransfer, fills={"rl_namelen": lambda lock: len(lock.rl_name.rstrip(b"\0"))})
    fixed_size = RecoveryLock.sizeof()


bind_bottom_up(DLMRecovery, DLMStatusReplyShort, rc_type=RecoveryType.STATUS_REPLY, h_version=0x00030000)
bind_layers(DLMRecovery, DLMStatusRequest, rc_type=RecoveryType.STATUS)
bind_layers(DLMRecovery, DLMLastName, rc_type=RecoveryType.NAMES)
bind_layers(DLMRecovery, DLMLookupName, rc_type=RecoveryType.LOOKUP)
bind_layers(DLMRecovery, DLMStatusReply, rc_type=RecoveryType.STATUS_REPLY)
bind_layers(DLMRecovery, DLMNames, rc_type=RecoveryType.NAMES_REPLY)
bind_bottom_up(DLMRecovery, DLMLock, rc_type=RecoveryType.LOCK_REPLY)
bind_layers(DLMRecovery, DLMLock, rc_type=RecoveryType.LOCK)
