"""From packets to TCP segments and SCTP chunks of the wanted ports."""

from __future__ import annotations

import numpy as np

from dlmtrace.capture.network import SCTP, Datagrams, Network
from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.ports import PortFilter
from dlmtrace.capture.sctp_chunks import dissect_sctp
from dlmtrace.capture.segments import Traffic, TrafficSummary
from dlmtrace.capture.tally import Tally
from dlmtrace.capture.tcp_segments import dissect_tcp


class Dissector:
    """Link, network and transport headers of packets, batch by batch.

    ``ports`` are the wanted TCP and SCTP ports, on either side of a packet; ``any_port`` passes every packet.
    """

    def __init__(self, ports: frozenset[int], any_port: bool = False) -> None:
        self._tally = Tally()
        self._network = Network(self._tally)
        self._ports = PortFilter(ports, any_port, self._tally)
        self._any_port = any_port

    def feed(self, batch: PacketBatch) -> Traffic:
        """Segments and chunks of the batch, in capture order; no packet raises.

        Offsets point into the buffer of the Segments and Chunks: the batch's, or a copy with datagrams behind it that
        were put together from fragments.
        """
        buffer, datagrams = self._network.feed(batch)
        of_sctp = datagrams.protocol == SCTP
        if of_sctp.any():
            tcp, sctp = datagrams.select(~of_sctp), datagrams.select(of_sctp)
        else:
            tcp, sctp = datagrams, datagrams.select(slice(0, 0))
        segments, passed_tcp = dissect_tcp(buffer, tcp, self._ports, self._tally)
        chunks, passed_sctp = dissect_sctp(buffer, sctp, self._ports, self._tally)
        for passed in (passed_tcp, passed_sctp):
            self._count(passed)
        return Traffic(segments, chunks)

    def finish(self) -> None:
        """Nothing more comes: fragments without the rest of their datagram are counted."""
        self._network.finish()

    @property
    def summary(self) -> TrafficSummary:
        """Counts over the run so far; a copy.

        Every packet counts once: as passed, by its ports, as other or as undecodable.  ``cut_packets`` are those of the
        passed ones that lost bytes of TCP or SCTP to the snaplen, not only padding.  With ``any_port`` only the
        framing can tell what is DLM: ``dlm_packets`` stays 0, and the ports are those of all packets.
        """
        return self._tally.summary

    def _count(self, passed: Datagrams) -> None:
        if not self._any_port:
            self._tally.passed += len(passed.row)
        self._tally.cut += int(np.count_nonzero(passed.stop < passed.end))
