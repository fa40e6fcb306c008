"""Numbers connection by connection, on hand-made numbers and on a capture whose reconnect the kernels logged."""

import numpy as np
import pytest
from evidence import capture_path, kernel_record

from dlmtrace.pipeline import Trace
from dlmtrace.streams.by_connection import ByConnection, Sent


def sent(*batches: list[int]) -> Sent:
    result = Sent()
    for numbers in batches:
        result.add_numbers(np.array(numbers, np.int64))
    return result


def test_numbers_in_order_are_one_range_whatever_the_batches() -> None:
    whole = sent([0, 1, 2, 3, 4, 5])
    assert whole.numbers == sent([0, 1], [2, 3, 4], [5]).numbers == [(0, 5)]
    assert (whole.numbered, whole.again, whole.gaps) == (6, 0, [])


def test_numbers_that_are_jumped_over_are_a_gap_until_they_come() -> None:
    assert sent([7, 8, 11, 12]).gaps == [(9, 10)]
    late = sent([7, 8, 11, 12], [9, 10])
    assert (late.numbers, late.gaps, late.again) == ([(7, 12)], [], 0)


def test_numbers_that_come_again_are_counted_once_a_time() -> None:
    queued_first = sent([799, 800], [795, 796, 797, 798, 799, 800, 801])
    assert (queued_first.numbers, queued_first.again) == ([(795, 801)], 2)
    assert sent([5, 5, 5], [5]).again == 3


def test_numbers_go_on_behind_the_wrap() -> None:
    wrapped = sent([4294967294, 4294967295, 0], [1, 3])
    assert (wrapped.numbers, wrapped.gaps) == ([(4294967294, 1), (3, 3)], [(2, 2)])


@pytest.fixture(scope="module")
def reset() -> ByConnection:
    found = ByConnection()
    for batch in Trace([str(capture_path("rst-3.2-tcp.pcap"))]).batches():
        found.add(batch)
    return found


def test_a_new_connection_begins_with_what_was_queued_and_goes_back(reset: ByConnection) -> None:
    # packet 1599 of the capture: 799, 800, then 795 … 800 once more, then 801
    old, new = reset.sent[0, 0], reset.sent[3, 0]
    assert old.numbers == [(0, 798)]
    assert new.numbers[0][0] == 795
    assert new.gaps == []
    assert new.again == 2
    log = kernel_record("rst-3.2-tcp", 1, "dmesg")
    assert log is not None
    assert "retransmit dlm msg, seq 795, nodeid 2" in log


def test_every_connection_and_every_frame_is_counted(reset: ByConnection) -> None:
    # the table of the manifest: 17902 OPTS, 3326 ACK, 40 RCOM, 11 connections
    assert len(reset.connections) == 11
    assert sum(each.numbered for each in reset.sent.values()) == 17902
    assert sum(each.acks for each in reset.sent.values()) == 3326
    assert sum(each.frames for each in reset.sent.values()) == 17902 + 3326 + 40
