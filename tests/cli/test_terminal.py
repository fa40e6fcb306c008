"""What people see: colours, titles, cut lines and progress on a terminal, and none of it in a file."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from evidence import capture_bytes, capture_path

DLMTRACE = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()"]
CLEAN = str(capture_path("clean-3.2-tcp.pcap"))


def on_terminal(arguments: list[str], width: int, **environment: str) -> str:
    """Output and errors of the command on a pseudo-terminal of that width."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    inherited = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
    command = subprocess.Popen(
        [*DLMTRACE, *arguments],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**inherited, "TERM": "xterm", **environment},
    )
    os.close(terminal)
    output = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([main], [], [], 0.1)[0]:
            try:
                output += os.read(main, 1 << 16)
            except OSError:  # the other end is closed
                break
    assert command.wait(60) == 0
    os.close(main)
    return output.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("width", [60, 200])
def test_a_list_fits_the_terminal_and_has_colours(width: int) -> None:
    output = on_terminal(["decode", "--limit", "80", CLEAN], width)
    lines = plain(output).splitlines()
    assert len(lines) == 81
    assert lines[0].split()[:4] == ["packet", "2026-11-22", "UTC", "conn"]
    assert max(map(len, lines)) <= width
    assert any(line.endswith("…") for line in lines) == (width == 60)
    assert "\x1b[36m" in output  # recovery
    assert "\x1b[2m" in output  # acknowledgements


def test_no_color_is_kept() -> None:
    assert "\x1b" not in on_terminal(["decode", "--limit", "80", CLEAN], 100, NO_COLOR="1")
    assert "\x1b" not in on_terminal(["decode", "--limit", "80", CLEAN], 100, TERM="dumb")
    assert "\x1b" in on_terminal(["decode", "--limit", "80", CLEAN], 100, NO_COLOR="")


def test_a_file_gets_neither_colours_nor_titles_nor_cuts() -> None:
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "40"}
    command = subprocess.run([*DLMTRACE, "decode", CLEAN], env=environment, capture_output=True, text=True, timeout=60)
    assert "\x1b" not in command.stdout
    assert "…" not in command.stdout
    assert command.stdout.startswith("     10 2026-11-22T05:12:01.668857Z")


@pytest.mark.parametrize("width", [40, 60, 200])
def test_info_fits_the_terminal(width: int) -> None:
    output = plain(on_terminal(["info", CLEAN], width))
    assert max(map(len, output.splitlines())) <= width
    assert ("columns more)" in output) == (width < 200)
    assert "LOOKUP_REPLY" in output


def test_info_and_tree_without_colours() -> None:
    assert not re.search(r"\x1b\[[0-9;]*[349][0-7]", on_terminal(["info", CLEAN], 100, NO_COLOR="1"))  # bold is none
    assert "\x1b" not in on_terminal(["decode", "-V", "--limit", "1", CLEAN], 100, NO_COLOR="1")
    assert "\x1b" in on_terminal(["decode", "-V", "--limit", "1", CLEAN], 100)


def test_a_long_file_shows_its_progress_and_takes_it_away(tmp_path: Path) -> None:
    data = capture_bytes("rst-stall-6.12-tcp.pcap")
    path = tmp_path / "long.pcap"
    path.write_bytes(data + data[24:] * 12)
    output = on_terminal(["info", str(path)], 100)
    assert "━" in output
    assert "MB" in output
    report = output[output.rindex("Files") :]
    assert "━" not in report
