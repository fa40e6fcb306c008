"""Link layer: where each packet's IP header begins.

Header formats: IEEE 802.3 and 802.1Q, and the LINKTYPE_ pages of tcpdump.org for the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.headers import WORD, Int, column
from dlmtrace.capture.tally import Tally
from dlmtrace.gather import Bytes, gather

ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
ETHERTYPE_TAGS = (0x8100, 0x88A8, 0x9100)  # 802.1Q, 802.1ad, QinQ before it was a standard
COUNTED = -1  # in place of an ethertype: the packet has been counted as undecodable or other
MOST_TAGS = 8

TYPED = {  # link type: name, offset of the ethertype, bytes of the header
    1: ("Ethernet header", 12, 14),
    113: ("Linux cooked header", 14, 16),
    276: ("Linux cooked v2 header", 0, 20),
}
NULL, LOOP = 0, 108
FAMILIES = {
    2: ETHERTYPE_IPV4,
    24: ETHERTYPE_IPV6,
    28: ETHERTYPE_IPV6,
    30: ETHERTYPE_IPV6,
}  # AF_INET6 of the BSDs differ
RAW = (12, 14, 101)
FIXED = {228: ETHERTYPE_IPV4, 229: ETHERTYPE_IPV6}

LINK_NAMES = {
    6: "IEEE802_5",
    9: "PPP",
    10: "FDDI",
    50: "PPP_HDLC",
    51: "PPP_ETHER",
    105: "IEEE802_11",
    119: "PRISM_HEADER",
    127: "IEEE802_11_RADIOTAP",
    147: "USER0",
    187: "BLUETOOTH_HCI_H4",
    192: "PPI",
    195: "IEEE802_15_4_WITHFCS",
    220: "USB_LINUX_MMAPPED",
    227: "CAN_SOCKETCAN",
    239: "NFLOG",
    247: "INFINIBAND",
    249: "USBPCAP",
    252: "WIRESHARK_UPPER_PDU",
    253: "NETLINK",
}
ETHERTYPE_NAMES = {
    0x0806: "ARP",
    0x8035: "RARP",
    0x8809: "slow protocols (LACP)",
    0x8847: "MPLS",
    0x8848: "MPLS",
    0x8863: "PPPoE discovery",
    0x8864: "PPPoE",
    0x888E: "EAPOL",
    0x88CC: "LLDP",
    0x88E5: "MACsec",
    0x88F7: "PTP",
    0x8914: "FCoE",
    0x8915: "RoCE",
}


class _Packets(NamedTuple):
    """Packets of one link type."""

    buffer: Bytes
    start: Int
    stop: Int  # behind the last captured byte
    end: Int  # behind the last byte the wire had


def locate(buffer: Bytes, records: npt.NDArray[Any], tally: Tally) -> tuple[Int, Int]:
    """Offset of the network header and IP version (4, 6; 0: no IP, counted in ``tally``) of each record (RECORD)."""
    start = records["offset"].astype(np.int64)
    packets = _Packets(buffer, start, start + records["captured"], start + records["length"])
    link = records["link"]
    if not len(link):
        return start, np.empty(0, np.int64)
    if (link == link[0]).all():
        network, ethertype = _locate(int(link[0]), packets, tally)
    else:
        network, ethertype = start.copy(), np.full(len(start), COUNTED, np.int64)
        for value in np.unique(link):
            rows = np.flatnonzero(link == value)
            of_link = _Packets(buffer, *(bounds[rows] for bounds in packets[1:]))
            network[rows], ethertype[rows] = _locate(int(value), of_link, tally)
    version = np.full(len(start), 4, np.int64)
    odd = np.flatnonzero(ethertype != ETHERTYPE_IPV4)
    if len(odd):
        version[odd] = np.where(ethertype[odd] == ETHERTYPE_IPV6, 6, 0)
        _count_others(ethertype[odd], tally)
    return network, version


def _locate(link: int, packets: _Packets, tally: Tally) -> tuple[Int, Int]:
    """Offset of the network header and ethertype of packets of one link type."""
    if link in TYPED:
        return _typed(packets, *TYPED[link], tally)
    if link in FIXED:
        return packets.start, np.full(len(packets.start), FIXED[link], np.int64)
    if link in RAW:
        return _raw(packets, tally)
    if link in (NULL, LOOP):
        return _address_family(packets, tally)
    name = f" ({LINK_NAMES[link]})" if link in LINK_NAMES else ""
    tally.undecodable(f"link type {link}{name}", len(packets.start))
    return packets.start, np.full(len(packets.start), COUNTED, np.int64)


def _typed(packets: _Packets, name: str, type_offset: int, size: int, tally: Tally) -> tuple[Int, Int]:
    """Headers that hold an ethertype, with any VLAN tags behind them."""
    network = packets.start + size
    ethertype = column(gather(packets.buffer, WORD, packets.start + type_offset), "value")
    short = network > packets.stop
    if short.any():
        tally.short(name, network[short] <= packets.end[short])
        ethertype[short] = COUNTED
    if (ethertype == ETHERTYPE_IPV4).all():
        return network, ethertype
    for _ in range(MOST_TAGS):
        tagged = np.flatnonzero(np.isin(ethertype, ETHERTYPE_TAGS))
        if not len(tagged):
            break
        inner = network[tagged] + 4
        short = inner > packets.stop[tagged]
        if short.any():
            tally.short("VLAN tag", inner[short] <= packets.end[tagged[short]])
            ethertype[tagged[short]] = COUNTED
            tagged, inner = tagged[~short], inner[~short]
        ethertype[tagged] = column(gather(packets.buffer, WORD, inner - 2), "value")
        network[tagged] = inner
    return network, ethertype


def _raw(packets: _Packets, tally: Tally) -> tuple[Int, Int]:
    """Bare IP packets: the version is the first nibble."""
    nibble = packets.buffer[packets.start] >> 4
    ethertype = np.full(len(nibble), ETHERTYPE_IPV4, np.int64)
    ethertype[nibble == 6] = ETHERTYPE_IPV6
    empty = packets.stop <= packets.start
    if empty.any():
        tally.short("IP header", packets.end[empty] > packets.start[empty])
        ethertype[empty] = COUNTED
    return packets.start, ethertype


def _address_family(packets: _Packets, tally: Tally) -> tuple[Int, Int]:
    """A 4-byte address family: NULL in the capturing machine's byte order, LOOP in network byte order (both tried)."""
    network = packets.start + 4
    words = gather(packets.buffer, np.dtype([("big", ">u4")]), packets.start)
    big, little = column(words, "big"), column(words.view(np.dtype([("little", "<u4")])), "little")
    family = np.minimum(big, little)  # families are small numbers
    ethertype = np.full(len(family), COUNTED, np.int64)
    short = network > packets.stop
    if short.any():
        tally.short("null header", network[short] <= packets.end[short])
    for value, packets_of_family in zip(*np.unique(family[~short], return_counts=True), strict=True):
        if int(value) in FAMILIES:
            ethertype[family == value] = FAMILIES[int(value)]
        else:
            tally.other(f"address family {value}", int(packets_of_family))
    ethertype[short] = COUNTED
    return network, ethertype


def _count_others(ethertype: Int, tally: Tally) -> None:
    for value, packets in zip(*np.unique(ethertype, return_counts=True), strict=True):
        if value not in (COUNTED, ETHERTYPE_IPV4, ETHERTYPE_IPV6):
            tally.other(_ethertype_name(int(value)), int(packets))


def _ethertype_name(ethertype: int) -> str:
    if ethertype < 0x600:  # a length (IEEE 802.3 §3.2.6)
        return "802.3/LLC"
    if ethertype in ETHERTYPE_TAGS:
        return f"more than {MOST_TAGS} VLAN tags"
    return ETHERTYPE_NAMES.get(ethertype, f"ethertype 0x{ethertype:04x}")
