"""The stages in a row: capture files to batches of frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from dlmtrace.capture.dissect import Dissector
from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import TrafficSummary
from dlmtrace.capture.source import Capture
from dlmtrace.framing.framer import Framer
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.transport.tcp import TcpTransport

PORT = 21064
"""The port of DLM over TCP and SCTP unless configured otherwise (fs/dlm/config.c; protocol page §7.1)."""


class Trace:
    """Everything that some capture files hold of DLM.  Raises UnusableInput when one of them cannot be read at all."""

    def __init__(self, paths: Sequence[str], ports: frozenset[int] = frozenset({PORT}), any_port: bool = False) -> None:
        self.capture = Capture(paths)
        self._dissector = Dissector(ports, any_port)
        numbers = itertools.count()
        self._tcp = TcpTransport(ports, numbers)
        self._framer = Framer()

    @property
    def traffic(self) -> TrafficSummary:
        """What the link and network layers saw so far."""
        return self._dissector.summary

    def batches(self) -> Iterator[FrameBatch]:
        """The frames, a batch of packets at a time."""
        for batch in self.capture.batches():
            yield from self._feed(batch)
        self._dissector.finish()
        yield self._framer.feed(self._tcp.finish())

    def _feed(self, batch: PacketBatch) -> Iterator[FrameBatch]:
        traffic = self._dissector.feed(batch)
        yield self._framer.feed(self._tcp.feed(batch, traffic.tcp))
