"""A capture with any number of connections: what is kept one by one is bounded, what is counted is not."""

from collections import Counter

import pytest
from evidence import CAPTURES

from dlmtrace.pipeline import Trace
from dlmtrace.streams import analysis as analysis_module
from dlmtrace.streams.analysis import Analysis


def analysed(name: str) -> Analysis:
    trace, analysis = Trace([str(CAPTURES / name)]), Analysis()
    for batch in trace.batches():
        analysis.feed(batch)
    analysis.finish(trace.capture.facts, trace.traffic)
    return analysis


def test_harmless_reconnects_do_not_push_out_the_one_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = analysed("rst-6.12-tcp.pcap.zst")
    monkeypatch.setattr(analysis_module, "RECONNECT_LIMIT", 2)
    few = analysed("rst-6.12-tcp.pcap.zst")
    assert sorted(each.verdict for each in few.reconnects) == ["safe", "safe", "unsafe"]
    assert few.verdicts == everything.verdicts == Counter(each.verdict for each in everything.reconnects)
    assert everything.verdicts["safe"] > 2


def test_the_first_connections_of_a_stream_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis_module, "CONNECTION_LIMIT", 3)
    streams = analysed("rst-6.12-tcp.pcap.zst").streams
    assert [len(stream.connections) for stream in streams] == [3, 3]
    assert sum(stream.frames for stream in streams) == 40 + 16430 + 663  # RCOM, OPTS, ACK: captures/MANIFEST.md
