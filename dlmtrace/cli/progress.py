"""A progress bar on standard error, for files that take long."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from dlmtrace.capture.source import Capture

PATIENCE = 1.0
"""Seconds before the bar appears."""
REFRESH = 0.1
"""Seconds between two looks of it."""


class Progress:
    """How much of the capture has been read; appears after a while, on a terminal only, and leaves no trace.

    ``wanted`` is false where the bar would get in the way of output on the same terminal.
    """

    def __init__(self, capture: Capture, wanted: bool) -> None:
        self._capture = capture
        self._wanted = wanted and sys.stderr.isatty() and bool(capture.size)
        self._next = time.monotonic() + PATIENCE
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self) -> None:
        """Look at the capture again; cheap."""
        if not self._wanted or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + REFRESH
        if self._bar is None or self._task is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
            self._task = self._bar.add_task("read", total=self._capture.size)
            self._bar.start()
        self._bar.update(self._task, completed=self._capture.position, refresh=True)
