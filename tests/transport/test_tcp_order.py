"""TCP segments late, twice, over each other or over the wrap of the numbers: each byte once, the first copy stays."""

import pytest
from exchanges import decode, dialled, numbered, replay

FRAMES = numbered(5)  # 120 bytes each
STREAM = b"".join(FRAMES)


def test_segments_in_order_are_the_stream() -> None:
    network, a, _, connection = dialled()
    connection.send(a, STREAM, sizes=50)
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert outcome.sent[0].segments == 12
    assert (outcome.sent[0].bytes, outcome.sent[0].sent, outcome.sent[0].acknowledged) == (600, 600, 600)
    assert outcome.sent[0].out_of_order == outcome.sent[0].retransmitted_segments == 0


def test_a_late_segment_takes_its_place() -> None:
    network, a, _, connection = dialled()
    first, second, third = connection.send(a, STREAM, sizes=[100, 200])  # packets 4, 5, 6
    network.delay(first, behind=third)
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert {frame.packet for frame in outcome.frames} == {6}  # nothing could be read before it came
    assert {frame.time for frame in outcome.frames} == {first.time}
    assert outcome.sent[0].out_of_order == 1
    assert second.time < third.time < first.time


def test_all_segments_backwards() -> None:
    network, a, _, connection = dialled()
    packets = connection.send(a, STREAM, sizes=75, acknowledge=False)
    for packet in packets[-2::-1]:
        network.delay(packet, behind=network.packets[-1])
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert outcome.sent[0].out_of_order == 7


@pytest.mark.parametrize("before", range(0, 121, 5))
def test_the_numbers_wrap_anywhere_in_a_frame(before: int) -> None:
    """The first frame byte behind the wrap is the one after ``before`` bytes."""
    network, a, _, connection = dialled(isn=(2**32 - 1 - before, 77))
    packets = connection.send(a, STREAM, sizes=[before or 1, 13, 200])
    network.delay(packets[0], behind=packets[1])
    network.delay(packets[2], behind=packets[3])
    connection.retransmit(packets[1])
    connection.acknowledge(a)
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert (outcome.sent[0].acknowledged, outcome.sent[0].holes) == (600, 0)


def test_the_stream_is_longer_than_the_numbers_reach() -> None:
    """Positions go on where the 32 bits begin again, twice: of each GiB only the first frame is captured."""
    network, a, b, connection = dialled(isn=(5, 5))
    for place in range(9):
        connection.segment(a, place << 30, FRAMES[0])
        connection.acknowledge(b)
        network.wait(1_000_000_000)
    outcome = decode(network, [1] * len(network.packets))
    assert [frame.position for frame in outcome.frames] == [place << 30 for place in range(9)]
    assert outcome.sent[0].sent == outcome.sent[0].acknowledged == (8 << 30) + 120
    assert outcome.sent[0].hole_bytes == 8 * ((1 << 30) - 120)


def test_a_segment_within_others_changes_nothing() -> None:
    network, a, _, connection = dialled()
    connection.send(a, STREAM, sizes=300, acknowledge=False)
    connection.segment(a, 100, STREAM[100:400])
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert (outcome.sent[0].retransmitted_segments, outcome.sent[0].retransmitted_bytes) == (1, 300)
    assert outcome.sent[0].conflicting_bytes == 0


def test_of_an_overlap_only_the_new_bytes_count() -> None:
    network, a, _, connection = dialled()
    connection.segment(a, 0, STREAM[:250])
    connection.segment(a, 200, STREAM[200:])
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert outcome.sent[0].bytes == 600
    assert (outcome.sent[0].retransmitted_segments, outcome.sent[0].retransmitted_bytes) == (1, 50)


def test_the_first_copy_wins_and_other_bytes_are_reported() -> None:
    network, a, _, connection = dialled()
    connection.segment(a, 0, STREAM[:240])
    connection.segment(a, 200, b"\xff" * 40 + STREAM[240:])
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert outcome.sent[0].conflicting_bytes == sum(byte != 0xFF for byte in STREAM[200:240])


def test_a_copy_that_waits_behind_a_gap_wins_over_a_later_one() -> None:
    network, a, _, connection = dialled()
    connection.segment(a, 100, STREAM[100:200])  # first, although its place is behind
    connection.segment(a, 0, STREAM[:100] + b"\xff" * 50)
    connection.segment(a, 150, b"\xff" * 50 + STREAM[200:])
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert outcome.sent[0].conflicting_bytes == 100 - STREAM[100:200].count(0xFF)


def test_a_frame_knows_the_packets_that_carried_it() -> None:
    network, a, _, connection = dialled()
    packets = connection.send(a, FRAMES[0] + FRAMES[1] + FRAMES[2], sizes=[130, 100])  # packets 4, 5, 6
    frames = replay(network).frames
    assert [(frame.first_packet, frame.last_packet, frame.packet) for frame in frames] == [
        (4, 4, 4),
        (4, 6, 6),  # bytes 120 … 240: 10 in packet 4, 100 in 5, 10 in 6
        (6, 6, 6),
    ]
    assert [frame.time for frame in frames] == [packets[0].time, packets[2].time, packets[2].time]
    assert [frame.position for frame in frames] == [0, 120, 240]


def test_last_and_completing_packet_differ_where_the_middle_comes_last() -> None:
    network, a, _, connection = dialled()
    _, middle, last = connection.send(a, FRAMES[0], sizes=[40, 40])
    network.delay(middle, behind=last)  # packets: 4 first, 5 last, 6 middle
    (frame,) = replay(network).frames
    assert (frame.first_packet, frame.last_packet, frame.packet) == (4, 5, 6)


def test_both_directions_are_streams_of_their_own() -> None:
    network, a, b, connection = dialled(isn=(2**32 - 10, 2**32 - 10))
    for frame in FRAMES:
        connection.send(a, frame, sizes=70)
        connection.send(b, frame, sizes=50)
    outcome = replay(network)
    assert outcome.contents(0) == outcome.contents(1) == FRAMES


def test_data_on_the_syn_counts() -> None:
    """TCP Fast Open (RFC 7413): the SYN takes one number, then come its bytes."""
    network, a, b, connection = dialled(handshake=False)
    connection.segment(a, 0, FRAMES[0])
    syn = network.packets[0]
    header = 14 + 20
    flags, sequence = bytes([0x02]), (1000).to_bytes(4, "big")
    syn.data = syn.data[: header + 4] + sequence + syn.data[header + 8 : header + 13] + flags + syn.data[header + 14 :]
    connection.segment(b, -1, b"", 0x12)
    connection.send(a, FRAMES[1])
    outcome = replay(network)
    assert outcome.contents() == FRAMES[:2]
    assert outcome.connections[0].handshake_seen
