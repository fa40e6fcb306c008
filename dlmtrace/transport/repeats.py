"""A closer look at payload that comes again: a retransmission, a packet captured more than once, or other bytes.

A packet that the capture holds twice (``-i any``, a mirror port, two vantage points merged) left its sender once: the
copies have the same TCP header (checksum and window of the hop apart) and IPv4 identification.  A retransmission is a
new transmission: its identification or its timestamps differ.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PacketBatch
from dlmtrace.capture.segments import Segments
from dlmtrace.gather import Bytes, gather
from dlmtrace.transport.direction import Receiver
from dlmtrace.transport.pieces import Pieces, joined
from dlmtrace.transport.reorder import Arrivals
from dlmtrace.transport.serial import signed

Int = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

HISTORY_BYTES = 8 << 20
"""Captured bytes whose first copies are remembered for comparison."""

SENT_AGAIN = 4096
"""Retransmissions remembered, to tell their copies."""

BATCH_COST, RUN_COST = 4096, 512
"""Bytes that remembering a batch and each of its directions costs beside its buffer, about."""

COPY_SPAN = 2_000_000_000
"""ns between two captures of one packet, at most (clocks of two vantage points differ)."""

NEAR_SPAN = 1_000_000
"""ns between them where nothing but nearness tells: no identification, no timestamps."""

SEGMENTATION_SPAN = 64
"""IPv4 identifications that one large segment may become when it is cut for the wire behind the capture point."""

SMALLEST_FULL_SEGMENT = 536
"""Payload bytes of a full segment, at least (RFC 9293 §3.7.1)."""

_HEADER = np.dtype("V60")  # a TCP header with all options it may have
_TIMESTAMPS = np.frombuffer(b"\x01\x01\x08\x0a", np.uint8)  # how options with timestamps begin (RFC 7323 appendix A)


class Transmissions:
    """What tells one transmission of some bytes from another, for the segments of a batch."""

    def __init__(self, batch: PacketBatch, segments: Segments) -> None:
        self.size = len(segments.buffer)
        self._buffer = segments.buffer
        self._ordinal = segments.row + batch.first
        self._transport, self._length = segments.transport, segments.length
        self._sequence, self._identification = segments.sequence, segments.identification
        self._time = batch.records["time"][segments.row]

    def find(self, ordinal: Int) -> Int:
        """Index of the segment with each ordinal, -1 when it is of another batch."""
        at = np.minimum(np.searchsorted(self._ordinal, ordinal), len(self._ordinal) - 1)
        return np.where(self._ordinal[at] == ordinal, at, -1)

    def are_one(self, first: Int, other: Transmissions, second: Int) -> Flags:
        """Pair by pair: are these segments with the same bytes, ``second`` of ``other``, captures of one packet?"""
        if not len(first):
            return np.zeros(0, bool)
        mine, theirs = self._headers(first), other._headers(second)
        differing = mine != theirs
        differing[:, :8] = False  # ports are the same, the sequence number is looked at below
        differing[:, 13:20] = False  # flags, window, checksum, urgent pointer
        differing &= np.arange(mine.shape[1]) < (mine[:, 12:13] >> 4) * 4
        apart = np.abs(self._time[first] - other._time[second])
        distance = signed(self._sequence[first] - other._sequence[second])
        my_identification, their_identification = self._identification[first], other._identification[second]
        steps = (my_identification - their_identification + 0x8000 & 0xFFFF) - 0x8000
        # One of them may be a part of the other: it was cut for the wire between the two places of capture.
        surplus = self._length[first] - other._length[second]
        inside = ((distance >= 0) & (distance + surplus <= 0)) | ((distance <= 0) & (distance + surplus >= 0))
        part = inside & (np.abs(steps) < SEGMENTATION_SPAN) & (distance % np.where(steps, steps, 1) == 0)
        part &= distance // np.where(steps, steps, 1) >= SMALLEST_FULL_SEGMENT
        numbered = (my_identification > 0) & (their_identification > 0)
        stamped = (mine[:, 20:24] == _TIMESTAMPS).all(axis=1) | (apart <= NEAR_SPAN)
        one: Flags = ~differing.any(axis=1) & (apart <= COPY_SPAN)
        one &= np.where(numbered, np.where(steps == 0, inside & (distance == 0), part), inside & stamped)
        return one

    def _headers(self, index: Int) -> npt.NDArray[np.uint8]:
        rows: npt.NDArray[np.uint8] = gather(self._buffer, _HEADER, self._transport[index]).view(np.uint8)
        return rows.reshape(-1, _HEADER.itemsize)


class _Remembered(NamedTuple):
    """Rows start … stop of ``pieces`` are those of a direction."""

    transmissions: Transmissions
    pieces: Pieces
    start: int
    stop: int


class Repetition(NamedTuple):
    """Segments of a direction with bytes that had come before."""

    receiver: Receiver
    repeated: Arrivals
    highest: Int  # for each the position behind all that came before it
    kept: Arrivals  # what the direction delivered in this batch or holds now: stream order, disjoint


class Repeats:
    """First copies of the last few batches, and the comparison of later ones with them."""

    def __init__(self) -> None:
        self._batches: deque[tuple[Transmissions, int, list[tuple[int, int]]]] = deque()  # with cost and directions
        self._cost = 0
        self._history: dict[tuple[int, int], deque[_Remembered]] = {}
        self._sent_again: OrderedDict[tuple[int, int, int, int], int] = OrderedDict()  # see _count_sent_again

    def remember(self, transmissions: Transmissions, pieces: Pieces) -> None:
        """Keep a batch's deliveries for comparison."""
        keys = []
        for run in pieces.runs:
            if run.stop > run.start:
                key = (run.connection.index, run.side)
                keys.append(key)
                entry = _Remembered(transmissions, pieces, run.start, run.stop)
                self._history.setdefault(key, deque()).append(entry)
        cost = transmissions.size + BATCH_COST + RUN_COST * len(keys)
        self._batches.append((transmissions, cost, keys))
        self._cost += cost
        while self._cost > HISTORY_BYTES and len(self._batches) > 1:
            _, cost, keys = self._batches.popleft()
            self._cost -= cost
            for key in keys:
                entries = self._history[key]
                entries.popleft()
                if not entries:
                    del self._history[key]

    def examine(self, repetitions: list[Repetition], buffers: dict[int, Bytes], transmissions: Transmissions) -> None:
        """Count each repeated segment: a copy, a retransmission, late, a keep-alive, with other bytes.

        ``transmissions`` are this batch's.
        """
        if not repetitions:
            return
        keep_alive, candidates = [], []
        for receiver, repeated, highest, kept in repetitions:
            keep_alive.append((repeated.length == 1) & (repeated.position == highest - 1))
            receiver.statistics.keep_alives += int(keep_alive[-1].sum())
            at = np.minimum(np.searchsorted(kept.position, repeated.position), len(kept) - 1)
            candidates.append(kept.table[:, at] if len(kept) else np.full_like(repeated.table, -1))
        chosen = ~np.concatenate(keep_alive)
        group = np.repeat(np.arange(len(repetitions)), [len(each.repeated) for each in repetitions])[chosen]
        repeated = Arrivals.concatenate([each.repeated for each in repetitions]).take(chosen)
        # The bulk of a capture that holds every packet twice: the same place as one segment of this batch.
        others = Arrivals(np.concatenate(candidates, axis=1)).take(chosen)
        first, second = transmissions.find(repeated.ordinal), transmissions.find(others.ordinal)
        again = (others.position == repeated.position) & (others.length == repeated.length) & (second >= 0)
        again[again] = _equal(repeated.take(again), others.take(again), buffers)
        one = np.zeros(len(again), bool)
        one[again] = transmissions.are_one(first[again], transmissions, second[again])
        fresh = np.where(again & ~one, repeated.length, 0)  # bytes of each that were sent again
        for each, copies in zip(repetitions, np.bincount(group[one], minlength=len(repetitions)).tolist(), strict=True):
            each.receiver.statistics.captured_again += copies
        for row in np.flatnonzero(~again).tolist():
            receiver, _, _, kept = repetitions[group[row]]
            fresh[row] = self._look_closer(receiver, repeated.between(row, row + 1), kept, buffers, transmissions)
        if fresh.any():
            sent = fresh > 0
            receivers = [each.receiver for each in repetitions]
            self._count_sent_again(receivers, group[sent], repeated.take(sent), fresh[sent], transmissions)

    def _count_sent_again(
        self, receivers: list[Receiver], group: Int, segments: Arrivals, sizes: Int, transmissions: Transmissions
    ) -> None:
        """Retransmissions to ``receivers[group]`` with ``sizes`` bytes that had come before; each of them may have been
        captured twice, too."""
        order = np.lexsort((segments.ordinal, segments.length, segments.position, group))
        segments, sizes, group = segments.take(order), sizes[order], group[order]
        index = transmissions.find(segments.ordinal)
        copies = np.zeros(len(index), bool)
        places = np.stack((group, segments.position, segments.length))
        same = np.flatnonzero((places[:, 1:] == places[:, :-1]).all(axis=0))
        copies[same + 1] = transmissions.are_one(index[same + 1], transmissions, index[same])
        first = np.ones(len(index), bool)
        first[same + 1] = False
        for row, (of, position, length, ordinal) in enumerate(
            zip(*places.tolist(), segments.ordinal.tolist(), strict=True)
        ):
            key = (receivers[of].connection.index, receivers[of].side, position, length)
            before = self._sent_again.pop(key, None)
            if first[row] and before is not None and (found := self._transmission(before, transmissions)):
                copies[row] = transmissions.are_one(index[row : row + 1], found[0], np.array([found[1]]))[0]
            self._sent_again[key] = ordinal
        while len(self._sent_again) > SENT_AGAIN:
            self._sent_again.popitem(last=False)
        for of, copy, size in zip(group.tolist(), copies.tolist(), sizes.tolist(), strict=True):
            statistics = receivers[of].statistics
            if copy:
                statistics.captured_again += 1
            else:
                statistics.retransmitted_segments += 1
                statistics.retransmitted_bytes += size

    def _look_closer(
        self,
        receiver: Receiver,
        segment: Arrivals,
        kept: Arrivals,
        buffers: dict[int, Bytes],
        transmissions: Transmissions,
    ) -> int:
        """One segment that overlaps others in whatever way: how many of its bytes were sent again."""
        statistics = receiver.statistics
        low = int(segment.position[0])
        high = low + int(segment.length[0])
        late = receiver.late_bytes(low, high)
        statistics.late_bytes += late
        holding = _overlapping(kept, 0, len(kept), low, high)
        own = kept.ordinal[holding] == segment.ordinal[0]
        begin = np.maximum(kept.position[holding][own], low)
        end = np.minimum((kept.position + kept.length)[holding][own], high)
        again = high - low - late - int((end - begin).sum())
        if again <= 0:
            return 0
        differing = _differing(segment, buffers, kept, holding[~own], buffers)
        first: tuple[Transmissions, int] | None = None
        if not own.all():
            first = self._transmission(int(kept.ordinal[holding[~own][0]]), transmissions)
        for entry in reversed(self._history.get((receiver.connection.index, receiver.side), ())):
            rows = _overlapping(entry.pieces, entry.start, entry.stop, low, high)
            if len(rows):
                differing += _differing(segment, buffers, entry.pieces, rows, entry.pieces.buffers)
                first = first or self._transmission(int(entry.pieces.ordinal[rows[0]]), transmissions)
        statistics.conflicting_bytes += differing
        if first is not None and not differing:
            mine = transmissions.find(segment.ordinal)
            if transmissions.are_one(mine, first[0], np.array([first[1]]))[0]:
                statistics.captured_again += 1
                return 0
        return again

    def _transmission(self, ordinal: int, present: Transmissions) -> tuple[Transmissions, int] | None:
        """The segment with this ordinal among the present batch's and the remembered ones."""
        for transmissions in (present, *(each for each, _, _ in reversed(self._batches))):
            index = int(transmissions.find(np.array([ordinal]))[0])
            if index >= 0:
                return transmissions, index
        return None


