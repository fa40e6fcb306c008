"""What became of single frames is what the receivers' kernels traced and logged, and what the senders' logged."""

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest
from evidence import capture_path, scenario_of
from oracles.kernel import boots, log

from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.fates import Fate, Fates
from dlmtrace.wire.enums import Command, RecoveryType
from proof.test_streams_delivered import received


class Seen(NamedTuple):
    """A numbered frame on the wire."""

    sender: int
    receiver: int
    number: int
    traced: bool  # does the kernel's trace show frames like it?
    fate: Fate | None
    resent: bool


@lru_cache
def numbered_frames(file: str) -> list[Seen]:
    """Every OPTS frame between nodes 1 and 2."""
    trace, fates = Trace([str(capture_path(file))]), Fates()
    analysis = Analysis(fates=fates)
    keys, told = [], []
    for batch in trace.batches():
        for row in np.flatnonzero(batch.header["h_cmd"] == Command.OPTS).tolist():
            frame = batch.frames[row]
            keys.append((int(frame["connection"]) * 2 + int(frame["side"]), int(frame["position"] + frame["length"])))
            fates.watch(keys[-1])
            names = batch.command[row] == Command.RCOM and batch.type[row] == RecoveryType.NAMES_REPLY
            traced = batch.command[row] != Command.FIN and not names
            told.append((int(batch.header["h_nodeid"][row]), int(batch.sequence[row]), bool(traced)))
        analysis.feed(batch)
    analysis.finish(trace.capture.facts, trace.traffic)
    return [
        Seen(sender, 3 - sender, number, traced, fates.of(key, True), fates.was_sent_before(key))
        for key, (sender, number, traced) in zip(keys, told, strict=True)
    ]


FILES = ["rst-3.2-tcp.pcap", "rst-6.12-tcp.pcap", "rst-stall-6.12-tcp.pcap", "rst-oneside-6.12-tcp.pcap"]


@pytest.mark.parametrize("file", FILES)
def test_one_copy_of_a_number_was_taken_and_the_receiver_traced_it(file: str) -> None:
    frames = numbered_frames(file)
    for (sender, receiver), (kernel, *others) in received(scenario_of(file)).items():
        assert not others
        taken = Counter(frame.number for frame in frames if frame.sender == sender and frame.fate is Fate.TAKEN)
        assert set(taken.values()) == {1}
        untraced = {frame.number for frame in frames if frame.sender == sender and not frame.traced}
        assert set(taken) - untraced == kernel.numbers - untraced
        assert receiver == 3 - sender


@pytest.mark.parametrize("file", FILES)
def test_what_a_receiver_logged_as_ignored_came_and_was_not_taken(file: str) -> None:
    frames = Counter(frame[:3] for frame in numbered_frames(file) if frame.fate is Fate.IGNORED)
    name, lines = scenario_of(file), 0
    for node, boot in boots(name):
        logged = Counter((line.peer, node, line.sequence) for line in log(name, node, boot).ignored)
        assert not logged - frames
        lines += logged.total()
    assert lines


@pytest.mark.parametrize("file", FILES)
def test_what_a_sender_logged_as_sent_again_is_known_as_such(file: str) -> None:
    frames = numbered_frames(file)
    again = Counter(frame[:3] for frame in frames if frame.resent)
    copies = Counter(frame[:3] for frame in frames)
    assert again == Counter({key: count - 1 for key, count in copies.items() if count > 1})
    name = scenario_of(file)
    for node, boot in boots(name):
        for line in log(name, node, boot).retransmitted:
            key = node, line.peer, line.sequence
            # A first copy that was still queued when the connection broke never went over the wire.
            assert again[key] or copies[key] == 1


def test_frames_without_numbers_that_tcp_had_not_acknowledged_are_lost() -> None:
    trace, fates = Trace([str(capture_path("rst-3.1-tcp.pcap"))]), Fates()
    analysis, keys = Analysis(fates=fates), []
    for batch in trace.batches():
        for frame in batch.frames:
            keys.append((int(frame["connection"]) * 2 + int(frame["side"]), int(frame["position"] + frame["length"])))
            fates.watch(keys[-1])
        analysis.feed(batch)
    analysis.finish(trace.capture.facts, trace.traffic)
    lost = [key for key in keys if fates.of(key, False) is Fate.LOST]
    assert len(lost) == sum(reconnect.lost_frames for reconnect in analysis.reconnects) > 0
    ended = {reconnect.old_connection for reconnect in analysis.reconnects if reconnect.lost_frames}
    assert {f"c{(carrier >> 1) + 1}" for carrier, _ in lost} == ended
