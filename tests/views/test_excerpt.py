"""An excerpt is the same however the capture is dealt into batches."""

import numpy as np
import pytest
from evidence import capture_path

from dlmtrace.capture.source import WINDOW, Capture
from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.fates import Fates
from dlmtrace.streams.nodes import NodeTable
from dlmtrace.views.excerpt import Excerpt, Item
from dlmtrace.views.naming import Naming

FILE = "rst-6.12-tcp.pcap"
FRAMES, PACKETS = 17_133, 11_141  # captures/rst-6.12-tcp.json


def excerpt(window: int, first: int | None, last: int | None, limit: int = 30) -> tuple[list[Item], int, int]:
    """What is chosen, and how many frames before and behind are not, with ``window`` bytes a batch."""
    path = str(capture_path(FILE))
    trace, fates, naming = Trace([path]), Fates(), Naming(NodeTable(), {}, [path])
    trace.capture = Capture([path], window)
    analysis, chosen = Analysis(fates=fates), Excerpt(fates, limit, first, last, context=12)
    for batch in trace.batches():
        naming.nodes.learn(batch)
        chosen.offer(batch, np.arange(len(batch)), naming)
        analysis.feed(batch)
    analysis.finish(trace.capture.facts, trace.traffic)
    return chosen.finish(), chosen.before, chosen.behind


def told(items: list[Item]) -> list[tuple[object, ...]]:
    return [(item.kind, item.packet, item.label, item.fate, item.resent) for item in items]


@pytest.mark.parametrize(
    ("first", "last"), [(None, None), (1280, 1280), (1250, 1286), (1, 1), (PACKETS, PACKETS)], ids=str
)
def test_batches_do_not_matter(first: int | None, last: int | None) -> None:
    whole, before, behind = excerpt(WINDOW, first, last)
    assert told(whole) == told(excerpt(1 << 16, first, last)[0])
    frames = sum(item.kind == "frame" for item in whole)
    skipped = sum(int(item.label.split()[0]) for item in whole if item.kind == "gap")
    assert before + frames + skipped + behind == FRAMES


def test_what_happens_before_the_first_frame_belongs_to_it() -> None:
    items, _, _ = excerpt(WINDOW, None, None, limit=1)
    assert [item.label for item in items] == ["SYN", "STATUS"]
