"""Where TCP connections begin and end: handshakes, FINs, RSTs, forged ones, and 4-tuples that are used again."""

import pytest
from exchanges import PORT, decode, dialled, numbered, replay, two_nodes

from dlmtrace.craft import Network
from dlmtrace.framing import framer

FRAMES = numbered(6)  # 120 bytes each
SECOND = 1_000_000_000
TUPLE = {"source_port": 40000}


def test_an_orderly_end() -> None:
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0])
    connection.send(b, FRAMES[1])
    connection.close(by=b)
    outcome = replay(network)
    assert outcome.events == ["c1 open", "c1 fin 1 (packet 8)", "c1 fin 0 (packet 10)", "c1 end"]
    (found,) = outcome.connections
    assert (found.ended_by, found.handshake_seen, found.transport) == ("fin", True, "tcp")
    assert (str(found.client), str(found.server)) == (f"10.0.0.1:{49153}", f"10.0.0.2:{PORT}")
    assert (found.first_packet, found.last_packet) == (1, 11)
    assert (found.opened, found.closed) == (network.packets[0].time, network.packets[-1].time)
    for direction in outcome.sent:
        assert (direction.begin_seen, direction.bytes, direction.sent, direction.acknowledged) == (True, 120, 120, 120)
    assert [direction.packets for direction in outcome.sent] == [6, 5]


def test_half_closed_is_not_over() -> None:
    """One FIN ends one direction; the other goes on for as long as it likes."""
    network, a, b, connection = dialled()
    connection.finish(a)
    connection.acknowledge(b)
    for frame in FRAMES:
        network.wait(5 * SECOND)
        connection.send(b, frame)
    outcome = replay(network)
    assert outcome.contents(1) == FRAMES
    assert outcome.events == ["c1 open", "c1 fin 0 (packet 4)", "c1 end"]
    assert outcome.connections[0].ended_by == "open"


def test_data_captured_behind_its_fin_is_not_lost() -> None:
    network, a, _, connection = dialled()
    (last,) = connection.send(a, FRAMES[0], acknowledge=False)
    connection.close()
    network.delay(last, behind=network.packets[-1])
    outcome = replay(network)
    assert outcome.contents() == FRAMES[:1]
    assert (outcome.sent[0].hole_bytes, outcome.sent[0].late_bytes) == (0, 0)


def test_a_reset() -> None:
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0])
    connection.reset(by=b)
    network.wait(10 * SECOND)
    other = network.connect(a, b)
    other.send(a, FRAMES[1])
    outcome = replay(network)
    assert outcome.events == ["c1 open", "c1 rst 1 (packet 6)", "c2 open", "c1 end", "c2 end"] or outcome.events == [
        "c1 open",
        "c1 rst 1 (packet 6)",
        "c1 end",
        "c2 open",
        "c2 end",
    ]
    assert [connection.ended_by for connection in outcome.connections] == ["rst", "open"]
    assert outcome.connections[0].directions[1].reset_packet == 6


def test_a_refused_dial() -> None:
    """SYN, RST: a connection without a byte."""
    network = Network()
    a, b = two_nodes(network)
    connection = network.connect(a, b, handshake=False)
    syn = connection._segment(connection._sides[0], -1, b"", 0x02)
    connection.reset(by=b)
    outcome = replay(network)
    assert outcome.events == ["c1 open", "c1 rst 1 (packet 2)", "c1 end"]
    (found,) = outcome.connections
    assert (found.handshake_seen, found.ended_by, found.client.port) == (False, "rst", syn.data[34] << 8 | syn.data[35])


def test_a_dial_long_after_a_stray_reset() -> None:
    """Of the connection before nothing but its RST was captured."""
    network = Network()
    a, b = two_nodes(network)
    connection = network.connect(a, b, handshake=False)
    connection.reset(by=b)
    network.wait(2 * SECOND)
    connection.handshake()
    connection.send(a, FRAMES[0])
    outcome = replay(network)
    stray, dialled = outcome.connections
    assert (stray.handshake_seen, stray.ended_by, dialled.handshake_seen, dialled.ended_by) == (
        False,
        "rst",
        True,
        "open",
    )
    assert [frame.content for frame in outcome.frames] == FRAMES[:1]


