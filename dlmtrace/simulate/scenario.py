"""Scenarios as data, and the run of one: what nodes do and suffer, step by step, and what came of it.

Times are ns from the beginning; ``MILLISECOND`` and ``SECOND`` help to write them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dlmtrace.simulate import capture
from dlmtrace.simulate.dialects import DIALECTS, SECOND, Dialect
from dlmtrace.simulate.evidence import doubt
from dlmtrace.simulate.network import Host, Network, Settings
from dlmtrace.simulate.node import Node
from dlmtrace.simulate.sightings import ConnectionTruth, watch
from dlmtrace.simulate.tcp import MILLISECOND, Connection, TcpSocket
from dlmtrace.simulate.truth import Log, Recorder, Stream, confirm
from dlmtrace.simulate.verdicts import Reconnect, reconnects

__all__ = [
    "MILLISECOND",
    "SECOND",
    "Close",
    "Crash",
    "Cut",
    "Faults",
    "Join",
    "Leave",
    "LoseCopies",
    "Outcome",
    "RecreateComm",
    "Reset",
    "Scenario",
    "Send",
    "Settings",
    "run",
]

Faults = capture.Faults


@dataclass(frozen=True)
class Send:
    """``sender`` sends ``count`` messages to ``receiver``, ``burst`` at a time and ``every`` ns."""

    at: int
    sender: int
    receiver: int
    count: int
    every: int = MILLISECOND
    burst: int = 1


@dataclass(frozen=True)
class Reset:
    """A forged RST kills connections between two nodes."""

    at: int
    nodes: tuple[int, int]
    carrying: int | None = None
    """only the connection on which this node sends; None: all of the pair"""
    reaches: tuple[int, ...] = ()
    """nodes that get the RST; empty: both"""


@dataclass(frozen=True)
class Close:
    """``node`` closes the connection on which it sends to ``peer``, in order: nothing is repeated."""

    at: int
    node: int
    peer: int


@dataclass(frozen=True)
class Cut:
    """The link of ``node`` carries nothing for a while."""

    at: int
    node: int
    duration: int


@dataclass(frozen=True)
class Crash:
    """``node`` loses power and boots again."""

    at: int
    node: int
    boots: int
    """ns at which it is back and joins"""
    fenced: int | None = None
    """ns at which the others remove its address (they add it again when it boots); None: they never do"""


@dataclass(frozen=True)
class RecreateComm:
    """Both nodes remove each other's address and add it again at once: both records start anew."""

    at: int
    nodes: tuple[int, int]


@dataclass(frozen=True)
class Leave:
    """``node`` leaves in order; the cluster managers of the others notice later."""

    at: int
    node: int
    noticed: int = 50 * MILLISECOND
    """ns from ``at`` to the removal of the member on the other nodes"""


@dataclass(frozen=True)
class Join:
    """``node`` joins again after it left."""

    at: int
    node: int


@dataclass(frozen=True)
class LoseCopies:
    """Kernel bug (6.2 and later): the next socket error of ``node`` towards ``peer`` loses what it repeats.

    See ``Lowcomms.lose_copies``.
    """

    at: int
    node: int
    peer: int


Step = Send | Reset | Close | Cut | Crash | RecreateComm | Leave | Join | LoseCopies


@dataclass(frozen=True)
class Scenario:
    """Nodes with their dialects, which all join at time 0, and steps."""

    nodes: Mapping[int, str | Dialect]
    """node id to dialect, or its name in ``DIALECTS``"""
    steps: tuple[Step, ...] = ()
    until: int = 2 * SECOND
    """ns at which the simulation and its capture end"""
    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    first_sequence: int = 0
    """where numbers start, on all nodes; near 2**32 they wrap soon"""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    network: Network
    nodes: dict[int, Node]
    """the last boot of each"""
    streams: dict[tuple[int, int], Stream]
    """by sender and receiver"""
    reconnects: list[Reconnect]
    connections: list[ConnectionTruth]
    """by the index of ``network.connections``"""

    def write(self, path: str | Path, faults: Faults | None = None) -> None:
        """Write the capture as a pcap file, with what it missed."""
        capture.write(path, self.network.captured, faults)

    def received(self, receiver: int, sender: int) -> list[int]:
        """Numbers of the application's messages that ``receiver``'s last boot got from ``sender``, in order."""
        return self.nodes[receiver].received(sender)


def run(scenario: Scenario) -> Outcome:
    """Run a scenario: the same one gives the same outcome.  Raises ValueError for steps that make no sense."""
    runner = _Runner(scenario)
    for step in scenario.steps:
        runner.plan(step)
    runner.network.run(scenario.until)
    connections = watch(runner.log, runner.network)
    confirm(runner.log)
    doubt(runner.log, connections, runner.network.settings)
    found = reconnects(runner.log, connections)
    return Outcome(scenario, runner.network, runner.nodes, runner.log.streams, found, connections)


