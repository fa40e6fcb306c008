"""Crafted SCTP traffic, judged by scapy (chunks, checksum) and by tshark (fragments put together)."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import (
    SCTP,
    SCTPChunkAbort,
    SCTPChunkCookieAck,
    SCTPChunkCookieEcho,
    SCTPChunkData,
    SCTPChunkHeartbeatAck,
    SCTPChunkHeartbeatReq,
    SCTPChunkInit,
    SCTPChunkInitAck,
    SCTPChunkParamIPv4Addr,
    SCTPChunkSACK,
    SCTPChunkShutdown,
    SCTPChunkShutdownAck,
    SCTPChunkShutdownComplete,
)
from scapy.packet import Packet as ScapyPacket

from dlmtrace.craft import Association, Network, Node
from dlmtrace.craft.sctp import crc32c

A = Node(1, ("10.0.0.1", "10.1.0.1"))
B = Node(2, ("10.0.0.2", "10.1.0.2"))


def associated() -> tuple[Network, Association]:
    """A network whose capture starts behind the handshake."""
    network = Network()
    return network, network.associate(A, B, handshake=False)


def chunks(network: Network) -> list[ScapyPacket]:
    """The first chunk of each packet."""
    return [Ether(data)[SCTP].payload for _, data in network.records()]


def addresses(data: bytes) -> tuple[str, str]:
    packet = Ether(data)[IP]
    return packet.src, packet.dst


def test_crc32c_of_the_check_string() -> None:
    """The check value of CRC-32C in the catalogue of parametrised CRC algorithms."""
    assert crc32c(b"123456789") == 0xE3069283


def test_a_handshake_exchanges_tags_and_addresses() -> None:
    network = Network()
    network.associate(A, B, tags=(0xAA, 0xBB), tsn=(50, 60))
    init, init_ack, echo, done = chunks(network)
    assert isinstance(init, SCTPChunkInit)
    assert (init.init_tag, init.init_tsn) == (0xAA, 50)
    assert isinstance(init_ack, SCTPChunkInitAck)
    assert (init_ack.init_tag, init_ack.init_tsn) == (0xBB, 60)
    for chunk, node in ((init, A), (init_ack, B)):
        listed = [item.addr for item in chunk.params if isinstance(item, SCTPChunkParamIPv4Addr)]
        assert tuple(listed) == node.addresses
    assert isinstance(echo, SCTPChunkCookieEcho)
    assert isinstance(done, SCTPChunkCookieAck)
    assert [Ether(data)[SCTP].tag for _, data in network.records()] == [0, 0xAA, 0xBB, 0xAA]


def test_a_message_is_cut_into_fragments() -> None:
    network, association = associated()
    association.send(A, b"abcdefghij", sizes=[3, 4])
    association.send(A, b"next", acknowledge=False)
    first, second, third, sack, last = chunks(network)
    seen = [
        (item.tsn, item.stream_id, item.stream_seq, item.proto_id, item.beginning, item.ending, bytes(item.data))
        for item in (first, second, third, last)
    ]
    assert seen == [
        (1000, 0, 0, 0, 1, 0, b"abc"),
        (1001, 0, 0, 0, 0, 0, b"defg"),
        (1002, 0, 0, 0, 0, 1, b"hij"),
        (1003, 0, 1, 0, 1, 1, b"next"),
    ]
    assert isinstance(sack, SCTPChunkSACK)
    assert sack.cumul_tsn_ack == 1002


def test_chunks_are_bundled() -> None:
    network, association = associated()
    association.send(A, b"abcdefghij", sizes=3, bundle=3, acknowledge=False)
    first, second = (Ether(data)[SCTP] for _, data in network.records())
    assert [item.tsn for item in first.iterpayloads() if isinstance(item, SCTPChunkData)] == [1000, 1001, 1002]
    assert [item.tsn for item in second.iterpayloads() if isinstance(item, SCTPChunkData)] == [1003]


def test_the_tsn_wraps() -> None:
    network = Network()
    association = network.associate(A, B, tsn=(2**32 - 1, 0), handshake=False)
    packets = association.send(A, b"abcd", sizes=2)
    assert [packet.position for packet in packets] == [2**32 - 1, 0]
    assert [item.tsn for item in chunks(network)[:2]] == [2**32 - 1, 0]
    assert chunks(network)[2].cumul_tsn_ack == 0


def test_a_lost_chunk_is_reported_as_a_gap_and_sent_again_on_the_other_path() -> None:
    network, association = associated()
    lost, *_ = association.send(A, b"abcdef", sizes=2, acknowledge=False)
    association.acknowledge(B, 999, gaps=[(1001, 1002)])
    again = association.retransmit(lost, path=1)
    sack = chunks(network)[3]
    assert (sack.cumul_tsn_ack, sack.gap_ack_list) == (999, ["2:3"])
    assert bytes(Ether(again.data)[SCTPChunkData]) == bytes(Ether(lost.data)[SCTPChunkData])
    assert addresses(lost.data) == ("10.0.0.1", "10.0.0.2")
    assert addresses(again.data) == ("10.1.0.1", "10.1.0.2")


def test_heartbeats_and_both_ends() -> None:
    network, association = associated()
    association.heartbeat(B, path=1)
    association.shutdown(by=A)
    association.abort(by=B)
    kinds = [type(chunk) for chunk in chunks(network)]
    assert kinds == [
        SCTPChunkHeartbeatReq,
        SCTPChunkHeartbeatAck,
        SCTPChunkShutdown,
        SCTPChunkShutdownAck,
        SCTPChunkShutdownComplete,
        SCTPChunkAbort,
    ]
    assert [addresses(data)[0] for _, data in network.records()[:2]] == ["10.1.0.2", "10.1.0.1"]


def test_scapy_computes_the_same_checksums() -> None:
    network, association = associated()
    association.send(A, b"odd length, so padded", sizes=[4])
    for _, data in network.records():
        packet = Ether(data)
        del packet[SCTP].chksum
        assert bytes(packet) == data


def test_a_stranger_is_refused() -> None:
    _, association = associated()
    with pytest.raises(ValueError, match="node 3 is not in this association"):
        association.abort(by=Node(3, ("10.0.0.3",)))


def test_tshark_puts_fragments_together(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    """Five fragments, one out of order, and one again over the second path."""
    path = tmp_path / "fragments.pcap"
    with Network(path) as network:
        a, b = network.node(1, *A.addresses), network.node(2, *B.addresses)
        association = network.associate(a, b)
        first, second, third, *_ = association.send(a, bytes(range(100)), sizes=20)
        network.delay(second, behind=third)
        association.retransmit(first, path=1)
        association.shutdown(by=b)
    command = [require_tool("tshark"), "-r", str(path), "-o", "sctp.checksum:crc-32c", "-T", "fields"]
    fields = ("sctp.chunk_type", "sctp.data_tsn_raw", "sctp.retransmission", "sctp.fragment", "data.data")
    for field in (*fields, "sctp.checksum.status"):
        command += ["-e", field]
    rows = [
        line.split("\t")
        for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    ]
    assert [row[0] for row in rows] == ["1", "2", "10", "11", *["0"] * 5, "3", "0", "7", "8", "14"]
    assert [row[1] for row in rows if row[0] == "0"] == ["1000", "1002", "1001", "1003", "1004", "1000"]
    assert bool(rows[10][2])
    assert rows[8][3:5] == ["5,7,6,8,9", bytes(range(100)).hex()]
    assert {row[-1] for row in rows} == {"1"}
