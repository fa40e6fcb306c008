"""Runs that go by columns give the same result as frame by frame, in batches of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evidence import CAPTURES

from dlmtrace.capture.source import Capture
from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis

NAMES = ["rst-6.12-tcp", "rst-3.2-tcp", "crash-3node", "mid-capture.snap96", "mixed-6.1-6.12", "rst-3.1-tcp"]


def outcome(name: str, window: int, monkeypatch: pytest.MonkeyPatch, by_columns: bool) -> Any:
    with monkeypatch.context() as patch:
        begin = Capture.__init__
        patch.setattr(Capture, "__init__", lambda self, paths: begin(self, paths, window))
        if not by_columns:
            patch.setattr(Analysis, "_take_plain", lambda self, batch: np.arange(len(batch)))
        trace, analysis = Trace([str(CAPTURES / f"{name}.pcap.zst")]), Analysis()
        for batch in trace.batches():
            analysis.feed(batch)
        analysis.finish(trace.capture.facts, trace.traffic)
    findings = sorted((each.code, str(each.packet), each.seq_first, each.count) for each in analysis.findings)
    reconnects = sorted((each.sender, each.receiver, each.ended, each.verdict) for each in analysis.reconnects)
    return analysis.streams, reconnects, findings


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("window", [4 << 20, 60_000])
def test_columns_and_frame_by_frame_agree(name: str, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = outcome(name, window, monkeypatch, by_columns=False)
    assert outcome(name, window, monkeypatch, by_columns=True) == exact
    assert exact[0], "no stream: the comparison proves nothing"
