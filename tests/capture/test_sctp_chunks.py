"""SCTP packets built by scapy, taken apart into chunks."""

import struct

from batches import batch_of
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.sctp import (
    SCTP,
    SCTPChunkAbort,
    SCTPChunkCookieAck,
    SCTPChunkData,
    SCTPChunkHeartbeatReq,
    SCTPChunkParamHeartbeatInfo,
    SCTPChunkSACK,
)
from scapy.packet import Packet, Raw

from dlmtrace.capture.dissect import Dissector
from dlmtrace.capture.segments import Chunks, TrafficSummary

DLM = frozenset({21064})
ETHERNET = Ether(src="52:54:00:00:00:01", dst="52:54:00:00:00:02")
IPV4 = ETHERNET / IP(src="10.77.0.1", dst="10.77.0.2", id=0xBEEF, proto=132)
IPV6 = ETHERNET / IPv6(src="fd00::1", dst="fd00::2", nh=132)
COMMON = SCTP(sport=21064, dport=21064, tag=0xCAFEF00D)


def dissect(*packets: Packet | bytes, ports: frozenset[int] = DLM, **how: list[int]) -> tuple[Chunks, TrafficSummary]:
    dissector = Dissector(ports)
    traffic = dissector.feed(batch_of([bytes(packet) for packet in packets], **how))
    assert len(traffic.tcp.row) == 0
    return traffic.sctp, dissector.summary


def value(chunks: Chunks, index: int) -> bytes:
    return chunks.buffer[chunks.data[index] : chunks.data[index] + chunks.captured[index]].tobytes()


def data(tsn: int, text: bytes, flags: int = 3, stream: int = 0) -> bytes:
    """A DATA chunk with its padding (RFC 9260 §3.3.1)."""
    return struct.pack(">BBHIHHI", 0, flags, 16 + len(text), tsn, stream, 0, 0) + text + bytes(-len(text) % 4)


def test_bundled_chunks_in_order_with_padding_between() -> None:
    packet = (
        IPV4
        / COMMON
        / SCTPChunkSACK(cumul_tsn_ack=41, a_rwnd=1000)
        / SCTPChunkData(tsn=0xFFFFFFFF, stream_id=7, beginning=1, ending=0, data=b"odd")
        / SCTPChunkData(tsn=0, stream_id=7, beginning=0, ending=1, data=b"and five")
    )
    chunks, summary = dissect(packet)
    assert chunks.type.tolist() == [3, 0, 0]
    assert chunks.flags.tolist() == [0, 2, 1]
    assert chunks.tsn.tolist() == [-1, 0xFFFFFFFF, 0]
    assert chunks.stream.tolist() == [-1, 7, 7]
    assert chunks.length.tolist() == chunks.captured.tolist() == [12, 3, 8]
    assert value(chunks, 0) == struct.pack(">IIHH", 41, 1000, 0, 0)
    assert [value(chunks, 1), value(chunks, 2)] == [b"odd", b"and five"]
    assert chunks.verification_tag.tolist() == [0xCAFEF00D] * 3
    assert chunks.source_port.tolist() == chunks.destination_port.tolist() == [21064] * 3
    assert chunks.identification.tolist() == [0xBEEF] * 3
    assert chunks.network.tolist() == [14] * 3
    assert chunks.transport.tolist() == [34] * 3
    assert summary == TrafficSummary(dlm_packets=1)


def test_chunks_of_many_packets_stay_in_capture_order() -> None:
    beat = SCTPChunkHeartbeatReq(params=[SCTPChunkParamHeartbeatInfo(data=b"path")])
    chunks, _ = dissect(
        IPV4 / COMMON / Raw(data(1, b"a") + data(2, b"b")),
        IPV6 / COMMON / beat,
        IPV4 / COMMON / Raw(data(3, b"c") + data(4, b"d") + data(5, b"e")),
        IPV6 / COMMON / SCTPChunkCookieAck() / Raw(data(6, b"f")),
        IPV4 / COMMON / SCTPChunkAbort(),
    )
    assert chunks.row.tolist() == [0, 0, 1, 2, 2, 2, 3, 3, 4]
    assert chunks.type.tolist() == [0, 0, 4, 0, 0, 0, 11, 0, 6]
    assert chunks.tsn.tolist() == [1, 2, -1, 3, 4, 5, -1, 6, -1]
    assert chunks.identification.tolist() == [0xBEEF, 0xBEEF, -1, 0xBEEF, 0xBEEF, 0xBEEF, -1, -1, 0xBEEF]


def test_interleaved_data_is_a_chunk_without_tsn() -> None:
    """I-DATA (RFC 8260) is not read."""
    chunks, _ = dissect(IPV4 / COMMON / Raw(bytes.fromhex("40030014") + bytes(16) + data(9, b"x")))
    assert chunks.type.tolist() == [64, 0]
    assert chunks.tsn.tolist() == [-1, 9]


def test_ethernet_padding_is_no_chunk() -> None:
    packet = bytes(IPV4 / COMMON / SCTPChunkCookieAck())
    chunks, _ = dissect(packet + bytes(60 - len(packet)))
    assert chunks.type.tolist() == [11]


def test_impossible_lengths_end_the_walk() -> None:
    """The chunks in front stand; a packet without any is undecodable."""
    too_short, too_long = bytes.fromhex("03000003") + bytes(4), bytes.fromhex("03000100") + bytes(8)
    chunks, summary = dissect(
        IPV4 / COMMON / Raw(data(1, b"good") + too_short + data(2, b"lost")),
        IPV4 / COMMON / Raw(data(3, b"good") + too_long),
        IPV4 / COMMON / Raw(too_short),
        IPV4 / COMMON / Raw(too_long),
        IPV4 / COMMON / Raw(bytes.fromhex("0003000c") + bytes(8)),  # DATA without room for its header
        IPV4 / COMMON,
        IPV4 / COMMON / Raw(data(4, b"good")),
    )
    assert chunks.tsn.tolist() == [1, 3, 4]
    assert summary.dlm_packets == 3
    assert summary.undecodable == {"bad SCTP chunk": 3, "packet ends inside the SCTP chunk": 1}


def test_data_cut_by_the_snaplen() -> None:
    whole = bytes(IPV4 / COMMON / Raw(data(1, b"eight by") + data(2, b"eight by")))
    first = 14 + 20 + 12 + 24
    lengths = [len(whole)] * 4
    chunks, summary = dissect(whole, whole[: first + 18], whole[: first + 12], whole[: first - 4], lengths=lengths)
    assert chunks.row.tolist() == [0, 0, 1, 1, 2, 3]
    assert chunks.tsn.tolist() == [1, 2, 1, 2, 1, 1]
    assert chunks.length.tolist() == [8] * 6
    assert chunks.captured.tolist() == [8, 8, 8, 2, 8, 4]
    assert (summary.dlm_packets, summary.cut_packets, summary.undecodable) == (4, 3, {})


def test_unwanted_ports_are_counted() -> None:
    chunks, summary = dissect(IPV4 / COMMON / Raw(data(1, b"x")), ports=frozenset({1}))
    assert len(chunks.row) == 0
    assert summary == TrafficSummary(sctp_ports={21064: 1})
