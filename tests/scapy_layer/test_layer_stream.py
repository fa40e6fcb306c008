"""Frames in TCP segments and SCTP messages: bound to the port, reassembled, and never an exception."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from evidence import scenario, scenario_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.config import conf
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkData, SCTPChunkSACK
from scapy.packet import NoPayload, Packet, Raw
from scapy.sendrecv import sniff
from scapy.sessions import TCPSession

from dlmtrace.craft import Network, Node, ack, fin, opts, recovery, request, status, status_reply
from dlmtrace.scapy_layer import DLM, DLMAck, DLMFin, DLMFrames, DLMMessage, DLMOptions
from dlmtrace.wire.enums import RecoveryType

A, B = Node(1, ("10.0.0.1",)), Node(2, ("10.0.0.2",))
RECOVERY = (
    status_reply([(1, 1), (2, 2)]),
    recovery(RecoveryType.LOCK, bytes(108)),
    recovery(RecoveryType.NAMES_REPLY, b"\0\3one\0\3two\xff\xff" + bytes(20)),
)
FRAMES = (status(), *(opts(number, request(b"resource %d" % number)) for number in range(5)), ack(3), fin(5))


def frames_in(packets: Iterable[Packet]) -> list[bytes]:
    """The bytes of every frame that scapy found, in its order."""
    return [bytes(frame) for packet in packets for group in groups_of(packet) for frame in group.frames]


def groups_of(packet: Packet) -> Iterator[DLMFrames]:
    """All DLMFrames of a packet, the chunks of an SCTP packet included."""
    number = 1
    while (group := packet.getlayer(DLMFrames, number)) is not None:
        yield group
        number += 1


def frames_counted(file: str) -> int:
    """Frames that the capture has, by the stand-alone counter that ran when it was recorded."""
    counts = scenario(scenario_of(file))["frames"][file]["counts"]
    return sum(counts.get(command, 0) for command in ("MSG", "RCOM", "OPTS", "ACK", "FIN"))


@pytest.mark.parametrize("file", ["clean-3.2-tcp.pcap", "ipv6-tcp.pcap", "mixed-6.1-6.12.pcap"])
def test_a_session_finds_every_frame_of_a_capture(file: str, plain_capture: Callable[[str], Path]) -> None:
    packets = sniff(offline=str(plain_capture(file)), session=TCPSession)
    assert len(frames_in(packets)) == frames_counted(file)


def test_every_frame_of_an_sctp_capture(plain_capture: Callable[[str], Path]) -> None:
    """Scapy puts no SCTP fragments together: that is done here."""
    file = "sctp-6.12.pcap"
    found = 0
    parts: dict[tuple[str, int], bytes] = {}
    seen: set[tuple[int, int]] = set()
    for packet in sniff(offline=str(plain_capture(file))):
        if SCTP not in packet:
            continue
        for chunk in packet[SCTP].iterpayloads():
            if not isinstance(chunk, SCTPChunkData) or (packet[SCTP].tag, chunk.tsn) in seen:
                continue
            seen.add((packet[SCTP].tag, chunk.tsn))
            flow = packet.src, packet[SCTP].tag
            if chunk.beginning and chunk.ending:
                found += len(chunk.data.frames)
                continue
            parts[flow] = (b"" if chunk.beginning else parts[flow]) + bytes(chunk.data)
            if chunk.ending:
                found += len(DLMFrames(parts.pop(flow)).frames)
    assert found == frames_counted(file)


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 200), max_size=30), wait_for_tail=st.booleans())
def test_any_cut_of_a_stream_gives_the_same_frames(sizes: list[int], wait_for_tail: bool) -> None:
    network = Network()
    connection = network.connect(A, B)
    connection.send(A, b"".join(FRAMES)[: -1 if wait_for_tail else None], sizes)
    packets = [Ether(data) for _, data in network.records()]
    found = frames_in(sniff(offline=packets, session=TCPSession))
    assert found == list(FRAMES[: -1 if wait_for_tail else None])


def test_a_segment_without_a_session_gives_its_whole_frames() -> None:
    network = Network()
    network.connect(A, B, handshake=False).send(A, FRAMES[0] + FRAMES[1] + FRAMES[2][:50], acknowledge=False)
    packet = Ether(network.records()[0][1])
    assert packet.layers() == [Ether, IP, TCP, DLMFrames, Raw]
    assert frames_in([packet]) == [FRAMES[0], FRAMES[1]]
    assert bytes(packet[Raw]) == FRAMES[2][:50]


@pytest.mark.parametrize("data", [bytes(100), b"GET / HTTP/1.1\r\n\r\n", FRAMES[1][7:], b"\2\0\3\0" + bytes(40)])
def test_what_is_no_frame_is_raw_and_does_not_wait(data: bytes) -> None:
    network = Network()
    network.connect(A, B, handshake=False).send(A, data, acknowledge=False)
    (packet,) = sniff(offline=[Ether(item) for _, item in network.records()], session=TCPSession)
    assert packet.layers() == [Ether, IP, TCP, Raw]
    assert bytes(packet[Raw]) == data


def test_both_ports_are_bound() -> None:
    frame = DLMAck(h_seq=1)
    assert (TCP() / frame).sport == (TCP() / frame).dport == 21064
    assert (TCP() / DLMFrames(frames=[frame])).dport == 21064
    for ports in ({"sport": 5, "dport": 21064}, {"sport": 21064, "dport": 5}):
        assert DLMAck in IP(bytes(IP() / TCP(**ports) / frame))
    assert DLMAck not in IP(bytes(IP() / TCP(sport=5, dport=6) / frame))


def sctp_packet(*payloads: bytes, **fields: int) -> Packet:
    """Scapy's own reading of an SCTP packet with a SACK and a DATA chunk for each payload, as kernels bundle them."""
    packet = IP() / SCTP(sport=5, dport=21064) / SCTPChunkSACK()
    for number, payload in enumerate(payloads):
        flags = {"beginning": 1, "ending": 1, "proto_id": 0, **fields}
        packet = packet / SCTPChunkData(tsn=number, data=payload, **flags)
    return IP(bytes(packet))


