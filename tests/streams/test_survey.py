"""What a capture holds: kinds that no kernel sends count too, and nothing grows without bound."""

from pathlib import Path

import pytest

from dlmtrace.craft import Network, ack, message, opts, recovery, request, status
from dlmtrace.pipeline import Trace
from dlmtrace.streams import survey as surveying
from dlmtrace.streams.survey import Kind, Survey
from dlmtrace.wire.names import lockspace_id


def surveyed(path: Path) -> Survey:
    survey = Survey()
    for batch in Trace([str(path)]).batches():
        survey.add(batch)
    return survey


def test_kinds_of_any_number(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        frames = [opts(0, request(b"r")), opts(1, request(b"s")), ack(1), status(), message(99, b""), recovery(2**31)]
        network.connect(a, b).send(a, b"".join(frames))
    kinds = surveyed(tmp_path / "a.pcap").kinds
    assert kinds == {
        Kind(3, 1, 1): 2,
        Kind(4, 4, 0): 1,
        Kind(2, 2, 1): 1,
        Kind(1, 1, 99): 1,
        Kind(2, 2, 2**31): 1,
    }


def test_lockspaces_versions_and_states(tmp_path: Path) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b)
        connection.send(a, status(lockspace="one") + status(lockspace="two") + opts(0, request(b"r", lockspace="two")))
        connection.send(b, status(lockspace="one", sender=b, h_version=0x00030001) + ack(1, sender=b))
        connection.send(a, opts(1, request(b"unfinished"))[:50])
        connection.close()
    survey = surveyed(tmp_path / "a.pcap")
    assert survey.lockspaces == {lockspace_id("one"): 2, lockspace_id("two"): 2, lockspace_id("test"): 1}
    assert survey.versions == {0x00030002: 5, 0x00030001: 1}
    assert survey.states == {0: 5, 3: 1}
    assert survey.frames == 6


def test_connections_beyond_the_listed_ones_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "LISTED", 2)
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        for _ in range(5):
            connection = network.connect(a, b)
            connection.send(a, status() + status())
            connection.send(b, status(sender=b))
            connection.close()
    survey = surveyed(tmp_path / "a.pcap")
    assert [connection.name for connection in survey.connections] == ["c1", "c2"]
    assert survey.more_connections == 3
    assert survey.frames_by_end.tolist() == [2, 1, 2, 1]
    assert survey.frames == 15
