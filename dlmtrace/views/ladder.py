"""A sequence diagram: a lane for each node, and what went between them from the top to the bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlmtrace.streams.fates import Fate
from dlmtrace.views.excerpt import Item
from dlmtrace.views.naming import Naming
from dlmtrace.wire.names import escape

LEGEND = {
    "resent": "sent again",
    "lost": "never came: its connection or the receiver's kernel was gone",
    "ignored": "came, but the receiver waited for another number",
    "hole": "not captured: nothing is known of it",
}
"""What the marks mean, by what became of a frame or bytes."""


class Ladder:
    """The items of an excerpt with their lanes.  ``names`` are names that the user gave to nodes."""

    def __init__(self, items: Sequence[Item], naming: Naming, names: Mapping[int, str]) -> None:
        self.items = items
        self._naming = naming
        hosts = {self._host(item, side) for item in items if item.connection is not None for side in (0, 1)}
        # Nodes in order of their ids, then what is known by its address only.
        self._lanes = sorted(hosts, key=lambda host: (not host.isdecimal(), int(host) if host.isdecimal() else host))
        self.headings = [_heading(host, names) for host in self._lanes]
        connections = sorted({item.connection.index for item in items if item.connection is not None})
        self._colours = {index: place for place, index in enumerate(connections)}

    def _host(self, item: Item, side: int) -> str:
        """A node's id as text, or its address while no frame has told the id."""
        assert item.connection is not None
        return self._naming.receiver(item.connection, 1 - side)

    def ends(self, item: Item) -> tuple[int, int]:
        """Lanes of the sender and of the receiver."""
        return self._lanes.index(self._host(item, item.side)), self._lanes.index(self._host(item, 1 - item.side))

    def colour(self, item: Item) -> int:
        """A number for the connection, counted from 0."""
        assert item.connection is not None
        return self._colours[item.connection.index]

    def label(self, item: Item) -> str:
        """What stands on the arrow."""
        return item.label if item.connection is None else f"{item.connection.name} {item.label}"

    def legend(self) -> list[str]:
        """The keys of LEGEND that occur."""
        occur = {mark for item in self.items for mark in marks(item)}
        return [mark for mark in LEGEND if mark in occur]


def marks(item: Item) -> list[str]:
    """The keys of LEGEND that an item is drawn by."""
    holds = {
        "resent": item.resent,
        "lost": item.fate is Fate.LOST,
        "ignored": item.fate is Fate.IGNORED,
        "hole": item.kind == "hole",
    }
    return [mark for mark, there in holds.items() if there]


def _heading(host: str, names: Mapping[int, str]) -> str:
    if not host.isdecimal():
        return host
    name = names.get(int(host))
    return f"node {host}" if name is None else f"node {host} ({escape(name)})"
