"""The commands among other Unix tools: pipes, live input, interruption, encodings."""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import IO

import pytest
from evidence import capture_bytes, capture_path

from dlmtrace.craft import Network, opts, request

DLMTRACE = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()"]
"""The console script, also where the package is not installed."""

BIG = capture_path("rst-stall-6.12-tcp.pcap")


def test_head_ends_the_command_quietly() -> None:
    command = subprocess.Popen([*DLMTRACE, "decode", BIG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert command.stdout
    assert command.stderr
    first = command.stdout.readline()
    command.stdout.close()
    assert first.split()[4:6] == ["RCOM", "STATUS"]
    assert command.wait(60) == -signal.SIGPIPE
    assert command.stderr.read() == ""


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_head_of_the_other_formats(form: str) -> None:
    script = f'"$@" decode --format {form} {BIG} | head -n 2 | wc -l; echo "${{PIPESTATUS[0]}}"'
    shell = subprocess.run(["bash", "-c", script, "-", *DLMTRACE], capture_output=True, text=True, timeout=60)
    assert shell.stdout.split() == ["2", str(128 + signal.SIGPIPE)]
    assert shell.stderr == ""


def test_standard_input_is_as_good_as_a_file() -> None:
    path = capture_path("clean-3.2-tcp.pcap")
    for data in (path.read_bytes(), capture_bytes("clean-3.2-tcp.pcap")):
        piped = subprocess.run([*DLMTRACE, "decode", "-"], input=data, capture_output=True, timeout=60)
        named = subprocess.run([*DLMTRACE, "decode", path], capture_output=True, timeout=60)
        assert piped.stdout == named.stdout
        assert piped.stderr == b""


def live() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*DLMTRACE, "decode", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


def exchange(tmp_path: Path) -> bytes:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b)
        for sequence in range(3):
            connection.send(a, opts(sequence, request(b"resource", sender=a)))
    return (tmp_path / "a.pcap").read_bytes()


def line_of(output: IO[bytes] | None) -> list[str]:
    assert output
    return output.readline().decode().split()


def test_frames_show_while_the_capture_goes_on(tmp_path: Path) -> None:
    data = exchange(tmp_path)
    command = live()
    assert command.stdin
    command.stdin.write(data[:-200])  # the last acknowledgement and a part of the last frame are still to come
    assert [line_of(command.stdout)[4] for _ in range(2)] == ["0", "1"]
    command.stdin.write(data[-200:])
    assert line_of(command.stdout)[4] == "2"
    command.stdin.close()
    assert command.wait(60) == 0


def test_interruption_keeps_what_was_shown(tmp_path: Path) -> None:
    data = exchange(tmp_path)
    command = live()
    assert command.stdin
    assert command.stderr
    command.stdin.write(data)
    assert [line_of(command.stdout)[4] for _ in range(3)] == ["0", "1", "2"]
    command.send_signal(signal.SIGINT)
    assert command.wait(60) == 128 + signal.SIGINT
    assert command.stderr.read() == b""


def wait_until_read(command: subprocess.Popen[bytes]) -> None:
    """Until the pipe to the command is empty and the command waits for more."""
    assert command.stdin
    idle_since, used = time.monotonic(), [""]
    while time.monotonic() - idle_since < 1:
        time.sleep(0.05)
        unread = struct.unpack("i", fcntl.ioctl(command.stdin, termios.FIONREAD, b"0000"))[0]
        now = Path(f"/proc/{command.pid}/stat").read_text().rpartition(")")[2].split()[11:13]  # time on a processor
        if unread or now != used:
            idle_since, used = time.monotonic(), now


def test_interrupted_info_tells_what_it_has_seen(tmp_path: Path) -> None:
    data = exchange(tmp_path)
    command = subprocess.Popen(
        [*DLMTRACE, "info", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert command.stdin
    command.stdin.write(data)
    wait_until_read(command)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert command.returncode == 128 + signal.SIGINT
    assert b"frames              3, 360 B" in out
    assert err == b""


def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = subprocess.run([*DLMTRACE, "decode", BIG], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert command.returncode == 2
    assert command.stderr == "dlmtrace: standard output: No space left on device\n"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_output_is_utf_8_or_can_be_read_all_the_same(locale: str) -> None:
    environment = {**os.environ, "LC_ALL": locale}
    command = subprocess.run([*DLMTRACE, "decode", "-c1", BIG], env=environment, capture_output=True, timeout=60)
    assert command.returncode == 0
    assert "1→2" in command.stdout.decode()


def test_an_encoding_without_arrows_gets_something_in_their_place() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = subprocess.run([*DLMTRACE, "decode", "-c1", BIG], env=environment, capture_output=True, timeout=60)
    assert command.returncode == 0
    assert b"1?2" in command.stdout
