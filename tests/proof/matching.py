"""Kernel events and decoded frames of one scenario brought together: what is on one side only.

Both sides are compared by everything that the trace prints: a frame matches an event when sender, sequence number,
every header and body field and every byte of the tail are equal.  Receivers are compared too, where a trace tells
them.  Times bind equal frames of different epochs: a frame is on the wire after it was sent and before it was received.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from oracles.kernel import CONTENT, Trace

from proof.decoded import Decoded

CLOCK_TOLERANCE = 2_000_000
"""Guest clocks were compared with the host's to within 1 ms, twice a run; ns."""


class Frame(NamedTuple):
    """A sequenced MSG or RCOM, by what both sides know of it.  ``destination`` is 0 where it is not compared."""

    kind: str
    source: int
    destination: int
    sequence: int
    content: bytes  # a row of CONTENT[kind]
    tail: bytes

    @property
    def fields(self) -> dict[str, int]:
        """The numbers in it by the kernel's names."""
        row = np.frombuffer(self.content, CONTENT[self.kind])[0]
        return {name: int(row[name]) for name in row.dtype.names or ()}

    def __str__(self) -> str:
        ends = f"{self.source}→{self.destination or '?'}"
        return f"{self.kind} {ends} seq={self.sequence} {self.fields} tail={self.tail[:32].hex()}"


Times = dict[Frame, list[int]]


@dataclass
class Comparison:
    """Frames → times (ns) of what one side has and the other has not."""

    wire: Times  # every frame on the wire, all its appearances
    only_sent: Times = field(default_factory=dict)  # a node sent it, the capture never shows it
    only_wire: Times = field(default_factory=dict)  # the capture shows it, its sender has a trace and did not send it
    only_received: Times = field(default_factory=dict)  # a node received it, the capture never shows it before
    not_received: Times = field(default_factory=dict)  # the capture shows it, its receiver has a trace without it
    again: Times = field(default_factory=dict)  # appearances beyond the number of times it was sent
    matched: int = 0


def rows(kind: str, sequence: npt.NDArray[np.int64], content: npt.NDArray[Any], tail: list[bytes]) -> Iterator[Any]:
    """(sequence, content, tail) as values that can be looked up."""
    size, packed = content.dtype.itemsize, content.tobytes()
    for index, (number, rest) in enumerate(zip(sequence.tolist(), tail, strict=True)):
        yield number, packed[index * size : (index + 1) * size], rest


def compare(traces: list[Trace], frames: Decoded, sources: set[int]) -> Comparison:
    """Hold what the nodes ``sources`` sent, and their peers received of it, against the decode."""
    wire: Times = defaultdict(list)
    for kind, carried in frames.carried.items():
        ends = zip(frames.source[carried.row].tolist(), frames.destination[carried.row].tolist(), strict=True)
        keys = rows(kind, frames.sequence[carried.row], carried.content, carried.tail)
        for (source, destination), key, time in zip(ends, keys, frames.time[carried.row].tolist(), strict=True):
            if source in sources:
                wire[Frame(kind, source, destination, *key)].append(time)
    result = Comparison(wire)
    _compare_sent(result, traces, sources)
    _compare_received(result, traces, sources)
    return result


def _events(traces: list[Trace], direction: str, sources: set[int]) -> Iterator[tuple[Frame, int]]:
    for trace in traces:
        for kind in CONTENT:
            events = trace.events[direction, kind]
            keys = rows(kind, events.sequence, events.content, events.tail)
            for key, peer, time in zip(keys, events.peer.tolist(), events.time.tolist(), strict=True):
                source, destination = (trace.node, peer) if direction == "send" else (peer, trace.node)
                if source in sources:
                    yield Frame(kind, source, destination, *key), time


def _compare_sent(result: Comparison, traces: list[Trace], sources: set[int]) -> None:
    """6.1 does not trace the destination of a send: there a frame to any peer will do, but only one for each event."""
    tells = {trace.node: any(trace.events["send", kind].peer.any() for kind in CONTENT) for trace in traces}
    sent: Times = defaultdict(list)
    for frame, time in _events(traces, "send", sources):
        sent[frame].append(time)
    seen: Times = defaultdict(list)
    for frame, times in result.wire.items():
        if frame.source in tells:
            seen[frame if tells[frame.source] else frame._replace(destination=0)].extend(times)
    for frame, times in sent.items():
        appearances = sorted(seen.pop(frame, []))
        if early := bisect_left(appearances, times[0] - CLOCK_TOLERANCE):
            result.only_wire[frame] = appearances[:early]
        missing = []
        for time in reversed(times):  # the last one has the fewest appearances to choose from
            place = bisect_left(appearances, time - CLOCK_TOLERANCE)
            if place < len(appearances):
                appearances.pop(place)
            else:
                missing.append(time)
        if missing:
            result.only_sent[frame] = missing
        elif appearances[early:]:
            result.again[frame] = appearances[early:]
        result.matched += len(times) - len(missing)
    result.only_wire |= seen


def _compare_received(result: Comparison, traces: list[Trace], sources: set[int]) -> None:
    received: Times = defaultdict(list)
    for frame, time in _events(traces, "recv", sources):
        received[frame].append(time)
    listening = {trace.node for trace in traces}
    for frame, times in result.wire.items():
        if frame.destination in listening and frame not in received:
            result.not_received[frame] = times
    for frame, times in received.items():
        appearances = sorted(result.wire.get(frame, []))
        missing = [
            time for place, time in enumerate(times) if bisect_right(appearances, time + CLOCK_TOLERANCE) <= place
        ]
        if missing:
            result.only_received[frame] = missing
        result.matched += len(times) - len(missing)
