"""Node ids as the frames themselves tell them: who sends from which end of a connection, and so who receives.

A frame names its sender (``h_nodeid``) but not its receiver; the receiver is the node that sends in the other direction
of the connection or, when that direction is silent (a pair may keep two connections and use one way of each), the node
that sends from the same address on another one.  See the protocol page §7.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.transport.connections import Connection, Endpoint

UNKNOWN = -1
"""Receiver of a frame when no frame has told yet which node is at that end."""

LIMIT = 65_536
"""Bound of each table: no cluster comes near it, forged frames could."""

Int = npt.NDArray[np.int64]
Address = tuple[int, int]


@dataclass(slots=True)
class Node:
    """What the frames with one ``h_nodeid`` show of their sender."""

    frames: int = 0
    versions: Counter[int] = field(default_factory=Counter)  # frames per h_version
    addresses: Counter[str] = field(default_factory=Counter)  # frames per source address


class NodeTable:
    """Nodes by id, and the ids behind addresses and connection ends; grows with every batch."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self._at_end: dict[int, int] = {}  # connection index * 2 + side -> node id
        self._at_address: dict[Address, Counter[int]] = {}  # address -> frames per node id

    def learn(self, batch: FrameBatch) -> None:
        """Take in who sent the frames of a batch."""
        if not len(batch):
            return
        ends, odd = batch.ends, batch.changing
        counts = np.bincount(ends.of)
        if len(odd):
            counts -= np.bincount(ends.of[odd], minlength=len(counts))
        usual = batch.header[ends.last]
        for end, node_id, version, count in zip(
            *(each.tolist() for each in (ends.number, usual["h_nodeid"], usual["h_version"], counts)), strict=True
        ):
            self._add(batch, end, node_id, version, count)
        if len(odd):
            rows = batch.header[odd]
            kinds, frequencies = np.unique(
                np.stack((ends.of[odd], rows["h_nodeid"], rows["h_version"])), axis=1, return_counts=True
            )
            for index, node_id, version, count in zip(*kinds.tolist(), frequencies.tolist(), strict=True):
                self._add(batch, int(ends.number[index]), node_id, version, count)

    def _add(self, batch: FrameBatch, end: int, node_id: int, version: int, count: int) -> None:
        node = self.nodes.get(node_id)
        if node is None:
            if len(self.nodes) >= LIMIT:
                return
            node = self.nodes[node_id] = Node()
        endpoint = batch.connections[end >> 1].endpoint(end & 1)
        node.frames += count
        _count(node.versions, version, count)
        _count(node.addresses, _address_text(endpoint.high, endpoint.low), count)
        self._at_end.pop(end, None)  # so that the oldest comes first
        self._at_end[end] = node_id
        if len(self._at_end) > LIMIT:
            del self._at_end[next(iter(self._at_end))]
        address = (endpoint.high, endpoint.low)
        if address not in self._at_address:
            if len(self._at_address) >= LIMIT:
                return
            self._at_address[address] = Counter()
        self._at_address[address][node_id] += count

    def node_at(self, connection: Connection, side: int) -> int:
        """Id of the node at one end of a connection, or UNKNOWN."""
        known = self._at_end.get(connection.index * 2 + side)
        if known is not None:
            return known
        endpoint = connection.endpoint(side)
        candidates = Counter(self._at_address.get((endpoint.high, endpoint.low), {}))
        candidates.pop(self._at_end.get(connection.index * 2 + 1 - side, UNKNOWN), None)  # nobody talks to itself
        likely, frames = max(candidates.items(), key=itemgetter(1), default=(UNKNOWN, 0))
        return likely if 2 * frames > candidates.total() else UNKNOWN

    def receivers(self, batch: FrameBatch) -> Int:
        """Receiver of every frame of a batch, as int64: its node id or UNKNOWN."""
        if not len(batch.frames):
            return np.empty(0, np.int64)
        ends = batch.ends
        receiver = [self.node_at(batch.connections[end >> 1], 1 - (end & 1)) for end in ends.number.tolist()]
        return np.array(receiver)[ends.of]


@lru_cache(LIMIT)
def _address_text(high: int, low: int) -> str:
    return Endpoint(high, low, 0).address


def _count(counter: Counter[Any], key: Any, count: int) -> None:
    if key in counter or len(counter) < LIMIT:
        counter[key] += count
