"""Whatever happens on a wire: it comes out the same however the packets are dealt into batches, and counts exactly."""

from dataclasses import asdict
from typing import Any

import numpy as np
from exchanges import Outcome, decode, numbered, two_nodes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dlmtrace.craft import Network

SECOND = 1_000_000_000
STREAMS = tuple(b"".join(numbered(12, name=name)) for name in (b"resource", b"a"))

sides = st.integers(0, 1)
places = st.integers(0, len(STREAMS[1]) - 1)
happenings = st.one_of(
    st.tuples(st.just("next"), sides, st.integers(1, 200)),
    st.tuples(st.just("next"), sides, st.integers(1, 200)),
    st.tuples(st.just("lost"), sides, st.integers(1, 200)),
    st.tuples(st.just("again"), places, st.integers(1, 200)),
    st.tuples(st.just("copied"), st.integers(1, 6), st.integers(0, 2)),
    st.tuples(st.just("delayed"), st.integers(2, 5), st.just(0)),
    st.tuples(st.just("acknowledged"), sides, st.just(0)),
    st.tuples(st.just("probed"), sides, st.integers(0, 1)),
    st.tuples(st.just("waited"), st.sampled_from([SECOND // 20, SECOND // 3, SECOND, 2 * SECOND]), st.just(0)),
    st.tuples(st.sampled_from(["reset", "finished"]), sides, st.just(0)),
    st.tuples(st.just("dialled"), st.integers(0, 2**24), st.just(0)),
)


class Exchange:
    """One 4-tuple; ``captured`` says which bytes of each incarnation's streams are in the capture."""

    def __init__(self) -> None:
        self.network = Network()
        self.nodes = two_nodes(self.network)
        self.captured: list[Any] = []
        self.lost: list[Any] = []
        self.happen("dialled", 2**32 - 1000, 0)  # the numbers wrap

    def happen(self, what: str, first: int, second: int) -> None:
        """One of ``happenings``; what makes no sense now does not happen."""
        network, packets = self.network, self.network.packets
        if what == "dialled":
            first = (first + (len(self.captured) << 25)) % 2**32  # never the same again
            self.connection = network.connect(*self.nodes, isn=(first, first ^ 0x5A5A5A5A), source_port=40000)
            self.dialled = len(packets)  # nothing older than this connection is captured behind its beginning
            self.captured.append([np.zeros(len(stream), bool) for stream in STREAMS])
        elif what in ("next", "lost"):
            self._send(first, self.connection.position(self.nodes[first]), second, what == "next")
        elif what == "again":
            side = first & 1
            sent = self.connection.position(self.nodes[side])
            if not self.lost:  # a byte that the capture missed must not come later: when is it late?
                self._send(side, min(first, sent), min(second, max(0, sent - first)), True)
        elif what == "copied" and len(packets) - first >= self.dialled:
            network.duplicate(packets[-first], behind=packets[-1])
        elif what == "delayed" and len(packets) - first >= self.dialled:
            if packets[-1].time - packets[-first].time < SECOND // 10:
                network.delay(packets[-first], behind=packets[-1])
        elif what == "acknowledged":
            self.connection.acknowledge(self.nodes[first])
        elif what == "probed":
            place = self.connection.position(self.nodes[first]) - 1
            if 0 <= place < len(STREAMS[first]):
                self.captured[-1][first][place] |= second == 1  # a byte is a byte where the true one was missed
            self.connection.keepalive(self.nodes[first], bytes(second))
        elif what == "waited":
            network.wait(first)
        elif what == "reset":
            self.connection.reset(by=self.nodes[first])

    def _send(self, side: int, place: int, length: int, captured: bool) -> None:
        part = STREAMS[side][place : place + length]
        if part:
            packet = self.connection.segment(self.nodes[side], place, part)
            if captured:
                self.captured[-1][side][place : place + length] = True
            else:
                self.network.lose(packet)
                self.lost.append(packet)


def told(outcome: Outcome) -> tuple[Any, ...]:
    """All that must not depend on batches."""
    connections = [asdict(each) for each in outcome.connections]
    return outcome.frames, sorted(outcome.holes), outcome.skips, sorted(outcome.events), connections


@settings(deadline=None, max_examples=150)
@given(st.lists(happenings, max_size=40), st.lists(st.integers(1, 9), min_size=1, max_size=5))
@example([("reset", 0, 0), ("waited", SECOND, 0), ("next", 0, 1), ("next", 1, 1), ("dialled", 0, 0)], [1])
def test_batches_do_not_matter(script: list[tuple[str, int, int]], sizes: list[int]) -> None:
    exchange = Exchange()
    for happening in script:
        exchange.happen(*happening)
    whole = decode(exchange.network)
    assert told(decode(exchange.network, sizes * len(exchange.network.packets))) == told(whole)
    delivered = sum(direction.bytes for each in whole.connections for direction in each.directions)
    late = sum(direction.late_bytes for each in whole.connections for direction in each.directions)
    captured = sum(int(side.sum()) for each in exchange.captured for side in each)
    assert captured <= delivered + late
    assert captured == delivered or any(what in ("reset", "dialled") for what, _, _ in script)
    assert delivered == whole.bytes_told