@pytest.mark.parametrize("pause", [SECOND // 10, 2 * SECOND, 86_400 * SECOND])
def test_a_reset_that_is_ignored(pause: int) -> None:
    """A forged RST: both sides go on, at once or after a pause, and nothing of it may be lost."""
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0])
    connection.reset(by=b)
    network.wait(pause)
    for frame in FRAMES[1:]:
        network.wait(pause)
        connection.send(a, frame)
        connection.send(b, frame)
    outcome = replay(network)
    assert [frame.content for frame in outcome.frames if frame.side == 0] == FRAMES
    assert [frame.content for frame in outcome.frames if frame.side == 1] == FRAMES[1:]
    assert all(direction.late_bytes == 0 for direction in outcome.sent)
    ended = [] if pause < SECOND else ["c1 end"]
    assert outcome.events == ["c1 open", "c1 rst 1 (packet 6)", *ended, "c1 survived", "c1 end"]
    assert outcome.connections[0].ended_by == "open"


def test_a_reset_in_the_middle_of_a_frame_that_is_ignored() -> None:
    """The frame is told unfinished when everybody would take the connection for dead, and whole when it is whole."""
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0] + FRAMES[1][:50])
    connection.reset(by=b)
    network.wait(5 * SECOND)
    connection.send(a, FRAMES[1][50:] + FRAMES[2])
    outcome = replay(network)
    assert outcome.contents() == FRAMES[:3]
    assert [frame.content for frame in outcome.frames if frame.state == "unfinished"] == [FRAMES[1][:50]]
    assert (outcome.holes, outcome.skips) == ([], [])


@pytest.mark.parametrize("reordered", [False, True])
def test_what_was_sent_again_after_a_reset_that_was_lost(reordered: bool) -> None:
    """The link was cut behind the capture point: the RST did not come through, nor did the data before it."""
    network, a, b, connection = dialled()
    first = connection.send(a, FRAMES[0] + FRAMES[1], acknowledge=False, sizes=120)
    connection.reset(by=b)
    network.wait(3 * SECOND)
    again = [connection.retransmit(packet) for packet in first]
    connection.acknowledge(b)
    more = connection.send(a, FRAMES[2] + FRAMES[3], sizes=120)
    if reordered:
        network.delay(again[0], behind=more[1])
    outcome = replay(network)
    assert outcome.contents() == FRAMES[:4]
    assert (outcome.sent[0].retransmitted_bytes, outcome.sent[0].late_bytes) == (240, 0)
    assert "c1 survived" in outcome.events


def test_an_orderly_end_long_after_a_reset_that_was_ignored() -> None:
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0])
    connection.reset(by=b)
    network.wait(5 * SECOND)
    connection.send(a, FRAMES[1])
    network.wait(SECOND)
    connection.close()
    outcome = replay(network)
    assert [each.ended_by for each in outcome.connections] == ["fin"]
    assert outcome.contents() == FRAMES[:2]


def test_a_reset_in_answer_to_what_was_sent_long_after_one() -> None:
    """The first RST reached one end only; the other hears of it when it next sends."""
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0])
    connection.reset(by=b)  # packet 6: forged, and a never gets it
    connection.reset(by=a)  # packet 7: forged, b does
    network.wait(5 * SECOND)
    connection.send(a, FRAMES[1], acknowledge=False)
    connection.reset(by=b)  # packet 9
    outcome = replay(network)
    assert outcome.contents() == FRAMES[:2]
    assert outcome.events == [
        "c1 open",
        "c1 rst 1 (packet 6)",
        "c1 rst 0 (packet 7)",
        "c1 end",
        "c1 rst 1 (packet 9)",
        "c1 end",
    ]
    assert outcome.connections[0].ended_by == "rst"


