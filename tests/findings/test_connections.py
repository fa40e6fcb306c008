"""CON406, CON407: connections that come and go too fast, and connections that end inside a frame."""

import re

import pytest
from evidence import CAPTURE_FILES, kernel_record, scenario_of

from dlmtrace.craft import ack, opts, request, status
from findings.captured import SECOND, Lab, findings_of, only

NAME = b"resource"
REFUSED = {"forged-3.2-tcp.pcap": 1, "reboot-2node.pcap": 1}
"""Captures in which a node's kernel closed a connection that it had accepted from an address of no configured node."""

# Real captures.


@pytest.mark.parametrize("file", [file for file in CAPTURE_FILES if not file.startswith("big")])
def test_real_connections_flap_where_a_kernel_refused_them_and_nowhere_else(file: str) -> None:
    node = REFUSED.get(file)
    found = only(findings_of(file), "CON406", "CON407")
    assert [(finding.code, finding.sender) for finding in found] == ([("CON406", node)] if node else [])
    for each in (1, 2):
        log = kernel_record(scenario_of(file), each, "dmesg") or ""
        refused = re.findall("connect from non cluster IPv4 node", log)
        assert len(refused) == (each == node)


# Crafted ones.


def connect(lab: Lab, times: int, every: int) -> None:
    for _ in range(times):
        connection = lab.meet()
        connection.send(lab.two, ack(0, sender=2))
        connection.close()
        lab.network.wait(every)


def test_three_connections_within_a_second(lab: Lab) -> None:
    connect(lab, 3, SECOND // 3)
    (finding,) = lab.findings("CON406")
    assert (finding.count, finding.connection, finding.message) == (3, "c1", "3 connections within 1 s")


def test_two_connections_at_once_and_more_later_are_normal(lab: Lab) -> None:
    for _ in range(5):
        connect(lab, 2, 0)
        lab.network.wait(2 * SECOND)
    assert lab.codes("CON406") == []


def test_three_nodes_that_meet_at_once(lab: Lab) -> None:
    three = lab.network.node(3, "10.0.0.3")
    for client, server in ((lab.one, lab.two), (lab.two, lab.one), (lab.one, three), (three, lab.two)):
        lab.meet(client, server)
    assert lab.codes("CON406") == []


def test_a_burst_is_one_finding_and_the_next_one_another(lab: Lab) -> None:
    connect(lab, 10, SECOND // 3)
    lab.network.wait(5 * SECOND)
    connect(lab, 4, SECOND // 3)
    assert [finding.count for finding in lab.findings("CON406")] == [10, 4]


@pytest.mark.parametrize(("wait", "expected"), [(SECOND // 2, ["CON406"]), (2 * SECOND, [])])
def test_an_accepted_connection_is_reset(lab: Lab, wait: int, expected: list[str]) -> None:
    connection = lab.network.connect(lab.one, lab.two)
    connection.send(lab.one, status())
    lab.network.wait(wait)
    connection.reset(lab.two)
    assert lab.codes("CON406") == expected


def test_a_reset_by_the_client_or_after_an_answer_says_something_else(lab: Lab) -> None:
    lab.network.connect(lab.one, lab.two).reset(lab.one)
    lab.network.wait(3 * SECOND)
    lab.meet().reset(lab.two)
    assert lab.codes("CON406") == []


def test_a_connection_that_nobody_accepts_is_refused_and_not_reset(lab: Lab) -> None:
    connection = lab.network.connect(lab.one, lab.two)
    lab.network.packets[:] = lab.network.packets[:1]  # SYN
    connection.reset(lab.two)
    assert lab.codes("CON406") == []


def broken(lab: Lab, size: int, *, over: str = "rst", frame: bytes = opts(1, request(NAME))) -> None:
    """A connection that ends ``size`` bytes into a frame."""
    connection = lab.meet()
    connection.send(lab.one, opts(0, request(NAME)))
    connection.send(lab.one, frame[:size])
    if over == "rst":
        connection.reset(lab.two)
    elif over == "fin":
        connection.close()
    lab.network.wait(2 * SECOND)


@pytest.mark.parametrize("over", ["rst", "fin"])
@pytest.mark.parametrize(("size", "text"), [(100, "100 bytes into a frame of 120"), (15, "15 bytes into a frame")])
def test_a_connection_ends_inside_a_frame(lab: Lab, size: int, text: str, over: str) -> None:
    broken(lab, size, over=over)
    (finding,) = lab.findings("CON407")
    assert (finding.connection, finding.sender, finding.receiver) == ("c1", 1, 2)
    assert finding.message == f"the connection ended {text}, and the frame was not sent again"


@pytest.mark.parametrize("size", [100, 15])
@pytest.mark.parametrize(("numbers", "expected"), [((1, 2), []), ((2, 3), ["CON407"])])
def test_the_frame_is_sent_again_or_is_not(lab: Lab, size: int, numbers: tuple[int, ...], expected: list[str]) -> None:
    broken(lab, size)
    connection = lab.network.connect(lab.one, lab.two)
    for number in numbers:
        connection.send(lab.one, opts(number, request(NAME)))
    assert lab.codes("CON407") == expected


@pytest.mark.parametrize("size", [100, 15])
def test_the_end_of_the_capture_is_no_end_of_the_connection(lab: Lab, size: int) -> None:
    broken(lab, size, over="")
    assert lab.codes("CON407") == []


def test_a_whole_frame_at_the_end(lab: Lab) -> None:
    broken(lab, 120)
    assert lab.codes("CON407") == []


def test_a_bare_message_never_comes_again(lab: Lab) -> None:
    broken(lab, 50, frame=request(NAME, h_version=0x00030001))
    broken(lab, 50, frame=status())  # but this is asked again
    (finding,) = lab.findings("CON407")
    assert finding.connection == "c1"


def test_bytes_that_are_no_frame(lab: Lab) -> None:
    broken(lab, 15, frame=b"what is this?!?")
    assert lab.codes("CON407") == []


def test_a_frame_whose_end_is_missing_from_the_capture(lab: Lab) -> None:
    connection = lab.meet()
    frame = opts(0, request(NAME))
    connection.send(lab.one, frame[:100], acknowledge=False)
    lost = connection.send(lab.one, frame[100:])
    connection.reset(lab.two)
    lab.network.lose(*lost)
    assert lab.codes("CON407") == []
