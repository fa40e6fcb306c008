"""The termination handshake, row by row of the table in the protocol page §6.6, and the resets of §6.5."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dlmtrace.simulate.dialects import DIALECTS, SECOND
from dlmtrace.simulate.endpoint import Endpoint
from dlmtrace.simulate.events import Ignored, RecordReset, ShutdownFinished, StateChanged, Warned
from dlmtrace.streams.termination import State
from simulate.engines import ack, established, fin, message, opts, output, status

PROTOCOL_PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
MERGED = [name for name in DIALECTS if name not in ("3.1", "v3")]
UP_TO_6_2 = ["5.14", "5.15", "6.2"]
FROM_6_3 = ["6.1.y", "6.3", "6.5", "6.6", "6.7"]


def fin_wait1(dialect: str) -> Endpoint:
    node = established(dialect)
    node.member_removed(0)
    node.shutdown(0)
    node.take_output()
    return node


def fin_wait2(dialect: str) -> Endpoint:
    node = fin_wait1(dialect)
    node.receive(ack(1), 0)
    return node


def closing(dialect: str) -> Endpoint:
    node = fin_wait1(dialect)
    node.receive(fin(0), 0)
    node.take_output()
    return node


def close_wait(dialect: str) -> Endpoint:
    node = established(dialect)
    node.receive(fin(0), 0)
    node.take_output()
    return node


def last_ack(dialect: str) -> Endpoint:
    node = close_wait(dialect)
    node.member_removed(0)
    node.take_output()
    return node


def closed(dialect: str) -> Endpoint:
    """The peer left and came to the end of its handshake."""
    node = last_ack(dialect)
    node.receive(ack(1), 0)
    return node


def established_unused(dialect: str) -> Endpoint:
    node = established(dialect)
    node.member_removed(0)
    return node


IN_STATE: dict[State, Callable[[str], Endpoint]] = {
    State.CLOSED: closed,
    State.ESTABLISHED: established,
    State.FIN_WAIT1: fin_wait1,
    State.FIN_WAIT2: fin_wait2,
    State.CLOSE_WAIT: close_wait,
    State.LAST_ACK: last_ack,
    State.CLOSING: closing,
}


@pytest.mark.parametrize("dialect", MERGED)
@pytest.mark.parametrize("state", IN_STATE)
def test_the_ways_into_each_state(state: State, dialect: str) -> None:
    assert IN_STATE[state](dialect).state is state


@dataclass(frozen=True)
class Row:
    """A row of the page's table: its first two cells, then what must come of it."""

    state: str
    event: str
    enter: Callable[[str], Endpoint]
    happens: Callable[[Endpoint], object]
    sends: list[str]
    after: State
    resets: bool = False
    warns: bool = False
    dialects: tuple[str, ...] = tuple(MERGED)


def receives_fin(node: Endpoint) -> object:
    """The peer's (next) FIN comes in its turn."""
    return node.receive(fin(node.expected), 0)


def own_fin_acknowledged(node: Endpoint) -> object:
    return node.receive(ack(1), 0)


def add_member(node: Endpoint) -> object:
    return node.member_added()


def wait_expires(node: Endpoint) -> object:
    if node.next_timeout() is None:
        node.shutdown(0)
        node.take_output()
    due = node.next_timeout()
    if due is None:
        return None
    assert due == node.dialect.shutdown_timeout
    return node.timeout(due)


