"""Structures read at any byte of a buffer."""

import numpy as np
import pytest

from dlmtrace.gather import every_place, gather

HEADER = np.dtype([("kind", "u1"), ("length", ">u2"), ("value", "<u2")])  # 5 bytes: no alignment helps
BYTES = np.arange(32, dtype=np.uint8)


def test_structures_come_from_any_offset_in_any_order() -> None:
    rows = gather(BYTES, HEADER, np.array([27, 3, 3]))
    assert rows["kind"].tolist() == [27, 3, 3]
    assert rows["length"].tolist() == [0x1C1D, 0x0405, 0x0405]
    assert rows["value"].tolist() == [0x1F1E, 0x0706, 0x0706]


def test_what_is_gathered_is_a_copy() -> None:
    buffer = BYTES.copy()
    rows = gather(buffer, HEADER, np.array([3]))
    buffer[:] = 0
    assert rows["kind"].tolist() == [3]


@pytest.mark.parametrize(("size", "offset"), [(32, 28), (32, 32), (4, 0), (0, 0)])
def test_a_structure_that_ends_behind_the_buffer_is_an_error(size: int, offset: int) -> None:
    with pytest.raises(IndexError):
        gather(BYTES[:size], HEADER, np.array([offset]))


@pytest.mark.parametrize("size", [0, 4, 32])
def test_nothing_is_gathered_from_no_offsets(size: int) -> None:
    rows = gather(BYTES[:size], HEADER, np.array([], np.int64))
    assert (len(rows), rows.dtype) == (0, HEADER)


def test_every_place_sees_overlapping_items() -> None:
    assert every_place(BYTES[:4], ">u2").tolist() == [0x0001, 0x0102, 0x0203]
