"""IP and TCP headers as hosts and interfaces really write them, built by scapy and read back."""

import numpy as np
from batches import batch_of
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from dlmtrace.capture.dissect import Dissector
from dlmtrace.capture.segments import ACK, IPV4_PREFIX, PSH, SYN, Segments, TrafficSummary

DLM = frozenset({21064})
ETHERNET = Ether(src="52:54:00:00:00:01", dst="52:54:00:00:00:02")
IPV4 = IP(src="10.77.0.1", dst="10.77.0.2", id=0xBEEF)
IPV6 = IPv6(src="fd00::1:2", dst="fd00:0:0:1::3:4")
DATA = TCP(sport=21064, dport=40001, seq=0xFFFFFFF0, ack=0x80000001, flags="PA") / Raw(b"payload of odd size")
SYN_OPTIONS = [("MSS", 1460), ("NOP", None), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (1, 0))]


def dissect(*packets: Packet | bytes, any_port: bool = False, **how: list[int]) -> tuple[Segments, TrafficSummary]:
    dissector = Dissector(DLM, any_port)
    traffic = dissector.feed(batch_of([bytes(packet) for packet in packets], **how))
    dissector.finish()
    return traffic.tcp, dissector.summary


def payloads(tcp: Segments) -> list[bytes]:
    return [tcp.buffer[data : data + captured].tobytes() for data, captured in zip(tcp.data, tcp.captured, strict=True)]


def test_every_column_of_an_ipv4_and_an_ipv6_segment() -> None:
    tcp, summary = dissect(ETHERNET / IPV4 / DATA, ETHERNET / IPV6 / DATA)
    size = 14 + 20 + 20 + 19
    assert tcp.row.tolist() == [0, 1]
    assert tcp.network.tolist() == [14, size + 14]
    assert tcp.transport.tolist() == [34, size + 54]
    assert tcp.data.tolist() == [54, size + 74]
    assert tcp.source_high.tolist() == [0, 0xFD00 << 48]
    assert tcp.source_low.tolist() == [IPV4_PREFIX | 0x0A4D0001, 0x10002]
    assert tcp.destination_high.tolist() == [0, 0xFD00 << 48 | 1]
    assert tcp.destination_low.tolist() == [IPV4_PREFIX | 0x0A4D0002, 0x30004]
    assert tcp.source_port.tolist() == [21064] * 2
    assert tcp.destination_port.tolist() == [40001] * 2
    assert tcp.sequence.tolist() == [0xFFFFFFF0] * 2
    assert tcp.acknowledgement.tolist() == [0x80000001] * 2
    assert tcp.flags.tolist() == [PSH | ACK] * 2
    assert tcp.length.tolist() == tcp.captured.tolist() == [19] * 2
    assert tcp.identification.tolist() == [0xBEEF, -1]
    assert payloads(tcp) == [b"payload of odd size"] * 2
    assert {values.dtype for values in (tcp.row, tcp.data, tcp.flags, tcp.identification)} == {np.dtype(np.int64)}
    assert {values.dtype for values in (tcp.source_high, tcp.destination_low)} == {np.dtype(np.uint64)}
    assert summary == TrafficSummary(dlm_packets=2)


def test_no_packets_at_all() -> None:
    tcp, summary = dissect()
    assert len(tcp.row) == 0
    assert summary == TrafficSummary()


def test_ipv4_options_and_tcp_options() -> None:
    alerted = IP(src="10.77.0.1", dst="10.77.0.2", options=[IPOption_Router_Alert()])
    syn = TCP(sport=40001, dport=21064, seq=5, flags="S", options=SYN_OPTIONS)
    tcp, _ = dissect(ETHERNET / alerted / DATA, ETHERNET / IPV4 / syn, ETHERNET / IPV4 / DATA)
    assert (tcp.transport - tcp.network).tolist() == [24, 20, 20]
    assert tcp.flags.tolist() == [PSH | ACK, SYN, PSH | ACK]
    assert tcp.length.tolist() == [19, 0, 19]
    assert (tcp.data - tcp.transport).tolist() == [20, len(syn), 20]
    assert payloads(tcp) == [b"payload of odd size", b"", b"payload of odd size"]


