"""Every frame that a kernel traced is in the decode with the same content, and the decode has no other.

What one side has alone must be explained by another record of the same session: the injected events of its JSON, the
kernel logs, the byte counts of the kernels' socket calls.
"""

import re
import struct
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from evidence import SCENARIOS, kernel_record, scenario
from oracles.kernel import RECOVERY_TYPES, boots, log, traces

from proof.decoded import OPTS, decoded
from proof.matching import CLOCK_TOLERANCE, Comparison, Frame, Times, compare

LOG_TOLERANCE = 50_000_000
"""The log's clock is not the trace's: they differ by up to some tens of ms over a run; ns."""

TRACED = [name for name in SCENARIOS if any(kernel_record(name, *boot[:1], "trace", boot[1]) for boot in boots(name))]


@dataclass(frozen=True)
class Session:
    """Capture files that show all that the nodes ``sources`` sent."""

    name: str
    files: tuple[str, ...]
    sources: frozenset[int]

    def __str__(self) -> str:
        return "+".join(self.files)


def sessions() -> list[Session]:
    """One per scenario, except where a tap shows only what one node sent, or two files together show all."""
    found = []
    for name in TRACED:
        nodes = frozenset(node["nodeid"] for node in scenario(name)["nodes"])
        if name == "blackhole-tcp":  # what node 2 sent while its link was cut is on its own tap only
            found += [Session(name, (f"{name}.n{node}.pcap",), frozenset({node})) for node in sorted(nodes)]
        elif name == "sctp-multihome":
            found.append(Session(name, (f"{name}.net0.pcap", f"{name}.net1.pcap"), nodes))
        else:
            found.append(Session(name, (f"{name}.full.pcap" if name == "mid-capture" else f"{name}.pcap",), nodes))
    return found


@dataclass(frozen=True)
class Death:
    """A node was killed; its peers went on sending to it until they were told, at ``over``."""

    node: int
    killed: int  # ns
    over: int  # ns
    trace_ends: int  # ns: lines that the dying node had not written out are lost


def deaths(name: str) -> list[Death]:
    found = []
    events = scenario(name)["events"]
    for place, event in enumerate(events):
        if match := re.match(r"kill -9 of node (\d)", event["what"]):
            told = re.compile("survivors stop and recover|second try with a fresh comm")
            over = next(later["t"] for later in events[place:] if told.match(later["what"]))
            node = int(match[1])
            ends = next(trace.last_time for trace in traces(name) if (trace.node, trace.boot) == (node, 1))
            found.append(Death(node, round(event["t"] * 1e9), round(over * 1e9), ends))
    return found


@pytest.fixture(scope="module", params=sessions(), ids=str)
def session(request: pytest.FixtureRequest) -> Session:
    found: Session = request.param
    return found


@pytest.fixture(scope="module")
def comparison(session: Session) -> Comparison:
    return compare(traces(session.name), decoded(*session.files), set(session.sources))


def explain(times: Times, *reasons: set[Frame]) -> list[str]:
    """The frames that none of the reasons covers, as text."""
    return [str(frame) for frame in times if not any(frame in reason for reason in reasons)]


def too_long_to_trace(frames: Times) -> set[Frame]:
    """NAMES_REPLY inside OPTS: rc_buf has 4024 bytes, and an event must fit into one 4096-byte page of the trace buffer
    beside the 72 bytes of its other fields and the page's own header.  The socket calls do show these bytes.
    """
    return {
        frame
        for frame in frames
        if frame.kind == "rcom" and (frame.fields["rc_type"], len(frame.tail)) == (RECOVERY_TYPES["NAMES_REPLY"], 4024)
    }


def unwritten_trace(result: Comparison, name: str) -> set[Frame]:
    """Frames that a node sent in its last moments, behind the last line of its trace."""
    return {
        frame
        for death in deaths(name)
        for frame, times in result.only_wire.items()
        if frame.source == death.node
        and all(death.trace_ends - CLOCK_TOLERANCE < time < death.killed + LOG_TOLERANCE for time in times)
    }


def last_received(name: str, source: int, node: int, boot: int) -> int:
    """Highest sequence number that this boot of ``node`` traced from ``source``; -1: none."""
    trace = next(trace for trace in traces(name) if (trace.node, trace.boot) == (node, boot))
    received = [events for (direction, _), events in trace.events.items() if direction == "recv"]
    return max((int(events.sequence[events.peer == source].max(initial=-1)) for events in received), default=-1)


def sent_to_the_dead(result: Comparison, name: str) -> set[Frame]:
    """Frames to a dying or dead node: on the wire, but above all that it received and before its peers knew."""
    return {
        frame
        for death in deaths(name)
        for frame, times in result.not_received.items()
        if frame.destination == death.node
        and frame.sequence > last_received(name, frame.source, death.node, 1)
        and min(times) < death.over
    }


def never_left(result: Comparison, name: str) -> set[Frame]:
    """Frames to a dead node that stayed in its peer's socket: their numbers follow on the last one on the wire."""
    found: set[Frame] = set()
    for death in deaths(name):
        for source in {frame.source for frame in result.only_sent}:
            wire = [
                frame.sequence
                for frame, times in result.wire.items()
                if (frame.source, frame.destination) == (source, death.node) and min(times) < death.over
            ]
            queued = {
                frame
                for frame, times in result.only_sent.items()
                if frame.source == source
                and frame.destination in (death.node, 0)
                and all(death.killed < time < death.over for time in times)
            }
            follow = range(max(wire, default=-1) + 1, max(wire, default=-1) + 1 + len(queued))
            if sorted(frame.sequence for frame in queued) == list(follow):
                found |= queued
    return found


