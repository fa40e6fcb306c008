"""Network layer: IPv4 (RFC 791) and IPv6 (RFC 8200) headers, fragments put together.  Checksums are not looked at."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.fragments import Fragment, Reassembler
from dlmtrace.capture.headers import EXTENSION, FRAGMENT, IPV4, IPV6, UDP, Flags, Int, column
from dlmtrace.capture.link import locate
from dlmtrace.capture.packets import TAIL, PacketBatch
from dlmtrace.capture.segments import IPV4_PREFIX, UInt
from dlmtrace.capture.tally import Tally
from dlmtrace.gather import Bytes, gather

TCP, UDP_PROTOCOL, SCTP = 6, 17, 132
HOP_BY_HOP, ROUTING, FRAGMENT_HEADER, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
EXTENSIONS = (HOP_BY_HOP, ROUTING, FRAGMENT_HEADER, AUTHENTICATION, DESTINATION)
MOST_EXTENSIONS = 16

PROTOCOL_NAMES = {
    1: "ICMP",
    2: "IGMP",
    4: "IP in IP (IPv4)",
    UDP_PROTOCOL: "UDP",
    41: "IP in IP (IPv6)",
    47: "GRE",
    50: "ESP",
    AUTHENTICATION: "AH",
    58: "ICMPv6",
    59: "IPv6 without next header",
    89: "OSPF",
    103: "PIM",
    112: "VRRP",
    115: "L2TP",
}
UDP_TUNNELS = {4789: "VXLAN", 6081: "Geneve", 9899: "SCTP over UDP"}  # by destination port


class Datagrams(NamedTuple):
    """Whole IP packets in capture order; columns of the same length, offsets into the buffer they came with."""

    row: Int
    version: Int  # 4 or 6
    network: Int
    protocol: Int
    transport: Int
    stop: Int  # behind the last payload byte in the buffer
    end: Int  # behind the last payload byte on the wire: more than stop if the snaplen cut it

    def select(self, rows: Int | Flags | slice) -> Datagrams:
        """The rows of an index, a mask or a slice."""
        return Datagrams(*(values[rows] for values in self))


class Addresses(NamedTuple):
    """Columns as in Segments."""

    source_high: UInt
    source_low: UInt
    destination_high: UInt
    destination_low: UInt
    identification: Int


class _Packets(NamedTuple):
    """Packets that should hold an IP header at ``network``."""

    row: Int
    version: Int
    network: Int
    stop: Int
    end: Int  # of the packet on the wire, trailer and padding included

    def select(self, rows: Int | Flags | slice) -> _Packets:
        return _Packets(*(values[rows] for values in self))


class _Fragments(NamedTuple):
    row: Int
    version: Int
    network: Int
    protocol: Int
    transport: Int  # the fragment's bytes, stop and end as in Datagrams
    stop: Int
    end: Int
    position: Int  # in the datagram, bytes
    more: Int
    identification: Int


class Network:
    """Packets in, whole IP packets out; what is neither TCP nor SCTP or cannot be read is counted in ``tally``."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._reassembler = Reassembler(tally)

    def feed(self, batch: PacketBatch) -> tuple[Bytes, Datagrams]:
        """TCP and SCTP packets of the batch, and the buffer they lie in: the batch's, or a longer copy of it.

        The row of a datagram that came in fragments is that of the packet which completed it.
        """
        records = batch.records
        network, version = locate(batch.buffer, records, self._tally)
        start = records["offset"].astype(np.int64)
        rows = np.arange(len(records))
        packets = _Packets(rows, version, network, start + records["captured"], start + records["length"])
        buffer = batch.buffer
        datagrams, fragments = self._dissect(buffer, packets)
        if fragments is not None:
            buffer, packets = self._join(buffer, fragments, records["time"])
            joined, nested = self._dissect(buffer, packets)
            if nested is not None:
                self._tally.undecodable("fragment inside a fragmented datagram", len(nested.row))
            datagrams = _in_order([datagrams, joined])
        return buffer, datagrams

    def finish(self) -> None:
        """Nothing more comes."""
        self._reassembler.finish()

    def _dissect(self, buffer: Bytes, packets: _Packets) -> tuple[Datagrams, _Fragments | None]:
        fragments: list[_Fragments] = []
        is_ipv4, is_ipv6 = packets.version == 4, packets.version == 6
        datagrams = _ipv4(buffer, packets if is_ipv4.all() else packets.select(is_ipv4), fragments, self._tally)
        if is_ipv6.any():
            datagrams = _in_order([datagrams, _ipv6(buffer, packets.select(is_ipv6), fragments, self._tally)])
        wanted = (datagrams.protocol == TCP) | (datagrams.protocol == SCTP)
        if not wanted.all():
            _count_others(buffer, datagrams.select(~wanted), self._tally)
            datagrams = datagrams.select(wanted)
        if not fragments:
            return datagrams, None
        columns = [np.concatenate(parts) for parts in zip(*fragments, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        return datagrams, _Fragments(*(values[order] for values in columns))

    def _join(self, buffer: Bytes, fragments: _Fragments, times: npt.NDArray[Any]) -> tuple[Bytes, _Packets]:
        """Feed the fragments to the reassembler; completed datagrams go behind the buffer as packets."""
        parts = [buffer]
        behind = len(buffer)
        found = []
        for row, version, network, protocol, data, stop, end, position, more, identification in zip(
            *(values.tolist() for values in fragments), strict=True
        ):
            if protocol not in (TCP, SCTP, *EXTENSIONS):
                self._tally.other(_protocol_name(protocol))
                continue
            hosts = slice(network + 12, network + 20) if version == 4 else slice(network + 8, network + 40)
            fragment = Fragment(
                version,
                (buffer[hosts].tobytes(), protocol if version == 4 else 0, identification),
                buffer[network : data if version == 4 else network + IPV6.itemsize].tobytes(),
                protocol,
                position,
                bool(more),
                end - data,
                buffer[data:stop].tobytes(),
            )
            whole = self._reassembler.feed(fragment, int(times[row]))
            if whole is not None:
                parts.append(np.frombuffer(whole.data, np.uint8))
                found.append((row, whole.version, behind, behind + len(whole.data), behind + whole.length))
                behind += len(whole.data)
        if found:
            buffer = np.concatenate([*parts, np.zeros(TAIL, np.uint8)])
        return buffer, _Packets(*np.array(found, np.int64).reshape(-1, len(_Packets._fields)).T)


def addresses(buffer: Bytes, datagrams: Datagrams) -> Addresses:
    """Addresses and IPv4 identification of each datagram."""
    size = len(datagrams.row)
    halves = np.zeros((4, size), np.uint64)
    found = Addresses(halves[0], halves[1], halves[2], halves[3], np.full(size, -1, np.int64))
    is_ipv6 = datagrams.version == 6
    ipv4: Flags | slice = ~is_ipv6 if is_ipv6.any() else slice(None)
    header = gather(buffer, IPV4, datagrams.network[ipv4])
    prefix = np.uint64(IPV4_PREFIX)
    found.source_low[ipv4] = header["source"] | prefix
    found.destination_low[ipv4] = header["destination"] | prefix
    found.identification[ipv4] = header["identification"]
    if is_ipv6.any():
        header = gather(buffer, IPV6, datagrams.network[is_ipv6])
        for name in ("source_high", "source_low", "destination_high", "destination_low"):
            getattr(found, name)[is_ipv6] = header[name]
    return found


def _ipv4(buffer: Bytes, packets: _Packets, fragments: list[_Fragments], tally: Tally) -> Datagrams:
    packets = _long_enough(packets, IPV4.itemsize, "IPv4 header", tally)
    header = gather(buffer, IPV4, packets.network)
    version_length = column(header, "version_length")
    size = (version_length & 15) * 4
    total = column(header, "total_length")
    end = np.where(total == 0, packets.end, packets.network + total)  # 0: larger than 65,535, left to the interface
    transport = packets.network + size
    bad = (version_length >> 4 != 4) | (size < IPV4.itemsize) | (end < transport)
    if bad.any():
        tally.undecodable("bad IPv4 header", int(np.count_nonzero(bad)))
    short = ~bad & (transport > packets.stop)
    if short.any():
        tally.short("IPv4 header", transport[short] <= packets.end[short])
    protocol = column(header, "protocol")
    stop = np.minimum(packets.stop, end)
    datagrams = Datagrams(packets.row, packets.version, packets.network, protocol, transport, stop, end)
    usable = ~(bad | short)
    fragment = column(header, "fragment")
    fragmented = usable & (fragment & 0x3FFF != 0)
    if fragmented.any():
        position = (fragment[fragmented] & 0x1FFF) * 8
        more = fragment[fragmented] & 0x2000
        identification = column(header[fragmented], "identification")
        fragments.append(_Fragments(*datagrams.select(fragmented), position, more, identification))
        usable &= ~fragmented
    return datagrams if usable.all() else datagrams.select(usable)


def _ipv6(buffer: Bytes, packets: _Packets, fragments: list[_Fragments], tally: Tally) -> Datagrams:
    packets = _long_enough(packets, IPV6.itemsize, "IPv6 header", tally)
    header = gather(buffer, IPV6, packets.network)
    bad = header["version"] >> 4 != 6
    if bad.any():
        tally.undecodable("bad IPv6 header", int(np.count_nonzero(bad)))
        packets, header = packets.select(~bad), header[~bad]
    payload = column(header, "payload_length")
    transport = packets.network + IPV6.itemsize
    end = np.where(payload == 0, packets.end, transport + payload)  # 0: jumbogram (RFC 2675) or left to the interface
    stop = np.minimum(packets.stop, end)
    protocol = column(header, "next_header")
    datagrams = Datagrams(packets.row, packets.version, packets.network, protocol, transport, stop, end)
    stepping = np.flatnonzero(np.isin(protocol, EXTENSIONS))
    if len(stepping):
        datagrams = _extensions(buffer, datagrams, stepping, fragments, tally)
    return datagrams


def _extensions(
    buffer: Bytes, datagrams: Datagrams, stepping: Int, fragments: list[_Fragments], tally: Tally
) -> Datagrams:
    """Step over the extension headers of the rows ``stepping``, one header of all of them a round."""
    protocol, transport, stop, end = datagrams.protocol, datagrams.transport, datagrams.stop, datagrams.end
    gone = np.zeros(len(protocol), np.bool_)
    for _ in range(MOST_EXTENSIONS):
        short = transport[stepping] + EXTENSION.itemsize > stop[stepping]
        if short.any():
            late = stepping[short]
            tally.short("IPv6 extension header", transport[late] + EXTENSION.itemsize <= end[late])
            gone[late] = True
            stepping = stepping[~short]
        header = gather(buffer, EXTENSION, transport[stepping])
        length = column(header, "length")
        kind = protocol[stepping]
        size = np.where(kind == AUTHENTICATION, (length + 2) * 4, (length + 1) * 8)  # RFC 4302 §2.2
        size[kind == FRAGMENT_HEADER] = FRAGMENT.itemsize
        transport[stepping] += size
        protocol[stepping] = column(header, "next_header")
        at = stepping[kind == FRAGMENT_HEADER]
        if len(at):
            header = gather(buffer, FRAGMENT, transport[at] - FRAGMENT.itemsize)
            fragment = column(header, "fragment")
            apart = fragment & 0xFFF9 != 0  # an atomic fragment (RFC 6946) is a whole datagram
            at, fragment = at[apart], fragment[apart]
            identification = column(header[apart], "identification")
            fragments.append(_Fragments(*datagrams.select(at), fragment & 0xFFF8, fragment & 1, identification))
            gone[at] = True
        stepping = stepping[np.isin(protocol[stepping], EXTENSIONS) & ~gone[stepping]]
        if not len(stepping):
            break
    tally.undecodable(f"more than {MOST_EXTENSIONS} IPv6 extension headers", len(stepping))
    gone[stepping] = True
    return datagrams.select(~gone)


def _long_enough(packets: _Packets, size: int, name: str, tally: Tally) -> _Packets:
    """The packets that hold ``size`` bytes of header; the others are counted."""
    after = packets.network + size
    short = after > packets.stop
    if not short.any():
        return packets
    tally.short(name, after[short] <= packets.end[short])
    return packets.select(~short)


def _in_order(parts: list[Datagrams]) -> Datagrams:
    """All parts as one, in capture order."""
    columns = [np.concatenate(values) for values in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Datagrams(*(values[order] for values in columns))


def _count_others(buffer: Bytes, datagrams: Datagrams, tally: Tally) -> None:
    udp = datagrams.select(
        (datagrams.protocol == UDP_PROTOCOL) & (datagrams.transport + UDP.itemsize <= datagrams.stop)
    )
    ports = column(gather(buffer, UDP, udp.transport), "destination_port")
    tunnelled = 0
    for port, name in UDP_TUNNELS.items():
        packets = int(np.count_nonzero(ports == port))
        tally.other(name, packets)
        tunnelled += packets
    for protocol, packets in zip(*np.unique(datagrams.protocol, return_counts=True), strict=True):
        tally.other(_protocol_name(int(protocol)), int(packets) - (tunnelled if protocol == UDP_PROTOCOL else 0))


def _protocol_name(protocol: int) -> str:
    return PROTOCOL_NAMES.get(protocol, f"IP protocol {protocol}")
