"""One packet captured several times is no retransmission, a retransmission is not that; keep-alives are neither."""

from dataclasses import replace

import pytest
from exchanges import decode, dialled, numbered, replay

from dlmtrace.craft import Network
from dlmtrace.craft.packets import Packet

FRAMES = numbered(5)  # 120 bytes each
STREAM = b"".join(FRAMES)
IP, TCP = 14, 34  # offsets in an Ethernet packet with IPv4
SECOND = 1_000_000_000


def patched(packet: Packet, offset: int, data: bytes) -> None:
    """Change bytes of a packet."""
    packet.data = packet.data[:offset] + data + packet.data[offset + len(data) :]


def with_timestamps(packet: Packet, value: int, header: int = TCP) -> None:
    """Give a TCP header without options the timestamps that Linux sends with every segment (RFC 7323)."""
    ip, rest = packet.data[:header], packet.data[header:]
    options = b"\x01\x01\x08\x0a" + value.to_bytes(4, "big") + bytes(4)
    packet.data = ip + rest[:12] + bytes([8 << 4]) + rest[13:20] + options + rest[20:]
    length = IP + 2 if header == TCP else IP + 4
    counted = len(packet.data) - IP - (0 if header == TCP else 40)
    patched(packet, length, counted.to_bytes(2, "big"))


def add_copy(network: Network, packet: Packet, after: int) -> Packet:
    """The same packet in the capture again, ``after`` ns later, from another interface: another MAC and TTL."""
    copy = replace(packet, time=packet.time + after)
    patched(copy, 0, b"\x02\xff\xff\xff\xff\xff")
    if copy.data[12:14] == b"\x08\x00":
        patched(copy, IP + 8, bytes([copy.data[IP + 8] - 1]))
    place = sum(other.time <= copy.time for other in network.packets)
    network.packets.insert(place, copy)
    return copy