FIN_WARNED = "FIN at expected seq"
ROWS = [
    Row("CLOSED", "add_member (users 0→1)", closed, add_member, [], State.ESTABLISHED),
    Row("CLOSED", FIN_WARNED, closed, receives_fin, ["ACK 1"], State.CLOSED, warns=True, dialects=tuple(UP_TO_6_2)),
    # from 6.6 on the FIN itself would establish: no peer is CLOSED with a known version
    Row("CLOSED", FIN_WARNED, closed, receives_fin, [], State.CLOSED, warns=True, dialects=("6.1.y", "6.3", "6.5")),
    Row("ESTABLISHED", "local shutdown", established, lambda n: n.shutdown(0), ["FIN 0"], State.FIN_WAIT1),
    Row("ESTABLISHED", "FIN, users > 0", established, receives_fin, ["ACK 1"], State.CLOSE_WAIT),
    Row("ESTABLISHED", "FIN, users = 0", established_unused, receives_fin, ["ACK 1", "FIN 0"], State.LAST_ACK),
    Row("FIN_WAIT1", "ACK covering own FIN", fin_wait1, own_fin_acknowledged, [], State.FIN_WAIT2),
    Row("FIN_WAIT1", "FIN", fin_wait1, receives_fin, ["ACK 1"], State.CLOSING),
    Row("FIN_WAIT2", "FIN", fin_wait2, receives_fin, ["ACK 1"], State.CLOSED, resets=True),
    Row("CLOSING", "ACK covering own FIN", closing, own_fin_acknowledged, [], State.CLOSED, resets=True),
    Row(
        "CLOSE_WAIT",
        "remove_member makes users 0",
        close_wait,
        lambda n: n.member_removed(0),
        ["FIN 0"],
        State.LAST_ACK,
    ),
    Row("CLOSE_WAIT", "local shutdown", close_wait, lambda n: n.shutdown(0), [], State.CLOSE_WAIT),
    Row("LAST_ACK", "ACK covering own FIN", last_ack, own_fin_acknowledged, [], State.CLOSED, resets=True),
    Row("LAST_ACK", "another FIN", last_ack, receives_fin, ["ACK 2"], State.LAST_ACK, dialects=tuple(UP_TO_6_2)),
    Row("LAST_ACK", "another FIN", last_ack, receives_fin, [], State.LAST_ACK, dialects=tuple(FROM_6_3)),
    *(
        Row("CLOSE_WAIT, CLOSING", "another FIN at expected seq", enter, receives_fin, sends, after, False, True, names)
        for enter, after in ((close_wait, State.CLOSE_WAIT), (closing, State.CLOSING))
        for sends, names in ((["ACK 2"], tuple(UP_TO_6_2)), ([], tuple(FROM_6_3)))
    ),
    *(
        Row("any", "shutdown wait expires", IN_STATE[state], wait_expires, [], State.CLOSED, resets=True)
        for state in IN_STATE
        if state not in (State.CLOSED, State.LAST_ACK)
    ),
    *(
        Row("any", "midcomms_close", enter, lambda n: n.comm_removed(), [], State.CLOSED, resets=True)
        for enter in IN_STATE.values()
    ),
    *(
        Row("not EST/CLOSED", "add_member with users 0", enter, add_member, [], State.ESTABLISHED, resets=True)
        for enter in (fin_wait1, fin_wait2, last_ack, closing)
    ),
]


@pytest.mark.parametrize(
    ("row", "dialect"),
    [(row, dialect) for row in ROWS for dialect in row.dialects],
    ids=lambda value: f"{value.state}, {value.event}" if isinstance(value, Row) else None,
)
def test_a_row_of_the_table(row: Row, dialect: str) -> None:
    node = row.enter(dialect)
    life = node.incarnation
    row.happens(node)
    assert output(node) == row.sends
    assert node.state is row.after
    assert (node.incarnation > life) is row.resets
    if row.resets:
        assert (node.expected, node.unconfirmed, node.version) == (0, (), None)


@pytest.mark.parametrize("row", [row for row in ROWS if row.warns], ids=lambda row: f"{row.state}, {row.event}")
def test_the_rows_where_the_kernel_warns(row: Row) -> None:
    for dialect in row.dialects:
        events = row.happens(row.enter(dialect))
        assert isinstance(events, list)
        assert any(isinstance(event, Warned) for event in events)


def test_every_row_of_the_page_is_tested() -> None:
    section = PROTOCOL_PAGE.read_text().split("### 6.6 ")[1].split("\n---")[0]
    page = re.findall(r"^\| (\S.*?) \| (.*?) \|", section, re.MULTILINE)[1:]
    rows = [(state, event) for state, event in page if not state.startswith("--")]
    for state, event in rows:
        assert any(row.state == state and event.startswith(row.event) for row in ROWS), (state, event)
    assert len(rows) == len({(row.state, row.event) for row in ROWS})


@pytest.mark.parametrize("dialect", MERGED)
def test_a_whole_leave_between_two_endpoints(dialect: str) -> None:
    leaver, peer = established(dialect), Endpoint(2, 1, DIALECTS[dialect])
    peer.member_added()
    peer.receive(status(node=1), 0)
    leaver.member_removed(0)
    leaver.shutdown(0)
    said: list[tuple[str, list[str]]] = []

    def pass_on(name: str, sender: Endpoint, receiver: Endpoint) -> None:
        outgoing = sender.take_output()
        sender._output = list(outgoing)
        said.append((name, output(sender)))
        for frame in outgoing:
            receiver.receive(frame.frame, 0)
        receiver.receive_run_ended()

    pass_on("leaver", leaver, peer)
    pass_on("peer", peer, leaver)
    peer.member_removed(0)  # the cluster manager of the peer noticed
    pass_on("peer", peer, leaver)
    pass_on("leaver", leaver, peer)
    assert said == [("leaver", ["FIN 0"]), ("peer", ["ACK 1"]), ("peer", ["FIN 0"]), ("leaver", ["ACK 1"])]
    assert leaver.state is peer.state is State.CLOSED


