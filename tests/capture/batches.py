"""Packet batches by hand, for tests of the stages behind the file formats."""

import struct
from collections.abc import Iterable, Sequence

import numpy as np

from dlmtrace.capture.packets import RECORD, TAIL, PacketBatch

ETHERNET = 1


def batch_of(
    packets: Sequence[bytes],
    link: int | Sequence[int] = ETHERNET,
    lengths: Iterable[int] | None = None,
    times: Iterable[int] | None = None,
) -> PacketBatch:
    """Packets one behind the other; ``lengths`` are those on the wire where the capture cut them."""
    records = np.zeros(len(packets), RECORD)
    records["captured"] = [len(packet) for packet in packets]
    records["length"] = records["captured"] if lengths is None else list(lengths)
    records["offset"] = np.cumsum(records["captured"]) - records["captured"]
    records["packet"] = np.arange(1, len(packets) + 1)
    records["time"] = np.arange(len(packets)) * 1000 if times is None else list(times)
    records["link"] = link
    return PacketBatch(np.frombuffer(b"".join(packets) + bytes(TAIL), np.uint8), records, 0)


def pcap_batch(pcap: bytes) -> PacketBatch:
    """A little-endian pcap file with microseconds, as tcpdump on x86 writes it, as one batch."""
    magic, _, _, _, _, _, link = struct.unpack_from("<IHHiIII", pcap)
    assert magic == 0xA1B2C3D4
    packets, lengths, times = [], [], []
    position = 24
    while position < len(pcap):
        seconds, micros, captured, length = struct.unpack_from("<IIII", pcap, position)
        packets.append(pcap[position + 16 : position + 16 + captured])
        lengths.append(length)
        times.append((seconds * 10**6 + micros) * 1000)
        position += 16 + captured
    return batch_of(packets, link, lengths, times)
