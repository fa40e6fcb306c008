"""The browser in a real terminal: tmux."""

import shlex
import subprocess
import sys

import pytest
from evidence import capture_path
from terminal import Terminal

RESET = capture_path("rst-3.2-tcp.pcap")
BROWSE = [sys.executable, "-c", "from dlmtrace.cli.main import main; main()", "browse"]


@pytest.mark.parametrize(
    ("width", "height", "panes"),
    [
        (80, 24, ["^▼ header", "^├ h_version 3.2", "^0000  02 00 03 00"]),  # fields above bytes
        (160, 50, ["^▼ header +0000  02 00 03 00"]),  # fields beside bytes
    ],
)
def test_browse_shows_three_panes_and_leaves_with_q(
    terminal: Terminal, width: int, height: int, panes: list[str]
) -> None:
    terminal.run(shlex.join([*BROWSE, str(RESET)]), width, height)
    for pattern in ("seconds conn nodes +seq command", "1→2 +RCOM +STATUS", "Filter .* q Quit *$", *panes):
        terminal.screen(pattern)
    terminal.press("q")
    terminal.screen("status 0")


def test_without_colours_the_lit_bytes_are_still_told_apart(terminal: Terminal) -> None:
    terminal.run(f"NO_COLOR=1 {shlex.join([*BROWSE, str(RESET)])}", 160, 50)
    terminal.screen("h_version")
    terminal.press("Tab", "Down", "Down")
    terminal.screen(r"0000 .*\x1b\[7m02 00 03 00", "-e")


def test_a_capture_comes_through_a_pipe_while_the_keyboard_works(terminal: Terminal) -> None:
    terminal.run(f"cat {shlex.quote(str(RESET))} | {shlex.join([*BROWSE, '-'])}", 80, 24)
    terminal.screen("standard input")
    terminal.screen("h_version")
    terminal.press("q")
    terminal.screen("status 0")


def test_without_a_terminal_it_says_what_to_use() -> None:
    done = subprocess.run([*BROWSE, str(RESET)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("dlmtrace: ")
    assert "a terminal is needed" in done.stderr


def test_without_textual_it_says_what_brings_it() -> None:
    without = "import sys; sys.modules['textual'] = None; from dlmtrace.cli.main import main; main()"
    command = [sys.executable, "-c", without, "browse", str(RESET)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "dlmtrace: browse needs textual: pip install 'dlmtrace[browse]'\n")
