"""VER: who speaks which version of the protocol to whom."""

import pytest
from evidence import CAPTURE_FILES

from dlmtrace.craft import Connection, ack, fin, message, opts, recovery, request, status, status_reply
from dlmtrace.wire.enums import MessageType, RecoveryType
from findings.captured import SECOND, Lab, findings_of, numbered, only
from findings.test_frames import FORGED, during

OLD, NEW = 0x00030001, 0x00030002
NAME = b"resource"

# Real captures.


@pytest.mark.parametrize(
    "file", [file for file in CAPTURE_FILES if not file.startswith(("forged", "mixed-3.1", "big"))]
)
def test_real_pairs_speak_one_version_from_their_first_frame_on(file: str) -> None:
    assert only(findings_of(file), "VER") == []


@pytest.mark.parametrize("file", ["mixed-3.1-3.2.pcap", "mixed-3.1-6.12.pcap"])
def test_bare_messages_labelled_3_2_are_right_towards_a_3_1_peer(file: str) -> None:
    (finding,) = only(findings_of(file), "VER")
    assert finding.code == "VER605"
    assert "node 1 speaks 3.1 and node 2 speaks 3.2" in finding.message


@pytest.mark.parametrize(
    ("shot", "expected"),
    [
        # what node 1's kernel said: "unsupported h_cmd received: 1", and for the second "version mismatch detected"
        ("bare MSG GRANT (3.2 header, no OPTS)", [("VER602", "bare MSG GRANT between two nodes that speak 3.2")]),
        ("bare MSG with a 3.1 header", [("VER601", "h_version 3.1 from a node that spoke 3.2 before")]),
        ("wrong nodeid 7 in the header", [("VER602", "bare MSG UNLOCK between two nodes that speak 3.2")]),
        ("version 4.0", []),
        ("garbage", []),
    ],
)
def test_forged_frames(shot: str, expected: list[tuple[str, str]]) -> None:
    found = during(shot, only(findings_of(FORGED), "VER"))
    assert [(finding.code, finding.message) for finding in found] == expected


# Crafted ones.


def converse(lab: Lab, one: int, two: int) -> Connection:
    """The two nodes introduce themselves, each with its version."""
    connection = lab.network.connect(lab.one, lab.two)
    connection.send(lab.one, status(sender=1, h_version=one))
    connection.send(lab.two, status_reply(sender=2, h_version=two))
    return connection


def test_a_version_changes_on_a_running_connection(lab: Lab) -> None:
    connection = converse(lab, NEW, NEW)
    connection.send(lab.one, opts(0, request(NAME)))
    connection.send(lab.two, status(sender=2))
    assert lab.codes("VER") == []
    connection.send(lab.one, status(h_version=OLD))
    (finding,) = lab.findings("VER")
    assert (finding.code, finding.sender, finding.receiver, finding.count) == ("VER601", 1, 2, 1)


def test_a_node_that_comes_back_with_another_kernel_is_answered(lab: Lab) -> None:
    converse(lab, OLD, NEW).reset(lab.two)
    lab.network.wait(20 * SECOND)
    connection = lab.network.connect(lab.one, lab.two)
    connection.send(lab.one, status(h_version=NEW))
    connection.send(lab.two, status_reply(sender=2))
    connection.send(lab.one, opts(0, request(NAME)))
    lab.network.wait(20 * SECOND)
    connection.send(lab.two, ack(1, sender=2))
    assert lab.codes("VER") == ["VER605"]


def test_a_node_that_comes_back_with_another_kernel_is_not_heard(lab: Lab) -> None:
    converse(lab, OLD, OLD).reset(lab.two)
    lab.network.wait(20 * SECOND)
    connection = lab.network.connect(lab.one, lab.two)
    for _ in range(3):
        connection.send(lab.one, status(h_version=NEW))
        lab.network.wait(2 * SECOND)
    assert lab.codes("VER") == []  # not yet: an answer may come
    connection.send(lab.one, status(h_version=NEW))
    (finding,) = lab.findings("VER")
    assert (finding.code, finding.count, finding.connection) == ("VER601", 4, "c2")