def test_a_connection_that_goes_on_after_its_framing_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame that had begun is lost; the next ones are found by their signature."""
    monkeypatch.setattr(framer, "ENDED_LIMIT", 1)  # the other direction's
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0] + FRAMES[1][:50])
    connection.reset(by=b)
    network.wait(5 * SECOND)
    connection.send(a, FRAMES[1][50:] + FRAMES[2] + FRAMES[3])
    outcome = decode(network)
    assert outcome.contents() == [FRAMES[0], FRAMES[2], FRAMES[3]]


def test_a_reset_after_one_that_was_ignored_counts() -> None:
    network, a, b, connection = dialled()
    connection.reset(by=b)  # packet 4
    for frame in FRAMES:
        network.wait(SECOND // 2)
        connection.send(a, frame)
    connection.reset(by=b)  # packet 17
    outcome = replay(network)
    assert outcome.events == ["c1 open", "c1 rst 1 (packet 4)", "c1 survived", "c1 rst 1 (packet 17)", "c1 end"]
    assert outcome.connections[0].ended_by == "rst"
    assert outcome.contents() == FRAMES


def test_one_side_that_missed_the_reset_is_heard() -> None:
    """Its peer is gone and answers every retransmission with another RST; the frames were sent all the same."""
    network, a, b, connection = dialled()
    connection.send(a, FRAMES[0])
    connection.reset(by=a)
    network.lose(network.packets[-1])
    (packet,) = connection.send(b, FRAMES[1], acknowledge=False)
    connection.reset(by=a)
    for seconds in (1, 2, 4, 8):
        network.wait(seconds * SECOND)
        connection.retransmit(packet)
        connection.reset(by=a)
    connection.send(b, FRAMES[2], acknowledge=False)
    outcome = replay(network)
    assert outcome.contents(1) == FRAMES[1:3]
    assert (outcome.sent[1].retransmitted_bytes, outcome.sent[1].late_bytes) == (4 * 120, 0)
    assert outcome.connections[0].ended_by == "rst"


@pytest.mark.parametrize("second", [(5000, 6000), (1000 + 121 + 65538, 77), (10, 20)])
def test_a_four_tuple_used_again(second: tuple[int, int]) -> None:
    """With its SYN any initial sequence number tells: also one just behind the old stream, as Linux takes it."""
    network = Network()
    a, b = two_nodes(network)
    for isn in ((1000, 2000), second):
        connection = network.connect(a, b, isn=isn, **TUPLE)
        connection.send(a, FRAMES[0] + FRAMES[1], sizes=100)
        connection.send(b, FRAMES[2])
        connection.reset(by=a)
    outcome = replay(network)
    assert [(frame.connection, frame.side, frame.position) for frame in outcome.frames] == [
        (index, side, position) for index in (0, 1) for side, position in ((0, 0), (0, 120), (1, 0))
    ]
    assert [each.ended_by for each in outcome.connections] == ["rst", "rst"]


def test_a_four_tuple_used_again_without_an_end() -> None:
    network = Network()
    a, b = two_nodes(network)
    network.connect(a, b, **TUPLE).send(a, FRAMES[0] + FRAMES[1][:50])
    network.connect(a, b, isn=(7, 7), **TUPLE).send(a, FRAMES[2])
    outcome = replay(network)
    assert [(frame.connection, frame.content, frame.state) for frame in outcome.frames] == [
        (0, FRAMES[0], "whole"),
        (0, FRAMES[1][:50], "unfinished"),
        (1, FRAMES[2], "whole"),
    ]
    assert [each.ended_by for each in outcome.connections] == ["abandoned", "open"]


def test_a_repeated_syn_begins_nothing() -> None:
    network, a, _, connection = dialled()
    connection.send(a, FRAMES[0])
    syn, answer = network.packets[:2]
    network.packets.insert(1, network.duplicate(syn))
    network.duplicate(answer)
    outcome = decode(network)
    assert len(outcome.connections) == 1
    assert outcome.contents() == FRAMES[:1]


def test_a_syn_captured_behind_the_first_data_is_theirs() -> None:
    network, a, _, connection = dialled()
    connection.send(a, FRAMES[0], sizes=60)
    network.delay(network.packets[0], behind=network.packets[4])
    outcome = replay(network)
    assert len(outcome.connections) == 1
    assert outcome.contents() == FRAMES[:1]


@pytest.mark.parametrize("isn", [(5000, 6000), (1000 + 121 + 65538, 9000), (2**31, 2**31)])
@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_four_tuple_used_again_whose_syn_was_missed(isn: tuple[int, int], end: str) -> None:
    """After an end the next data that the old connection cannot have sent is a new one's."""
    network = Network()
    a, b = two_nodes(network)
    first = network.connect(a, b, **TUPLE)
    first.send(a, b"".join(FRAMES))
    if end == "fin":
        first.close()
    else:
        first.reset(by=b)
    network.wait(3 * SECOND)
    second = network.connect(a, b, isn=isn, handshake=False, **TUPLE)
    for frame in FRAMES:
        second.send(a, frame)
        second.send(b, frame)
        network.wait(SECOND // 10)
    outcome = replay(network)
    assert [each.ended_by for each in outcome.connections] == [end, "open"]
    assert outcome.contents(0) == FRAMES + FRAMES
    assert outcome.contents(1) == FRAMES


def test_what_is_captured_late_begins_nothing() -> None:
    """A retransmission that comes seconds after both FINs belongs to the connection that was."""
    network, a, _, connection = dialled()
    packet, _ = connection.send(a, FRAMES[0], sizes=60)
    connection.close()
    network.wait(3 * SECOND)
    connection.retransmit(packet)
    connection.keepalive(a)
    outcome = replay(network)
    assert len(outcome.connections) == 1
    assert outcome.sent[0].late_bytes == 60
    assert outcome.contents() == FRAMES[:1]


def test_two_looks_at_a_connection_with_days_between() -> None:
    """Whoever captured twice an hour has gaps in which the numbers go round: nothing of it is taken for old."""
    network, a, b, connection = dialled(isn=(0, 0))
    connection.send(a, b"".join(FRAMES))
    network.wait(86_400 * SECOND)
    later = network.connect(a, b, isn=(3 << 30, 5), handshake=False, source_port=49153)
    for frame in FRAMES:
        later.send(a, frame)
        network.wait(SECOND)
    outcome = replay(network)
    assert [each.ended_by for each in outcome.connections] == ["abandoned", "open"]
    assert outcome.contents() == FRAMES + FRAMES


def test_old_data_on_a_busy_connection_is_old() -> None:
    """A stray segment with numbers far behind begins nothing: whoever forges it must not cut the stream in two."""
    network, a, _, connection = dialled(isn=(1 << 30, 0))
    for frame in FRAMES:
        connection.send(a, frame)
        connection.segment(a, -(1 << 29), b"stray")
        network.wait(SECOND)
    outcome = replay(network)
    assert outcome.contents() == FRAMES
    assert len(outcome.connections) == 1
    assert outcome.sent[0].retransmitted_bytes == 6 * 5


def test_who_is_client_without_a_handshake() -> None:
    """The server has the DLM port; where both or none have it, the lower one."""
    network = Network()
    a, b = two_nodes(network)
    for ports in ({"source_port": 50000}, {"source_port": 700, "port": PORT}, {"source_port": PORT, "port": 50001}):
        connection = network.connect(a, b, handshake=False, **ports)
        connection.send(b, FRAMES[0])
        connection.send(a, FRAMES[1])
    outcome = decode(network)
    assert [(each.client.port, each.server.port) for each in outcome.connections] == [
        (50000, PORT),
        (700, PORT),
        (50001, PORT),
    ]
    assert not any(each.handshake_seen for each in outcome.connections)


def test_a_server_alone_is_told_by_its_answer() -> None:
    """Only what the server sent was captured, twice with one 4-tuple."""
    network = Network()
    a, b = two_nodes(network)
    for isn in ((1, 2), (30000, 40000)):
        connection = network.connect(a, b, isn=isn, **TUPLE)
        connection.send(b, FRAMES[0])
        connection.reset(by=b)
    network.lose(*(packet for packet in network.packets if packet.sender == a))
    outcome = replay(network)
    assert [(frame.connection, frame.side, frame.position) for frame in outcome.frames] == [(0, 1, 0), (1, 1, 0)]
    assert all(each.directions[1].begin_seen and not each.handshake_seen for each in outcome.connections)
