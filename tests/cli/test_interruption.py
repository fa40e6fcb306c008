"""Ctrl-C while a capture is read."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from evidence import capture_bytes, capture_path

from dlmtrace.cli.interruption import Interruption
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.pipeline import Trace

CAPTURE = capture_path("clean-3.2-tcp.pcap")
BIG = capture_bytes("big-3.2-tcp.n1.ring.pcap")


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def batch() -> FrameBatch:
    return next(Trace([str(CAPTURE)]).batches())


def test_what_is_done_with_a_batch_goes_on_to_its_end() -> None:
    done = []
    with Interruption() as interruption:
        for number, _ in enumerate(interruption.until(iter([batch()] * 3))):
            if number == 1:
                interrupt()
            done.append(number)
    assert done == [0, 1]
    assert interruption.came


def test_waiting_for_more_is_broken_off() -> None:
    def source() -> Iterator[FrameBatch]:
        yield batch()
        interrupt()
        raise AssertionError("the wait went on")

    with Interruption() as interruption:
        assert len(list(interruption.until(source()))) == 1
    assert interruption.came


def test_an_interruption_that_was_lost_on_the_way_is_remembered() -> None:
    def source() -> Iterator[FrameBatch]:
        for _ in range(3):
            try:
                interrupt()
            except KeyboardInterrupt:  # Python drops one that comes inside a destructor, too
                yield batch()

    with Interruption() as interruption:
        assert len(list(interruption.until(source()))) == 1
    assert interruption.came


def test_the_second_one_ends_the_program_at_once() -> None:
    script = """
import os, signal
from dlmtrace.cli.interruption import Interruption
with Interruption() as interruption:
    for _ in interruption.until(iter([None, None])):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    print("still here", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("too late", flush=True)
"""
    # None ends the batches, so that no capture is needed
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (-signal.SIGINT, "still here\n")


def test_what_was_set_before_is_set_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption():
        pass
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("command", [["analyze"], ["analyze", "--follow"], ["streams"], ["decode"], ["info"]])
def test_every_command_that_reads_ends_with_130_and_what_it_saw(command: list[str], tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as output, err.open("wb") as errors:
        running = subprocess.Popen(
            [sys.executable, "-c", "from dlmtrace.cli.main import main; main()", *command, "-"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
        )
    assert running.stdin
    running.stdin.write(BIG)  # a pipe holds a part of it only: when all is written, the command is reading
    running.stdin.flush()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGINT
    assert out.read_bytes()
    assert "Traceback" not in err.read_text()
