"""Every link header that is supported, built by scapy around the same TCP segment; what is not TCP is named."""

import pytest
from batches import batch_of
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, LLC, SNAP, STP, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Dot3, Ether
from scapy.packet import Packet, Raw

from dlmtrace.capture.dissect import Dissector

DLM = frozenset({21064})
PAYLOAD = b"sixteen bytes of"
ETHERNET = Ether(src="52:54:00:00:00:01", dst="52:54:00:00:00:02")
IPV4 = IP(src="10.77.0.1", dst="10.77.0.2", id=7)
IPV6 = IPv6(src="fd00::1", dst="fd00::2")

ENCAPSULATIONS = {
    "ethernet": (1, bytes(ETHERNET / IPV4)[:14], bytes(ETHERNET / IPV6)[:14]),
    "vlan": (1, bytes(ETHERNET / Dot1Q(vlan=9) / IPV4)[:18], bytes(ETHERNET / Dot1Q(vlan=9) / IPV6)[:18]),
    "802.1ad": (
        1,
        bytes(ETHERNET / Dot1AD(vlan=3) / Dot1Q(vlan=9) / IPV4)[:22],
        bytes(ETHERNET / Dot1AD(vlan=3) / Dot1Q(vlan=9) / IPV6)[:22],
    ),
    "sll": (113, bytes(CookedLinux() / IPV4)[:16], bytes(CookedLinux() / IPV6)[:16]),
    "sll with vlan": (
        113,
        bytes(CookedLinux() / Dot1Q(vlan=9) / IPV4)[:20],
        bytes(CookedLinux() / Dot1Q(vlan=9) / IPV6)[:20],
    ),
    "sll2": (276, bytes(CookedLinuxV2() / IPV4)[:20], bytes(CookedLinuxV2() / IPV6)[:20]),
    "raw": (101, b"", b""),
    "raw 12": (12, b"", b""),
    "raw 14": (14, b"", b""),
    "null, little endian": (0, bytes.fromhex("02000000"), bytes.fromhex("1e000000")),
    "null, big endian": (0, bytes.fromhex("00000002"), bytes.fromhex("0000001c")),
    "loop": (108, bytes.fromhex("00000002"), bytes.fromhex("00000018")),
}


def segment(sequence: int = 1) -> Packet:
    return TCP(sport=40000, dport=21064, seq=sequence, ack=2, flags="PA") / Raw(PAYLOAD)


def old_qinq() -> bytes:
    """0x9100 outside, as switches sent it before 802.1ad."""
    packet = bytearray(bytes(ETHERNET / Dot1AD(vlan=3) / Dot1Q(vlan=9) / IPV4 / segment()))
    packet[12:14] = b"\x91\x00"
    return bytes(packet)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", ENCAPSULATIONS)
def test_encapsulation(name: str, version: int) -> None:
    link, *headers = ENCAPSULATIONS[name]
    header = headers[0 if version == 4 else 1]
    tcp = Dissector(DLM).feed(batch_of([header + bytes((IPV4 if version == 4 else IPV6) / segment())], link)).tcp
    assert tcp.network.tolist() == [len(header)]
    assert tcp.transport.tolist() == [len(header) + (20 if version == 4 else 40)]
    assert (tcp.sequence[0], tcp.length[0], tcp.captured[0]) == (1, 16, 16)
    assert tcp.buffer[tcp.data[0] :][:16].tobytes() == PAYLOAD


def test_qinq_with_the_old_ethertype() -> None:
    tcp = Dissector(DLM).feed(batch_of([old_qinq()])).tcp
    assert tcp.network.tolist() == [22]


def test_only_the_ipv4_and_ipv6_link_types_have_no_header() -> None:
    tcp = Dissector(DLM).feed(batch_of([bytes(IPV4 / segment()), bytes(IPV6 / segment())], [228, 229])).tcp
    assert tcp.sequence.tolist() == [1, 1]
    assert tcp.identification.tolist() == [7, -1]


def test_link_types_mixed_in_one_batch_keep_the_capture_order() -> None:
    packets: list[bytes] = []
    links: list[int] = []
    for link, ipv4_header, ipv6_header in ENCAPSULATIONS.values():
        packets.append(ipv4_header + bytes(IPV4 / segment(len(packets))))
        packets.append(ipv6_header + bytes(IPV6 / segment(len(packets))))
        links += [link, link]
    packets.insert(5, bytes(ETHERNET / ARP()))
    links.insert(5, 1)
    dissector = Dissector(DLM)
    tcp = dissector.feed(batch_of(packets, links)).tcp
    assert tcp.sequence.tolist() == list(range(len(packets) - 1))
    assert tcp.row.tolist() == [row for row in range(len(packets)) if row != 5]
    assert dissector.summary.other == {"ARP": 1}


def test_packets_without_ip_are_named() -> None:
    lldp = ETHERNET.copy() / Raw(b"\x02\x07\x04")
    lldp.type = 0x88CC
    unknown = ETHERNET.copy() / Raw(b"??")
    unknown.type = 0x9999
    bridge = Dot3(src="52:54:00:00:00:01", dst="01:80:c2:00:00:00") / LLC() / STP()
    snap = Dot3(src="52:54:00:00:00:01", dst="52:54:00:00:00:02") / LLC() / SNAP(code=0x0800) / IPV4 / segment()
    packets = [ETHERNET / ARP(), ETHERNET / Dot1Q() / ARP(), lldp, unknown, bridge, snap]
    dissector = Dissector(DLM)
    assert len(dissector.feed(batch_of([bytes(packet) for packet in packets])).tcp.row) == 0
    assert dissector.summary.other == {"ARP": 2, "LLDP": 1, "ethertype 0x9999": 1, "802.3/LLC": 2}
    assert dissector.summary.undecodable == {}


def test_unknown_address_family_and_raw_ip_of_no_version() -> None:
    dissector = Dissector(DLM)
    dissector.feed(batch_of([b"\x00\x00\x00\x07" + bytes(20)], 0))
    dissector.feed(batch_of([b"\x55" + bytes(30)], 101))
    assert dissector.summary.other == {"address family 7": 1}
    assert dissector.summary.undecodable == {"bad IPv4 header": 1}


def test_unsupported_link_types_are_counted_by_name() -> None:
    dissector = Dissector(DLM)
    dissector.feed(batch_of([bytes(60)] * 4, [105, 105, 147, 9999]))
    assert dissector.summary.undecodable == {
        "link type 105 (IEEE802_11)": 2,
        "link type 147 (USER0)": 1,
        "link type 9999": 1,
    }


def test_a_tower_of_vlan_tags_ends() -> None:
    dissector = Dissector(DLM)
    tower = bytes(12) + b"\x81\x00\x00\x01" * 1000
    assert len(dissector.feed(batch_of([tower])).tcp.row) == 0
    assert dissector.summary.other == {"more than 8 VLAN tags": 1}


def test_the_virtio_header_of_qemu_is_not_guessed() -> None:
    dissector = Dissector(DLM)
    assert len(dissector.feed(batch_of([bytes(12) + bytes(ETHERNET / IPV4 / segment())])).tcp.row) == 0
    assert dissector.summary.other == {"ethertype 0x5254": 1}  # the first bytes of the MAC address
