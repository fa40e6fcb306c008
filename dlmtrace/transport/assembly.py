"""Collects what the directions of a batch deliver into one set of columns."""

from __future__ import annotations

import numpy as np

from dlmtrace.gather import Bytes
from dlmtrace.transport.connections import ConnectionEvent
from dlmtrace.transport.direction import Delivery, Receiver
from dlmtrace.transport.pieces import Pieces, Run
from dlmtrace.transport.reorder import Arrivals


class Assembly:
    """Deliveries of one batch.  ``serial`` numbers the batch's buffer; older buffers that waiting segments lie in stay
    in ``buffers`` as long as the transport keeps them there."""

    def __init__(self, buffers: dict[int, Bytes], serial: int) -> None:
        self.buffers, self.serial = buffers, serial
        self.events: list[ConnectionEvent] = []
        self.waiting: dict[tuple[int, int], int] = {}  # see Pieces
        self._runs: dict[tuple[int, int], tuple[Run, list[Delivery]]] = {}

    def add(self, receiver: Receiver, deliveries: list[Delivery]) -> None:
        """What a direction delivers next."""
        filled = [delivery for delivery in deliveries if len(delivery.arrivals)]
        if filled:
            self._run(receiver)[1].extend(filled)

    def delivered(self, receiver: Receiver) -> list[Arrivals]:
        """What the direction has delivered in this batch so far."""
        key = (receiver.connection.index, receiver.side)
        return [delivery.arrivals for delivery in self._runs[key][1]] if key in self._runs else []

    def end(self, receiver: Receiver, tail_hole: int, tail_cut: int) -> None:
        """Nothing more comes of this direction."""
        run, _ = self._run(receiver)
        run.ended, run.tail_hole, run.tail_cut = True, tail_hole, tail_cut

    def has_ended(self, receiver: Receiver) -> bool:
        """Was ``end`` called for it?"""
        key = (receiver.connection.index, receiver.side)
        return key in self._runs and self._runs[key][0].ended

    def wait(self, receiver: Receiver, now: int) -> None:
        """Note what a direction may still deliver of packets that came before ``now`` (ns)."""
        if receiver.is_fresh(now):
            self.waiting[receiver.connection.index, receiver.side] = int(receiver.waiting.ordinal.min())

    def _run(self, receiver: Receiver) -> tuple[Run, list[Delivery]]:
        key = (receiver.connection.index, receiver.side)
        if key not in self._runs:
            self._runs[key] = (Run(receiver.connection, receiver.side, 0, 0), [])
        return self._runs[key]

    def pieces(self) -> Pieces:
        """All of it, one run a direction; events in capture order."""
        deliveries: list[Delivery] = []
        count = 0
        for run, delivered in self._runs.values():
            run.start = count
            count += sum(len(delivery.arrivals) for delivery in delivered)
            run.stop = count
            deliveries.extend(delivered)
        rows = Arrivals.concatenate([delivery.arrivals for delivery in deliveries]) if deliveries else Arrivals.none()
        nothing = np.empty(0, np.int64)
        return Pieces(
            dict(self.buffers),
            rows.buffer,
            rows.offset,
            rows.length,
            rows.position,
            np.concatenate([delivery.hole for delivery in deliveries]) if deliveries else nothing,
            np.concatenate([delivery.cut for delivery in deliveries]) if deliveries else nothing,
            rows.ordinal,
            rows.packet,
            rows.time,
            [run for run, _ in self._runs.values()],
            sorted(self.events, key=lambda event: event.ordinal),
            self.waiting,
        )
