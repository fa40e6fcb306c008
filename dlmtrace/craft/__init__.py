"""Captures of whole connections in a few lines, for tests and experiments; see docs/crafting.md."""

from dlmtrace.craft.network import Network
from dlmtrace.craft.packets import Node, Packet
from dlmtrace.craft.sctp import Association
from dlmtrace.craft.tcp import Connection

__all__ = ["Association", "Connection", "Network", "Node", "Packet"]