def test_ethernet_padding_is_no_payload() -> None:
    bare_ack = TCP(sport=21064, dport=40001, seq=1, ack=2, flags="A")
    tcp, _ = dissect(bytes(ETHERNET / IPV4 / bare_ack) + bytes(6), bytes(ETHERNET / IPV6 / DATA) + b"\xff" * 4)
    assert tcp.length.tolist() == tcp.captured.tolist() == [0, 19]


def test_length_zero_of_an_offloaded_packet_is_the_packets_own() -> None:
    """IPv4 and IPv6 packets of more than 65,535 bytes have no length in their headers."""
    big = TCP(sport=21064, dport=40001, seq=1, flags="A") / Raw(bytes(range(250)) * 400)
    ipv4 = IP(src="10.77.0.1", dst="10.77.0.2", len=0)
    ipv6 = IPv6(src="fd00::1", dst="fd00::2", plen=0)
    tcp, _ = dissect(ETHERNET / ipv4 / big, ETHERNET / ipv6 / big)
    assert tcp.length.tolist() == tcp.captured.tolist() == [100_000] * 2


def test_jumbo_payload_option() -> None:
    """RFC 2675: Linux put a hop-by-hop header into BIG TCP packets."""
    jumbo = bytes.fromhex("0600c204") + (100_028).to_bytes(4, "big")
    big = bytes(TCP(sport=21064, dport=40001, seq=1, flags="A") / Raw(bytes(100_000)))
    header = bytearray(bytes(ETHERNET / IPv6(src="fd00::1", dst="fd00::2", nh=0, plen=0)))
    tcp, _ = dissect(bytes(header) + jumbo + big)
    assert tcp.length.tolist() == [100_000]


def test_ipv6_extension_headers() -> None:
    options = PadN(optdata=bytes(10))

    def authentication(next_header: int) -> AH:  # scapy fills in neither the length nor the next header
        return AH(nh=next_header, payloadlen=4, spi=1, seq=1, icv=bytes(12))

    chains = [
        IPV6 / IPv6ExtHdrHopByHop(options=[options]) / DATA,
        IPV6 / IPv6ExtHdrRouting(addresses=["fd00::9", "fd00::a"]) / DATA,
        IPV6 / IPv6ExtHdrDestOpt(options=[options]) / DATA,
        IPV6 / IPv6ExtHdrFragment(offset=0, m=0, id=5) / DATA,
        IPV6 / authentication(6) / DATA,
        IPV6 / DATA,
        IPV6
        / IPv6ExtHdrHopByHop(options=[options])
        / IPv6ExtHdrRouting(addresses=["fd00::9"])
        / IPv6ExtHdrFragment(id=6)
        / authentication(60)
        / IPv6ExtHdrDestOpt()
        / DATA,
    ]
    tcp, summary = dissect(*(ETHERNET / chain for chain in chains))
    assert summary.dlm_packets == len(chains)
    assert tcp.row.tolist() == list(range(len(chains)))
    assert (tcp.data - tcp.network).tolist() == [len(chain) - 19 for chain in chains]
    assert payloads(tcp) == [b"payload of odd size"] * len(chains)


def test_endless_extension_headers() -> None:
    chain = IPv6(src="fd00::1", dst="fd00::2", nh=60)
    _, summary = dissect(bytes(ETHERNET / chain / Raw((b"\x3c" + bytes(7)) * 100)))
    assert summary.undecodable == {"more than 16 IPv6 extension headers": 1}


