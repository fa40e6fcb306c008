"""Finds DLM on any port by what its frames look like (protocol page §1.4)."""

from __future__ import annotations

import numpy as np

from dlmtrace.capture.segments import Chunks, Segments, Traffic
from dlmtrace.gather import gather
from dlmtrace.transport.columns import Columns, select
from dlmtrace.wire.columns import HEADER
from dlmtrace.wire.signature import look_like_headers


class PortFinder:
    """Lets rows through whose port has been seen to carry DLM: a segment that begins with a frame and ends with it, or
    goes on with the next one.  ``ports`` are those found so far, ``rows`` counts what was let through."""

    def __init__(self) -> None:
        self.ports: set[int] = set()
        self.packets = 0

    def feed(self, traffic: Traffic) -> Traffic:
        """The rows of DLM ports; earlier rows of a connection are let through when they are in the same batch."""
        self._look(traffic.tcp)
        self._look(traffic.sctp)
        chosen = Traffic(self._choose(traffic.tcp), self._choose(traffic.sctp))
        self.packets += len(np.unique(np.concatenate((chosen.tcp.row, chosen.sctp.row))))
        return chosen

    def _look(self, rows: Segments | Chunks) -> None:
        candidates = np.flatnonzero(rows.captured >= HEADER.itemsize)
        header = gather(rows.buffer, HEADER, rows.data[candidates])
        good = look_like_headers(header)
        candidates, header = candidates[good], header[good]
        behind = rows.data[candidates] + header["h_length"]
        left = rows.data[candidates] + rows.captured[candidates] - behind
        proved = left == 0
        more = np.flatnonzero(left >= HEADER.itemsize)
        proved[more] = look_like_headers(gather(rows.buffer, HEADER, behind[more]))
        hits = candidates[proved]
        lower = np.minimum(rows.source_port[hits], rows.destination_port[hits])
        self.ports.update(np.unique(lower).tolist())

    def _choose(self, rows: Columns) -> Columns:
        ports = np.array(sorted(self.ports), np.int64)
        chosen = np.isin(rows.source_port, ports) | np.isin(rows.destination_port, ports)
        return rows if chosen.all() else select(rows, chosen)
