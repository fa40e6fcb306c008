"""Crafted TCP traffic, judged by scapy (headers, checksums) and by tshark (what happened on the connection)."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet as ScapyPacket

from dlmtrace.craft import Connection, Network, Node
from dlmtrace.craft.packets import Link

A, B = Node(1, ("10.0.0.1",)), Node(2, ("10.0.0.2",))


def tcp_of(data: bytes) -> ScapyPacket:
    return Ether(data)[TCP]


def payloads(network: Network) -> list[bytes]:
    return [bytes(tcp_of(data).payload) for _, data in network.records()]


def connected() -> tuple[Network, Connection]:
    """A network whose capture starts behind the handshake."""
    network = Network()
    return network, network.connect(A, B, handshake=False)


def tshark_fields(require_tool: Callable[[str], str], path: Path, *fields: str) -> list[list[str]]:
    """A row per packet with the fields' values; checksums are verified."""
    command = [require_tool("tshark"), "-r", str(path), "-T", "fields"]
    for option in ("tcp.check_checksum:TRUE", "ip.check_checksum:TRUE", "tcp.desegment_tcp_streams:FALSE"):
        command += ["-o", option]
    for field in fields:
        command += ["-e", field]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in text.splitlines()]


def test_a_handshake_synchronises_the_chosen_sequence_numbers() -> None:
    network = Network()
    network.connect(A, B, isn=(100, 900), source_port=40000)
    syn, syn_ack, ack = (tcp_of(data) for _, data in network.records())
    assert (syn.sport, syn.dport, str(syn.flags), syn.seq, syn.ack) == (40000, 21064, "S", 100, 0)
    assert (syn_ack.sport, syn_ack.dport, str(syn_ack.flags), syn_ack.seq, syn_ack.ack) == (
        21064,
        40000,
        "SA",
        900,
        101,
    )
    assert (str(ack.flags), ack.seq, ack.ack) == ("A", 101, 901)


def test_data_is_cut_into_the_chosen_sizes_and_the_rest() -> None:
    network, connection = connected()
    connection.send(A, b"abcdefghij", sizes=[1, 4])
    assert payloads(network) == [b"a", b"bcde", b"fghij", b""]
    assert tcp_of(network.records()[-1][1]).ack == 1000 + 1 + 10


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [(4, [b"abcd", b"efgh", b"ij"]), (100, [b"abcdefghij"]), (None, [b"abcdefghij"]), ([10, 3], [b"abcdefghij"])],
)
def test_one_size_serves_all_segments(sizes: int | list[int] | None, pieces: list[bytes]) -> None:
    network, connection = connected()
    connection.send(A, b"abcdefghij", sizes=sizes, acknowledge=False)
    assert payloads(network) == pieces


@pytest.mark.parametrize("sizes", [0, -3, [5, 0]])
def test_an_empty_segment_size_is_refused(sizes: int | list[int]) -> None:
    _, connection = connected()
    with pytest.raises(ValueError, match="a piece of"):
        connection.send(A, b"abcdefghij", sizes=sizes)


def test_sequence_numbers_wrap() -> None:
    network = Network()
    connection = network.connect(A, B, isn=(2**32 - 4, 0))
    connection.send(A, b"abcdef", sizes=[3])
    *_, first, second, acknowledgement = (tcp_of(data) for _, data in network.records())
    assert (first.seq, second.seq, acknowledgement.ack) == (2**32 - 3, 0, 3)


def test_scapy_builds_the_same_bytes_from_the_fields() -> None:
    """Lengths and checksums removed and computed again by scapy: IPv4 and IPv6, odd and even lengths."""
    six = Node(1, ("fd00::1",)), Node(2, ("fd00::2",))
    network = Network()
    for client, server in ((A, B), six):
        connection = network.connect(client, server)
        connection.send(client, b"an odd number of bytes.", sizes=[10])
        connection.close()
    for _, data in network.records():
        packet = Ether(data)
        del packet[TCP].chksum
        if IP in packet:
            del packet[IP].chksum, packet[IP].len
        else:
            del packet[IPv6].plen
        assert bytes(packet) == data


def test_a_segment_longer_than_ip_can_say_has_length_zero_as_offload_leaves_it() -> None:
    network, connection = connected()
    connection.send(A, bytes(70_000), sizes=70_000)
    assert Ether(network.records()[0][1])[IP].len == 0
    assert len(network.records()[0][1]) == 14 + 20 + 20 + 70_000


@pytest.mark.parametrize(
    ("link", "vlan", "layers"),
    [
        ("ethernet", (), [Ether, IP, TCP]),
        ("ethernet", (7,), [Ether, Dot1Q, IP, TCP]),
        ("ethernet", (100, 7), [Ether, Dot1AD, Dot1Q, IP, TCP]),
        ("sll", (), [CookedLinux, IP, TCP]),
        ("sll", (7,), [CookedLinux, Dot1Q, IP, TCP]),
        ("sll2", (), [CookedLinuxV2, IP, TCP]),
        ("raw", (), [IP, TCP]),
    ],
)
def test_link_layers(link: Link, vlan: tuple[int, ...], layers: list[type[ScapyPacket]]) -> None:
    network = Network(link=link, vlan=vlan)
    network.connect(A, B, handshake=False).send(A, b"payload", acknowledge=False)
    packet = layers[0](network.records()[0][1])
    assert packet.layers()[: len(layers)] == layers
    assert bytes(packet[TCP].payload) == b"payload"
    assert [layer.vlan for layer in packet.iterpayloads() if isinstance(layer, Dot1Q)] == list(vlan)


