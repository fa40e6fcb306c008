"""Connections of a pair and their send queue (protocol page §6.3 order, §7.2, §7.3), over sockets moved by hand."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from dlmtrace.simulate import frames
from dlmtrace.simulate.dialects import DIALECTS, SECOND
from dlmtrace.simulate.endpoint import Endpoint
from dlmtrace.simulate.lowcomms import PAGE_SIZE, Lowcomms, Observer
from dlmtrace.wire.enums import Command
from simulate.engines import ack, message, opts, status

AT_ONCE = ["5.14", "5.15", "6.1.y"]
FAILED_SEND = ["6.2", "6.3", "6.5", "6.6", "6.7"]
MERGED = AT_ONCE + FAILED_SEND


class HandSocket:
    """A socket whose other end is the test."""

    def __init__(self) -> None:
        self.room = 0  # bytes that it takes
        self.sent = b""
        self.arrived: list[bytes] = []  # b"" is the peer's orderly close
        self.error: OSError | None = None
        self.closed = False

    def send(self, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        taken = data[: self.room]
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def receive(self, limit: int) -> bytes | None:
        if self.arrived:
            return self.arrived.pop(0)
        if self.error is not None:
            raise self.error
        return None

    def finish(self) -> None: ...

    def close(self) -> None:
        self.closed = True


class HandTransport:
    """Time and sockets of node 1."""

    def __init__(self) -> None:
        self.time = 0
        self.dialled: list[HandSocket] = []
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> int:
        return self.time

    def call_later(self, delay: int, callback: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.time + delay, self._count, callback))

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.call_later(0, callback)

    def dial(self, peer: int) -> HandSocket:
        self.dialled.append(HandSocket())
        return self.dialled[-1]

    def listen(self, wanted: bool) -> None: ...

    def work(self, duration: int = 0) -> None:
        """Let ``duration`` ns pass, and all workers run that are due."""
        end = self.time + duration
        while self._due and self._due[0][0] <= end:
            self.time, _, callback = heapq.heappop(self._due)
            callback()
        self.time = end


class Node:
    """Node 1 with one peer, whose version it knows, and the connection that it has dialled."""

    def __init__(self, dialect: str) -> None:
        self.transport = HandTransport()
        self.endpoint = Endpoint(1, 2, DIALECTS[dialect])
        self.endpoint.member_added()
        self.endpoint.receive(status(), 0)
        self.lowcomms = Lowcomms(DIALECTS[dialect], self.transport, lambda peer, events: None, Observer())
        self.lowcomms.add(self.endpoint)
        self.lowcomms.connect(2)
        self.transport.work()
        self.primary = self.transport.dialled[0]

    def send(self, *lengths: int) -> None:
        """Queue messages, of 112 bytes with OPTS, or frames with ``lengths`` bytes in all."""
        for length in lengths or (112,):
            inner = message(node=1)
            size = length - frames.OPTIONS_SIZE
            inner = inner[:12] + size.to_bytes(2, "little") + inner[14:] + bytes(size - len(inner))
            self.endpoint.send(inner, 0)
        self.lowcomms.collect(2)

    def let(self, socket: HandSocket, room: int = 1_000_000) -> None:
        """The socket has room for so many more bytes."""
        socket.room = room
        self.lowcomms.writable(socket)
        self.transport.work()

    def get(self, socket: HandSocket, *data: bytes) -> None:
        """Bytes arrive; ``b""`` is the peer's orderly close."""
        socket.arrived += data
        self.lowcomms.readable(socket)
        self.transport.work()

    def accept(self) -> HandSocket:
        socket = HandSocket()
        self.lowcomms.accepted(2, socket)
        self.transport.work()
        return socket

    def reset(self, socket: HandSocket) -> None:
        """A RST arrives."""
        socket.error = ConnectionResetError()
        self.lowcomms.failed(socket, socket.error)
        self.transport.work()

    def last_dialled(self) -> HandSocket:
        """The connection dialled last, established and with room."""
        socket = self.transport.dialled[-1]
        self.let(socket)
        return socket


def numbers(data: bytes) -> list[int]:
    """Numbers of the whole OPTS frames in a byte stream."""
    heads = [frames.read_header(frame) for frame in frames.split(data)]
    return [head.word for head in heads if head.command == Command.OPTS]


