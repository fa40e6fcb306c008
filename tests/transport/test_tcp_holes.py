"""A hole is declared when it is certain, not before, and stays one; captures that begin in the middle or are cut."""

import pytest
from exchanges import Gap, decode, decode_first, dialled, numbered, replay, two_nodes

from dlmtrace.craft import Network
from dlmtrace.transport.direction import GRACE, WAITING_LIMIT

FRAMES = numbered(6)  # 120 bytes each
STREAM = b"".join(FRAMES)
SECOND = 1_000_000_000
HEADERS = 14 + 20 + 20


def frames_by(network: Network, packets: int) -> list[bytes]:
    """What is decoded of the first packets, taken one by one, before the capture is over."""
    batches = decode_first(network, packets).batches
    return [batch.bytes_of(row) for batch in batches for row in range(len(batch))]


def test_a_lost_packet_loses_its_frame_and_no_other() -> None:
    network, a, _, connection = dialled()
    packets = connection.send(a, STREAM, sizes=120)
    network.lose(packets[2])
    outcome = replay(network)
    assert outcome.contents() == FRAMES[:2] + FRAMES[3:]
    assert outcome.holes == [Gap(0, 240, 120, 0)]
    sent = outcome.sent[0]
    assert (sent.hole_bytes, sent.holes, sent.cut_bytes, sent.bytes, sent.sent) == (120, 1, 0, 600, 720)


def test_nothing_is_a_hole_while_the_peer_has_not_acknowledged_it() -> None:
    """The frames behind it wait, for minutes if need be: the sender will repeat the bytes."""
    network, a, _, connection = dialled()
    packets = connection.send(a, STREAM, sizes=120, acknowledge=False)
    for _ in range(100):
        network.wait(SECOND)
        connection.acknowledge(network.node(2, "10.0.0.2"), 120)
    again = connection.retransmit(packets[1])
    network.lose(packets[1])
    assert frames_by(network, len(network.packets) - 1) == FRAMES[:1]
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert [frame.packet for frame in outcome.frames] == [4] + [len(network.packets)] * 5
    assert {frame.time for frame in outcome.frames[1:]} == {again.time}
    assert outcome.holes == []


def test_an_acknowledgement_captured_before_its_data_makes_no_hole() -> None:
    network, a, b, connection = dialled()
    for frame in FRAMES:
        (packet,) = connection.send(a, frame)
        network.delay(packet, behind=network.packets[-1])
    for size in (1, 2, 3):
        outcome = decode(network, [size] * len(network.packets))
        assert outcome.contents() == FRAMES
        assert outcome.holes == []
    assert b.number == 2