def test_messages_between_two_nodes_that_speak_3_2_are_numbered(lab: Lab) -> None:
    connection = converse(lab, NEW, NEW)
    for kind in (RecoveryType.STATUS, RecoveryType.STATUS_REPLY, RecoveryType.NAMES):
        connection.send(lab.one, recovery(kind, bytes(80) if kind == RecoveryType.STATUS_REPLY else b""))
    connection.send(lab.one, opts(0, request(NAME)) + opts(1, recovery(RecoveryType.LOOKUP, NAME)))
    assert lab.codes("VER") == []
    connection.send(lab.one, request(NAME))
    connection.send(lab.one, recovery(RecoveryType.LOOKUP, NAME))
    connection.send(lab.one, fin(2)[24:])
    assert lab.texts("VER") == [
        ("VER602", "bare MSG REQUEST between two nodes that speak 3.2"),
        ("VER602", "bare RCOM LOOKUP between two nodes that speak 3.2"),
        ("VER602", "bare FIN between two nodes that speak 3.2"),
    ]


@pytest.mark.parametrize(("peer", "expected"), [(NEW, ["VER602"]), (OLD, ["VER605"])])
def test_bare_messages_are_judged_when_the_peer_is_heard(lab: Lab, peer: int, expected: list[str]) -> None:
    connection = lab.network.connect(lab.one, lab.two)
    for _ in range(100):
        connection.send(lab.one, request(NAME))
    assert lab.codes("VER") == []
    connection.send(lab.two, status_reply(sender=2, h_version=peer))
    assert lab.codes("VER") == expected
    assert lab.findings("VER")[0].count in (1, 100)


def test_mixed_versions_are_told_once_for_a_pair(lab: Lab) -> None:
    for _ in range(3):
        connection = converse(lab, NEW, OLD)
        connection.send(lab.one, request(NAME))
        connection.reset(lab.two)
    (finding,) = lab.findings("VER")
    assert (finding.code, finding.count) == ("VER605", 1)
    assert "node 2 speaks 3.1 and node 1 speaks 3.2" in finding.message


@pytest.mark.parametrize(
    "first",
    [
        opts(0, request(NAME)),
        opts(0, recovery(RecoveryType.LOOKUP, NAME)),
        message(MessageType.PURGE) + opts(0, request(NAME)),
    ],
)
def test_a_fresh_pair_introduces_itself(lab: Lab, first: bytes) -> None:
    connection = lab.network.connect(lab.one, lab.two)
    connection.send(lab.one, first)
    connection.send(lab.two, ack(1, sender=2))
    found = lab.findings("VER603")
    assert [finding.code for finding in found] == ["VER603"]
    assert numbered(found[0]) == 4  # behind SYN, SYN ACK, ACK


@pytest.mark.parametrize(
    "first",
    [
        opts(0, recovery(RecoveryType.NAMES)),  # as 6.6 and later may send it
        status(),
        opts(500, request(NAME)),  # an old pair, whose other connections were not captured
        ack(500),
        request(NAME),  # a pair without numbers: fresh or old, nobody knows
    ],
)
def test_other_beginnings_are_no_finding(lab: Lab, first: bytes) -> None:
    connection = lab.network.connect(lab.one, lab.two)
    connection.send(lab.one, first)
    connection.send(lab.two, status_reply(sender=2))
    assert lab.codes("VER603") == []


def test_a_capture_that_begins_late_has_no_first_frame(lab: Lab) -> None:
    connection = lab.network.connect(lab.one, lab.two, handshake=False)
    connection.send(lab.one, opts(0, request(NAME)))
    connection.send(lab.two, ack(1, sender=2))
    assert lab.codes("VER") == []


def test_numbers_before_the_peer_spoke(lab: Lab) -> None:
    connection = lab.network.connect(lab.one, lab.two)
    connection.send(lab.one, status())
    sent = connection.send(lab.one, opts(0, request(NAME)))
    connection.send(lab.two, status_reply(sender=2))
    (finding,) = lab.findings("VER")
    assert finding.code == "VER604"
    assert finding.time == sent[0].time


def test_the_peer_may_speak_on_its_own_connection(lab: Lab) -> None:
    mine, other = lab.network.connect(lab.one, lab.two), lab.network.connect(lab.two, lab.one)
    mine.send(lab.one, status())
    other.send(lab.two, status_reply(sender=2))
    mine.send(lab.one, opts(0, request(NAME)))
    assert lab.codes("VER") == []