def _equal(segments: Arrivals, others: Arrivals, buffers: dict[int, Bytes]) -> Flags:
    """Pair by pair: have these segments of one length the same bytes?"""
    mine, theirs = (joined(buffers, each.buffer, each.offset, each.length) for each in (segments, others))
    equal = np.ones(len(segments), bool)
    equal[np.searchsorted(np.cumsum(segments.length), np.flatnonzero(mine != theirs), "right")] = False
    return equal


def _overlapping(rows: Arrivals | Pieces, start: int, stop: int, low: int, high: int) -> Int:
    """Indexes of the rows start … stop (sorted, disjoint) that share a byte with low … high."""
    position = rows.position[start:stop]
    first = start + int(np.searchsorted(position, low, "right")) - 1
    if first < start or int(rows.position[first] + rows.length[first]) <= low:
        first += 1
    return np.arange(first, start + int(np.searchsorted(position, high)))


def _differing(
    segment: Arrivals, buffers: dict[int, Bytes], rows: Arrivals | Pieces, index: Int, their_buffers: dict[int, Bytes]
) -> int:
    """How many bytes of ``segment`` differ from those that these rows have for the same places."""
    position = rows.position[index]
    begin = np.maximum(position, segment.position[0])
    length = np.minimum(position + rows.length[index], segment.position[0] + segment.length[0]) - begin
    theirs = joined(their_buffers, rows.buffer[index], rows.offset[index] + begin - position, length)
    where = np.repeat(segment.buffer, len(index))
    mine = joined(buffers, where, segment.offset[0] + begin - segment.position[0], length)
    return int((mine != theirs).sum())