@pytest.mark.parametrize("link", ["ethernet", "sll", "sll2", "raw", "null"])
@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
def test_tshark_reads_every_link_layer(
    require_tool: Callable[[str], str], tmp_path: Path, link: Link, addresses: tuple[str, str]
) -> None:
    path = tmp_path / "link.pcap"
    with Network(path, link=link) as network:
        client, server = network.node(1, addresses[0]), network.node(2, addresses[1])
        network.connect(client, server).send(client, b"payload")
    rows = tshark_fields(require_tool, path, "tcp.len", "tcp.checksum.status")
    assert rows == [["0", "1"]] * 3 + [["7", "1"], ["0", "1"]]


VERDICTS = (
    "lost_segment",
    "out_of_order",
    "retransmission",
    "spurious_retransmission",
    "ack_lost_segment",
    "keep_alive",
    "keep_alive_ack",
    "reused_ports",
)


def tshark_story(require_tool: Callable[[str], str], path: Path) -> list[str]:
    """A word per packet: SYN, FIN, RST, ACK or data, and behind it what tshark's TCP analysis says of it."""
    flags = ("tcp.flags.syn", "tcp.flags.fin", "tcp.flags.reset")
    analysis = [f"tcp.analysis.{verdict}" for verdict in VERDICTS]
    story = []
    for syn, fin, reset, length, checksum, *marks in tshark_fields(
        require_tool, path, *flags, "tcp.len", "tcp.checksum.status", *analysis
    ):
        assert checksum == "1"
        kinds = {"SYN": syn == "1", "FIN": fin == "1", "RST": reset == "1", "data": length != "0", "ACK": True}
        said = [verdict for verdict, mark in zip(VERDICTS, marks, strict=True) if mark]
        story.append(" ".join([next(kind for kind, holds in kinds.items() if holds), *said]))
    return story


def test_tshark_sees_what_was_crafted(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "trouble.pcap"
    with Network(path) as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b)
        story = ["SYN", "SYN", "ACK"]

        late, _, third = connection.send(a, b"x" * 60, sizes=20)
        network.delay(late, behind=third)
        story += ["data lost_segment", "data", "data out_of_order", "ACK"]

        (unanswered,) = connection.send(a, b"y" * 20, acknowledge=False)
        network.wait(300_000_000)
        connection.retransmit(unanswered)
        connection.acknowledge(b)
        story += ["data", "data retransmission", "ACK"]

        network.wait(300_000_000)
        connection.retransmit(unanswered)
        story += ["data retransmission spurious_retransmission"]

        network.wait(10_000_000_000)
        connection.keepalive(b)
        story += ["ACK keep_alive", "ACK keep_alive_ack"]

        network.lose(*connection.send(a, b"z" * 20))
        story += ["ACK ack_lost_segment"]

        connection.reset(by=b)
        story += ["RST"]

        network.wait(1_000_000_000)
        network.connect(a, b, source_port=49153, isn=(5_000_000, 6_000_000)).close()
        story += ["SYN reused_ports", "SYN", "ACK", "FIN", "ACK", "FIN", "ACK"]
    assert tshark_story(require_tool, path) == story


def test_a_duplicate_capture_is_the_same_packet_and_a_retransmission_is_not() -> None:
    network, connection = connected()
    (sent,) = connection.send(A, b"data", acknowledge=False)
    network.duplicate(sent)
    connection.retransmit(sent)
    first, copy, again = (Ether(data) for _, data in network.records())
    assert bytes(copy) == bytes(first)
    assert (again[TCP].seq, bytes(again[TCP].payload)) == (first[TCP].seq, b"data")
    assert again[IP].id != first[IP].id


def test_a_segment_may_lie_about_an_old_place() -> None:
    network, connection = connected()
    connection.send(A, b"0123456789", acknowledge=False)
    connection.segment(A, 5, b"XXXXXXX")
    first, overlap = (tcp_of(data) for _, data in network.records())
    assert (overlap.seq - first.seq, bytes(overlap.payload)) == (5, b"XXXXXXX")
    assert connection.position(A) == 12


def test_times_go_on_by_the_step_and_the_wait() -> None:
    network = Network(start=1_000_000_000, step=10)
    connection = network.connect(A, B)
    network.wait(5_000)
    connection.reset(by=A)
    assert [time for time, _ in network.records()] == [1_000_000_010, 1_000_000_020, 1_000_000_030, 1_000_005_040]


@pytest.mark.parametrize(("nanoseconds", "times"), [(True, "0.000001999"), (False, "0.000001000")])
def test_times_in_the_file(require_tool: Callable[[str], str], tmp_path: Path, nanoseconds: bool, times: str) -> None:
    path = tmp_path / "times.pcap"
    with Network(path, start=0, step=1_999, nanoseconds=nanoseconds) as network:
        network.connect(A, B, handshake=False).reset(by=A)
    assert tshark_fields(require_tool, path, "frame.time_epoch") == [[times]]


def test_the_snaplen_cuts_the_file_and_not_the_memory(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    with Network(path, snaplen=96) as network:
        network.connect(A, B, handshake=False).send(A, bytes(1000), acknowledge=False)
    assert tshark_fields(require_tool, path, "frame.len", "frame.cap_len") == [["1054", "96"]]
    assert len(network.records()[0][1]) == 1054


def test_nothing_is_written_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "never.pcap"
    with pytest.raises(ValueError, match="node 3 is not on this connection"), Network(path) as network:
        network.connect(A, B).send(Node(3, ("10.0.0.3",)), b"data")
    assert not path.exists()


def test_a_node_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="node 1 needs an address"):
        Network().node(1)


def test_addresses_of_two_ip_versions_are_refused() -> None:
    with pytest.raises(ValueError, match="not of one IP version"):
        Network().connect(A, Node(2, ("fd00::2",)))
