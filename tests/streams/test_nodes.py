"""Who receives: learnt from frames alone, on connections of every shape."""

from pathlib import Path

from dlmtrace.craft import Network, ack, opts, request, status
from dlmtrace.pipeline import Trace
from dlmtrace.streams.nodes import UNKNOWN, NodeTable


def learnt(path: Path) -> tuple[NodeTable, list[tuple[int, int]]]:
    """The table after the capture, and (sender, receiver) of every frame as it is known then."""
    table, batches = NodeTable(), []
    for batch in Trace([str(path)]).batches():
        table.learn(batch)
        batches.append(batch)
    pairs = [
        pair
        for batch in batches
        for pair in zip(batch.header["h_nodeid"].tolist(), table.receivers(batch).tolist(), strict=True)
    ]
    return table, pairs


def test_the_other_direction_tells_the_receiver(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b)
        connection.send(a, status(sender=a))
        connection.send(b, status(sender=b))
    assert learnt(tmp_path / "a.pcap")[1] == [(1, 2), (2, 1)]


def test_where_the_other_direction_is_silent_the_address_tells(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "fd00::1"), network.node(2, "fd00::2")
        network.connect(a, b).send(a, opts(0, request(b"r", sender=a)))
        network.connect(b, a).send(b, ack(1, sender=b))
    assert learnt(tmp_path / "a.pcap")[1] == [(1, 2), (2, 1)]


def test_nothing_is_guessed_of_a_node_that_never_speaks(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        network.connect(a, b).send(a, status(sender=a))
    assert learnt(tmp_path / "a.pcap")[1] == [(1, UNKNOWN)]


def test_two_nodes_on_one_address_are_told_apart_by_the_connection(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "127.0.0.1"), network.node(2, "127.0.0.1")
        connection = network.connect(a, b)
        connection.send(a, status(sender=a))
        connection.send(b, status(sender=b))
        network.connect(b, a).send(b, status(sender=b))  # who answers there has not spoken yet
    assert learnt(tmp_path / "a.pcap")[1] == [(1, 2), (2, 1), (2, 1)]


def test_three_nodes_on_one_address_are_not_guessed_at(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b, c = (network.node(number, "127.0.0.1") for number in (1, 2, 3))
        connection = network.connect(a, b)
        connection.send(a, status(sender=a))
        connection.send(b, status(sender=b))
        network.connect(c, a).send(c, status(sender=c))
    assert learnt(tmp_path / "a.pcap")[1] == [(1, 2), (2, 1), (3, UNKNOWN)]


def test_a_few_forged_ids_do_not_rename_a_node(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        forged = network.connect(a, b)
        forged.send(a, b"".join(status(sender=a) for _ in range(5)) + status(sender=99))
        forged.close()
        network.connect(b, a).send(b, status(sender=b))
    table, pairs = learnt(tmp_path / "a.pcap")
    assert pairs[-1] == (2, 1)
    assert {number: node.frames for number, node in table.nodes.items()} == {1: 5, 99: 1, 2: 1}


def test_versions_and_addresses_are_counted_by_node(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b)
        connection.send(a, status(sender=a) + status(sender=a, h_version=0x00030001))
        connection.send(b, status(sender=b))
    table, _ = learnt(tmp_path / "a.pcap")
    assert table.nodes[1].versions == {0x00030002: 1, 0x00030001: 1}
    assert table.nodes[1].addresses == {"10.0.0.1": 2}
