"""Nodes that speak late: what was seen of them before goes on under their ids, in batches of any size."""

from pathlib import Path

import pytest
from scripts import Script, speak_late

from dlmtrace.capture.source import WINDOW


@pytest.mark.parametrize("window", [WINDOW, 300])
def test_what_was_seen_before_a_node_spoke_is_part_of_its_streams(tmp_path: Path, window: int) -> None:
    script = Script(tmp_path / "late.pcap")
    speak_late(script)
    analysis = script.analysis(window)
    assert [(stream.sender, stream.receiver, stream.frames) for stream in analysis.streams] == [(1, 2, 8), (2, 1, 1)]
    (record,) = analysis.reconnects
    assert (record.sender, record.receiver, record.verdict) == (1, 2, "safe")
    assert record.resent == [(0, 2)]
    (told,) = [finding for finding in analysis.findings if finding.code == "CON404"]
    assert (told.sender, told.receiver) == (1, 2)
