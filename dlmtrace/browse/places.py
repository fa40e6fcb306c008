"""Which frames are shown, and which of them the findings speak of."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np

from dlmtrace.browse.store import CHUNK, FrameStore
from dlmtrace.capture.packets import PACKET_BITS
from dlmtrace.findings.catalogue import severity

if TYPE_CHECKING:
    from dlmtrace.streams.results import Finding
    from dlmtrace.views.naming import Naming
    from dlmtrace.views.selection import Selection


class Selected:
    """Rows of the frames that a filter takes, found piece by piece while the capture is read."""

    def __init__(self, store: FrameStore, selection: Selection) -> None:
        self.rows = array("q")
        self.searched = 0  # frames that were looked at
        self._store, self._selection = store, selection

    def search(self, naming: Naming) -> bool:
        """Look at some more frames; false when there are no more at present."""
        for first, batch in self._store.chunks(self.searched):
            self.rows.frombytes((self._selection.rows(batch, naming) + first).astype(np.int64).tobytes())
            self.searched = first + len(batch)
            return True
        return False


class FindingPlaces:
    """The frames that findings speak of."""

    def __init__(self, store: FrameStore) -> None:
        self._store = store
        self._noted = 0
        self._unplaced: list[Finding] = []
        self._places: list[tuple[int, Finding]] = []
        self._worst: dict[int, str] = {}  # severity by identity of the packet

    def note(self, findings: list[Finding]) -> None:
        """Take in findings that are new in this list; cheap."""
        new = [finding for finding in findings[self._noted :] if finding.packet is not None]
        self._noted = len(findings)
        self._unplaced += new
        for finding in new:
            packet, told = finding.packet or 0, severity(finding)
            self._worst[packet] = min(told, self._worst.get(packet, told), key=("error", "warning", "note").index)

    def worst(self, packet: int) -> str | None:
        """The gravest severity of the findings on a packet, None when there are none."""
        return self._worst.get(packet)

    def places(self) -> list[tuple[int, Finding]]:
        """The findings with the rows of their frames, in the order of these."""
        new, self._unplaced = self._unplaced, []
        self._places += zip(self._rows(new), new, strict=True)
        self._places.sort(key=lambda place: place[0])
        return self._places

    def _rows(self, findings: list[Finding]) -> list[int]:
        """For each finding the frame of its packet, of its number if there is one; else the first frame behind it."""
        rows, behind = [-1] * len(findings), [-1] * len(findings)
        wanted = [finding.packet or 0 for finding in findings]
        for first in range(0, self._store.count if findings else 0, CHUNK):
            packets = self._store.records(first, min(first + CHUNK, self._store.count))["packet"]
            lowest, highest = int(packets.min()), int(packets.max())
            for place, packet in enumerate(wanted):
                if rows[place] >= 0 or packet > highest or (packet < lowest and behind[place] >= 0):
                    continue
                found = np.flatnonzero(packets == packet)
                if len(found):
                    rows[place] = self._numbered(findings[place], first + int(found[0]), first + int(found[-1]) + 1)
                elif behind[place] < 0:
                    later = (packets > packet) & (packets >> PACKET_BITS == packet >> PACKET_BITS)
                    behind[place] = first + int(np.argmax(later)) if later.any() else -1
        last = max(self._store.count - 1, 0)
        return [row if row >= 0 else (later if later >= 0 else last) for row, later in zip(rows, behind, strict=True)]

    def _numbered(self, finding: Finding, first: int, last: int) -> int:
        """Of the frames of one packet the one with the finding's number, or the first."""
        numbers: list[int] = self._store.rows(first, last).sequence.tolist()
        return first + (numbers.index(finding.seq_first) if finding.seq_first in numbers else 0)
