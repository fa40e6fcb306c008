"""The stream analysis of captures, with every numbered frame that it took in, beside what the kernels recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from unittest import mock

from evidence import SCENARIOS, capture_path

from dlmtrace.pipeline import Trace
from dlmtrace.streams import analysis
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.receiver import Arrival
from dlmtrace.streams.results import Range, Stream
from dlmtrace.streams.tracker import Tracker

Pair = tuple[int, int]
"""Sender and receiver of a stream, by node id."""


@dataclass(frozen=True)
class Analysed:
    """The analysis of capture files, and the frames of each stream in the order in which it took them."""

    result: Analysis
    arrivals: dict[Pair, list[Arrival]]

    def stream(self, pair: Pair) -> Stream:
        """The stream of one node to another."""
        return next(stream for stream in self.result.streams if (stream.sender, stream.receiver) == pair)


@contextmanager
def frames_noted() -> Iterator[dict[Pair, list[Arrival]]]:
    """While it lasts, trackers note every frame that comes to them."""
    noted: dict[Pair, list[Arrival]] = {}

    class Noting(Tracker):
        def send(self, number: int, arrival: Arrival, *rest: Any) -> None:
            noted.setdefault((self.stream.sender, self.stream.receiver), []).append(arrival)
            super().send(number, arrival, *rest)

    with mock.patch.object(analysis, "Tracker", Noting):
        yield noted


def analyse(paths: list[str]) -> Analysis:
    """What `dlmtrace analyze` works out of capture files."""
    trace, result = Trace(paths), Analysis()
    for batch in trace.batches():
        result.feed(batch)
    result.finish(trace.capture.facts, trace.traffic)
    return result


@lru_cache(maxsize=4)
def analysed(*files: str) -> Analysed:
    """Analyse captures of the repository."""
    with frames_noted() as noted:
        result = analyse([str(capture_path(file)) for file in files])
    return Analysed(result, noted)


def whole_captures(name: str) -> list[tuple[str, ...]]:
    """The files of a scenario that show the whole session; several sets where several vantage points do."""
    several: dict[str, list[tuple[str, ...]]] = {
        "blackhole-tcp": [(f"{name}.n1.pcap",), (f"{name}.n2.pcap",), (f"{name}.n1.pcap", f"{name}.n2.pcap")],
        "sctp-multihome": [(f"{name}.net0.pcap", f"{name}.net1.pcap")],
        "mid-capture": [(f"{name}.full.pcap",)],
        "big-3.2-tcp": [],
    }
    return several.get(name, [(f"{name}.pcap",)])


WHOLE = [files for name in SCENARIOS for files in whole_captures(name)]


def numbers(ranges: list[Range]) -> set[int]:
    """All numbers of ranges; no capture here comes near the wrap."""
    return {number for low, high in ranges for number in range(low, high + 1)}
