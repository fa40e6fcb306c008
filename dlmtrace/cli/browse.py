"""``dlmtrace browse``: a capture on the terminal, in three panes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from dlmtrace.cli.analyze import Dialect, Dialects
from dlmtrace.cli.extras import require
from dlmtrace.cli.lockspaces import lockspaces, named
from dlmtrace.cli.options import AnyPort, Files, LockspaceNames, Ports

if TYPE_CHECKING:
    from dlmtrace.browse.loading import Loading
    from dlmtrace.cli.filter_line import Filter

EXAMPLES = """
Examples:

dlmtrace browse trace.pcap.zst

dlmtrace browse ring.pcap* --lockspace-name alpha

ssh node1 tcpdump -i any -U -w - port 21064 | dlmtrace browse -
"""

STANDARD_INPUT = "-"


def browse(
    files: Files,
    port: Ports = None,
    any_port: AnyPort = False,
    lockspace_name: LockspaceNames = None,
    dialect: Dialects = Dialect.AUTO,
) -> int:
    """Browse a capture: the frames, the fields of one, its bytes; with filters, findings, replies and resent frames.

    The keys stand at the bottom of the screen; see docs/browse.md.
    """
    names = named(lockspaces("--lockspace-name", lockspace_name or []))
    require("browse", "browse", "textual")
    if not sys.stdout.isatty():
        raise typer.BadParameter("a terminal is needed; dlmtrace decode writes to files and pipes", param_hint="browse")
    loading = open_loading(_without_keyboard(files), frozenset(port or ()), any_port, dialect)
    for file in loading.trace.capture.files:
        file.name = file.name if file.name in files else "standard input"
    from dlmtrace.browse.app import Browser

    try:
        Browser(loading, names, filter_of).run()
    finally:
        loading.stop()
    return 0


def open_loading(files: list[str], ports: frozenset[int], any_port: bool, dialect: Dialect) -> Loading:
    """The captures, ready to be read."""
    from dlmtrace.browse.loading import Loading
    from dlmtrace.pipeline import PORT, Trace

    ports = ports or frozenset({PORT})
    return Loading(Trace(files, ports, any_port), ports, any_port, dialect.value)


def filter_of(line: str, origin: int) -> Filter:
    """As ``read_filter``, but raises ValueError with a message for people."""
    from dlmtrace.cli.filter_line import read_filter

    try:
        return read_filter(line, origin)
    except typer.BadParameter as error:
        raise ValueError(error.format_message()) from None


def _without_keyboard(files: list[str]) -> list[str]:
    """The files with standard input under another name, so that the keyboard can take its place."""
    if STANDARD_INPUT not in files:
        return files
    kept = os.dup(sys.stdin.fileno())
    keyboard = os.open("/dev/tty", os.O_RDWR)
    os.dup2(keyboard, sys.stdin.fileno())
    os.close(keyboard)
    return [f"/dev/fd/{kept}" if file == STANDARD_INPUT else file for file in files]
