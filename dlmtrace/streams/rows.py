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

    def add(self, carrier: int, rows: Int, numbered: Int, acks: Int, bare: Int) -> None:
        """Rows of one direction of a connection; of these the OPTS, ACK, and bare MSG and RCOM frames."""
        self.several = self.carrier >= 0
        self.carrier = carrier
        self.numbered, self.acks, self.bare = numbered, acks, bare
        self.all.append(rows)

    def before(self, row: int) -> list[Int]:
        """The rows below ``row``."""
        return [rows[rows < row] for rows in self.all]

    def drop_before(self, row: int) -> None:
        """Leave only the rows from ``row`` on."""
        self.numbered, self.acks, self.bare = (rows[rows >= row] for rows in (self.numbered, self.acks, self.bare))
        self.all = [rows[rows >= row] for rows in self.all]


NO_ROWS = Rows()


def rows_of_pairs(batch: FrameBatch, hosts: Callable[[Connection], tuple[int, int]]) -> dict[tuple[int, int], Rows]:
    """The batch's rows by sender and receiver; ``hosts`` tells the nodes of a connection, the client first."""
    ends = batch.ends
    order = np.argsort(ends.of.astype(np.uint16) if len(ends.number) < 1 << 16 else ends.of, kind="stable")
    command = batch.header["h_cmd"][order]
    masks = (command == Command.OPTS, command == Command.ACK, (command == Command.MSG) | (command == Command.RCOM))
    groups = [_split(each, ends.of, len(ends.number)) for each in (order, *(order[mask] for mask in masks))]
    rows: dict[tuple[int, int], Rows] = {}
    for number, *group in zip(ends.number.tolist(), *groups, strict=True):
        client, server = hosts(batch.connections[number >> 1])
        between = (server, client) if number & 1 else (client, server)
        rows.setdefault(between, Rows()).add(number, *group)
    return rows


def _split(rows: Int, of: Int, count: int) -> list[Int]:
    """Rows in the order of ``of`` as one array for each of its ``count`` values."""
    stops = np.cumsum(np.bincount(of[rows], minlength=count)).tolist()
    return [rows[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]