@pytest.mark.parametrize(("pause", "declared"), [(GRACE // 4, False), (3 * GRACE, True)])
def test_an_acknowledged_gap_is_a_hole_once_capture_time_has_gone_on(pause: int, declared: bool) -> None:
    network, a, b, connection = dialled()
    lost, *_ = connection.send(a, STREAM, sizes=120)
    network.lose(lost)
    network.wait(pause)
    connection.keepalive(b)
    found = frames_by(network, len(network.packets))
    assert found == (FRAMES[1:] if declared else [])


def test_a_second_gap_has_its_own_grace() -> None:
    """The first one is declared; the second one was acknowledged a moment ago, and its data comes in a moment."""
    network, a, _, connection = dialled()
    lost, _ = connection.send(a, FRAMES[0] + FRAMES[1], sizes=120)
    network.lose(lost)
    network.wait(3 * GRACE)
    late, _ = connection.send(a, FRAMES[2] + FRAMES[3], sizes=120)
    network.delay(late, behind=network.packets[-1])
    outcome = decode(network, [1] * len(network.packets))
    assert outcome.contents() == FRAMES[1:4]
    assert outcome.holes == [Gap(0, 0, 120, 0)]


def test_bytes_that_come_after_their_hole_was_declared_are_late() -> None:
    network, a, b, connection = dialled()
    lost, *_ = connection.send(a, STREAM, sizes=120)
    network.lose(lost)
    network.wait(5 * GRACE)
    connection.keepalive(b)
    network.wait(5 * GRACE)
    connection.keepalive(b)
    connection.retransmit(lost)
    outcome = decode(network, [1] * len(network.packets))
    assert outcome.contents() == FRAMES[1:]
    assert outcome.holes == [Gap(0, 0, 120, 0)]
    assert (outcome.sent[0].late_bytes, outcome.sent[0].retransmitted_segments) == (120, 0)


def test_of_a_late_segment_only_the_bytes_of_the_hole_are_late() -> None:
    network, a, b, connection = dialled()
    lost, *_ = connection.send(a, STREAM, sizes=120)
    network.lose(lost)
    for _ in range(2):
        network.wait(5 * GRACE)
        connection.keepalive(b)
    connection.segment(a, 60, b"\xff" * 120)  # 60 late bytes, 60 that contradict what is there
    outcome = decode(network, [1] * len(network.packets))
    sent = outcome.sent[0]
    assert (sent.late_bytes, sent.retransmitted_bytes) == (60, 60)
    assert sent.conflicting_bytes == sum(byte != 0xFF for byte in FRAMES[1][:60])


def test_more_than_the_limit_does_not_wait() -> None:
    """1 MiB behind a gap that nobody acknowledged."""
    many = numbered(WAITING_LIMIT // 4072 + 10, name=bytes(3960))
    network, a, _, connection = dialled()
    lost, *_ = [packet for frame in many for packet in connection.send(a, frame, sizes=4072, acknowledge=False)]
    network.lose(lost)
    outcome = decode(network, [1] * len(network.packets))
    count = 0
    for batch in outcome.batches[:-2]:
        count += len(batch)
    assert count == len(many) - 1
    assert frames_by(network, 3 + WAITING_LIMIT // 4072 - 1) == []
    assert outcome.holes == [Gap(0, 0, 4072, 0)]


def test_behind_the_limit_only_what_must_go_goes() -> None:
    """Two gaps, a little behind the first and much behind the second: the second may still be filled."""
    many = numbered(300, name=bytes(3960))
    network, a, _, connection = dialled()
    packets = [packet for frame in many for packet in connection.send(a, frame, sizes=4072, acknowledge=False)]
    network.lose(packets[0], packets[60])
    network.packets.append(packets[60])
    packets[60].time = packets[-1].time
    outcome = decode(network, [1] * len(network.packets))
    assert outcome.contents() == many[1:]
    assert outcome.holes == [Gap(0, 0, 4072, 0)]


def test_when_the_connection_ends_every_gap_is_a_hole() -> None:
    network, a, b, connection = dialled()
    packets = connection.send(a, STREAM, sizes=60, acknowledge=False)
    network.lose(packets[1], packets[4], packets[5])
    connection.reset(by=b)
    network.wait(5 * SECOND)
    network.connect(a, b)
    outcome = replay(network)
    assert outcome.contents() == [FRAMES[1], FRAMES[3], FRAMES[4], FRAMES[5]]
    assert outcome.holes == [Gap(0, 60, 60, 0), Gap(0, 240, 120, 0)]
    assert outcome.frames[0].state == "missing"  # the header of the first came
    ended = [batch for batch in decode(network, [1] * len(network.packets)).batches if len(batch.holes)]
    assert len(ended) == 1
    assert "end" in [event.kind for event in ended[0].events]


def test_a_hole_at_the_end_is_known_from_the_acknowledgement() -> None:
    network, a, _, connection = dialled()
    packets = connection.send(a, STREAM, sizes=120)
    network.lose(*packets[3:])
    outcome = replay(network)
    assert outcome.contents() == FRAMES[:3]
    assert outcome.holes == [Gap(0, 360, 360, 0)]
    assert (outcome.sent[0].hole_bytes, outcome.sent[0].acknowledged) == (360, 720)


def test_a_hole_at_the_end_is_known_from_the_fin() -> None:
    network, a, _, connection = dialled()
    packets = connection.send(a, STREAM, sizes=120, acknowledge=False)
    network.lose(*packets[3:])
    connection.finish(a)
    outcome = replay(network)
    assert outcome.holes == [Gap(0, 360, 360, 0)]


def test_the_number_that_a_fin_takes_is_no_byte() -> None:
    """Acknowledged one past the data, with the FIN captured and without."""
    for captured in (True, False):
        network, a, _, connection = dialled()
        connection.send(a, FRAMES[0])
        connection.close()
        if not captured:
            network.lose(network.packets[5])
        outcome = replay(network)
        assert outcome.holes == []
        assert outcome.sent[0].hole_bytes == 0


def test_a_fin_with_an_absurd_number_is_not_believed() -> None:
    network, a, _, connection = dialled()
    connection.send(a, FRAMES[0])
    connection._sides[0].sent += (1 << 31) - 5
    connection.finish(a)
    outcome = replay(network)
    assert outcome.holes == []


def test_a_direction_that_was_not_captured_is_one_hole() -> None:
    network, a, b, connection = dialled()
    for frame in FRAMES:
        network.lose(*connection.send(a, frame))
        connection.send(b, frame)
    outcome = replay(network)
    assert outcome.contents(1) == FRAMES
    assert outcome.contents(0) == []
    assert outcome.holes == [Gap(0, 0, 720, 0)]


def test_a_frame_goes_on_behind_a_hole_inside_it() -> None:
    """Its header says where the next one begins."""
    network, a, _, connection = dialled()
    packets = connection.send(a, STREAM, sizes=[20, 50])
    network.lose(packets[1])
    outcome = replay(network)
    assert outcome.contents() == FRAMES[1:]
    assert outcome.frames[0] == (0, 0, 0, STREAM[:20], "missing", 4, 4, 4, packets[0].time)
    assert outcome.skips == [Gap(0, 70, 50, "hole")]


# Captures that begin in the middle.


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_capture_that_begins_inside_a_frame(cut: int) -> None:
    network = Network()
    a, b = two_nodes(network)
    connection = network.connect(a, b, handshake=False)
    connection.send(a, STREAM[cut:], sizes=100)
    outcome = replay(network)
    assert outcome.contents() == FRAMES[1:]
    assert outcome.skips == [Gap(0, 0, 120 - cut, "started mid-stream")]
    assert (outcome.sent[0].begin_seen, outcome.sent[0].hole_bytes) == (False, 0)


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [2, 1, 0, 3], [2, 0, 1, 3], [3, 1, 2, 0]])
def test_a_capture_whose_first_segments_are_out_of_order(order: list[int]) -> None:
    network = Network()
    a, b = two_nodes(network)
    connection = network.connect(a, b, handshake=False, isn=(2**32 - 200, 0))
    packets = connection.send(a, STREAM, sizes=200, acknowledge=False)
    network.packets[:] = [packets[index] for index in order]
    for number, packet in enumerate(network.packets):
        packet.time = 1_700_000_000 * SECOND + number * 1000
    network.time += SECOND
    connection.send(a, FRAMES[0])
    outcome = replay(network)
    assert outcome.contents() == [*FRAMES, FRAMES[0]]
    assert outcome.frames[0].position == 0
    assert outcome.sent[0].late_bytes == outcome.sent[0].retransmitted_bytes == 0


def test_what_came_long_before_the_first_segment_is_not_waited_for() -> None:
    """A retransmission from before the capture, later than packets are captured out of order: it is not decoded."""
    network = Network()
    a, b = two_nodes(network)
    connection = network.connect(a, b, handshake=False)
    connection.segment(a, 120, b"".join(FRAMES[1:3]))
    network.wait(2 * GRACE)
    connection.segment(a, 0, FRAMES[0])
    connection.segment(a, 360, FRAMES[3])
    outcome = replay(network)
    assert outcome.contents() == FRAMES[1:4]
    assert outcome.frames[0].position == 0
    assert outcome.sent[0].retransmitted_segments == 1


def test_one_direction_only() -> None:
    network, a, b, connection = dialled()
    for frame in FRAMES:
        connection.send(a, frame)
        connection.send(b, frame)
    network.lose(*(packet for packet in network.packets if packet.sender == b))
    outcome = replay(network)
    assert outcome.contents(0) == FRAMES
    assert outcome.sent[1].packets == 0
    assert outcome.sent[0].acknowledged == -1
    assert outcome.holes == []  # where the other stream begins nobody told, so nobody knows how long it is


# Packets that the snaplen cut.


def test_cut_bytes_are_a_hole_at_once() -> None:
    network, a, b, connection = dialled()
    network.snaplen = HEADERS + 100
    for frame in FRAMES:
        connection.send(a, frame)
        connection.send(b, frame[:16], acknowledge=False)
    outcome = replay(network)
    assert [(frame.state, frame.content) for frame in outcome.frames if frame.side == 0] == [
        ("cut", frame[:100]) for frame in FRAMES
    ]
    sent = outcome.sent[0]
    assert (sent.bytes, sent.hole_bytes, sent.cut_bytes, sent.holes, sent.sent) == (600, 120, 120, 0, 720)
    assert outcome.holes == [Gap(0, 120 * number + 100, 20, 20) for number in range(6)]


def test_a_cut_and_a_loss_side_by_side() -> None:
    network, a, _, connection = dialled()
    network.snaplen = HEADERS + 100
    packets = connection.send(a, STREAM, sizes=120)
    network.lose(packets[1])
    outcome = replay(network)
    assert outcome.holes[0] == Gap(0, 100, 140, 20)
    sent = outcome.sent[0]
    assert (sent.hole_bytes, sent.cut_bytes, sent.holes) == (20 * 5 + 120, 20 * 5, 1)


def test_headers_only() -> None:
    """tcpdump -s 54: not a byte of DLM, and that is told."""
    network, a, _, connection = dialled()
    network.snaplen = HEADERS
    packets = connection.send(a, STREAM, sizes=120)
    network.lose(packets[1], packets[5])
    outcome = replay(network)
    assert outcome.frames == []
    assert outcome.holes == [Gap(0, 0, 720, 480)]
    assert (outcome.sent[0].hole_bytes, outcome.sent[0].cut_bytes, outcome.sent[0].bytes) == (720, 480, 0)


def test_headers_only_behind_a_loss() -> None:
    """What was sent behind a gap counts as sent although not a byte of it was captured."""
    network, a, _, connection = dialled()
    packets = connection.send(a, STREAM, sizes=120, acknowledge=False)
    network.lose(packets[1])
    outcome = replay(network, snaplens=dict.fromkeys(packets[2:], HEADERS))
    assert outcome.contents() == FRAMES[:1]
    assert outcome.holes == [Gap(0, 120, 600, 480)]
    assert outcome.sent[0].sent == 720


@pytest.mark.parametrize("whole_first", [True, False])
def test_another_place_of_capture_has_the_bytes_that_were_cut(whole_first: bool) -> None:
    """Two files, one with a small snaplen, merged by time."""
    network, a, _, connection = dialled()
    packets = [packet for frame in FRAMES for packet in connection.send(a, frame, acknowledge=False)]
    copies = [network.duplicate(packet) for packet in packets]
    outcome = decode(network, snaplens=dict.fromkeys(copies if whole_first else packets, HEADERS + 50))
    assert outcome.contents() == FRAMES
    assert outcome.holes == []
    assert (outcome.sent[0].captured_again, outcome.sent[0].retransmitted_segments) == (6, 0)
