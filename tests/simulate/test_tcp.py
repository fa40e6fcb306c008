"""The simulated TCP keeps its promise: bytes in order, all or a broken connection (RFC 9293)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dlmtrace.simulate.dialects import SECOND
from dlmtrace.simulate.network import Host, Network, Settings
from dlmtrace.simulate.tcp import ACK, FIN, PSH, RST, SYN, TcpSocket


class Ends:
    """Two hosts and a connection dialled by node 1; stands in for the lowcomms of both."""

    def __init__(self, settings: Settings, seed: int = 0) -> None:
        self.network = Network(settings, seed)
        self.client_host, self.server_host = Host(self.network, 1), Host(self.network, 2)
        self.client_host.lowcomms = self.server_host.lowcomms = self  # type: ignore[assignment]
        self.server: TcpSocket | None = None
        self.errors: list[tuple[TcpSocket, OSError]] = []
        self.waiting = b""
        self.got: dict[TcpSocket, bytes] = {}
        self.client = self.client_host.dial(2)

    def accepted(self, peer: int, socket: TcpSocket) -> None:
        assert peer == 1
        self.server = socket

    def readable(self, socket: TcpSocket) -> None:
        while data := socket.receive(1_000):
            self.got[socket] = self.got.get(socket, b"") + data

    def writable(self, socket: TcpSocket) -> None:
        taken = socket.send(self.waiting)
        self.waiting = self.waiting[taken:]

    def failed(self, socket: TcpSocket, error: OSError) -> None:
        self.errors.append((socket, error))


PATTERN = b"".join(number.to_bytes(2, "big") for number in range(2_500))

ANY_NETWORK = st.builds(
    Settings,
    delay=st.sampled_from([2, 1_000_000]),
    jitter=st.sampled_from([0, 400_000, 5_000_000]),
    loss=st.sampled_from([0.0, 0.05]),
    segment_size=st.integers(1, 300),
    window=st.integers(1, 2_000),
    send_buffer=st.integers(1, 3_000),
)


@hypothesis_settings(deadline=None, max_examples=60)
@given(ANY_NETWORK, st.integers(0, 2**16), st.integers(0, 5_000))
def test_bytes_arrive_whole_and_in_order_over_any_network(network: Settings, seed: int, size: int) -> None:
    data = PATTERN[:size]
    ends = Ends(network, seed)
    ends.waiting = data
    ends.network.run(2_000 * SECOND)
    assert ends.waiting == b""
    assert ends.server is not None
    assert ends.got.get(ends.server, b"") == data
    assert ends.errors == []


@hypothesis_settings(deadline=None, max_examples=60)
@given(ANY_NETWORK, st.integers(0, 2**16), st.integers(0, 20_000))
def test_up_to_a_reset_what_arrives_is_a_beginning(network: Settings, seed: int, microseconds: int) -> None:
    ends = Ends(network, seed)
    ends.waiting = PATTERN
    ends.network.at(microseconds * 1_000, lambda: ends.network.reset(ends.client.connection, (1, 2)))
    ends.network.run(2_000 * SECOND)
    if ends.server is not None:
        assert PATTERN.startswith(ends.got.get(ends.server, b""))


def flags(ends: Ends) -> list[tuple[int, int]]:
    """Sender and flags of what was captured."""
    return [(segment.sender, segment.flags) for _, segment in ends.network.captured]


def test_an_orderly_close_from_both_ends() -> None:
    ends = Ends(Settings())
    ends.network.run(SECOND)
    assert ends.server is not None
    ends.client.send(b"last words")
    ends.client.close()
    ends.network.run(2 * SECOND)
    assert ends.got[ends.server] == b"last words"
    assert ends.server.receive(10) == b""
    ends.server.close()
    ends.network.run(3 * SECOND)
    assert flags(ends) == [
        *[(1, SYN), (2, SYN | ACK), (1, ACK)],
        *[(1, PSH | ACK), (1, FIN | ACK), (2, ACK)],
        *[(2, FIN | ACK), (1, ACK)],
    ]


def test_closing_with_unread_data_resets() -> None:
    ends = Ends(Settings())
    ends.network.run(SECOND)
    assert ends.server is not None
    ends.server_host.lowcomms = None  # nobody reads
    ends.client.send(b"unread")
    ends.network.run(2 * SECOND)
    ends.server.close()
    ends.network.run(3 * SECOND)
    assert flags(ends)[-1] == (2, RST | ACK)
    assert [type(error) for _, error in ends.errors] == [ConnectionResetError]


def test_data_for_a_closed_end_resets_the_sender() -> None:
    ends = Ends(Settings())
    ends.network.run(SECOND)
    assert ends.server is not None
    ends.server.close()
    ends.network.run(2 * SECOND)
    ends.client.send(b"too late")
    ends.network.run(3 * SECOND)
    assert [socket for socket, _ in ends.errors] == [ends.client]


def test_a_reset_for_one_end_leaves_the_other_to_find_out() -> None:
    ends = Ends(Settings())
    ends.network.run(SECOND)
    ends.network.reset(ends.client.connection, (2,))
    ends.network.run(2 * SECOND)
    assert [socket for socket, _ in ends.errors] == [ends.server]
    ends.client.send(b"into the void")
    ends.network.run(3 * SECOND)
    assert [socket for socket, _ in ends.errors] == [ends.server, ends.client]


def test_a_reset_that_is_lost_ends_nothing() -> None:
    ends = Ends(Settings())
    ends.network.run(SECOND)
    assert ends.server is not None
    ends.network.cut(2, 3 * SECOND)
    ends.network.reset(ends.client.connection, (2,))
    ends.network.run(4 * SECOND)
    ends.client.send(b"still here")
    ends.network.run(5 * SECOND)
    assert (ends.errors, ends.got[ends.server]) == ([], b"still here")
    assert [segment.broke for _, segment in ends.network.captured if segment.flags & RST] == [False]


@pytest.mark.parametrize(("listening", "error"), [(False, ConnectionRefusedError), (None, TimeoutError)])
def test_nobody_listens_or_nobody_is_there(listening: bool | None, error: type[OSError]) -> None:
    ends = Ends(Settings())
    if listening is None:
        ends.server_host.crash()
    else:
        ends.server_host.listen(listening)
    ends.network.run(2_000 * SECOND)
    assert [type(failure) for _, failure in ends.errors] == [error]


def test_a_cut_link_delays_and_what_the_capture_saw_behind_the_cut_came_twice() -> None:
    ends = Ends(Settings())
    ends.network.run(SECOND)
    assert ends.server is not None
    ends.network.cut(2, 3 * SECOND)  # behind the capture point for what node 1 sends
    ends.client.send(b"patience")
    ends.network.run(10 * SECOND)
    assert ends.got[ends.server] == b"patience"
    assert sum(segment.payload == b"patience" for _, segment in ends.network.captured) > 1


def test_a_crashed_machine_forgets_its_connections() -> None:
    ends = Ends(Settings())
    ends.network.run(SECOND)
    ends.server_host.crash()
    Host(ends.network, 2)
    ends.client.send(b"who are you?")
    ends.network.run(2 * SECOND)
    assert [type(error) for _, error in ends.errors] == [ConnectionResetError]
