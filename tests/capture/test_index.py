"""The index of records: many chains at once find what the walk from record to record finds, or own up."""

import random
from itertools import pairwise

import numpy as np
import pytest
from evidence import capture_bytes
from hypothesis import given
from hypothesis import strategies as st
from oracles.packets import struct_packets

from dlmtrace.capture.index import Layout, index, walk, walk_chains
from dlmtrace.capture.packets import TAIL

PCAP = Layout("<", length_at=8, extra=16, smallest=0, largest=1 << 18)


def records(lengths: list[int]) -> tuple[np.ndarray, list[int]]:
    """A buffer of pcap records of those lengths, and where they begin."""
    parts = [bytes(8) + length.to_bytes(4, "little") * 2 + b"\xff" * length for length in lengths]
    places = np.cumsum([0, *map(len, parts)]).tolist()
    return np.frombuffer(b"".join(parts) + bytes(TAIL), np.uint8), places


LENGTHS = st.lists(st.integers(0, 40), min_size=30, max_size=200)


@given(LENGTHS, st.integers(0), st.integers(1, 100), st.integers(0, 60))
def test_true_starts_give_every_record(lengths: list[int], seed: int, count: int, cut: int) -> None:
    buffer, places = records(lengths)
    end = max(places[-1] - cut, 1)
    whole = [place for place, following in pairwise(places) if following <= end]
    candidates = [place for place in places[1:-1] if place < end]
    chosen = sorted({0, *random.Random(seed).sample(candidates, min(count, len(candidates)))})
    found = walk_chains(buffer, np.array(chosen), end, PCAP)
    stop = places[len(whole)]
    assert walk(buffer, 0, end, PCAP) == (whole, stop)
    assert found is not None
    assert (found[0].tolist(), found[1]) == (whole, stop)


@given(LENGTHS, st.integers(0), st.integers(1, 100))
def test_a_false_start_is_found_out(lengths: list[int], seed: int, count: int) -> None:
    buffer, places = records(lengths)
    chance = random.Random(seed)
    false = chance.choice([place for place in range(1, places[-1]) if place not in places])
    chosen = sorted({0, false, *chance.sample(places[1:-1], min(count, len(places) - 2))})
    assert walk_chains(buffer, np.array(chosen), places[-1], PCAP) is None
    offsets, stop = index(buffer, np.array(chosen), places[-1], PCAP)
    assert (offsets.tolist(), stop) == (places[:-1], places[-1])


@pytest.mark.parametrize("count", [1, 20, 1000])
def test_chains_through_a_real_capture(count: int) -> None:
    content = capture_bytes("rst-3.2-tcp.pcap")
    places = np.cumsum([0, *(16 + len(data) for _, data in struct_packets(content))])
    buffer = np.frombuffer(content[24:] + bytes(TAIL), np.uint8)
    starts = np.unique(places[:-1][:: len(places) // count])
    found = walk_chains(buffer, starts, int(places[-1]), PCAP)
    assert found is not None
    assert found[0].tolist() == places[:-1].tolist()


def test_a_length_beyond_the_largest_is_no_record() -> None:
    buffer, places = records([10] * 40 + [100] + [10] * 40)
    layout = Layout("<", length_at=8, extra=16, smallest=0, largest=50)
    assert walk_chains(buffer, np.array(places[:-1]), places[-1], layout) is None
    offsets, stop = index(buffer, np.array(places[:-1]), places[-1], layout)
    assert (len(offsets), stop) == (40, places[40])
    assert layout.nonsense_at(buffer, stop, places[-1]) == 100
