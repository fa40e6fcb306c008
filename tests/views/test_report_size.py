"""However much there is to tell, the page stays small and counts what it leaves out."""

import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from dlmtrace.capture.packets import FileSummary
from dlmtrace.findings.outcome import Outcome
from dlmtrace.streams.nodes import Node, NodeTable
from dlmtrace.streams.results import Epoch, Finding, Reconnect, Stream
from dlmtrace.streams.series import MARK, POINT, RESENT, RESET, SENT, Series
from dlmtrace.views.analysis import FrameCounts, Run
from dlmtrace.views.places import Places
from dlmtrace.views.report.page import FINDINGS, GRAPHS, RECONNECTS, Report, page
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import TimeFormat

MEGABYTE = 1_000_000
NODES = 16
HOUR = 3600 * 10**9
LONG_NAME = r"\x9f" * 64  # what a resource name of 64 unprintable bytes reads as


def busy_series(sender: int, receiver: int, texts: int) -> Series:
    """An hour of a stream with as many points as the collector keeps at most, a quarter of them sent again."""
    series = Series(sender, receiver, numbered=True)
    for kept, offset in ((series.usual, 0), (series.near, 1)):
        points = np.zeros(1024, POINT)
        points["place"] = np.arange(1024) * 2 + offset
        points["time"] = 10**18 + np.sort(np.random.default_rng(sender).integers(0, HOUR, 1024))
        points["number"] = np.arange(1024) * 1000
        points["packet"] = np.arange(1024) * 3000 + 1
        points["kind"] = np.where(np.arange(1024) % 4, SENT, RESENT)
        points["count"], points["text"] = 500, np.arange(1024) * 2 + offset
        kept.points = points
    marks = np.zeros(2000, MARK)
    marks["time"], marks["kind"] = 10**18 + np.arange(2000) * (HOUR // 2000), RESET
    marks["packet"], marks["count"] = np.arange(2000) * 1500 + 1, 1
    series.add_marks(marks)
    return series


def worst_report() -> Report:
    """16 nodes that all talk to each other, thousands of reconnects and findings, names of the longest kind."""
    pairs = [(one, two) for one in range(1, NODES + 1) for two in range(1, NODES + 1) if one != two]
    streams = [Stream(*pair, "3.2", ["c1"], 10**6, {}, [Epoch(0, 10**6, 10**6)]) for pair in pairs]
    reconnects = []
    for n in range(1, 3001):
        sender, receiver = pairs[n % len(pairs)]
        ended = 10**18 + n * 10**9
        reconnect = Reconnect(
            f"r{n}", sender, receiver, "c1", "c2", "rst", ended, ended + 10**7, 1, 2, verdict="unsafe"
        )
        reconnect.unconfirmed, reconnect.resent, reconnect.lost = [(n, n + 9)], [(n, n + 5)], [(n + 6, n + 9)]
        reconnects.append(reconnect)
    findings = [
        Finding("SEQ202", f"{LONG_NAME} {n}", *pairs[n % len(pairs)], "c1", n, 10**18 + n * 10**9, n, n + 3)
        for n in range(5000)
    ]
    outcome = Outcome()
    for finding in findings:
        outcome.add(finding)
    nodes = NodeTable()
    nodes.nodes = {number: Node(10**6) for number in range(1, NODES + 1)}
    analysis = SimpleNamespace(
        streams=streams,
        reconnects=reconnects,
        verdicts=Counter(each.verdict for each in reconnects),
        connections={},
        nodes=nodes,
        leaves=list,
    )
    file = FileSummary("ring.pcap", "pcap", 10**7, 10**9, 10**18, 10**18 + HOUR)
    run = Run([file], 10**7, FrameCounts(), analysis, outcome)
    texts = SimpleNamespace(texts=[f"OPTS/MSG REQUEST {LONG_NAME}{n}" for n in range(2048)])
    collector = SimpleNamespace(series=[busy_series(*pair, 2048) for pair in pairs], texts=texts, more_streams=7)
    return Report(run, collector, findings, Places(Terminal(), TimeFormat.UTC, [file], {}))


@pytest.fixture(scope="module")
def worst_page() -> str:
    return page(worst_report())


def test_the_worst_page_is_below_five_megabytes(worst_page: str) -> None:
    assert MEGABYTE < len(worst_page.encode()) < 5 * MEGABYTE


def test_what_is_left_out_is_counted(worst_page: str) -> None:
    text = re.sub("<[^>]*>", " ", worst_page)
    assert f"{NODES * (NODES - 1) - GRAPHS + 7} more streams" in text
    assert f"{3000 - RECONNECTS} more reconnects" in text
    assert f"{5000 - FINDINGS} more findings" in text
