"""A real terminal for a command: tmux, on a server of its own."""

import re
import subprocess
import time
from pathlib import Path

import pytest
from evidence import REPOSITORY

PATIENCE = 60


class Terminal:
    """A command on a screen of a given size.

    Every terminal has a server of its own: a new session that meets a server which is just ending fails.
    """

    def __init__(self, tmux: str, directory: Path) -> None:
        self._tmux = [tmux, "-S", str(directory / "socket"), "-f", "/dev/null"]

    def run(self, command: str, width: int, height: int) -> None:
        self._do(
            "new-session", "-d", "-x", str(width), "-y", str(height), f"{command}; echo status $?; sleep {PATIENCE}"
        )

    def press(self, *keys: str) -> None:
        self._do("send-keys", *keys)

    def screen(self, until: str, *options: str) -> str:
        """The screen, as soon as something on it matches a pattern."""
        deadline = time.monotonic() + PATIENCE
        shown = ""
        while time.monotonic() < deadline:
            shown = self._do("capture-pane", "-p", *options)
            if re.search(until, shown, re.MULTILINE):
                return shown
            time.sleep(0.1)
        pytest.fail(f"no {until!r} on the screen:\n{shown}")

    def close(self) -> None:
        self._do("kill-server")

    def _do(self, *arguments: str) -> str:
        command = ["env", "-u", "COLUMNS", "-u", "LINES", *self._tmux, *arguments]  # they would be taken for its size
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        return done.stdout
