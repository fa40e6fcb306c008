#!/usr/bin/env python3
"""List how the sequence numbers of a two-node capture went on at reconnects.

For each node: OPTS frames in wire order against the cumulative ACKs of the other. Prints every change of connection,
every jump, every hole and its repair, and every time the other node's ACK stands still for more than 0.5 s while new
messages are sent (it is dropping them).

  seqgaps.py FILE
"""

import sys
from dataclasses import dataclass

from walk import Frame, Walk, read


@dataclass
class Hole:
    acked: int
    time: float
    resumed: int


@dataclass
class Sender:
    acked_time: float
    highest: int = -1
    acked: int = -1
    connection: str | None = None
    hole: Hole | None = None
    stalled: bool = False


def sequenced(senders: dict[int, Sender], frame: Frame) -> None:
    header = frame.header()
    node, sequence = header.node, header.second
    sender = senders.setdefault(node, Sender(frame.time))
    start = f"{frame.time:.3f} n{node}"
    if frame.source != sender.connection:
        sender.connection = frame.source
        is_hole = 0 <= sender.acked < sequence
        sender.hole = Hole(sender.acked, frame.time, sequence) if is_hole else None
        print(
            f"{start} starts sending on {frame.source} with seq={sequence} (highest sent {sender.highest}, "
            f"acked below {sender.acked})" + f"  <-- hole from {sender.acked}" * is_hole
        )
    elif sender.hole and sequence <= sender.hole.acked:
        print(
            f"{start} hole repaired after {frame.time - sender.hole.time:.3f} s: {sequence} sent again, after "
            f"{sender.hole.resumed}..{sender.highest} had gone out first"
        )
        sender.hole = None
    if sequence > sender.highest + 1 and sender.highest >= 0:
        print(f"{start} gap: {sequence} after {sender.highest}")
    sender.highest = max(sender.highest, sequence)
    waited = frame.time - sender.acked_time
    if not sender.stalled and sender.highest > sender.acked + 70 and waited > 0.5:
        print(f"{start}: peer stopped acking at {sender.acked}, {waited:.1f} s ago; now at {sequence}")
        sender.stalled = True


def acknowledged(senders: dict[int, Sender], frame: Frame) -> None:
    header = frame.header()
    for node, sender in senders.items():
        if node == header.node:
            continue
        if sender.stalled and header.second > sender.acked:
            print(f"{frame.time:.3f} n{node}: acked again up to {header.second}")
            sender.stalled = False
        if header.second < sender.acked:
            print(f"{frame.time:.3f} ack from n{header.node} goes back: {sender.acked} -> {header.second}")
        sender.acked = max(header.second, sender.acked)
        sender.acked_time = frame.time


def main() -> None:
    senders: dict[int, Sender] = {}
    for frame in Walk().frames(read(sys.argv[1])):
        command = frame.header().command
        if command == 3:
            sequenced(senders, frame)
        elif command == 4:
            acknowledged(senders, frame)


if __name__ == "__main__":
    main()