@pytest.mark.parametrize("version", [4, 6])
def test_every_packet_captured_twice(version: int) -> None:
    """`-i any` or a mirror port: each packet at once again."""
    network, a, b, connection = dialled(version)
    for frame in FRAMES:
        connection.send(a, frame, sizes=70)
        connection.send(b, frame, sizes=50)
        network.wait(SECOND // 100)
    for packet in list(network.packets):
        add_copy(network, packet, 5_000)
    outcome = replay(network)
    assert outcome.contents(0) == outcome.contents(1) == FRAMES
    for direction, segments in zip(outcome.sent, (10, 15), strict=True):
        assert direction.captured_again == segments
        assert direction.retransmitted_segments == direction.conflicting_bytes == direction.late_bytes == 0
        assert (direction.segments, direction.bytes) == (2 * segments, 600)


def test_two_vantage_points_whose_clocks_differ() -> None:
    """Merged by time the second capture's packets come 300 ms later, behind newer ones of the first."""
    network, a, _, connection = dialled()
    for frame in FRAMES:
        connection.send(a, frame, sizes=50)
        network.wait(SECOND // 10)
    for packet in list(network.packets):
        add_copy(network, packet, 3 * SECOND // 10)
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert (outcome.sent[0].captured_again, outcome.sent[0].retransmitted_segments) == (15, 0)


def test_a_retransmission_has_an_identification_of_its_own() -> None:
    network, a, _, connection = dialled()
    packets = connection.send(a, STREAM, sizes=200)
    connection.retransmit(packets[1])
    outcome = replay(network)
    assert (outcome.sent[0].retransmitted_segments, outcome.sent[0].retransmitted_bytes) == (1, 200)
    assert outcome.sent[0].captured_again == 0


def test_a_retransmission_captured_twice_is_one() -> None:
    network, a, _, connection = dialled()
    packets = connection.send(a, STREAM, sizes=200)
    again = connection.retransmit(packets[1])
    add_copy(network, again, 5_000)
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert (outcome.sent[0].retransmitted_segments, outcome.sent[0].captured_again) == (1, 1)


def test_without_identifications_the_timestamps_tell() -> None:
    """IPv6: a copy repeats the timestamps, however late it comes; a retransmission has new ones, however soon."""
    network, a, _, connection = dialled(6)
    first, second = connection.send(a, FRAMES[0] + FRAMES[1], sizes=120, acknowledge=False)
    for packet in (first, second):
        with_timestamps(packet, 7, IP + 40)
    add_copy(network, first, SECOND // 2)
    again = connection.retransmit(second)
    with_timestamps(again, 8, IP + 40)
    network.packets.sort(key=lambda packet: packet.time)
    outcome = replay(network)
    assert (outcome.sent[0].captured_again, outcome.sent[0].retransmitted_segments) == (1, 1)


@pytest.mark.parametrize(("after", "copies"), [(5_000, 1), (SECOND // 5, 0)])
def test_with_neither_only_nearness_tells(after: int, copies: int) -> None:
    """An old stack that sends every packet with identification 0 and without timestamps."""
    network, a, _, connection = dialled()
    (packet,) = connection.send(a, FRAMES[0], acknowledge=False)
    patched(packet, IP + 4, b"\0\0")
    add_copy(network, packet, after)
    outcome = replay(network)
    assert (outcome.sent[0].captured_again, outcome.sent[0].retransmitted_segments) == (copies, 1 - copies)


def test_other_bytes_are_never_a_copy() -> None:
    network, a, _, connection = dialled()
    (packet,) = connection.send(a, FRAMES[0])
    copy = add_copy(network, packet, 5_000)
    patched(copy, len(copy.data) - 8, b"RESOURCE")
    outcome = replay(network)
    assert outcome.contents() == FRAMES[:1]
    assert (outcome.sent[0].captured_again, outcome.sent[0].conflicting_bytes) == (0, 8)


def large_and_its_parts(network: Network, connection: object, large: Packet, part: int) -> list[Packet]:
    """What one large segment becomes when the card cuts it: identifications and numbers count on."""
    identification = int.from_bytes(large.data[IP + 4 : IP + 6], "big")
    sequence = int.from_bytes(large.data[TCP + 4 : TCP + 8], "big")
    parts = []
    for number, start in enumerate(range(0, len(large.payload), part)):
        payload = large.payload[start : start + part]
        packet = replace(large, data=large.data[: TCP + 20] + payload, payload=payload)
        patched(packet, IP + 2, (40 + len(payload)).to_bytes(2, "big"))
        patched(packet, IP + 4, (identification + number).to_bytes(2, "big"))
        patched(packet, TCP + 4, (sequence + start).to_bytes(4, "big"))
        parts.append(packet)
    return parts


@pytest.mark.parametrize("parts_first", [False, True])
def test_a_large_segment_and_the_packets_it_was_cut_into_are_one(parts_first: bool) -> None:
    """The sender's own capture has segments of up to 64 KiB (TSO), the network's those of the wire."""
    frames = numbered(40)
    network, a, _, connection = dialled()
    (large,) = connection.send(a, b"".join(frames), sizes=4800, acknowledge=False)
    parts = large_and_its_parts(network, connection, large, 1448)
    network.packets[3:] = [*parts, large] if parts_first else [large, *parts]
    for number, packet in enumerate(network.packets):
        packet.time += 1000 * number
    outcome = replay(network)
    assert outcome.contents() == frames
    assert outcome.sent[0].captured_again == (1 if parts_first else len(parts))
    assert outcome.sent[0].retransmitted_segments == 0


def test_a_part_of_a_large_segment_sent_again_is_a_retransmission() -> None:
    frames = numbered(40)
    network, a, _, connection = dialled()
    (large,) = connection.send(a, b"".join(frames), sizes=4800, acknowledge=False)
    again = connection.segment(a, 1448, b"".join(frames)[1448:2896])
    identification = int.from_bytes(large.data[IP + 4 : IP + 6], "big")
    patched(again, IP + 4, (identification + 4).to_bytes(2, "big"))  # the four packets of the wire have taken theirs
    outcome = replay(network)
    assert (outcome.sent[0].captured_again, outcome.sent[0].retransmitted_bytes) == (0, 1448)


def test_a_copy_behind_many_batches_is_found_all_the_same() -> None:
    network, a, _, connection = dialled()
    frames = numbered(300)
    for frame in frames:
        connection.send(a, frame)
    add_copy(network, network.packets[3], SECOND // 20)
    connection.segment(a, 0, b"\xff" * 120)
    outcome = decode(network, [1] * len(network.packets))
    assert outcome.sent[0].captured_again == 1
    assert outcome.sent[0].conflicting_bytes == 120 - frames[0].count(0xFF)
    assert outcome.sent[0].retransmitted_segments == 1


def test_a_copy_of_a_handshake_or_an_end_begins_nothing_and_ends_nothing_more() -> None:
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0])
    connection.reset(b)
    for packet in list(network.packets):
        add_copy(network, packet, 5_000)
    outcome = replay(network)
    assert outcome.events == ["c1 open", "c1 rst 1 (packet 11)", "c1 end"]


def test_keep_alives_are_no_retransmissions() -> None:
    """A probe one byte before the next one, empty or with a byte of whatever (RFC 9293 §3.8.4)."""
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0])
    connection.keepalive(a)
    connection.keepalive(a, b"\0")
    connection.keepalive(b)  # before it sent anything
    connection.send(a, FRAMES[1])
    connection.keepalive(a)
    outcome = replay(network)
    assert outcome.contents() == FRAMES[:2]
    assert [direction.keep_alives for direction in outcome.sent] == [3, 1]
    for direction in outcome.sent:
        assert direction.retransmitted_segments == direction.conflicting_bytes == direction.out_of_order == 0


def test_one_byte_sent_again_elsewhere_is_a_retransmission() -> None:
    network, a, _, connection = dialled()
    connection.send(a, FRAMES[0], acknowledge=False)
    connection.segment(a, 60, FRAMES[0][60:61])
    outcome = replay(network)
    assert (outcome.sent[0].keep_alives, outcome.sent[0].retransmitted_bytes) == (0, 1)
