"""Exchanges of two nodes written by hand, and what the analysis says of them."""

from pathlib import Path

from dlmtrace.capture.source import WINDOW, Capture
from dlmtrace.craft import Network, Node, ack, opts, request, status, status_reply
from dlmtrace.craft.tcp import Connection
from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.results import Epoch

SECOND = 1_000_000_000


class Script:
    """Two nodes; ``analysis()`` reads what was written so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.network = Network(path)
        self.one = self.network.node(1, "10.0.0.1")
        self.two = self.network.node(2, "10.0.0.2")

    def meet(self, client: Node | None = None) -> Connection:
        """A connection on which the nodes poll each other, as they do when they join."""
        client = client or self.one
        server = self.two if client is self.one else self.one
        connection = self.network.connect(client, server)
        connection.send(client, status(sender=client))
        connection.send(server, status_reply(sender=server))
        return connection

    def analysis(self, window: int = WINDOW) -> Analysis:
        """Read in batches of ``window`` bytes."""
        self.network.write(self.path)
        trace, analysis = Trace([str(self.path)]), Analysis()
        trace.capture = Capture([str(self.path)], window)
        for batch in trace.batches():
            analysis.feed(batch)
        analysis.finish(trace.capture.facts, trace.traffic)
        return analysis

    def epoch(self, place: int = 0) -> Epoch:
        """An epoch of what node 1 sent."""
        (stream,) = [stream for stream in self.analysis().streams if stream.sender == 1]
        return stream.epochs[place]

    def verdicts(self, sender: int = 1, window: int = WINDOW) -> list[tuple[str, str | None, str]]:
        """Old connection, new connection and verdict of each reconnect, as they began."""
        records = [record for record in self.analysis(window).reconnects if record.sender == sender]
        records.sort(key=lambda record: int(record.reconnect[1:]))
        return [(record.old_connection, record.new_connection, record.verdict) for record in records]


def frames(*numbers: int) -> bytes:
    """Node 1's frames of these numbers; each time the same bytes."""
    return b"".join(opts(number, request(b"resource %d" % number, sender=1)) for number in numbers)


def speak_late(script: Script) -> None:
    """Node 1 sends, is reset, sends again; only then does node 2 say its first word."""
    old = script.network.connect(script.one, script.two)
    old.send(script.one, status(sender=1))
    old.send(script.one, frames(0, 1, 2), acknowledge=False)
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(0, 1, 2))
    new.send(script.one, frames(3))
    new.send(script.two, ack(4, sender=2))
    script.network.write(script.path)
