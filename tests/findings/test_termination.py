"""FIN501, FIN502, FIN505, and the table of states that they rest on."""

import re

import pytest
from evidence import CAPTURE_FILES, REPOSITORY, capture_path, kernel_record

from dlmtrace.craft import Connection, ack, fin, opts, request
from dlmtrace.streams.termination import State, Termination
from findings.captured import SECOND, Lab, analysed, findings_of, only

NAME = b"resource"

# Real captures.

TROUBLE = {"rst-stall-6.12-tcp.pcap": ["FIN501"], "reboot-2node.pcap": ["FIN505"]}


@pytest.mark.parametrize("file", [file for file in CAPTURE_FILES if not file.startswith("big")])
def test_real_nodes_take_leave_of_each_other(file: str) -> None:
    found = only(findings_of(file), "FIN501", "FIN502", "FIN505")
    assert [finding.code for finding in found] == TROUBLE.get(file, [])


def test_the_stalled_node_is_never_heard_when_it_leaves() -> None:
    # Node 2 expects 15108 and drops everything behind it (MANIFEST, item 10), the FIN too.
    (finding,) = only(findings_of("rst-stall-6.12-tcp.pcap"), "FIN5")
    assert (finding.sender, finding.receiver, finding.seq_first) == (1, 2, 15576)
    assert finding.message.endswith(
        "node 1 is in LAST_ACK and waits for the ACK of its FIN; node 2 is in FIN_WAIT2 and waits for the peer's FIN"
    )


def test_the_record_of_the_rebooted_node_was_taken_away() -> None:
    log = kernel_record("reboot-2node", 1, "dmesg") or ""
    assert len(re.findall("closing connection to node 2", log)) == 1
    (finding,) = only(findings_of("reboot-2node.pcap"), "FIN5")
    assert {finding.sender, finding.receiver} == {1, 2}


def test_every_leave_is_told_as_far_as_it_came() -> None:
    leaves = {(leave.node, leave.peer): leave for leave in analysed(capture_path("rst-stall-6.12-tcp.pcap")).leaves()}
    one, two = leaves[1, 2], leaves[2, 1]
    assert (one.state, one.waits_for, one.fin, one.confirmed) == ("LAST_ACK", "the ACK of its FIN", 15576, None)
    assert (two.state, two.waits_for, two.fin) == ("FIN_WAIT2", "the peer's FIN", 15204)
    assert two.confirmed is not None


# The table.

NODE = {
    State.CLOSED: [],
    State.ESTABLISHED: [Termination.frame],
    State.FIN_WAIT1: [Termination.frame, Termination.fin_sent],
    State.FIN_WAIT2: [Termination.frame, Termination.fin_sent, Termination.fin_confirmed],
    State.CLOSING: [Termination.frame, Termination.fin_sent, Termination.fin_received],
    State.CLOSE_WAIT: [Termination.frame, Termination.fin_received],
    State.LAST_ACK: [Termination.frame, Termination.fin_received, Termination.fin_sent],
}
"""How a node comes into each state."""

EVENTS = {
    "FIN": Termination.fin_received,
    "FIN, users > 0": Termination.fin_received,
    "FIN at expected seq": None,  # to a node in CLOSED: nothing but a warning
    "another FIN": Termination.fin_received,
    "another FIN at expected seq": Termination.fin_received,
    "ACK covering own FIN": Termination.fin_confirmed,
    "remove_member makes users 0": Termination.fin_sent,  # what it does on the wire
}


