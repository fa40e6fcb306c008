"""DLM for scapy: packets generated from the declarations in ``wire``, bound to TCP and SCTP port 21064."""

from dlmtrace.scapy_layer.frames import DLM, DLMAck, DLMFin, DLMMessage, DLMOption, DLMOptions, DLMRecovery
from dlmtrace.scapy_layer.recovery import (
    DLMLastName,
    DLMLock,
    DLMLookupName,
    DLMName,
    DLMNames,
    DLMSlot,
    DLMStatusReply,
    DLMStatusReplyShort,
    DLMStatusRequest,
)
from dlmtrace.scapy_layer.stream import DLMFrames

__all__ = [
    "DLM",
    "DLMAck",
    "DLMFin",
    "DLMFrames",
    "DLMLastName",
    "DLMLock",
    "DLMLookupName",
    "DLMMessage",
    "DLMName",
    "DLMNames",
    "DLMOption",
    "DLMOptions",
    "DLMRecovery",
    "DLMSlot",
    "DLMStatusReply",
    "DLMStatusReplyShort",
    "DLMStatusRequest",
]
