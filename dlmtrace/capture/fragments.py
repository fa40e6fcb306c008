"""IP fragments put together again (RFC 791 §3.2, RFC 8200 §4.5; holes as in RFC 815), one at a time: they are rare.

Where fragments overlap, the first copy of a byte wins.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

from dlmtrace.capture.tally import Tally

TIMEOUT = 30 * 10**9
"""Capture time, in ns, after which an incomplete datagram is given up."""
DUPLICATE_TIME = 10**9
"""Capture time, in ns, in which fragments of a complete datagram are taken for copies that the capture holds twice."""
MEMORY = 4 << 20
"""Bytes kept of datagrams, about; beyond that the oldest is given up."""
OVERHEAD = 512  # bytes of Python objects that one datagram costs beside its data, about
LONGEST = 0xFFFF  # bytes of a datagram


class Fragment(NamedTuple):
    """One fragment; ``data`` is what the capture holds of its ``length`` bytes."""

    version: int
    key: tuple[bytes, int, int]  # addresses, protocol (IPv4), identification: what names the datagram
    header: bytes  # IP header, with IPv4 options but without IPv6 extension headers
    protocol: int
    position: int  # in the datagram's payload, bytes
    more: bool
    length: int
    data: bytes


class Whole(NamedTuple):
    """A datagram put together: its header and the payload up to the first byte cut off by the snaplen."""

    data: bytes
    length: int  # bytes of the datagram, header included
    version: int


@dataclass(slots=True)
class _Datagram:
    version: int
    created: int
    packets: int = 0
    header: bytes = b""
    protocol: int = 0
    data: bytearray = field(default_factory=bytearray)
    total: int | None = None  # payload bytes, once the last fragment has come
    holes: list[tuple[int, int]] = field(default_factory=lambda: [(0, LONGEST + 1)])
    captured: int = LONGEST  # payload bytes in front of the first one that was cut off
    completed: int | None = None  # ns

    @property
    def size(self) -> int:
        return len(self.data) + OVERHEAD

    def fill(self, fragment: Fragment) -> None:
        """Put the fragment's bytes where no byte was before."""
        start, stop = fragment.position, fragment.position + fragment.length
        self.packets += 1
        if start == 0 and not self.header:
            self.header, self.protocol = fragment.header, fragment.protocol
        if not fragment.more and self.total is None:
            self.total = stop
            del self.data[stop:]
            self.holes = [(first, min(last, stop)) for first, last in self.holes if first < stop]
        low = bisect_right(self.holes, start, key=lambda hole: hole[1])
        high = low
        left = []
        while high < len(self.holes) and self.holes[high][0] < stop:
            first, last = self.holes[high]
            if first < start:
                left.append((first, start))
            if last > stop:
                left.append((stop, last))
            self._copy(max(first, start), min(last, stop), fragment)
            high += 1
        self.holes[low:high] = left

    def _copy(self, start: int, stop: int, fragment: Fragment) -> None:
        self.data.extend(bytes(max(0, stop - len(self.data))))
        held = min(stop, fragment.position + len(fragment.data))
        if held < stop:
            self.captured = min(self.captured, max(start, held))
        if held > start:
            self.data[start:held] = fragment.data[start - fragment.position : held - fragment.position]

    def repeats(self, fragment: Fragment) -> bool:
        """The (complete) datagram has just these bytes at this place."""
        stop = fragment.position + fragment.length
        if stop > len(self.data) or fragment.more == (stop == len(self.data)):
            return False
        held = max(0, min(len(fragment.data), self.captured - fragment.position))
        return self.data[fragment.position : fragment.position + held] == fragment.data[:held]


class Reassembler:
    """Fragments in, whole datagrams out.  What is never completed is counted as undecodable, packet by packet."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._datagrams: dict[tuple[int, tuple[bytes, int, int]], _Datagram] = {}  # oldest first
        self._size = 0

    def feed(self, fragment: Fragment, time: int) -> Whole | None:
        """Take a fragment seen at ``time`` (ns); the datagram that it completes, if it does."""
        self._expire(time)
        name = f"IPv{fragment.version}"
        if fragment.position + fragment.length > LONGEST or (fragment.more and fragment.length % 8):
            self._tally.undecodable(f"bad {name} fragment")
            return None
        key = fragment.version, fragment.key
        datagram = self._datagrams.get(key)
        if datagram is not None and datagram.completed is not None:
            if time - datagram.completed <= DUPLICATE_TIME and datagram.repeats(fragment):
                self._tally.other(f"fragment of a reassembled {name} datagram")
                return None
            self._drop(key)
            datagram = None
        if datagram is None:
            datagram = self._datagrams[key] = _Datagram(fragment.version, time)
            self._size += datagram.size
        before = datagram.size
        datagram.fill(fragment)
        self._size += datagram.size - before
        whole = None
        if not datagram.holes:
            datagram.completed = time
            self._tally.other(f"fragment of a reassembled {name} datagram", datagram.packets - 1)
            whole = _whole(datagram)
        while self._size > MEMORY and len(self._datagrams) > 1:
            self._drop(next(iter(self._datagrams)))
        return whole

    def finish(self) -> None:
        """Nothing more comes: count what is incomplete."""
        for key in list(self._datagrams):
            self._drop(key)

    def _expire(self, time: int) -> None:
        while self._datagrams:
            key = next(iter(self._datagrams))
            if time - self._datagrams[key].created <= TIMEOUT:
                break
            self._drop(key)

    def _drop(self, key: tuple[int, tuple[bytes, int, int]]) -> None:
        datagram = self._datagrams.pop(key)
        self._size -= datagram.size
        if datagram.completed is None:
            self._tally.undecodable(f"fragment of an incomplete IPv{datagram.version} datagram", datagram.packets)


def _whole(datagram: _Datagram) -> Whole:
    """The datagram as one packet; its header's length is 0, which leaves the length to the record."""
    header = bytearray(datagram.header)
    if datagram.version == 4:
        header[2:4] = header[6:8] = bytes(2)  # total length, flags and fragment offset
    else:
        header[4:6] = bytes(2)  # payload length
        header[6] = datagram.protocol
    payload = datagram.data[: datagram.captured]
    return Whole(bytes(header + payload), len(header) + len(datagram.data), datagram.version)
