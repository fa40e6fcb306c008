"""Captures of whole connections in a few lines, for tests and experiments; see docs/crafting.md."""

from dlmtrace.craft.frames import ack, fin, frame, granted, message, opts, recovery, request, status, status_reply
from dlmtrace.craft.network import Network
from dlmtrace.craft.packets import Node, Packet
from dlmtrace.craft.sctp import Association
from dlmtrace.craft.tcp import Connection

__all__ = [
    "Association",
    "Connection",
    "Network",
    "Node",
    "Packet",
    "ack",
    "fin",
    "frame",
    "granted",
    "message",
    "opts",
    "recovery",
    "request",
    "status",
    "status_reply",
]