class _Runner:
    def __init__(self, scenario: Scenario) -> None:
        self.network = Network(scenario.settings, scenario.seed)
        self.nodes: dict[int, Node] = {}
        self._members = tuple(sorted(scenario.nodes))
        self._dialects = {
            node: DIALECTS[dialect] if isinstance(dialect, str) else dialect for node, dialect in scenario.nodes.items()
        }
        reliable = frozenset(node for node, dialect in self._dialects.items() if dialect.reliable)
        self.log = Log(self.network, reliable)
        self._first_sequence = scenario.first_sequence
        self._away: set[int] = set()
        for node in self._members:
            self._boot(node)
        for node in self._members:
            self.network.at(self.network.random.randrange(5 * MILLISECOND), self._joins(node))

    def plan(self, step: Step) -> None:
        """Schedule a step."""
        at = self.network.at
        match step:
            case Send(sender=sender, receiver=receiver, count=count, burst=burst):
                for number, first in enumerate(range(0, count, burst)):
                    some = min(burst, count - first)
                    at(step.at + number * step.every, self._sends(sender, receiver, some))
            case Reset():
                at(step.at, lambda: self._reset(step))
            case Close(node=node, peer=peer):
                at(step.at, lambda: self._close(node, peer))
            case Cut(node=node, duration=duration):
                at(step.at, lambda: self.network.cut(node, step.at + duration))
            case Crash():
                at(step.at, lambda: self._crash(step.node))
                if step.fenced is not None:
                    at(step.fenced, lambda: self._fence(step.node))
                at(step.boots, lambda: self._return(step.node, fenced=step.fenced is not None))
            case RecreateComm(nodes=nodes):
                at(step.at, lambda: self._recreate(nodes))
            case Leave(node=node):
                at(step.at, lambda: self._leave(node))
                at(step.at + step.noticed, lambda: self._notice(node))
            case Join(node=node):
                at(step.at, lambda: self._join_again(node))
            case LoseCopies(node=node, peer=peer):
                at(step.at, lambda: self._lose_copies(node, peer))

    def _boot(self, node: int, incarnation: int = 0) -> None:
        recorder = Recorder(self.log)
        host = Host(self.network, node)
        recorder.node = self.nodes[node] = Node(
            node,
            self._dialects[node],
            host,
            self._members,
            observer=recorder,
            first_sequence=self._first_sequence,
            incarnation=incarnation,
        )
        host.lowcomms = self.nodes[node].lowcomms
        for peer in self._members:
            if peer != node:
                self.nodes[node].add_comm(peer)

    def _up(self, node: int) -> bool:
        return self.network.hosts[node].alive

    def _others(self, node: int) -> list[int]:
        return [peer for peer in self._members if peer != node and self._up(peer) and peer not in self._away]

    def _joins(self, node: int) -> Callable[[], None]:
        def join() -> None:
            for peer in self._others(node):
                self.nodes[node].add_member(peer)

        return join

    def _sends(self, sender: int, receiver: int, count: int) -> Callable[[], None]:
        def send() -> None:
            if self._up(sender):
                self.nodes[sender].send_messages(receiver, count)

        return send

    def _reset(self, step: Reset) -> None:
        chosen: list[Connection] = []
        if step.carrying is None:
            chosen = [c for c in self.network.connections if set(c.nodes) == set(step.nodes) and self._open(c)]
        elif self._up(step.carrying):
            peer = step.nodes[0] if step.nodes[1] == step.carrying else step.nodes[1]
            socket = self.nodes[step.carrying].lowcomms.primary(peer)
            if isinstance(socket, TcpSocket):
                chosen = [socket.connection]
        for connection in chosen:
            self.network.reset(connection, step.reaches or step.nodes)

    def _close(self, node: int, peer: int) -> None:
        if self._up(node):
            self.nodes[node].lowcomms.close_in_order(peer)

    def _lose_copies(self, node: int, peer: int) -> None:
        if self._up(node):
            self.nodes[node].lowcomms.lose_copies(peer)

    def _open(self, connection: Connection) -> bool:
        return any(self.network.hosts[node].uses(connection) for node in connection.nodes)

    def _crash(self, node: int) -> None:
        self.network.hosts[node].crash()
        self._away.add(node)

    def _fence(self, node: int) -> None:
        for peer in self._others(node):
            self.nodes[peer].remove_comm(node)

    def _return(self, node: int, fenced: bool) -> None:
        incarnation = 1 + max(self.nodes[node].endpoint(peer).incarnation for peer in self._members if peer != node)
        self._away.discard(node)
        self._boot(node, incarnation)
        for peer in self._others(node):
            if fenced:
                self.nodes[peer].add_comm(node)
                self.nodes[peer].add_member(node)
            self.nodes[node].add_member(peer)

    def _recreate(self, nodes: tuple[int, int]) -> None:
        pairs = (nodes, (nodes[1], nodes[0]))
        if not all(self._up(node) and node not in self._away for node in nodes):
            return
        for node, peer in pairs:
            self.nodes[node].remove_comm(peer)
            self.nodes[node].add_comm(peer)
        for node, peer in pairs:
            self.nodes[node].add_member(peer)

    def _leave(self, node: int) -> None:
        if self._up(node) and node not in self._away:
            self._away.add(node)
            self.nodes[node].leave()

    def _notice(self, node: int) -> None:
        for peer in self._others(node):
            self.nodes[peer].remove_member(node)

    def _join_again(self, node: int) -> None:
        if self._up(node) and self.nodes[node].left:
            self._away.discard(node)
            for peer in self._others(node):
                self.nodes[peer].add_member(node)
            self._joins(node)()
