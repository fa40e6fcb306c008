"""The stages in a row: capture files to batches of frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from dlmtrace.capture.dissect import Dissector
from dlmtrace.capture.segments import TrafficSummary
from dlmtrace.capture.source import Capture
from dlmtrace.framing.framer import Framer
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.framing.order import CaptureOrder
from dlmtrace.transport.pieces import Pieces
from dlmtrace.transport.sctp import SctpTransport
from dlmtrace.transport.signature import PortFinder
from dlmtrace.transport.tcp import TcpTransport

PORT = 21064
"""The port of DLM over TCP and SCTP unless configured otherwise (fs/dlm/config.c; protocol page §7.1)."""


class Trace:
    """Everything that some capture files hold of DLM.  Raises UnusableInput when one of them cannot be read at all.

    With ``any_port`` the ports are found by the frames' signature; ``ports`` then only tells clients from servers.
    """

    def __init__(self, paths: Sequence[str], ports: frozenset[int] = frozenset({PORT}), any_port: bool = False) -> None:
        self.capture = Capture(paths)
        self._dissector = Dissector(ports, any_port)
        self._finder = PortFinder() if any_port else None
        numbers = itertools.count()
        self._tcp = TcpTransport(ports, numbers)
        self._sctp = SctpTransport(ports, numbers)
        self._framer = Framer()
        self._tcp_order, self._sctp_order = CaptureOrder(), CaptureOrder()

    @property
    def traffic(self) -> TrafficSummary:
        """What the link and network layers saw so far."""
        summary = self._dissector.summary
        if self._finder is not None:
            summary.dlm_packets = self._finder.packets
        return summary

    def batches(self) -> Iterator[FrameBatch]:
        """The frames, a batch of packets at a time; the last one when the capture is over."""
        sctp = False
        for batch in self.capture.batches():
            traffic = self._dissector.feed(batch)
            if self._finder is not None:
                traffic = self._finder.feed(traffic)
            for pieces in self._tcp.feed(batch, traffic.tcp):
                yield from self._frames(pieces, self._tcp_order)
            sctp = sctp or len(traffic.sctp.row) > 0
            if sctp:
                yield from self._frames(self._sctp.feed(batch, traffic.sctp), self._sctp_order)
        self._dissector.finish()
        yield from self._frames(self._tcp.finish(), self._tcp_order)
        yield from self._frames(self._sctp.finish(), self._sctp_order)

    def _frames(self, pieces: Pieces, order: CaptureOrder) -> Iterator[FrameBatch]:
        yield from order.feed(self._framer.feed(pieces), self._framer.settled)