def test_sctp_messages_hold_frames_and_chunks_stay_chunks() -> None:
    packet = sctp_packet(FRAMES[0], FRAMES[1] + FRAMES[6], b"not DLM at all..")
    kinds = [type(layer) for layer in packet[SCTP].iterpayloads()]
    assert kinds == [SCTP, SCTPChunkSACK, SCTPChunkData, SCTPChunkData, SCTPChunkData]
    assert frames_in([packet]) == [FRAMES[0], FRAMES[1], FRAMES[6]]
    assert isinstance(packet.getlayer(SCTPChunkData, 3).data, Raw)
    packet.clear_cache()
    assert bytes(packet) == bytes(sctp_packet(FRAMES[0], FRAMES[1] + FRAMES[6], b"not DLM at all.."))


@pytest.mark.parametrize("fields", [{"proto_id": 46}, {"ending": 0}])
def test_other_protocols_and_fragments_are_left_alone(fields: dict[str, int]) -> None:
    assert isinstance(sctp_packet(FRAMES[0], **fields)[SCTPChunkData].data, Raw)


def test_scapy_packets_are_frames_to_crafted_connections() -> None:
    network = Network()
    connection = network.connect(A, B, handshake=False)
    connection.send(A, DLMOptions(h_seq=0) / DLMMessage(m_name=b"name"), acknowledge=False)
    assert Ether(network.records()[0][1])[DLMMessage].m_name == b"name"


@pytest.fixture
def _loud_dissection() -> Iterator[None]:
    """Scapy hides exceptions of its layers: here they come out."""
    conf.debug_dissector = True
    yield
    conf.debug_dissector = False


def damaged_frames() -> st.SearchStrategy[bytes]:
    """Frames with some bytes changed and cut or continued anywhere."""

    def damage(frame: bytes, changes: list[tuple[int, int]], end: int, more: bytes) -> bytes:
        data = bytearray(frame)
        for place, value in changes:
            data[place % len(data)] = value
        return bytes(data[:end]) + more

    changes = st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=6)
    return st.builds(damage, st.sampled_from(FRAMES + RECOVERY), changes, st.integers(1, 200), st.binary(max_size=40))


@pytest.mark.usefixtures("_loud_dissection")
@settings(max_examples=300, deadline=None)
@given(data=st.binary(min_size=1, max_size=200) | damaged_frames())
def test_no_bytes_raise(data: bytes) -> None:
    for kind in (DLM, DLMFrames):
        packet = kind(data)
        packet.clear_cache()
        assert bytes(packet) == data
        packet.show(dump=True)
        packet.summary()


def test_nothing_behind_a_fin() -> None:
    packet = DLM(fin(3))
    assert packet.layers() == [DLMOptions, DLMFin]
    assert isinstance(packet[DLMFin].payload, NoPayload)
