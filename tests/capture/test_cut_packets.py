"""Packets cut at every byte, and packets of noise: nothing raises, nothing points outside, each is counted once."""

from dataclasses import replace

import pytest
from batches import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkSACK
from scapy.packet import Packet, Raw

from dlmtrace.capture.dissect import Dissector
from dlmtrace.capture.segments import Chunks, Segments, TrafficSummary

ETHERNET = Ether(src="52:54:00:00:00:01", dst="52:54:00:00:00:02")
IPV4 = IP(src="10.77.0.1", dst="10.77.0.2", id=7)
IPV6 = IPv6(src="fd00::1", dst="fd00::2")
DATA = TCP(sport=40000, dport=21064, flags="PA", options=[("Timestamp", (1, 0))]) / Raw(b"payload")
MESSAGE = SCTP(sport=21064, dport=21064) / SCTPChunkSACK() / SCTPChunkData(data=b"odd")

KINDS: dict[str, tuple[int, Packet]] = {
    "ipv4": (1, ETHERNET / IPV4 / DATA),
    "ipv4 options": (1, ETHERNET / IP(options=[IPOption_Router_Alert()]) / DATA),
    "ipv4 fragment": (1, ETHERNET / IP(flags="MF", proto=6) / Raw(bytes(24))),
    "qinq": (1, ETHERNET / Dot1AD() / Dot1Q() / IPV4 / DATA),
    "ipv6": (1, ETHERNET / IPV6 / DATA),
    "ipv6 extensions": (1, ETHERNET / IPV6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / DATA),
    "ipv6 fragment": (1, ETHERNET / IPV6 / IPv6ExtHdrFragment(m=1, nh=6) / Raw(bytes(24))),
    "sctp": (1, ETHERNET / IPV4 / MESSAGE),
    "sctp over ipv6": (1, ETHERNET / IPV6 / MESSAGE),
    "other port": (1, ETHERNET / IPV4 / TCP(sport=443, dport=443) / Raw(b"payload")),
    "udp": (1, ETHERNET / IPV4 / UDP() / Raw(b"payload")),
    "arp": (1, ETHERNET / ARP()),
    "sll": (113, CookedLinux() / IPV4 / DATA),
    "sll2": (276, CookedLinuxV2() / IPV4 / MESSAGE),
    "raw": (101, IPV6 / DATA),
    "null": (0, Raw(b"\x02\x00\x00\x00") / IPV4 / DATA),
    "loop": (108, Raw(b"\x00\x00\x00\x1c") / IPV6 / DATA),
    "802.11": (105, Raw(bytes(40))),
}


def counted(summary: TrafficSummary) -> int:
    """Packets in all; those counted by ports must have the same port on both sides."""
    counts = (summary.other, summary.undecodable, summary.tcp_ports, summary.sctp_ports)
    return summary.dlm_packets + sum(sum(count.values()) for count in counts)


def check(columns: Segments | Chunks, start: int, stop: int) -> None:
    """What was found lies inside the packet."""
    assert (columns.network >= start).all()
    assert (columns.captured >= 0).all()
    assert (columns.captured <= columns.length).all()
    inside = columns.captured > 0
    assert ((columns.data + columns.captured)[inside] <= stop).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_packet_cut_at_every_byte(kind: str) -> None:
    link, built = KINDS[kind]
    packet = bytes(built)
    summaries = []
    for size in range(len(packet) + 1):
        dissector = Dissector(frozenset({21064}))
        traffic = dissector.feed(batch_of([packet[:size]], link, [len(packet)]))
        dissector.finish()
        check(traffic.tcp, 0, size)
        check(traffic.sctp, 0, size)
        summaries.append(replace(dissector.summary, cut_packets=0))
    for summary in summaries:
        assert counted(summary) == 1
        cut = [reason.endswith("cut by the snaplen") for reason in summary.undecodable]
        assert cut == [True] or summary == summaries[-1]


def test_all_cuts_of_all_kinds_in_one_batch_are_each_counted_once() -> None:
    packets, links, lengths = [], [], []
    for link, built in KINDS.values():
        packet = bytes(built)
        packets += [packet[:size] for size in range(len(packet) + 1)]
        links += [link] * (len(packet) + 1)
        lengths += [len(packet)] * (len(packet) + 1)
    batch = batch_of(packets, links, lengths)
    dissector = Dissector(frozenset({21064}))
    traffic = dissector.feed(batch)
    dissector.finish()
    assert counted(dissector.summary) == len(packets)
    assert (traffic.tcp.row[1:] > traffic.tcp.row[:-1]).all()
    assert (traffic.sctp.row[1:] >= traffic.sctp.row[:-1]).all()


@settings(deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    noise=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=8),
    more=st.integers(0, 40),
)
def test_damaged_packets(kind: str, noise: list[tuple[int, int]], more: int) -> None:
    link, built = KINDS[kind]
    packet = bytearray(bytes(built))
    for position, value in noise:
        packet[position % len(packet)] = value
    feed_one(bytes(packet), link, more)


@settings(deadline=None)
@given(
    packet=st.binary(max_size=200), link=st.sampled_from([0, 1, 101, 108, 113, 228, 229, 276]), more=st.integers(0, 9)
)
def test_noise(packet: bytes, link: int, more: int) -> None:
    feed_one(packet, link, more)


def feed_one(packet: bytes, link: int, more: int) -> None:
    """One packet between two good ones, which must come through whatever it holds."""
    good = bytes(KINDS["ipv4"][1])
    batch = batch_of([good, packet, good], [1, link, 1], [len(good), len(packet) + more, len(good)])
    dissector = Dissector(frozenset(range(65536)))
    traffic = dissector.feed(batch)
    dissector.finish()
    assert counted(dissector.summary) == 3
    middle = traffic.tcp.row == 1
    assert traffic.tcp.row[~middle].tolist() == [0, 2]
    assert (traffic.tcp.captured[middle] <= len(packet)).all()
    assert (traffic.tcp.data[middle & (traffic.tcp.captured > 0)] >= len(good)).all()
    check(traffic.tcp, 0, len(batch.buffer))
    check(traffic.sctp, len(good), len(good) + len(packet))
