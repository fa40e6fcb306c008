#!/usr/bin/env python3
"""A few wire facts of captures: lengths modulo 8, options, padding, versions per command, messages per ACK.

facts.py FILE...
"""

import collections
import itertools
import statistics
import struct
import sys

from walk import COMMANDS, Walk, read


def facts(path: str) -> None:
    counts: collections.Counter[str] = collections.Counter()
    acks: dict[int, list[int]] = collections.defaultdict(list)
    first: dict[int, int] = {}
    for frame in Walk().frames(read(path)):
        header, inner = frame.header(), frame.inner
        command = COMMANDS[header.command]
        counts[f"{command} v{header.version >> 16}.{header.version & 0xFFFF}"] += 1
        counts[f"{command} length modulo 8 = {header.length % 8}"] += 1
        if header.padding:
            counts[f"{command} h_pad = {header.padding}"] += 1
        if header.command == 3 and inner is not None:
            next_command, pad, _, pad2 = struct.unpack_from("<BBHI", frame.data, 16)
            same = "=" if next_command == inner.command else "≠"
            lockspace = "an id" if inner.second else "0"
            counts[f"OPTS o_optlen = {frame.options_length}, o_pad = {pad}, o_pad2 = {pad2}"] += 1
            counts[f"OPTS o_nextcmd {same} inner h_cmd"] += 1
            counts[f"in OPTS: {COMMANDS.get(inner.command, inner.command)}, h_lockspace {lockspace}"] += 1
            counts["in OPTS: other node id"] += inner.node != header.node
            first.setdefault(header.node, header.second)
        if header.command == 4:
            acks[header.node].append(header.second)
    print(path)
    for fact, number in sorted(counts.items()):
        print(f"  {fact:60} {number}")
    for node, numbers in sorted(acks.items()):
        steps = [after - before for before, after in itertools.pairwise(numbers)]
        if steps:
            print(
                f"  ACKs of node {node}: {len(numbers)}, step min {min(steps)} median {statistics.median(steps):g} "
                f"max {max(steps)}"
            )
    print("  first number of each node", first)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        facts(argument)