def test_other_protocols_are_named_and_their_ports_are_not_looked_at() -> None:
    udp = UDP(sport=21064, dport=21064)
    packets = [
        IPV4 / ICMP(),
        IPV4 / udp / Raw(b"x"),
        IPV4 / UDP(sport=50000, dport=4789) / VXLAN(vni=1) / ETHERNET / IPV4 / DATA,
        IPV4 / GRE() / IPV4 / DATA,
        IPV4 / IPV4 / DATA,
        IPV4 / IPV6 / DATA,
        IPV6 / ICMPv6EchoRequest(),
        IPV6 / udp,
        IP(src="10.77.0.1", dst="10.77.0.2", proto=200) / Raw(b"x"),
    ]
    tcp, summary = dissect(*(ETHERNET / packet for packet in packets))
    assert len(tcp.row) == 0
    assert summary.undecodable == {}
    assert summary.other == {
        "ICMP": 1,
        "UDP": 2,
        "VXLAN": 1,
        "GRE": 1,
        "IP in IP (IPv4)": 1,
        "IP in IP (IPv6)": 1,
        "ICMPv6": 1,
        "IP protocol 200": 1,
    }


def test_bad_headers_are_undecodable() -> None:
    good = bytes(ETHERNET / IPV4 / DATA)

    def patched(offset: int, value: int) -> bytes:
        return good[:offset] + bytes([value]) + good[offset + 1 :]

    tcp, summary = dissect(
        patched(14, 0x65),  # version 6
        patched(14, 0x44),  # header of 16 bytes
        patched(17, 19),  # total length shorter than the header
        patched(46, 0x40),  # TCP header of 16 bytes
        patched(46, 0xF0),  # TCP header of 60 bytes in a packet with 39
        good,
    )
    assert tcp.row.tolist() == [5]
    assert summary.undecodable == {"bad IPv4 header": 3, "bad TCP header": 2}
    wrong = bytearray(bytes(ETHERNET / IPV6 / DATA))
    wrong[14] = 0x45
    assert dissect(bytes(wrong))[1].undecodable == {"bad IPv6 header": 1}


def test_ports_of_unwanted_packets_are_counted() -> None:
    web = TCP(sport=50000, dport=443)
    tcp, summary = dissect(*(ETHERNET / IPV4 / layer for layer in (web, DATA, web, TCP(sport=443, dport=443))))
    assert tcp.row.tolist() == [1]
    assert summary == TrafficSummary(dlm_packets=1, tcp_ports={443: 3, 50000: 2})


def test_any_port_passes_all_and_leaves_the_verdict_to_the_framing() -> None:
    web = TCP(sport=50000, dport=443)
    tcp, summary = dissect(ETHERNET / IPV4 / web, ETHERNET / IPV4 / DATA, any_port=True)
    assert tcp.row.tolist() == [0, 1]
    assert summary == TrafficSummary(tcp_ports={443: 1, 50000: 1, 21064: 1, 40001: 1})


def test_several_wanted_ports() -> None:
    dissector = Dissector(frozenset({443, 21064}))
    web = ETHERNET / IPV4 / TCP(sport=50000, dport=443)
    assert dissector.feed(batch_of([bytes(web), bytes(ETHERNET / IPV4 / DATA)])).tcp.row.tolist() == [0, 1]


def test_packet_cut_by_the_snaplen_keeps_its_length() -> None:
    whole = bytes(ETHERNET / IPV4 / DATA)
    tcp, summary = dissect(whole[:60], whole, lengths=[len(whole), len(whole)])
    assert tcp.length.tolist() == [19, 19]
    assert tcp.captured.tolist() == [6, 19]
    assert summary.cut_packets == 1


def test_packet_cut_inside_the_tcp_options_has_no_payload_captured() -> None:
    timed = TCP(sport=21064, dport=40001, seq=1, flags="A", options=[("Timestamp", (1, 0))]) / Raw(b"payload")
    whole = bytes(ETHERNET / IPV4 / timed)
    tcp, _ = dissect(whole[:58], lengths=[len(whole)])
    assert (tcp.sequence[0], tcp.length[0], tcp.captured[0]) == (1, 7, 0)
