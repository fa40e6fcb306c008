"""What the readers of the capture formats have in common: windows in, records out, and what goes wrong on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.inputs import Bytes, Input, Windows
from dlmtrace.capture.packets import CaptureFact, FileSummary, Interface

Records = npt.NDArray[Any]


class Decoded(NamedTuple):
    """Records of a window (places in its buffer), where the first incomplete record begins, and why reading ends there.

    ``nonsense`` is "" when more bytes may complete that record.
    """

    records: Records
    stop: int
    nonsense: str = ""


class Reader(ABC):
    """Reads the packets of one capture.

    ``summary``, ``interfaces`` and ``facts`` grow while it is read.  Packets are numbered within the file, the records'
    ``interface`` is an index into ``interfaces``; both, and ``file`` in interfaces and facts, become those of the
    whole run elsewhere.
    """

    def __init__(self, source: Input, kind: str) -> None:
        self.source = source
        self.summary = FileSummary(source.name, f"{source.compression} {kind}".strip())
        self.interfaces: list[Interface] = []
        self.facts: list[CaptureFact] = []
        self._windows: Windows | None = None  # None: nothing (more) to read

    def read(self, window: int) -> tuple[Bytes, Records] | None:
        """Buffer and records (dtype RECORD, at least one) of about the next ``window`` bytes; None at the end."""
        while self._windows:
            got = self._windows.following(window)
            if got is None:
                if self._windows.left or self.source.damage:
                    self._end_early(self.source.damage or "the file ends inside a record")
                self._finish()
                break
            buffer, filled = got
            records, stop, nonsense = self._decode(buffer, filled)
            self._windows.keep(buffer, stop, filled)
            self.summary.bytes = self._windows.base
            if nonsense:
                self._end_early(nonsense)
                self._finish()
            if len(records):
                return buffer, records
        return None

    @abstractmethod
    def _decode(self, buffer: Bytes, filled: int) -> Decoded:
        """Records of a window that begins with a record."""

    def _finish(self) -> None:
        """Nothing more is read."""
        self._windows = None

    def _note_link(self, link: int) -> None:
        if link not in self.summary.link_types:
            self.summary.link_types.append(link)

    def _note_times(self, times: npt.NDArray[np.int64]) -> None:
        if not len(times):
            return
        summary, earliest, latest = self.summary, int(times.min()), int(times.max())
        summary.first_time = earliest if summary.first_time is None else min(earliest, summary.first_time)
        summary.last_time = latest if summary.last_time is None else max(latest, summary.last_time)

    def _end_early(self, reason: str) -> None:
        summary = self.summary
        message = f"{summary.name}: {reason} (byte {summary.bytes}, after packet {summary.packets})"
        self.facts.append(CaptureFact("CAP907", message, packet=summary.packets or None, byte=summary.bytes))
