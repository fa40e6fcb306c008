"""The series of real captures hold the frames that a second reader of them finds, with the numbers of the analysis."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from evidence import capture_bytes, capture_path, stand_alone_counter
from scripts import Script, speak_late

from dlmtrace.capture.source import WINDOW, Capture
from dlmtrace.craft import Network, ack, opts, request, status, status_reply
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.pipeline import Trace
from dlmtrace.streams import collector as collecting
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.collector import Collector
from dlmtrace.streams.series import ACK, BARE, HOLE, LEFT_OUT, RESENT, RESET, SENT, Series

NUMBERED, ACKNOWLEDGEMENT = 3, 4
"""h_cmd"""


@lru_cache(maxsize=8)
def collected(file: str, window: int = WINDOW) -> dict[tuple[int, int], Series]:
    collector = collector_of(file, window)
    return {(series.sender, series.receiver): series for series in collector.series}


def collector_of(file: str, window: int = WINDOW) -> Collector:
    """Everything collected of a capture of the repository."""
    return collect(capture_path(file), window)


def collect(path: Path, window: int = WINDOW) -> Collector:
    """Everything collected of a capture; the text of a frame is its number and its packet."""
    trace, analysis = Trace([str(path)]), Analysis()
    trace.capture = Capture([str(path)], window)

    def describe(batch: FrameBatch, rows: np.ndarray) -> list[str]:
        return [f"{batch.sequence[row]} in {batch.frames['packet'][row]}" for row in rows.tolist()]

    collector = Collector(analysis, describe)
    for batch in trace.batches():
        analysis.feed(batch)
        collector.add(batch)
    analysis.finish(trace.capture.facts, trace.traffic)
    collector.finish()
    return collector


def walked(file: str, sender: int, receiver: int, commands: tuple[int, ...]) -> list[tuple[float, int]]:
    """Time (s) and second word of the frames with these commands from 10.77.0.sender to 10.77.0.receiver."""
    frames = stand_alone_counter().Walk().frames(capture_bytes(file))
    return [
        (frame.time, frame.header().second)
        for frame in frames
        if frame.source.startswith(f"10.77.0.{sender}:")
        and frame.peer[-1] == receiver
        and frame.header().command in commands
    ]


@pytest.mark.parametrize(
    ("file", "pair"),
    [
        ("rst-6.12-tcp.pcap", (1, 2)),
        ("rst-6.12-tcp.pcap", (2, 1)),
        ("crash-3node.pcap", (1, 3)),
        ("sctp-3.2.pcap", (2, 1)),
    ],
)
def test_every_frame_and_every_ack_is_a_point(file: str, pair: tuple[int, int]) -> None:
    points = collected(file)[pair].points
    for commands, chosen, senders in (
        (NUMBERED, points["kind"] != ACK, pair),
        (ACKNOWLEDGEMENT, points["kind"] == ACK, pair[::-1]),
    ):
        expected = Counter((round(time, 6), number) for time, number in walked(file, *senders, (commands,)))
        times = np.round(points["time"][chosen] / 1e9, 6)
        found = Counter(zip(times.tolist(), (points["number"][chosen] & 0xFFFFFFFF).tolist(), strict=True))
        assert found == expected
        assert expected


def test_sent_again_is_what_the_second_reader_saw_before() -> None:
    seen: set[int] = set()
    again = []
    for time, number in walked("rst-3.2-tcp.pcap", 1, 2, (NUMBERED,)):
        if number in seen:
            again.append((round(time, 6), number))
        seen.add(number)
    points = collected("rst-3.2-tcp.pcap")[1, 2].points
    resent = points[points["kind"] == RESENT]
    assert again
    assert list(zip(np.round(resent["time"] / 1e9, 6).tolist(), resent["number"].tolist(), strict=True)) == again


def test_frames_without_numbers_are_counted() -> None:
    points = collected("rst-3.1-tcp.pcap")[1, 2].points
    expected = len(walked("rst-3.1-tcp.pcap", 1, 2, (1, 2)))
    assert set(points["kind"].tolist()) == {BARE}
    assert points["number"].tolist() == list(range(expected))


def test_the_batches_do_not_matter() -> None:
    whole, small = (collected("rst-6.12-tcp.pcap", window) for window in (WINDOW, 50_000))
    for pair, series in whole.items():
        fields = [name for name in series.points.dtype.names or () if name != "text"]
        assert np.array_equal(series.points[fields], small[pair].points[fields])
        assert len(series.points)
        assert np.array_equal(series.marks, small[pair].marks)


@pytest.mark.parametrize("window", [WINDOW, 300])
def test_points_from_before_a_node_spoke_are_part_of_its_series(tmp_path: Path, window: int) -> None:
    script = Script(tmp_path / "late.pcap")
    speak_late(script)
    series = collect(script.path, window).series
    assert [(each.sender, each.receiver) for each in series] == [(1, 2), (2, 1)]
    assert series[0].points["number"].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]  # the last is an ACK


def test_a_memory_of_few_points_keeps_all_around_an_anomaly(monkeypatch: pytest.MonkeyPatch) -> None:
    every = collected("rst-3.2-tcp.pcap")[1, 2].points
    monkeypatch.setattr(collecting, "POINTS", 4096)
    series = collected.__wrapped__("rst-3.2-tcp.pcap")[1, 2]
    assert len(series.points) < len(every)
    assert series.points["count"].sum() == every["count"].sum()
    resent = every[every["kind"] == RESENT]
    assert np.array_equal(series.points[series.points["kind"] == RESENT], resent)
    around = every[(every["time"] >= resent["time"].min() - 10**7) & (every["time"] <= resent["time"].min())]
    assert np.isin(around["packet"], series.points["packet"]).all()


@pytest.mark.parametrize("limit", [collecting.TEXTS, 3000])
def test_every_point_that_stays_has_its_own_text(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "TEXTS", limit)
    monkeypatch.setattr(collecting, "POINTS", 1024)
    collector = collector_of("rst-3.2-tcp.pcap", 50_000)
    assert len(collector.texts.texts) <= limit
    for series in collector.series:
        for point in series.points[series.points["kind"] != ACK]:
            assert collector.texts.texts[point["text"]] == f"{point['number']} in {point['packet']}"


def test_what_was_jumped_over_and_every_reset_is_a_mark() -> None:
    # node 1 goes on with 799 and 800 before it sends 795 to 798 again: the receiver has those, nothing is left out;
    # the injector's list says how many resets there were
    marks = collected("rst-3.2-tcp.pcap")[1, 2].marks
    assert not (marks["kind"] == LEFT_OUT).any()
    assert len(set(marks["connection"][marks["kind"] == RESET].tolist())) == 5


# Crafted: two nodes that have met, and what node 1 sends after that.


@pytest.fixture
def sent(tmp_path: Path) -> Callable[..., Series]:
    """`sent(0, 1, 5)`: the series 1→2 when node 1 sends these numbers, a packet each; node 2 acknowledges ``acks``."""

    def craft(*numbers: int, acks: Sequence[int] = (), lost: Sequence[int] = ()) -> Series:
        network = Network(tmp_path / "crafted.pcap")
        one, two = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(one, two)
        connection.send(one, status(sender=1))
        connection.send(two, status_reply(sender=2))
        for number in numbers:
            packets = connection.send(one, opts(number, request(b"name", sender=1)))
            if number in lost:
                network.lose(*packets)
        for number in acks:
            connection.send(two, ack(number, sender=2))
        network.write(tmp_path / "crafted.pcap")
        (series,) = [each for each in collect(tmp_path / "crafted.pcap").series if each.sender == 1]
        return series

    return craft


def test_numbers_that_are_jumped_over_are_one_mark(sent: Callable[..., Series]) -> None:
    series = sent(0, 1, 5, 6)
    (gap,) = series.marks[series.marks["kind"] == LEFT_OUT]
    assert (gap["first"], gap["last"]) == (2, 4)
    assert gap["packet"] == 3 + 2 + 2 + 2 + 2 + 1  # handshake; STATUS, its reply, 0 and 1, each with an ACK of TCP; 5
    assert series.points["number"].tolist() == [0, 1, 5, 6]


def test_a_hole_of_the_capture_is_a_mark_with_its_bytes(sent: Callable[..., Series]) -> None:
    series = sent(0, 1, 2, 3, lost=[2])
    (hole,) = series.marks[series.marks["kind"] == HOLE]
    assert hole["last"] == len(opts(2, request(b"name", sender=1)))
    assert hole["forward"]


def test_numbers_go_on_rising_where_they_wrap(sent: Callable[..., Series]) -> None:
    series = sent(2**32 - 2, 2**32 - 1, 0, 1, acks=[0, 2])
    frames, acks = (series.points[series.points["kind"] == kind] for kind in (SENT, ACK))
    assert frames["number"].tolist() == [2**32 - 2, 2**32 - 1, 2**32, 2**32 + 1]
    assert acks["number"].tolist() == [2**32, 2**32 + 2]


def test_a_number_of_nonsense_is_counted_and_not_drawn(sent: Callable[..., Series]) -> None:
    series = sent(0, 1, 999_999, 2)
    assert series.points["number"].tolist() == [0, 1, 2]
    assert series.unplaced == 1
