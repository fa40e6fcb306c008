#!/usr/bin/env python3
"""Write a capture of two nodes that connect again and again: every connection carries a few frames and is closed.

The numbers go on from one connection to the next, everything is acknowledged: what a program keeps of each of them is
what its memory grows by.
"""

from __future__ import annotations

import argparse
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
from generate import ACK, CLASSES, PORT, PSH, SYN, TCP_ACK, VARIANTS, Bytes, Generator, Segments

FIN = 1
AT_ONCE = 5000  # connections
GAP = 1.5  # seconds between two
MESSAGE = CLASSES[0]
ACKNOWLEDGEMENT = next(frame for frame in CLASSES if frame.command == ACK)
REQUEST = 2 * MESSAGE.length  # bytes that the client sends first
REPLY = ACKNOWLEDGEMENT.length + MESSAGE.length
CLIENT, SERVER = 0, 1
STEPS = [  # who, flags, bytes of its stream before, bytes of the other one that it has, payload: start and length
    (CLIENT, SYN, -1, 0, 0, 0),
    (SERVER, SYN | TCP_ACK, -1, 0, 0, 0),
    (CLIENT, TCP_ACK, 0, 0, 0, 0),
    (CLIENT, PSH | TCP_ACK, 0, 0, 0, REQUEST),
    (SERVER, PSH | TCP_ACK, 0, REQUEST, REQUEST, REPLY),
    (CLIENT, PSH | TCP_ACK, REQUEST, REPLY, REQUEST + REPLY, ACKNOWLEDGEMENT.length),
    (CLIENT, FIN | TCP_ACK, REQUEST + ACKNOWLEDGEMENT.length, REPLY, 0, 0),
    (SERVER, FIN | TCP_ACK, REPLY, REQUEST + ACKNOWLEDGEMENT.length + 1, 0, 0),
    (CLIENT, TCP_ACK, REQUEST + ACKNOWLEDGEMENT.length + 1, REPLY + 1, 0, 0),
]


class ShortConnections(Generator):
    """Makes the packets of some connections at a time."""

    def __init__(self) -> None:
        super().__init__(VARIANTS["plain"], seed=1)
        self.made = 0

    def connections(self, count: int) -> Bytes:
        """The next ones."""
        number = self.made + np.arange(count)
        self.senders, self.receivers = np.tile([1, 2], count), np.tile([2, 1], count)
        self.source_ports = np.column_stack((1024 + number % 60_000, np.full(count, PORT))).ravel()
        begin = self.random.integers(1, 1 << 32, (2, count))
        columns = {name: np.empty((count, len(STEPS)), np.int64) for name in Segments._fields}
        size = REQUEST + REPLY + ACKNOWLEDGEMENT.length
        for step, (side, flags, before, seen, start, length) in enumerate(STEPS):
            columns["direction"][:, step] = 2 * np.arange(count) + side
            columns["sequence"][:, step] = begin[side] + before
            columns["acknowledgement"][:, step] = (begin[1 - side] + seen) * bool(flags & TCP_ACK)
            columns["flags"][:, step] = flags
            columns["source"][:, step] = np.arange(count) * size + start
            columns["length"][:, step] = length
        time = (np.arange(count) * GAP)[:, None] + np.arange(len(STEPS)) * 1e-3
        segments = Segments(**{name: column.ravel() for name, column in columns.items()} | {"time": time.ravel()})
        records = self.records(segments, self._payload(number, size).ravel())
        self.clock += int(count * GAP * 1e6)
        self.packets += len(segments.time)
        self.made += count
        return records

    def _payload(self, number: Bytes, size: int) -> Bytes:
        """Two numbered frames of node 1, the ACK and one frame of node 2, the ACK of node 1."""
        rows = np.zeros((len(number), size), np.uint8)
        parts = [
            (MESSAGE, CLIENT, 2 * number),
            (MESSAGE, CLIENT, 2 * number + 1),
            (ACKNOWLEDGEMENT, SERVER, 2 * number + 2),
            (MESSAGE, SERVER, number),
            (ACKNOWLEDGEMENT, CLIENT, number + 1),
        ]
        at = 0
        for frame, side, numbers in parts:
            part = np.zeros((len(number), frame.length), np.uint8)
            self.fill(part, frame, side, numbers)
            rows[:, at : at + frame.length] = part
            at += frame.length
        return rows


def generate(output: BinaryIO, count: int) -> None:
    """Write a capture of so many connections."""
    generator = ShortConnections()
    output.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
    while generator.made < count:
        output.write(generator.connections(min(AT_ONCE, count - generator.made)).data)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, help="connections")
    parser.add_argument("output", help="a file, or - for standard output")
    arguments = parser.parse_args()
    if arguments.output == "-":
        generate(sys.stdout.buffer, arguments.count)
    else:
        with Path(arguments.output).open("wb") as file:
            generate(file, arguments.count)


if __name__ == "__main__":
    main()
