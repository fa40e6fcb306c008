"""SCTP packets taken apart into chunks (RFC 9260 §3)."""

from __future__ import annotations

import numpy as np

from dlmtrace.capture.headers import CHUNK, DATA, SCTP, Flags, Int, column
from dlmtrace.capture.network import Datagrams, addresses
from dlmtrace.capture.ports import PortFilter
from dlmtrace.capture.segments import Chunks
from dlmtrace.capture.tally import Tally
from dlmtrace.gather import Bytes, gather

DATA_TYPE = 0


def dissect_sctp(buffer: Bytes, datagrams: Datagrams, ports: PortFilter, tally: Tally) -> tuple[Chunks, Datagrams]:
    """Chunks of the SCTP packets with a wanted port, and the packets that gave one at least.

    A packet is walked until a chunk has an impossible length or its header was cut off; the chunks before it stand.  If
    there are none, the packet is counted as undecodable.
    """
    datagrams, header, source_port, destination_port = ports.select(
        buffer, datagrams, SCTP, "SCTP header", tally.sctp_ports
    )
    index, offset, bad = _walk(buffer, datagrams)
    empty = np.ones(len(bad), np.bool_)
    empty[index] = False
    tally.undecodable("bad SCTP chunk", int(np.count_nonzero(empty & bad)))
    short = empty & ~bad
    tally.short("SCTP chunk", datagrams.stop[short] < datagrams.end[short])

    packet = datagrams.select(index)
    chunk = gather(buffer, CHUNK, offset)
    kind = column(chunk, "type")
    is_data = kind == DATA_TYPE
    size = np.where(is_data, DATA.itemsize, CHUNK.itemsize)
    start = offset + size
    length = column(chunk, "length") - size
    tsn, stream = np.full(len(index), -1, np.int64), np.full(len(index), -1, np.int64)
    data = gather(buffer, DATA, offset[is_data])
    tsn[is_data], stream[is_data] = column(data, "tsn"), column(data, "stream")
    sender_receiver = addresses(buffer, packet)
    chunks = Chunks(
        buffer=buffer,
        row=packet.row,
        network=packet.network,
        transport=packet.transport,
        source_high=sender_receiver.source_high,
        source_low=sender_receiver.source_low,
        destination_high=sender_receiver.destination_high,
        destination_low=sender_receiver.destination_low,
        source_port=source_port[index],
        destination_port=destination_port[index],
        verification_tag=column(header, "verification_tag")[index],
        type=kind,
        flags=column(chunk, "flags"),
        data=start,
        length=length,
        captured=np.minimum(length, packet.stop - start),
        tsn=tsn,
        stream=stream,
        identification=sender_receiver.identification,
    )
    return chunks, datagrams if not empty.any() else datagrams.select(~empty)


def _walk(buffer: Bytes, datagrams: Datagrams) -> tuple[Int, Int, Flags]:
    """All packets in lockstep, a chunk of each a round: chunks as (row of datagrams, offset) in capture order, and the
    packets whose walk ended at an impossible length."""
    bad = np.zeros(len(datagrams.row), np.bool_)
    active = np.arange(len(bad))
    cursor = datagrams.transport + SCTP.itemsize
    indexes, offsets = [active[:0]], [cursor[:0]]
    while len(active):
        begun = cursor + CHUNK.itemsize <= datagrams.stop[active]
        active, cursor = active[begun], cursor[begun]
        chunk = gather(buffer, CHUNK, cursor)
        length = column(chunk, "length")
        least = np.where(chunk["type"] == DATA_TYPE, DATA.itemsize, CHUNK.itemsize)
        possible = (length >= least) & (cursor + length <= datagrams.end[active])
        bad[active[~possible]] = True
        readable = possible & (cursor + least <= datagrams.stop[active])
        active, cursor, length = active[readable], cursor[readable], length[readable]
        indexes.append(active)
        offsets.append(cursor)
        cursor = cursor + (length + 3 & ~3)  # chunks are padded to 4 bytes (RFC 9260 §3.2)
    index, offset = np.concatenate(indexes), np.concatenate(offsets)
    order = np.argsort(index, kind="stable")  # the rounds keep the chunks of a packet in order
    return index[order], offset[order], bad
