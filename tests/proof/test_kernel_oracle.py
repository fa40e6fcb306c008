"""The reading of the kernels' traces is itself held against the recording lab's own count of the same files."""

import re

import numpy as np
import pytest
from evidence import SCENARIOS, kernel_record, scenario
from oracles.kernel import (
    COMMANDS,
    FLAGS,
    INTERNAL_FLAGS,
    LOCK_FLAGS,
    MESSAGE_TYPES,
    MODES,
    RECOVERY_TYPES,
    STATUS_FLAGS,
    SYMBOLS,
    boots,
    log,
    number,
    traces,
)

from dlmtrace.wire import enums

COUNTS = re.compile(r"node (\d): traced sends (\d+), .* traced rcom (\{.*?\}); trace events lost: (\d+)")
RECOVERY = ("send", "rcom"), ("recv", "rcom")
RECEIVES = re.compile(r" +traced receives (\d+),")


def read_by_lab(name: str) -> dict[int, tuple[int, int, int, int, int]]:
    """Node → messages sent and received, recovery commands sent and received, events lost, as the lab counted them."""
    counts: dict[int, tuple[int, int, int, int, int]] = {}
    lines = scenario(name).get("oracle", [])
    for line in lines:
        if match := COUNTS.match(line):
            node, sends, rcom, lost = match.groups()
            receives = next(found[1] for later in lines[lines.index(line) :] if (found := RECEIVES.match(later)))
            recovery = {direction: int(count) for direction, count in re.findall(r"'(\w+)': (\d+)", rcom)}
            counts[int(node)] = int(sends), int(receives), recovery.get("send", 0), recovery.get("recv", 0), int(lost)
    return counts


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_event_of_a_trace_is_read(name: str) -> None:
    by_lab = read_by_lab(name)
    for trace in traces(name):
        text = kernel_record(name, trace.node, "trace", trace.boot)
        assert text is not None
        for (direction, kind), events in trace.events.items():
            assert len(events) == text.count(f": dlm_{direction}_{kind}: ")
            assert np.all(np.diff(events.time) >= 0), "a trace is in the order of its clock"
        assert trace.lost == 0, "no scenario was recorded with a trace buffer that overflowed"
        if trace.boot == 1 and trace.node in by_lab:
            received = trace.events["recv", "message"]
            ids = received.content[["h_nodeid", "m_type", "m_lkid", "m_remid"]].tolist()
            different = set(zip(received.sequence.tolist(), ids, strict=True))  # the lab counted receives so
            sends, commands, answers = (len(trace.events[key]) for key in (("send", "message"), *RECOVERY))
            assert (sends, len(different), commands, answers, trace.lost) == by_lab[trace.node]


def test_symbols_become_the_numbers_of_the_kernel_headers() -> None:
    assert number("m_exflags", "CANCEL|CONVERT|VALBLK|IVVALBLK|FORCEUNLOCK") == 0x2002E
    assert number("m_exflags", "") == 0
    assert number("m_flags", "USER|0x10000") == number("m_flags", "MSTCPY|USER") == 0x10001
    assert number("m_grmode", "IV") == -1
    assert number("h_version", "3.2") == 0x00030002
    for flags in FLAGS.values():
        assert all(value & value - 1 == 0 for value in flags.values()), "each flag is one bit"
    for symbols in SYMBOLS.values():
        assert len(set(symbols.values())) == len(symbols)


def test_the_log_is_read_whole() -> None:
    for name in SCENARIOS:
        for node, boot in boots(name):
            text = kernel_record(name, node, "dmesg", boot) or ""
            read = log(name, node, boot)
            assert len(read.retransmitted) == text.count("retransmit dlm msg")
            assert len(read.ignored) == text.count("seq mismatch")


def test_the_wire_names_are_those_of_the_kernel_headers() -> None:
    """Two tables written apart: the decoder's enumerations and this oracle's."""
    for names, values in (
        (COMMANDS, enums.Command),
        (MESSAGE_TYPES, enums.MessageType),
        (RECOVERY_TYPES, enums.RecoveryType),
        (MODES, enums.Mode),
        (LOCK_FLAGS, enums.LockFlags),
        (STATUS_FLAGS, enums.StatusFlags),
    ):
        assert names == {value.name: value.value for value in values}
    # the trace header leaves out two flags of 5.x that no kernel with a trace has
    untraced = {"WATCH_TIMEWARN": 0x400000, "TIMEOUT_CANCEL": 0x800000}
    assert INTERNAL_FLAGS | untraced == {flag.name: flag.value for flag in enums.InternalFlags}
