"""Captures from pipes: the same packets however they arrive, and no packet waits for the next one."""

import bz2
import gzip
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from evidence import capture_bytes, capture_path
from oracles.packets import struct_packets, whole_packets

from dlmtrace.capture.packets import UnusableInput
from dlmtrace.capture.source import Capture

FILE = "clean-3.2-tcp.pcap"


def few_packets(count: int) -> bytes:
    capture = capture_bytes(FILE)
    return capture[: 24 + sum(16 + len(data) for _, data in struct_packets(capture)[:count])]


@contextmanager
def pipe(writes: Callable[[int], None]) -> Iterator[str]:
    """A path to read what ``writes`` puts into the pipe, on a thread of its own."""
    reading, writing = os.pipe()

    def feed() -> None:
        writes(writing)
        os.close(writing)

    thread = threading.Thread(target=feed)
    thread.start()
    yield f"/dev/fd/{reading}"
    thread.join()
    os.close(reading)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
def test_one_byte_at_a_time(compress: Callable[[bytes], bytes]) -> None:
    content = few_packets(30)

    def byte_by_byte(writing: int) -> None:
        for byte in compress(content):
            os.write(writing, bytes([byte]))

    with pipe(byte_by_byte) as path:
        capture = Capture([path])
        assert [(whole.packet, whole.data) for whole in whole_packets(capture)] == struct_packets(content)
    assert capture.facts == []
    assert capture.size is None
    assert capture.position == len(compress(content))


def test_a_busy_producer_fills_the_window() -> None:
    content = capture_bytes("rst-3.2-tcp.pcap")

    def at_once(writing: int) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(writing, view) :]

    with pipe(at_once) as path:
        batches = list(Capture([path], window=1 << 20).batches())
    assert sum(len(batch.records) for batch in batches) == len(struct_packets(content))
    # The pipe holds 1 MiB at most; many small batches would be slow.
    assert len(batches) < 20


def test_a_packet_does_not_wait_for_the_next_one() -> None:
    """As `tcpdump -U -w - | dlmtrace decode -`: the producer goes on only when its packet has been seen."""
    packets = struct_packets(few_packets(5))
    seen = threading.Event()

    def waits_for_the_reader(writing: int) -> None:
        content = few_packets(0)
        os.write(writing, content)
        for count in range(1, 6):
            content, before = few_packets(count), len(content)
            os.write(writing, content[before:])
            assert seen.wait(10)
            seen.clear()

    with pipe(waits_for_the_reader) as path:
        numbers = []
        for batch in Capture([path]).batches():
            assert len(batch.records) == 1
            # A small batch does not keep a whole window of memory.
            assert batch.buffer.size < 10_000
            numbers += batch.records["captured"].tolist()
            seen.set()
    assert numbers == [packet.captured for packet, _ in packets]


def test_standard_input_plain_and_redirected() -> None:
    script = (
        "from dlmtrace.capture.source import Capture\n"
        "capture = Capture(['-'], 100_000)\n"
        "count = sum(len(batch.records) for batch in capture.batches())\n"
        "print(count, capture.size, capture.files[0].name, capture.files[0].format, sep=',')\n"
    )
    command = [sys.executable, "-c", script]
    content = few_packets(300)
    piped = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    assert piped == b"300,None,standard input,pcap\n"
    with capture_path(FILE).open("rb") as redirected:
        read = subprocess.run(command, stdin=redirected, capture_output=True, check=True).stdout
    size = capture_path(FILE).stat().st_size
    assert read == f"894,{size},standard input,zstd pcap\n".encode()


def test_a_pipe_among_files_is_put_in_time_order(tmp_path: Path) -> None:
    content = few_packets(40)
    packets = struct_packets(content)
    half = len(few_packets(20))
    later = tmp_path / "later.pcap"
    later.write_bytes(content[:24] + content[half:])
    with pipe(lambda writing: assert_written(writing, content[:half])) as path:
        whole = whole_packets(Capture([later, path], window=2000))
    assert [packet.data for packet in whole] == [data for _, data in packets]
    assert [packet.file for packet in whole] == [0] * 20 + [1] * 20


def assert_written(writing: int, content: bytes) -> None:
    assert os.write(writing, content) == len(content)


def test_an_empty_pipe_is_no_capture() -> None:
    with pipe(lambda writing: time.sleep(0)) as path, pytest.raises(UnusableInput, match="empty"):
        Capture([path])
