"""The same node over real sockets, through asyncio, and a proxy that resets its connections.

Node ``n`` has the address 127.0.0.n, as peers are told apart by their source address (protocol page §7.4).  Run as a
module it is one node in a process of its own: its configuration comes as JSON in the first argument, each line on
standard input makes it print what it received so far, and the end of standard input ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

from dlmtrace.simulate.dialects import DIALECTS, SECOND
from dlmtrace.simulate.lowcomms import Lowcomms
from dlmtrace.simulate.node import Node

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER for 0 s


def address(node: int) -> str:
    """The loopback address of a node."""
    return f"127.0.0.{node}"


class LoopSocket:
    """A TCP socket in the event loop, as lowcomms wants it."""

    def __init__(self, transport: LoopTransport, real: socket.socket) -> None:
        self._transport = transport
        self._loop = transport.loop
        self._socket = real
        self._error: OSError | None = None
        self._closed = False
        real.setblocking(False)
        real.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def established(self) -> None:
        """The connection stands: watch for bytes."""
        self._loop.add_reader(self._socket, self._arrived)

    def connecting(self) -> None:
        """The connection was begun: watch for its end, good or bad."""
        self._loop.add_writer(self._socket, self._connected)

    def send(self, data: bytes) -> int:
        if self._error is not None:
            raise self._error
        try:
            return self._socket.send(data)
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._room)
            return 0
        except OSError as error:
            self._break(error)
            raise

    def receive(self, limit: int) -> bytes | None:
        try:
            data = self._socket.recv(limit)
        except BlockingIOError:
            return None
        except OSError as error:
            self._break(error)
            raise
        if not data and self._error is not None:
            raise self._error
        return data

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._closed = True
        self._unwatch()
        self._socket.close()

    def _unwatch(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)

    def _connected(self) -> None:
        self._loop.remove_writer(self._socket)
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._break(OSError(code, os.strerror(code)))
        else:
            self.established()
            self._transport.lowcomms.writable(self)

    def _arrived(self) -> None:
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._transport.lowcomms.readable(self)
        if code:
            self._break(OSError(code, os.strerror(code)))

    def _room(self) -> None:
        self._loop.remove_writer(self._socket)
        self._transport.lowcomms.writable(self)

    def _break(self, error: OSError) -> None:
        """Report the first error, as the kernel's callback would."""
        if self._error is not None or self._closed:
            return
        self._error = error
        self._unwatch()
        self._loop.call_soon(self._transport.lowcomms.failed, self, error)


class LoopTransport:
    """Sockets and time for ``node``: it listens on ``listens`` and dials the port ``dials`` of its peers."""

    lowcomms: Lowcomms

    def __init__(self, node: int, listens: int, dials: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._node = node
        self._dials = dials
        self._server = socket.create_server((address(node), listens))
        self._server.setblocking(False)
        self._listening = False

    def now(self) -> int:
        return round(self.loop.time() * SECOND)

    def call_later(self, delay: int, callback: Callable[[], None]) -> None:
        self.loop.call_later(delay / SECOND, callback)

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.loop.call_soon(callback)

    def dial(self, peer: int) -> LoopSocket:
        real = socket.socket()
        dialled = LoopSocket(self, real)
        real.bind((address(self._node), 0))
        real.connect_ex((address(peer), self._dials))
        dialled.connecting()
        return dialled

    def listen(self, wanted: bool) -> None:
        self._listening = wanted
        if wanted:
            self.loop.add_reader(self._server, self._accept)
        else:
            self.loop.remove_reader(self._server)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            real, (source, _port) = self._server.accept()
            accepted = LoopSocket(self, real)
            self.lowcomms.accepted(int(source.rpartition(".")[2]), accepted)
            accepted.established()


@dataclass(frozen=True)
class Configuration:
    """One node of a pair."""

    node: int
    peer: int
    dialect: str
    listens: int
    """port on which it accepts connections"""
    dials: int
    """port of the peer, or of a proxy before it"""
    messages: int
    """how many it sends to the peer"""
    rate: int
    """messages a second, in bursts of a hundredth of a second"""
    retransmission_timer: int = 30 * SECOND
    retransmission_age: int = 15 * SECOND
    """ns, of v3"""


def start(configuration: Configuration) -> Node:
    """A node in the running event loop, that joins its peer and sends its messages."""
    dialect = replace(
        DIALECTS[configuration.dialect],
        retransmission_timer=configuration.retransmission_timer,
        retransmission_age=configuration.retransmission_age,
    )
    transport = LoopTransport(configuration.node, configuration.listens, configuration.dials)
    node = Node(configuration.node, dialect, transport, (configuration.node, configuration.peer))
    transport.lowcomms = node.lowcomms
    node.add_comm(configuration.peer)
    node.add_member(configuration.peer)
    burst = max(configuration.rate // 100, 1)

    def send(left: int) -> None:
        node.send_messages(configuration.peer, min(burst, left))
        if left > burst:
            transport.loop.call_later(burst / configuration.rate, send, left - burst)

    send(configuration.messages)
    return node


class ResettingProxy:
    """Stands before a node, passes bytes on after ``latency`` seconds, and can reset every connection through it.

    It connects from the address of whoever dialled it.
    """

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, node: int, listens: int, passes_to: int) -> asyncio.Server:
        """Listen on a port of the node's address and pass on to another one."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            source = writer.get_extra_info("peername")[0]
            self._writers.add(writer)
            try:
                onward = await asyncio.open_connection(address(node), passes_to, local_addr=(source, 0))
            except OSError:
                self._reset(writer)
                return
            self._writers.add(onward[1])
            for read_from, write_to in ((reader, onward[1]), (onward[0], writer)):
                task = asyncio.create_task(self._pass_on(read_from, write_to))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        return await asyncio.start_server(accepted, address(node), listens)

    def reset(self) -> None:
        """RST to both ends of all connections; what was on its way is gone."""
        for writer in list(self._writers):
            self._reset(writer)

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        real = writer.get_extra_info("socket")
        if real is not None and real.fileno() >= 0:
            real.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await asyncio.sleep(self._latency)
                if writer.is_closing():
                    return
                writer.write(data)
            if not writer.is_closing():
                writer.write_eof()


async def _main(configuration: Configuration) -> None:
    node = start(configuration)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        print(json.dumps(node.received(configuration.peer)), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(Configuration(**json.loads(sys.argv[1]))))