@pytest.mark.parametrize("dialect", MERGED)
def test_order_on_the_new_connection(dialect: str) -> None:
    """Queued pages first, then copies from the oldest unconfirmed on, then new frames."""
    node = Node(dialect)
    node.let(node.primary)
    node.send(*[2_000] * 4)  # 0 to 3, sent
    node.transport.work()
    node.get(node.primary, ack(1))
    node.primary.room = 0
    node.send(*[2_000] * 3)  # 4 and 5 fill a page, 6 is on the next one
    node.transport.work()
    node.reset(node.primary)
    new = node.last_dialled()
    node.send()
    node.transport.work()
    assert numbers(new.sent) == [4, 5, 6, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("dialect", MERGED)
def test_a_page_sent_in_part_is_discarded_and_its_frames_are_repeated(dialect: str) -> None:
    node = Node(dialect)
    node.send(*[1_000] * 5)  # 0 to 3 on the first page
    node.let(node.primary, room=2_500)
    assert numbers(node.primary.sent) == [0, 1]
    node.reset(node.primary)
    assert numbers(node.last_dialled().sent) == [4, 0, 1, 2, 3, 4]


def test_3_1_loses_what_its_sockets_and_the_page_had_taken() -> None:
    node = Node("3.1")
    node.endpoint = Endpoint(1, 2, DIALECTS["3.1"])
    node.lowcomms.add(node.endpoint)
    node.lowcomms.connect(2)
    node.transport.work()
    socket = node.transport.dialled[-1]
    for number in range(3):
        node.endpoint.send(message(number, node=1, version=0x00030001), 0)
    node.lowcomms.collect(2)
    node.let(socket, room=100)
    node.reset(socket)
    assert len(node.transport.dialled) == 2  # it dials when there is something to send
    node.endpoint.send(message(3, node=1, version=0x00030001), 0)
    node.lowcomms.collect(2)
    node.transport.work()
    sent = [frames.message_number(frame) for frame in frames.split(node.last_dialled().sent)]
    assert sent == []  # the new frame had joined the page that was sent in part
    node.endpoint.send(message(4, node=1, version=0x00030001), 0)
    node.lowcomms.collect(2)
    node.transport.work()
    assert [frames.message_number(frame) for frame in frames.split(node.last_dialled().sent)] == [4]


@pytest.mark.parametrize("dialect", MERGED)
def test_frames_never_straddle_pages_and_each_send_takes_one_page(dialect: str) -> None:
    node = Node(dialect)
    node.send(3_000, 2_000, 2_000)
    node.let(node.primary, room=3_000)
    assert numbers(node.primary.sent) == [0]
    node.let(node.primary, room=PAGE_SIZE)
    assert numbers(node.primary.sent) == [0, 1, 2]


@pytest.mark.parametrize("dialect", MERGED)
def test_a_node_sends_on_its_primary_and_receives_on_both(dialect: str) -> None:
    node = Node(dialect)
    node.let(node.primary)
    other = node.accept()
    other.room = 1_000_000
    node.get(other, opts(0))
    node.get(node.primary, opts(1))
    assert node.endpoint.expected == 2
    node.send()
    node.transport.work()
    assert numbers(node.primary.sent) == [0]
    assert other.sent == b""


@pytest.mark.parametrize("dialect", MERGED)
def test_an_accepted_connection_replaces_the_other_one(dialect: str) -> None:
    node = Node(dialect)
    first, second = node.accept(), node.accept()
    assert first.closed
    assert not second.closed
    assert not node.primary.closed


@pytest.mark.parametrize("dialect", MERGED)
def test_an_accepted_connection_is_primary_when_there_is_none(dialect: str) -> None:
    node = Node(dialect)
    node.let(node.primary)
    node.get(node.primary, b"")
    accepted = node.accept()
    node.send()
    node.let(accepted)
    assert numbers(accepted.sent) == [0]
    assert len(node.transport.dialled) == 1


def test_a_connection_from_a_stranger_is_closed() -> None:
    node = Node("6.7")
    stranger = HandSocket()
    node.lowcomms.accepted(3, stranger)
    assert stranger.closed


@pytest.mark.parametrize("dialect", MERGED)
def test_after_an_orderly_close_nothing_is_repeated_and_the_next_send_dials(dialect: str) -> None:
    node = Node(dialect)
    node.let(node.primary)
    node.send()
    node.transport.work()
    node.get(node.primary, b"")
    assert node.primary.closed
    assert len(node.transport.dialled) == 1
    node.send()
    node.transport.work()
    assert numbers(node.last_dialled().sent) == [1]


@pytest.mark.parametrize("dialect", AT_ONCE)
def test_up_to_6_1_an_error_on_the_receive_only_connection_replaces_the_sending_one_too(dialect: str) -> None:
    node = Node(dialect)
    node.let(node.primary)
    node.send()
    node.transport.work()
    other = node.accept()
    node.reset(other)
    assert node.primary.closed
    assert numbers(node.last_dialled().sent) == [0]


@pytest.mark.parametrize("dialect", FAILED_SEND)
def test_from_6_2_an_error_on_the_receive_only_connection_repeats_on_the_healthy_one(dialect: str) -> None:
    node = Node(dialect)
    node.let(node.primary)
    node.send()
    node.transport.work()
    other = node.accept()
    node.reset(other)
    assert not node.primary.closed
    assert numbers(node.primary.sent) == [0, 0]


@pytest.mark.parametrize("dialect", AT_ONCE)
def test_up_to_6_1_a_socket_error_dials_at_once_even_when_idle(dialect: str) -> None:
    node = Node(dialect)
    node.let(node.primary)
    node.reset(node.primary)
    assert node.primary.closed
    assert len(node.transport.dialled) == 2


@pytest.mark.parametrize("dialect", FAILED_SEND)
def test_from_6_2_an_idle_pair_dials_when_the_next_send_fails(dialect: str) -> None:
    node = Node(dialect)
    node.let(node.primary)
    node.reset(node.primary)
    assert len(node.transport.dialled) == 1
    node.send()
    node.transport.work()
    assert node.primary.closed
    assert numbers(node.last_dialled().sent)[-1] == 0


@pytest.mark.parametrize("dialect", MERGED)
def test_a_refused_dial_is_repeated_after_a_second(dialect: str) -> None:
    node = Node(dialect)
    node.send()
    for tries in range(2, 5):
        dialled = node.transport.dialled[-1]
        dialled.error = ConnectionRefusedError()
        node.lowcomms.failed(dialled, dialled.error)
        node.transport.work(SECOND - 1)
        assert len(node.transport.dialled) == tries - 1
        node.transport.work(1)
        assert len(node.transport.dialled) == tries


@pytest.mark.parametrize(("dialect", "goes_on"), [(name, False) for name in AT_ONCE] + [(n, True) for n in FAILED_SEND])
def test_up_to_6_1_a_node_gives_up_after_4_refusals_until_it_has_something_to_send(dialect: str, goes_on: bool) -> None:
    node = Node(dialect)
    node.send()
    for _ in range(8):
        dialled = node.transport.dialled[-1]
        if dialled.error is None:
            dialled.error = ConnectionRefusedError()
            node.lowcomms.failed(dialled, dialled.error)
        node.transport.work(SECOND)
    assert (len(node.transport.dialled) > 4) is goes_on
    node.send()
    node.transport.work(SECOND)
    assert len(node.transport.dialled) > 4


@pytest.mark.parametrize("dialect", MERGED)
def test_what_was_left_of_a_frame_goes_with_its_connection(dialect: str) -> None:
    node = Node(dialect)
    node.let(node.primary)
    node.get(node.primary, opts(0)[:50])
    node.get(node.primary, b"")
    node.get(node.accept(), opts(0))
    assert node.endpoint.expected == 1


@pytest.mark.parametrize("dialect", MERGED)
def test_removing_a_peer_closes_both_connections_and_empties_the_queue(dialect: str) -> None:
    node = Node(dialect)
    other = node.accept()
    node.send()
    node.lowcomms.remove(2)
    node.endpoint.comm_removed()
    assert node.primary.closed
    assert other.closed
    node.transport.work(SECOND)
    assert node.primary.sent == b""
    assert len(node.transport.dialled) == 1


@pytest.mark.parametrize("dialect", FAILED_SEND)
def test_the_kernel_bug_loses_the_copies_and_the_sender_goes_on(dialect: str) -> None:
    node = Node(dialect)
    node.let(node.primary)
    node.send(*[112] * 3)
    node.transport.work()
    node.lowcomms.lose_copies(2)
    node.reset(node.primary)
    node.send()
    node.transport.work()
    assert numbers(node.last_dialled().sent) == [3]  # 0, 1 and 2 were not repeated
    node.reset(node.transport.dialled[-1])
    assert numbers(node.last_dialled().sent) == [0, 1, 2, 3]  # the next error repairs it


@pytest.mark.parametrize("dialect", [*AT_ONCE, "3.1", "v3"])
def test_kernels_that_close_before_they_repeat_do_not_have_the_bug(dialect: str) -> None:
    node = Node(dialect)
    with pytest.raises(ValueError, match="repeat after they have closed"):
        node.lowcomms.lose_copies(2)
