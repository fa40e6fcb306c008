"""TCP headers (RFC 9293 §3.1) as columns."""

from __future__ import annotations

import numpy as np

from dlmtrace.capture.headers import TCP, column
from dlmtrace.capture.network import Datagrams, addresses
from dlmtrace.capture.ports import PortFilter
from dlmtrace.capture.segments import Segments
from dlmtrace.capture.tally import Tally
from dlmtrace.gather import Bytes


def dissect_tcp(buffer: Bytes, datagrams: Datagrams, ports: PortFilter, tally: Tally) -> tuple[Segments, Datagrams]:
    """Segments of the TCP packets with a wanted port, and these packets (row for row)."""
    datagrams, header, source_port, destination_port = ports.select(
        buffer, datagrams, TCP, "TCP header", tally.tcp_ports
    )
    size = (column(header, "data_offset") >> 4) * 4
    good = (size >= TCP.itemsize) & (datagrams.transport + size <= datagrams.end)
    if not good.all():
        tally.undecodable("bad TCP header", int(np.count_nonzero(~good)))
        datagrams, header, size = datagrams.select(good), header[good], size[good]
        source_port, destination_port = source_port[good], destination_port[good]
    data = datagrams.transport + size
    sender_receiver = addresses(buffer, datagrams)
    segments = Segments(
        buffer=buffer,
        row=datagrams.row,
        network=datagrams.network,
        transport=datagrams.transport,
        source_high=sender_receiver.source_high,
        source_low=sender_receiver.source_low,
        destination_high=sender_receiver.destination_high,
        destination_low=sender_receiver.destination_low,
        source_port=source_port,
        destination_port=destination_port,
        sequence=column(header, "sequence"),
        acknowledgement=column(header, "acknowledgement"),
        flags=column(header, "flags"),
        data=data,
        length=datagrams.end - data,
        captured=np.maximum(datagrams.stop - data, 0),  # the cut may lie inside the options
        identification=sender_receiver.identification,
    )
    return segments, datagrams
