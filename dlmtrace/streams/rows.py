"""Rows of a batch by the nodes that they go between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.transport.connections import Connection
from dlmtrace.wire.enums import Command

Int = npt.NDArray[np.int64]


class Rows:
    """Rows of a batch that one node sent to another."""

    def __init__(self) -> None:
        self.carrier = -1
        self.several = False  # do they come over more than one connection?
        self.numbered = self.acks = self.bare = np.empty(0, np.int64)
        self.all: list[Int] = []

    def add(self, carrier: int, numbered: Int, acks: Int, bare: Int, others: Int) -> None:
        """Rows of one direction of a connection: the OPTS, ACK, bare MSG and RCOM, and other frames."""
        self.several = self.carrier >= 0
        self.carrier = carrier
        self.numbered, self.acks, self.bare = numbered, acks, bare
        self.all += [numbered, acks, bare, others]

    def before(self, row: int) -> list[Int]:
        """The rows below ``row``."""
        return [rows[rows < row] for rows in self.all]

    def drop_before(self, row: int) -> None:
        """Leave only the rows from ``row`` on."""
        self.numbered, self.acks, self.bare = (rows[rows >= row] for rows in (self.numbered, self.acks, self.bare))
        self.all = [rows[rows >= row] for rows in self.all]


NO_ROWS = Rows()


_KINDS = 4
_KIND = np.full(256, _KINDS - 1)
"""By h_cmd, which of the groups of ``Rows.add`` a frame belongs to."""
_KIND[Command.OPTS], _KIND[Command.ACK], _KIND[[Command.MSG, Command.RCOM]] = 0, 1, 2


def rows_of_pairs(batch: FrameBatch, hosts: Callable[[Connection], tuple[int, int]]) -> dict[tuple[int, int], Rows]:
    """The batch's rows by sender and receiver; ``hosts`` tells the nodes of a connection, the client first."""
    ends = batch.ends
    group = ends.of * _KINDS + _KIND[batch.header["h_cmd"]]
    groups = len(ends.number) * _KINDS
    # the sort of so small a type is a radix sort
    order = np.argsort(group.astype(np.uint16) if groups <= 1 << 16 else group, kind="stable")
    stops = np.cumsum(np.bincount(group, minlength=groups)).tolist()
    split = [order[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]
    rows: dict[tuple[int, int], Rows] = {}
    for place, number in enumerate(ends.number.tolist()):
        client, server = hosts(batch.connections[number >> 1])
        between = (server, client) if number & 1 else (client, server)
        rows.setdefault(between, Rows()).add(number, *split[place * _KINDS : (place + 1) * _KINDS])
    return rows
