#!/usr/bin/env python3
"""Compare what each kernel traced as sent and received with the frames found in a capture of two nodes.

oracle.py CAPTURE   the facts (JSON) and traces are looked for beside the capture
"""

import collections
import json
import re
import sys
from pathlib import Path

from walk import Repeats, Walk, read

TRACED = re.compile(
    r"dlm_(send|recv)_message: .*?seq=(\d+) .*?h_nodeid=(\d+) .*?m_type=(\w+) .*?m_lkid=(\w+) m_remid=(\w+)"
)

Message = tuple[int, str, int, int]  # sequence number (0 when bare), type, m_lkid, m_remid


def on_the_wire(capture: Path) -> tuple[dict[int, set[Message]], collections.Counter[int]]:
    """Distinct messages of each node, and how many OPTS frames around a message each node sent again."""
    messages: dict[int, set[Message]] = collections.defaultdict(set)
    again: collections.Counter[int] = collections.Counter()
    repeats = Repeats()
    for frame in Walk().frames(read(capture)):
        header, words = frame.header(), frame.words
        repeat = header.command == 3 and repeats.is_repeat(frame)
        if words is None or frame.kind is None:
            continue
        again[header.node] += repeat
        sequence = header.second if header.command == 3 else 0
        kind = frame.kind.removeprefix("MSG.")
        messages[header.node].add((sequence, kind, words[3] & 0xFFFFFFFF, words[4] & 0xFFFFFFFF))
    return messages, again


def compare(capture: Path) -> None:
    directory = capture.parent
    names = [path.stem for path in directory.glob("*.json") if capture.name.startswith(f"{path.stem}.")]
    name = max(names, key=len)
    facts = json.loads((directory / f"{name}.json").read_text())
    wire, again = on_the_wire(capture)
    for node in (entry["nodeid"] for entry in facts["nodes"]):
        trace = directory / f"{name}.node{node}.trace.zst"
        if not trace.exists():
            print(f"node {node}: no trace")
            continue
        sent: set[Message] = set()
        received: list[tuple[int, Message]] = []
        recovery: collections.Counter[str] = collections.Counter()
        lost = 0
        for line in read(trace).decode(errors="replace").splitlines():
            lost += "LOST" in line
            event = TRACED.search(line)
            if event:
                direction, sequence, sender, kind, lkid, remid = event.groups()
                message = (int(sequence), kind, int(lkid), int(remid))
                if direction == "send":
                    sent.add(message)
                else:
                    received.append((int(sender), message))
            elif "_rcom:" in line:
                recovery["send" if "dlm_send_rcom" in line else "recv"] += 1
        only_traced, only_wire = sorted(sent - wire[node]), sorted(wire[node] - sent)
        print(
            f"node {node}: traced as sent {len(sent)}, distinct on the wire {len(wire[node])}, only traced "
            f"{len(only_traced)}, only on the wire {len(only_wire)}; sent again {again[node]}; traced RCOM "
            f"{dict(recovery)}; trace events lost {lost}"
        )
        for title, messages in (("only traced", only_traced), ("only on the wire", only_wire)):
            for sequence, kind, lkid, remid in messages[:3]:
                print(f"    {title}: seq={sequence} {kind} lkid={lkid:x} remid={remid:x}")
        unseen = sum(message not in wire[sender] for sender, message in received)
        print(f"    traced as received {len(received)}, of these not on the wire from the peer {unseen}")


if __name__ == "__main__":
    compare(Path(sys.argv[1]))
