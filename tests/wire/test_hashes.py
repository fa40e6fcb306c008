"""The hash of many names against the kernel's vectors, its traces and the plain reading of linux/jhash.h."""

import random
import re

import numpy as np
from evidence import kernel_record
from hypothesis import given
from hypothesis import strategies as st

from dlmtrace.wire.hashes import jhashes
from dlmtrace.wire.names import jhash

VECTORS = {  # protocol page §11, checked against the kernel's header
    b"a": 0x58D68708,
    b"test": 0xBE0C1952,
    b"abcdefghijkl": 0x4012F87B,
    b"abcdefghijklm": 0x928128F9,
    b"       2              17": 0xB57FD050,
    b"       5               9": 0x837ED680,
    b"x" * 64: 0x136C983A,
}


def hashes(names: list[bytes], *, big_endian: bool = False) -> list[int]:
    """The names back to back in one buffer, with bytes around them that must not count."""
    length = np.array([len(name) for name in names])
    buffer = np.frombuffer(b"\xff" * 5 + b"".join(names) + b"\xff" * 16, np.uint8)
    return jhashes(buffer, 5 + np.cumsum(length) - length, length, big_endian=big_endian).tolist()


def test_the_kernels_vectors() -> None:
    assert hashes(list(VECTORS)) == list(VECTORS.values())


@given(st.lists(st.binary(min_size=1, max_size=64), min_size=1))
def test_many_names_as_one_by_one(names: list[bytes]) -> None:
    assert hashes(names) == [jhash(name) for name in names]


def test_names_that_kernels_traced_with_their_hash() -> None:
    trace = kernel_record("gfs2-2node", 1, "trace")
    assert trace is not None
    traced = set(re.findall(r"m_hash=([1-9]\d*) .* res_name=0x([0-9a-f]+)", trace))
    assert len(traced) > 100
    assert hashes([bytes.fromhex(name) for _, name in traced]) == [int(value) for value, _ in traced]


def test_a_big_endian_node_reads_whole_blocks_in_its_own_order_and_the_last_one_byte_by_byte() -> None:
    names = [random.Random(size).randbytes(size) for size in range(1, 65)]
    for name, value in zip(names, hashes(names, big_endian=True), strict=True):
        whole = (len(name) - 1) // 12 * 12
        swapped = b"".join(name[at : at + 4][::-1] for at in range(0, whole, 4))
        assert value == jhash(swapped + name[whole:])