def behind_a_hole(result: Comparison, name: str) -> set[Frame]:
    """Frames that a receiver dropped until the end: its log says which number it kept waiting for."""
    return {
        frame
        for frame in result.not_received
        for dropped in log(name, frame.destination).ignored[-1:]
        if dropped.peer == frame.source
        and dropped.expected == last_received(name, frame.source, frame.destination, 1) + 1 <= frame.sequence
    }


def forged(frames: Times, name: str) -> set[Frame]:
    """Frames that the scenario put on the wire by hand; their bytes are in its JSON."""
    by_hand = [bytes.fromhex(event["hexdata"]) for event in scenario(name)["events"] if "hexdata" in event]
    inner = {(struct.unpack_from("<I", data, 4)[0], data[24:]) for data in by_hand if data[14] == OPTS}
    return {frame for frame in frames if (frame.sequence, inner_bytes(frame)) in inner}


def inner_bytes(frame: Frame) -> bytes:
    """The frame as it would lie inside OPTS, packed from its fields (protocol page §1.1, §2.1)."""
    values = [value & 0xFFFFFFFF for value in frame.fields.values()]
    return struct.pack("<IIIHBx18I", *values) + frame.tail if frame.kind == "message" else b""


def test_traced_frames_and_decoded_frames_are_the_same(session: Session, comparison: Comparison) -> None:
    name, result = session.name, comparison
    assert not explain(result.only_received)
    assert not explain(result.only_sent, never_left(result, name))
    without_event = too_long_to_trace(result.only_wire), unwritten_trace(result, name), forged(result.only_wire, name)
    assert not explain(result.only_wire, *without_event)
    dropped = too_long_to_trace(result.not_received), forged(result.not_received, name)
    assert not explain(result.not_received, *dropped, sent_to_the_dead(result, name), behind_a_hole(result, name))
    sources = list(session.sources)
    traced = sum(
        np.isin(events.content["h_nodeid"], sources).sum() for trace in traces(name) for events in trace.events.values()
    )
    assert result.matched + sum(map(len, result.only_sent.values())) == traced


def test_frames_repeat_only_where_the_kernel_repeated_them(session: Session, comparison: Comparison) -> None:
    """No repeat comes before the first connection was broken, and the lab counted as many."""
    facts = scenario(session.name)
    broken = [round(reset["t_start"] * 1e9) for reset in facts.get("rst", []) if "t_start" in reset]
    broken += [death.killed for death in deaths(session.name)]
    for frame, times in comparison.again.items():
        assert min(times) > min(broken), frame
    if max(node["boots"] for node in facts["nodes"]) == 1:
        lines = [re.match(r"node (\d): .* frames repeated (\d+);", line) for line in facts.get("oracle", [])]
        by_lab = {int(line[1]): int(line[2]) for line in lines if line and int(line[2])}
        assert Counter(frame.source for frame, times in comparison.again.items() for _ in times) == by_lab


def test_the_kernels_socket_calls_account_for_every_byte(session: Session) -> None:
    """`dlm_send` and `dlm_recv` count all bytes, whatever they held: ACK, FIN, bare RCOM, 3.1 traffic.

    Where connections broke, a kernel handed out bytes that never left, and others never arrived.
    """
    name, wire = session.name, decoded(*session.files).bytes_by_direction()
    calls: dict[str, Counter[tuple[int, int]]] = {"send": Counter(), "recv": Counter()}
    for trace in traces(name):
        for direction, counted in calls.items():
            for peer, length in zip(trace.calls[direction].peer, trace.calls[direction].length, strict=True):
                ends = (trace.node, int(peer))
                counted[ends if direction == "send" else ends[::-1]] += int(length)
    for event in scenario(name)["events"]:
        if "hexdata" in event:  # sent from user space, past the kernel's DLM
            calls["send"][2, 1] += len(event["hexdata"]) // 2
    dead = {death.node for death in deaths(name)}
    tells = {trace.node for trace in traces(name)} - dead
    for (source, destination), length in wire.items():
        calm = not scenario(name).get("rst") and not dead & {source, destination}
        if source in tells & session.sources:
            sent = calls["send"][source, destination]
            assert sent == length if calm else sent >= length
        if source in session.sources and destination in tells:
            received = calls["recv"][source, destination]
            assert received == length if calm else received <= length


@pytest.mark.parametrize("name", [name for name in TRACED if any(any(log(name, *boot)[:2]) for boot in boots(name))])
def test_frames_that_the_kernels_logged_are_on_the_wire(name: str) -> None:
    """`retransmit dlm msg` is followed by that frame, `ignore dlm msg because seq mismatch` comes behind it."""
    frames = decoded(f"{name}.pcap")
    for node, boot in boots(name):
        retransmitted, ignored, _ = log(name, node, boot)
        for again in retransmitted:
            assert frames.times_of(node, again.peer, again.sequence).max() > again.time - LOG_TOLERANCE, again
        for dropped in ignored:
            assert frames.times_of(dropped.peer, node, dropped.sequence).min() < dropped.time + LOG_TOLERANCE, dropped
