"""Finds DLM on any port by what its frames look like (protocol page §1.4)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.segments import Chunks, Segments, Traffic
from dlmtrace.gather import gather
from dlmtrace.transport.columns import Columns, select
from dlmtrace.wire.columns import HEADER
from dlmtrace.wire.enums import Command
from dlmtrace.wire.header import MAXIMUM_LENGTH


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
        good = _plausible(header)
        candidates, header = candidates[good], header[good]
        behind = rows.data[candidates] + header["h_length"]
        left = rows.data[candidates] + rows.captured[candidates] - behind
        proved = left == 0
        more = np.flatnonzero(left >= HEADER.itemsize)
        proved[more] = _plausible(gather(rows.buffer, HEADER, behind[more]))
        hits = candidates[proved]
        lower = np.minimum(rows.source_port[hits], rows.destination_port[hits])
        self.ports.update(np.unique(lower).tolist())

    def _choose(self, rows: Columns) -> Columns:
        ports = np.array(sorted(self.ports), np.int64)
        chosen = np.isin(rows.source_port, ports) | np.isin(rows.destination_port, ports)
        return rows if chosen.all() else select(rows, chosen)


def _plausible(header: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Does it look like the header of a frame of protocol 3.0 … 3.2?"""
    length = header["h_length"]
    good = (header["h_version"] >> 8 == 0x300) & (header["h_version"] & 0xFF <= 2) & (header["h_pad"] == 0)
    good &= (header["h_cmd"] >= Command.MSG) & (header["h_cmd"] <= Command.FIN)
    verdict: npt.NDArray[np.bool_] = good & (length >= HEADER.itemsize) & (length <= MAXIMUM_LENGTH)
    return verdict