@pytest.mark.parametrize("dialect", MERGED)
def test_a_finished_shutdown_is_reported_once(dialect: str) -> None:
    node = fin_wait2(dialect)
    events = node.receive(fin(0), 0)
    assert events[-1] == ShutdownFinished(timed_out=False)
    assert node.next_timeout() is None


@pytest.mark.parametrize("dialect", MERGED)
def test_a_shutdown_that_finds_the_peer_gone_finishes_at_once(dialect: str) -> None:
    node = last_ack(dialect)
    own_fin_acknowledged(node)
    assert node.shutdown(0)[-1] == ShutdownFinished(timed_out=False)


@pytest.mark.parametrize(("dialect", "seconds"), [("5.14", 180), ("6.1.y", 180), ("6.2", 180), ("6.3", 5), ("6.7", 5)])
def test_how_long_a_shutdown_waits(dialect: str, seconds: int) -> None:
    node = fin_wait1(dialect)
    assert node.next_timeout() == seconds * SECOND
    events = node.timeout(seconds * SECOND)
    assert events == [
        RecordReset((0,)),
        StateChanged(State.FIN_WAIT1, State.CLOSED),
        ShutdownFinished(timed_out=True),
    ]


@pytest.mark.parametrize("dialect", ["5.14", "5.15", "6.1.y", "6.2"])
def test_up_to_6_2_a_version_frame_in_a_terminating_state_resets_the_record(dialect: str) -> None:
    node = last_ack(dialect)
    events = node.receive(status(), 0)
    assert events[:2] == [RecordReset((0,)), StateChanged(State.LAST_ACK, State.ESTABLISHED)]
    assert node.expected == 0


@pytest.mark.parametrize("dialect", ["6.3", "6.5"])
def test_from_6_3_to_6_5_a_version_frame_in_a_terminating_state_is_ignored(dialect: str) -> None:
    node = last_ack(dialect)
    assert node.receive(status(), 0) == [Ignored("terminating")]
    assert node.state is State.LAST_ACK


@pytest.mark.parametrize("dialect", MERGED)
def test_remove_member_alone_resets_nothing(dialect: str) -> None:
    node = established(dialect)
    node.send(message(node=1), 0)
    assert node.member_removed(0) == []
    assert node.unconfirmed == (0,)


@pytest.mark.parametrize("dialect", MERGED)
def test_a_second_lockspace_keeps_the_peer_in_use(dialect: str) -> None:
    node = established(dialect)
    node.member_added()
    node.member_removed(0)
    node.receive(fin(0), 0)
    assert node.state is State.CLOSE_WAIT
    node.member_removed(0)
    assert node.state is State.LAST_ACK


@pytest.mark.parametrize("dialect", MERGED)
def test_sending_behind_the_own_fin_and_hearing_behind_the_peers_are_warned_of(dialect: str) -> None:
    node = fin_wait1(dialect)
    node.send(message(node=1), 0)
    assert node.receive(ack(0), 0)[0] == Warned("frame sent behind own FIN")
    other = last_ack(dialect)
    assert other.receive(opts(1), 0)[0] == Warned("frame received behind the peer's FIN")


@pytest.mark.parametrize("dialect", MERGED)
def test_in_close_wait_data_may_still_be_sent(dialect: str) -> None:
    node = close_wait(dialect)
    assert node.send(message(node=1), 0) == 0
    assert output(node) == ["MSG 0"]


def test_v3_drains_its_queue_before_it_says_fin() -> None:
    node = established("v3")
    node.send(message(node=1), 0)
    node.member_removed(0)
    node.shutdown(0)
    assert output(node) == ["MSG 0"]
    node.receive(ack(1), 0)
    assert output(node) == ["FIN 1"]
    node.receive(ack(2), 0)
    assert node.state is State.ESTABLISHED  # it still waits for the peer's FIN
    node.receive(fin(0), 0)
    assert output(node) == ["ACK 1"]
    assert node.state is State.CLOSED


def test_v3_acknowledges_a_fin_in_its_turn_without_taking_its_number_and_any_other_with_the_expected_one() -> None:
    node = established("v3")
    node.receive(fin(1), 0)
    assert output(node) == ["ACK 0"]
    node = established("v3")
    node.receive(fin(0), 0)
    assert output(node) == ["ACK 1"]
    assert node.expected == 0
    node.member_removed(0)  # the passive side says FIN after the peer's
    assert output(node) == ["FIN 0"]


def test_v3_gives_up_after_5_minutes() -> None:
    node = established("v3")
    node.send(message(node=1), 0)
    node.shutdown(0)
    assert node.timeout(300 * SECOND)[-1] == ShutdownFinished(timed_out=True)
