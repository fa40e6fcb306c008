"""What ids are called in the views: lockspaces, nodes, connections' ends and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from dlmtrace.streams.nodes import UNKNOWN, NodeTable
from dlmtrace.transport.connections import Connection
from dlmtrace.wire.names import escape


class Naming:
    """Names for what a run shows.  ``lockspaces`` are names by id, ``files`` the paths of the run."""

    def __init__(self, nodes: NodeTable, lockspaces: Mapping[int, str], files: Sequence[str]) -> None:
        self.nodes = nodes
        self._lockspaces = {number: escape(name) for number, name in lockspaces.items()}
        self.files = [escape(name) for name in files]
        bases = [os.path.basename(name) for name in self.files]
        self._short_files = bases if len(set(bases)) == len(bases) else self.files

    def lockspace_name(self, number: int) -> str | None:
        """The name of the lockspace with this id, None unless the user gave it."""
        return self._lockspaces.get(number)

    def lockspace(self, number: int) -> str:
        """The lockspace's name when it is known, else its id as ``0x…``."""
        return self._lockspaces.get(number) or f"{number:#010x}"

    def file(self, index: int) -> str:
        """A short name of the capture file that tells it from the others of the run."""
        return self._short_files[index] if index < len(self._short_files) else f"file {index + 1}"

    def receiver(self, connection: Connection, sender_side: int) -> str:
        """The node that receives what ``sender_side`` sends; its address until a frame has told its id."""
        side = 1 - sender_side
        node = self.nodes.node_at(connection, side)
        return connection.endpoint(side).address if node == UNKNOWN else str(node)
