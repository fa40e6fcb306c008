"""Nodes that speak late: what was seen of them before goes on under their ids, in batches of any size."""

from pathlib import Path

import numpy as np
import pytest
from scripts import Script, frames

from dlmtrace.capture.source import WINDOW, Capture
from dlmtrace.craft import ack, status
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.collector import Collector


@pytest.fixture
def late(tmp_path: Path) -> Path:
    """Node 1 sends, is reset, sends again; only then does node 2 say its first word."""
    script = Script(tmp_path / "late.pcap")
    old = script.network.connect(script.one, script.two)
    old.send(script.one, status(sender=1))
    old.send(script.one, frames(0, 1, 2), acknowledge=False)
    old.reset(by=script.two)
    new = script.network.connect(script.one, script.two)
    new.send(script.one, frames(0, 1, 2))
    new.send(script.one, frames(3))
    new.send(script.two, ack(4, sender=2))
    script.network.write(script.path)
    return script.path


def fed(path: Path, window: int) -> tuple[Analysis, Collector]:
    trace, analysis = Trace([str(path)]), Analysis()
    trace.capture = Capture([str(path)], window)

    def describe(_: FrameBatch, rows: np.ndarray) -> list[str]:
        return [""] * len(rows)

    collector = Collector(analysis, describe)
    for batch in trace.batches():
        analysis.feed(batch)
        collector.add(batch)
    analysis.finish(trace.capture.facts, trace.traffic)
    collector.finish()
    return analysis, collector


@pytest.mark.parametrize("window", [WINDOW, 300])
def test_what_was_seen_before_a_node_spoke_is_part_of_its_streams(late: Path, window: int) -> None:
    analysis, collector = fed(late, window)
    assert [(stream.sender, stream.receiver, stream.frames) for stream in analysis.streams] == [(1, 2, 8), (2, 1, 1)]
    (record,) = analysis.reconnects
    assert (record.sender, record.receiver, record.verdict) == (1, 2, "safe")
    assert record.resent == [(0, 2)]
    (told,) = [finding for finding in analysis.findings if finding.code == "CON404"]
    assert (told.sender, told.receiver) == (1, 2)
    assert [(series.sender, series.receiver) for series in collector.series] == [(1, 2), (2, 1)]
    sent = collector.series[0].points
    assert sent["number"].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]  # the last is an ACK
