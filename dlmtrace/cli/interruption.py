"""Ctrl-C while a capture is read: nothing more is read, and what was seen until then is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlmtrace.framing.frames import FrameBatch

INTERRUPTED = 128 + signal.SIGINT
"""Exit status after an interruption."""


class Interruption:
    """Takes SIGINT over: the first one ends the reading, the second one ends the program at once.

    It breaks into the reading only; what is done with a batch goes on to its end, so that its state can still be told.
    """

    def __init__(self) -> None:
        self.came = False
        self._reading = False

    def __enter__(self) -> Interruption:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        self.came = True
        if self._reading:
            raise KeyboardInterrupt

    def until(self, batches: Iterator[FrameBatch]) -> Iterator[FrameBatch]:
        """The batches until an interruption."""
        try:
            while not self.came:
                self._reading = True
                batch = next(batches, None)
                self._reading = False
                if batch is None:
                    break
                yield batch
        except KeyboardInterrupt:
            pass
        finally:
            self._reading = False
