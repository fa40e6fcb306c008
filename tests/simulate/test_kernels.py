"""The engine against real kernels: driven by the order of events in a kernel's trace, it must acknowledge as it did."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

import pytest
from evidence import capture_path, kernel_record

from dlmtrace.pipeline import Trace
from dlmtrace.wire.enums import Command
from simulate.engines import established, message, opts, output

EVENT = re.compile(r" (dlm_recv|dlm_recv_message|dlm_recv_rcom|dlm_send_message|dlm_send_rcom): (.*)")
NUMBER = re.compile(r"\b(?:h_)?seq=(\d+)")
NOTHING_MORE = "ret=-11"  # EAGAIN: the receive run is over


@lru_cache(maxsize=2)
def acknowledgements(capture: str) -> list[tuple[int, int]]:
    """Node and number of every ACK on the wire, in order."""
    found: list[tuple[int, int]] = []
    for batch in Trace([str(capture_path(f"{capture}.pcap"))]).batches():
        acks = batch.command == Command.ACK
        found += zip(batch.header["h_nodeid"][acks].tolist(), batch.sequence[acks].tolist(), strict=True)
    return found


def predicted(capture: str, node: int, dialect: str) -> list[int]:
    """The numbers that the engine acknowledges when it lives through the node's trace."""
    engine = established(dialect)
    sent = 0
    numbers: list[int] = []
    trace = kernel_record(capture, node, "trace")
    assert trace is not None
    for event, fields in EVENT.findall(trace):
        number = NUMBER.search(fields)
        if event == "dlm_recv":
            if NOTHING_MORE in fields:
                engine.receive_run_ended()
        elif event.startswith("dlm_recv"):
            assert number is not None
            while engine.expected <= int(number[1]):  # a NAMES_REPLY is too long for the trace: its number is left out
                engine.receive(opts(engine.expected), 0)
        else:
            assert number is not None
            while sent <= int(number[1]):
                engine.send(message(node=1), 0)
                sent += 1
        numbers += [int(word.removeprefix("ACK ")) for word in output(engine) if word.startswith("ACK")]
    return numbers


@pytest.mark.parametrize("node", [1, 2])
@pytest.mark.parametrize("capture", ["clean-3.2-tcp", "gfs2-2node", "ipv6-tcp"])
def test_6_1_acknowledges_at_the_end_of_each_receive_run(capture: str, node: int) -> None:
    *wire, last = [number for sender, number in acknowledgements(capture) if sender == node]
    assert predicted(capture, node, "6.1.y") == wire
    assert last == wire[-1] + 1  # the FIN, which is not traced


@pytest.mark.parametrize(
    ("capture", "node"), [("clean-6.12-tcp", 1), ("clean-6.12-tcp", 2), ("gfs2-6.12", 1), ("gfs2-6.12", 2)]
)
def test_6_12_acknowledges_every_33_frames_or_a_few_more(capture: str, node: int) -> None:
    """The trace shows a frame when it is committed; the counter was looked at when it was allocated, shortly before."""
    *wire, _fin = [number for sender, number in acknowledgements(capture) if sender == node]
    numbers = predicted(capture, node, "6.7")
    assert abs(len(numbers) - len(wire)) <= 1
    assert min(after - before for before, after in pairwise(wire)) >= 32
    near = [min(abs(number - other) for other in numbers) <= 4 for number in wire]
    assert sum(near) >= 0.6 * len(wire)