def rows_of_the_page() -> list[tuple[str, str, str]]:
    """State, event and next state, from the table of the protocol page."""
    page = (REPOSITORY / "docs" / "protocol.md").read_text()
    section = page[page.index("### 6.6") : page.index("After the DLM handshake")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    return [(row[0], row[1], row[3]) for row in cells[2:]]


def test_states_change_as_the_protocol_page_says() -> None:
    checked = 0
    for states, event, after in rows_of_the_page():
        if event.startswith("local shutdown (last"):
            act = Termination.fin_sent
        elif EVENTS.get(event) is not None:
            act = EVENTS[event]
        else:
            continue
        for state in states.split(", "):
            termination = Termination()
            for step in NODE[State[state]]:
                step(termination)
            assert termination.state == State[state]
            act(termination)
            expected = re.search("[A-Z][A-Z0-9_]+", after)
            assert termination.state == State[expected[0] if expected else state]
            checked += 1
    assert checked == 11


def test_number_0_begins_anew_in_any_state() -> None:
    for steps in NODE.values():
        termination = Termination()
        for step in steps:
            step(termination)
        termination.restarted()
        assert termination.state == State.ESTABLISHED


# Crafted captures.


def talk(lab: Lab) -> Connection:
    """Both nodes have sent number 0, and both have confirmed it."""
    connection = lab.meet()
    connection.send(lab.one, opts(0, request(NAME)))
    connection.send(lab.two, ack(1, sender=2) + opts(0, request(NAME, sender=2)))
    connection.send(lab.one, ack(1))
    return connection


def go_on(lab: Lab, connection: Connection, seconds: float) -> None:
    """The capture goes on."""
    lab.network.wait(int(seconds * SECOND))
    connection.acknowledge(lab.one)
    lab.network.connect(lab.network.node(8, "10.0.0.8"), lab.network.node(9, "10.0.0.9"))


def test_two_nodes_take_leave(lab: Lab) -> None:
    connection = talk(lab)
    connection.send(lab.two, fin(1, sender=2))
    connection.send(lab.one, ack(2))
    lab.network.wait(4 * SECOND)
    connection.send(lab.one, fin(1))
    connection.send(lab.two, ack(2, sender=2))
    connection.close()
    go_on(lab, connection, 20)
    assert lab.codes("FIN") == []


def test_fins_that_cross(lab: Lab) -> None:
    connection = talk(lab)
    connection.send(lab.one, fin(1))
    connection.send(lab.two, fin(1, sender=2))
    connection.send(lab.one, ack(2))
    connection.send(lab.two, ack(2, sender=2))
    connection.close()
    go_on(lab, connection, 20)
    assert lab.codes("FIN") == []


@pytest.mark.parametrize(("seconds", "expected"), [(4.9, []), (5.1, ["FIN501"])])
def test_a_fin_is_not_confirmed_in_time(lab: Lab, seconds: float, expected: list[str]) -> None:
    connection = talk(lab)
    connection.send(lab.one, fin(1))
    connection.send(lab.two, ack(1, sender=2))  # of the frame before
    go_on(lab, connection, seconds)
    assert lab.codes("FIN") == expected


def test_a_fin_is_confirmed_too_late(lab: Lab) -> None:
    connection = talk(lab)
    connection.send(lab.one, fin(1))
    lab.network.wait(6 * SECOND)
    connection.send(lab.two, ack(2, sender=2) + fin(1, sender=2))
    connection.send(lab.one, ack(2))
    (finding,) = lab.findings("FIN")
    assert (finding.code, finding.sender, finding.seq_first) == ("FIN501", 1, 1)
    assert "node 1 is in FIN_WAIT1 and waits for the ACK of its FIN; node 2 is in ESTABLISHED" in finding.message


def test_a_fin_is_not_confirmed_before_the_last_connection_is_closed(lab: Lab) -> None:
    connection = talk(lab)
    connection.send(lab.one, fin(1))
    connection.close()
    (finding,) = lab.findings("FIN")
    assert finding.code == "FIN501"
    assert "before the last connection was closed" in finding.message


@pytest.mark.parametrize(("seconds", "expected"), [(4.9, []), (5.1, ["FIN502"])])
def test_a_fin_is_confirmed_and_none_comes_back(lab: Lab, seconds: float, expected: list[str]) -> None:
    connection = talk(lab)
    connection.send(lab.one, fin(1))
    connection.send(lab.two, ack(2, sender=2))
    connection.send(lab.two, opts(1, request(NAME, sender=2)))  # as a node in CLOSE_WAIT may
    go_on(lab, connection, seconds)
    assert lab.codes("FIN") == expected


def test_a_fin_comes_back_too_late(lab: Lab) -> None:
    connection = talk(lab)
    connection.send(lab.one, fin(1))
    connection.send(lab.two, ack(2, sender=2))
    lab.network.wait(6 * SECOND)
    connection.send(lab.two, fin(1, sender=2))
    connection.send(lab.one, ack(2))
    (finding,) = lab.findings("FIN")
    assert (finding.code, finding.sender) == ("FIN502", 1)
    assert "node 1 is in FIN_WAIT2 and waits for the peer's FIN; node 2 is in CLOSE_WAIT" in finding.message


def test_the_ack_comes_over_the_other_connection_after_a_resend(lab: Lab) -> None:
    first, second = talk(lab), lab.network.connect(lab.two, lab.one)
    first.send(lab.one, fin(1))
    first.reset(lab.two)
    third = lab.network.connect(lab.one, lab.two)
    third.send(lab.one, fin(1))
    second.send(lab.two, ack(2, sender=2) + fin(1, sender=2))
    third.send(lab.one, ack(2))
    go_on(lab, third, 20)
    assert lab.codes("FIN") == []


def test_a_node_joins_again_after_it_left(lab: Lab) -> None:
    for _ in range(3):
        connection = talk(lab)
        connection.send(lab.two, fin(1, sender=2))
        connection.send(lab.one, ack(2) + fin(1))
        connection.send(lab.two, ack(2, sender=2))
        connection.close()
        lab.network.wait(10 * SECOND)
    go_on(lab, connection, 20)
    assert lab.codes("FIN") == []


@pytest.mark.parametrize(
    ("quiet", "expected"),
    [
        (1, []),  # a new connection, which may have been on its way
        (3, ["FIN505"]),
    ],
)
def test_the_last_connection_is_closed_without_fin(lab: Lab, quiet: int, expected: list[str]) -> None:
    talk(lab).close()
    lab.network.wait(quiet * SECOND)
    connection = lab.network.connect(lab.one, lab.two)
    connection.send(lab.one, opts(1, request(NAME)))
    assert lab.codes("FIN") == expected


def test_a_reset_is_no_orderly_close(lab: Lab) -> None:
    connection = talk(lab)
    connection.reset(lab.two)
    go_on(lab, connection, 20)
    assert lab.codes("FIN") == []


def test_another_connection_stays_open(lab: Lab) -> None:
    connection = talk(lab)
    lab.network.connect(lab.two, lab.one)
    connection.close()
    go_on(lab, connection, 20)
    assert lab.codes("FIN") == []


def test_nodes_that_number_nothing_have_no_fin(lab: Lab) -> None:
    connection = lab.meet(h_version=0x00030001)
    connection.send(lab.one, request(NAME, h_version=0x00030001))
    connection.close()
    go_on(lab, connection, 20)
    assert lab.codes("FIN") == []


@pytest.mark.parametrize("lost", ["ack", "both"])
def test_what_the_capture_lost_is_not_held_against_the_peer(lab: Lab, lost: str) -> None:
    connection = talk(lab)
    connection.send(lab.one, fin(1))
    answer = connection.send(lab.two, ack(2, sender=2))
    if lost == "both":
        answer += connection.send(lab.two, fin(1, sender=2))
    connection.send(lab.one, ack(2))
    go_on(lab, connection, 20)
    lab.network.lose(*answer)
    assert lab.codes("FIN") == []


def test_a_fin_exchange_that_the_capture_lost(lab: Lab) -> None:
    connection = talk(lab)
    lost = connection.send(lab.one, fin(1))
    lost += connection.send(lab.two, ack(2, sender=2) + fin(1, sender=2))
    lost += connection.send(lab.one, ack(2))
    connection.close()
    go_on(lab, connection, 20)
    lab.network.lose(*lost)
    assert lab.codes("FIN") == []


def test_only_one_direction_was_captured(lab: Lab) -> None:
    connection = talk(lab)
    connection.send(lab.one, fin(1))
    go_on(lab, connection, 20)
    lab.network.packets[:] = [packet for packet in lab.network.packets if packet.sender != lab.two]
    assert lab.codes("FIN") == []
