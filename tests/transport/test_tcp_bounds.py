"""Nothing that a capture holds makes the transport slow, large or wrong: floods, collisions, forged numbers, noise."""

import random

import numpy as np
import pytest
from exchanges import batches_of, decode, dialled, numbered, replay, two_nodes

from dlmtrace.capture.dissect import Dissector
from dlmtrace.craft import Network
from dlmtrace.pipeline import PORT
from dlmtrace.transport import direction, flows, tcp
from dlmtrace.transport.tcp import TcpTransport

FRAMES = numbered(6)
SECOND = 1_000_000_000


def test_many_short_connections_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a batch of its own: what the transport keeps does not grow beyond its limit, and none is lost."""
    monkeypatch.setattr(tcp, "CONNECTION_LIMIT", 32)
    transport = TcpTransport(frozenset({PORT}), iter(range(10**6)))
    dissector = Dissector(frozenset({PORT}))
    network = Network()
    a, b = two_nodes(network)
    opened = ended = delivered = 0
    for number in range(500):
        network.packets.clear()
        connection = network.connect(a, b)
        connection.send(a, FRAMES[0])
        if number % 2:
            connection.reset(by=a)
        network.wait(SECOND)
        for batch in batches_of(network, (), {}):
            (pieces,) = transport.feed(batch, dissector.feed(batch).tcp)
            opened += sum(event.kind == "open" for event in pieces.events)
            ended += sum(event.kind == "end" for event in pieces.events)
            delivered += int(pieces.length.sum())
        table = transport._table
        assert len(table.slots) <= 33
        assert set(table.reset.values()) <= table.slots.keys()
        assert len(table.flows._numbers) <= 2 * 33
        assert len(table._current) <= 256
    pieces = transport.finish()
    ended += sum(event.kind == "end" for event in pieces.events)
    assert (opened, ended, delivered) == (500, 500, 500 * 120)


def test_a_forgotten_connection_that_goes_on_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "CONNECTION_LIMIT", 2)
    network = Network()
    a, b = two_nodes(network)
    connections = [network.connect(a, b) for _ in range(4)]
    for connection in connections:
        connection.send(a, FRAMES[0])
    for connection in connections:
        connection.send(a, FRAMES[1] + FRAMES[2])
    outcome = decode(network, [1] * len(network.packets))
    assert sorted(outcome.contents()) == sorted(4 * FRAMES[:3])
    assert len(outcome.connections) > 4
    assert sum(each.ended_by == "abandoned" for each in outcome.connections) == len(outcome.connections) - 2


def test_flows_whose_mixes_collide_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "_FACTORS", (np.uint64(0),) * 6)
    network = Network()
    a, b = two_nodes(network)
    connections = [network.connect(a, b) for _ in range(9)]
    for connection in connections:
        for frame in FRAMES:
            connection.send(a, frame)
            connection.send(b, frame)
    outcome = replay(network)
    assert len(outcome.connections) == 9
    for index in range(9):
        for side in (0, 1):
            mine = [frame.content for frame in outcome.frames if (frame.connection, frame.side) == (index, side)]
            assert mine == FRAMES


def test_a_stalled_direction_keeps_its_own_bytes_only() -> None:
    """It waits behind a gap while others go on: their batches are not kept for it."""
    network = Network()
    a, b = two_nodes(network)
    stalled, busy = network.connect(a, b), network.connect(a, b)
    stalled.segment(a, 5000, FRAMES[0])
    transport, dissector = TcpTransport(frozenset({PORT}), iter(range(9))), Dissector(frozenset({PORT}))
    for number in range(40):
        busy.send(a, bytes(40_000))
        stalled.segment(a, 5120 + 120 * number, FRAMES[1])
    for batch in batches_of(network, [28] * 100, {}):
        transport.feed(batch, dissector.feed(batch).tcp)
        assert sum(len(buffer) for buffer in transport._buffers.values()) < 120 * 41 + 1000


def test_all_directions_together_wait_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direction, "WAITING_IN_ALL", 3000)
    network = Network()
    a, b = two_nodes(network)
    connections = [network.connect(a, b) for _ in range(9)]
    for place in range(4):
        for connection in connections:
            connection.segment(a, 500 + 120 * place, FRAMES[place])
    sizes = [1] * len(network.packets)
    transport, dissector = TcpTransport(frozenset({PORT}), iter(range(9))), Dissector(frozenset({PORT}))
    most = 0
    for batch in batches_of(network, sizes, {}):
        transport.feed(batch, dissector.feed(batch).tcp)
        receivers = [receiver for each in transport._table.slots.values() for receiver in each.receivers]
        most = max(most, sum(int(receiver.waiting.length.sum()) for receiver in receivers))
    assert 3000 - 120 <= most <= 3000
    assert len(decode(network, sizes).contents()) == 36


def test_a_flood_of_overlapping_segments() -> None:
    network, a, _, connection = dialled()
    stream = b"".join(numbered(200))
    chance = random.Random(1)
    for _ in range(20_000):
        start = chance.randrange(len(stream))
        connection.segment(a, start, stream[start : start + chance.randrange(1, 60)])
    connection.segment(a, 0, stream)
    outcome = decode(network)
    assert outcome.contents() == numbered(200)
    assert outcome.sent[0].conflicting_bytes == 0
    assert outcome.sent[0].bytes == len(stream)


def test_a_flood_of_large_segments_over_many_small_ones() -> None:
    network, a, _, connection = dialled()
    for place in range(0, 40_000, 2):
        connection.segment(a, place, b"x")
    for _ in range(20):
        connection.segment(a, 0, bytes(40_000))
    outcome = decode(network)
    assert outcome.sent[0].bytes == 40_000
    assert outcome.sent[0].conflicting_bytes == 20 * 20_000


def test_a_flood_of_gaps() -> None:
    """Every second byte of 40,000 never comes."""
    network, a, _, connection = dialled()
    for place in range(0, 40_000, 2):
        connection.segment(a, place + 1, b"x")
    outcome = decode(network)
    assert (outcome.sent[0].bytes, outcome.sent[0].holes) == (20_000, 20_000)


def test_a_flood_of_dials_on_one_four_tuple() -> None:
    network = Network()
    a, b = two_nodes(network)
    connection = network.connect(a, b, handshake=False, source_port=40000)
    for number in range(20_000):
        connection._sides[0].isn = 1000 * number
        connection._segment(connection._sides[0], -1, b"", 0x02)
    connection.send(a, FRAMES[0])
    outcome = decode(network)
    assert len(outcome.connections) == 20_000
    assert [frame.connection for frame in outcome.frames] == [19_999]


def test_a_flood_of_forged_resets() -> None:
    network, a, b, connection = dialled()
    for number in range(3000):
        connection.segment(a, 120 * number, numbered(1, number)[0])
        connection.reset(by=b)
        connection.acknowledge(b)
        network.wait(SECOND // 50)
    outcome = decode(network)
    assert len(outcome.contents()) == 3000
    assert len(outcome.connections) == 1


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_no_reason_to_stop(seed: int) -> None:
    """Segments with random flags, numbers, sizes and bytes between two nodes that also talk to each other."""
    chance = random.Random(seed)
    network, a, _, connection = dialled()
    for number in range(600):
        connection.send(a, numbered(1, number)[0])
        noise = connection._segment(
            chance.choice(connection._sides),
            chance.choice([0, 120 * number, chance.randrange(-(2**31), 2**31)]),
            chance.randbytes(chance.randrange(200)),
            chance.randrange(64),
        )
        noise.data = noise.data[:38] + chance.randbytes(8) + noise.data[46:] if chance.random() < 0.3 else noise.data
        network.wait(chance.choice([0, 0, SECOND // 10, 3 * SECOND]))
    for sizes in ([], [1] * len(network.packets), [7] * len(network.packets)):
        outcome = decode(network, sizes)
        delivered = sum(direction.bytes for each in outcome.connections for direction in each.directions)
        assert delivered == outcome.bytes_told
