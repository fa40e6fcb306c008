"""Real captures: every TCP segment and SCTP chunk against tshark's reading of the same packet."""

import ipaddress
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from batches import pcap_batch
from evidence import capture_bytes

from dlmtrace.capture.dissect import Dissector
from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import IPV4_PREFIX, Chunks, Segments

DLM = frozenset({21064})
Tshark = Callable[..., list[list[str]]]


@pytest.fixture(scope="module")
def tshark(require_tool: Callable[[str], str], plain_capture: Callable[[str], Path]) -> Tshark:
    """`tshark(file, filter, field, …)`: the fields of each packet that passes the filter, as text."""
    tool = require_tool("tshark")

    def fields(file: str, filter_: str, *names: str) -> list[list[str]]:
        # Streams need no analysis, and frames of DLM none at all: what stays is one packet by itself.
        options = ["-o", "tcp.analyze_sequence_numbers:FALSE", "--disable-protocol", "dlm3"]
        selection = [argument for name in names for argument in ("-e", name)]
        command = [tool, "-r", str(plain_capture(file)), "-Y", filter_, *options, "-T", "fields", *selection]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        return [line.split("\t") for line in lines]

    return fields


def address(high: int, low: int) -> str:
    if high == 0 and low >> 32 == IPV4_PREFIX >> 32:
        return str(ipaddress.IPv4Address(low & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(high << 64 | low))


def addresses(columns: Segments | Chunks, index: int) -> tuple[str, str]:
    return (
        address(int(columns.source_high[index]), int(columns.source_low[index])),
        address(int(columns.destination_high[index]), int(columns.destination_low[index])),
    )


def in_pieces(batch: PacketBatch, packets: int) -> list[PacketBatch]:
    """The batch cut into batches of some packets, as a reader would give it."""
    return [
        PacketBatch(batch.buffer, batch.records[first : first + packets], first)
        for first in range(0, len(batch.records), packets)
    ]


@pytest.mark.parametrize(
    "file", ["clean-3.2-tcp.pcap", "ipv6-tcp.pcap", "mid-capture.snap96.pcap", "mid-capture.snap256.pcap"]
)
def test_tcp_segments_are_those_of_tshark(tshark: Tshark, file: str) -> None:
    """Numbers, flags, payload length, identification and addresses of every segment, TSO and cut ones included."""
    expected = {}
    ip = "ipv6" if "ipv6" in file else "ip"
    cut = 0
    names = ("frame.number", "tcp.seq_raw", "tcp.ack_raw", "tcp.len", "tcp.flags", "tcp.srcport", "tcp.dstport")
    for row in tshark(
        file, "tcp.port == 21064", *names, f"{ip}.src", f"{ip}.dst", "ip.id", "frame.cap_len", "frame.len"
    ):
        expected[int(row[0])] = (
            *(int(value, 0) for value in row[1:7]),
            *row[7:9],
            int(row[9], 0) if row[9] else -1,
        )
        cut += int(row[10]) < int(row[11])
    dissector = Dissector(DLM)
    found = {}
    for batch in in_pieces(pcap_batch(capture_bytes(file)), 1000):
        tcp = dissector.feed(batch).tcp
        for index, row in enumerate(tcp.row.tolist()):
            record = batch.records[row]
            found[int(record["packet"])] = (
                int(tcp.sequence[index]),
                int(tcp.acknowledgement[index]),
                int(tcp.length[index]),
                int(tcp.flags[index]),
                int(tcp.source_port[index]),
                int(tcp.destination_port[index]),
                *addresses(tcp, index),
                int(tcp.identification[index]),
            )
            missing = int(record["length"] - record["captured"])
            assert tcp.length[index] - tcp.captured[index] == min(missing, int(tcp.length[index]))
    assert len(expected) > 600
    assert found == expected
    assert dissector.summary.dlm_packets == len(expected)
    assert dissector.summary.cut_packets == cut
    assert (cut > 0) == ("snap" in file)


@pytest.mark.parametrize("file", ["ipv6-tcp.pcap", "recovery-locks-3node.pcap", "sctp-6.12.pcap"])
def test_what_is_no_dlm_is_counted_as_tshark_sees_it(tshark: Tshark, file: str) -> None:
    dissector = Dissector(DLM)
    batch = pcap_batch(capture_bytes(file))
    dissector.feed(batch)
    dissector.finish()
    kinds = {"ARP": len(tshark(file, "arp", "frame.number")), "ICMPv6": len(tshark(file, "icmpv6", "frame.number"))}
    summary = dissector.summary
    assert summary.other == {kind: packets for kind, packets in kinds.items() if packets}
    assert summary.undecodable == {}
    assert summary.dlm_packets == len(batch.records) - sum(kinds.values())


def test_payload_bytes_are_those_of_tshark(tshark: Tshark) -> None:
    dissector = Dissector(DLM)
    batch = pcap_batch(capture_bytes("ipv6-tcp.pcap"))
    tcp = dissector.feed(batch).tcp
    found = {
        int(batch.records["packet"][row]): tcp.buffer[data : data + captured].tobytes().hex()
        for row, data, captured in zip(tcp.row, tcp.data, tcp.captured, strict=True)
    }
    rows = tshark("ipv6-tcp.pcap", "tcp.port == 21064", "frame.number", "tcp.payload")
    assert found == {int(number): payload for number, payload in rows}


@pytest.mark.parametrize("file", ["sctp-3.2.pcap", "sctp-multihome.net1.pcap"])
def test_sctp_chunks_are_those_of_tshark(tshark: Tshark, file: str) -> None:
    """Types, flags, TSNs, streams and lengths of all chunks in the order of the packet, and the packet's tag."""
    names = ("frame.number", "sctp.chunk_type", "sctp.chunk_flags", "sctp.chunk_length", "sctp.verification_tag")
    rows = tshark(file, "sctp.port == 21064", *names, "sctp.data_tsn_raw", "sctp.data_sid", "ip.src", "ip.dst", "ip.id")
    dissector = Dissector(DLM)
    batch = pcap_batch(capture_bytes(file))
    chunks = dissector.feed(batch).sctp
    packet = batch.records["packet"][chunks.row]
    assert (np.diff(packet) >= 0).all()
    data_seen = 0
    for number, types, flags, lengths, tag, tsns, streams, source, destination, identification in rows:
        here = np.flatnonzero(packet == int(number))
        data = here[chunks.type[here] == 0]
        header = np.where(chunks.type[here] == 0, 16, 4)
        assert chunks.type[here].tolist() == integers(types)
        assert chunks.flags[here].tolist() == integers(flags)
        assert (chunks.length[here] + header).tolist() == integers(lengths)
        assert chunks.verification_tag[here].tolist() == [int(tag, 0)] * len(here)
        assert chunks.tsn[data].tolist() == integers(tsns)
        assert chunks.stream[data].tolist() == integers(streams)
        assert addresses(chunks, int(here[0])) == (source, destination)
        assert chunks.identification[here].tolist() == [int(identification, 0)] * len(here)
        data_seen += len(data)
    assert len(rows) == dissector.summary.dlm_packets == len(np.unique(packet))
    assert data_seen > 500


def integers(text: str) -> list[int]:
    return [int(value, 0) for value in text.split(",") if value]
