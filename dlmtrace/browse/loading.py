"""Reading the capture in a thread of its own, while what has been read is shown already."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dlmtrace.browse.store import FrameStore
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.limits import nothing_found

if TYPE_CHECKING:
    from dlmtrace.pipeline import Trace
    from dlmtrace.streams.nodes import NodeTable
    from dlmtrace.streams.results import Dialect, Finding


class Loading:
    """Feeds ``store`` and the analysis.

    ``findings`` grow as they become final; ``finished`` is true when nothing more comes; ``failure`` then says why that
    was too early, if it was.
    """

    def __init__(self, trace: Trace, ports: frozenset[int], any_port: bool, dialect: Dialect) -> None:
        self.trace = trace
        self.store = FrameStore()
        self.findings: list[Finding] = []
        self.finished = False
        self.failure = ""
        self._ports, self._any_port = ports, any_port
        self._analysis = Analysis(dialect)
        self._stopped = False
        self._thread = threading.Thread(target=self._read, daemon=True)  # a silent pipe must not hold up the end

    @property
    def nodes(self) -> NodeTable:
        """Who is who, as far as the frames have told."""
        return self._analysis.nodes

    @property
    def origin(self) -> int:
        """Time (ns) of the first packet, 0 before it was read."""
        times = [file.first_time for file in self.trace.capture.files if file.first_time is not None]
        return min(times, default=0)

    @property
    def progress(self) -> str:
        """How much was read, in a few words; empty when all was."""
        if self.finished:
            return ""
        size = self.trace.capture.size
        return f"reading {100 * self.trace.capture.position // size} %" if size else "reading"

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no further than the present batch, if one is being read."""
        self._stopped = True
        if self._thread.is_alive() and self.trace.capture.size:  # a file: the batch ends soon
            self._thread.join()

    def _read(self) -> None:
        try:
            for batch in self.trace.batches():
                if self._stopped:
                    return
                self.store.add(batch)  # first: it is shown at once
                self._analysis.feed(batch)
                self._take()
            self._analysis.finish(self.trace.capture.facts, self.trace.traffic)
            self._take()
            if not self.store.count:
                packets = sum(file.packets for file in self.trace.capture.files)
                self.failure = nothing_found(self.trace.traffic, self._ports, self._any_port, packets)
        except OSError as error:
            self.failure = f"reading ended: {error.strerror or error}"
        finally:
            self.finished = True

    def _take(self) -> None:
        self.findings += self._analysis.findings
        self._analysis.findings.clear()
