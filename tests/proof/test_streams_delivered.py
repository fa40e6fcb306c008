"""What the analysis calls delivered is what the receivers' kernels traced, number by number, epoch by epoch.

The trace has every MSG and RCOM that a kernel took out of DLM_OPTS, in the order in which it took them.  It has no FIN,
and no event is large enough for a full NAMES_REPLY: that a number is one of these is read off the wire.
"""

import re
import struct
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from evidence import capture_bytes, kernel_record, scenario, scenario_of
from oracles.kernel import RECOVERY_TYPES, Trace, boots, log, traces
from oracles.packets import struct_packets

from proof.analysed import WHOLE, Pair, analysed, numbers
from proof.decoded import OPTS, Int, decoded, node_addresses

RCOM, ACK, FIN = 2, 4, 5
NAMES_REPLY_LENGTH = 4096
"""Bytes of a NAMES_REPLY inside DLM_OPTS: its trace event would not fit into a page of the trace buffer."""


def logs_numbers(name: str) -> bool:
    """Did a kernel log that it sent or dropped a number again?"""
    return any(any(log(name, node, boot)[:2]) for node, boot in boots(name))


TRACED = [files for files in WHOLE if any(kernel_record(scenario_of(files[0]), node, "trace") for node in (1, 2, 3))]
LOGGED = [files for files in TRACED if logs_numbers(scenario_of(files[0]))]


class Received(NamedTuple):
    """Sequence numbers that one boot of a node took from a peer, from one start of the numbers to the next."""

    boot: int
    numbers: set[int]
    trace_ends: int  # ns


class Shown(NamedTuple):
    """What the wire shows of a stream between two starts of its numbers."""

    fins: set[int]
    long_names: set[int]
    confirmed: int  # everything below it, as the receiver's ACKs say


def received(name: str) -> dict[Pair, list[Received]]:
    """By sender and receiver, in time order.  A kernel takes numbers in order: where they fall, they began again."""
    found: dict[Pair, list[Received]] = {}
    for trace in traces(name):
        assert trace.lost == 0
        for peer in range(1, 4):
            sequence = taken_from(trace, peer)
            falls = np.flatnonzero(np.diff(sequence) < 0) + 1
            for part in np.split(sequence, falls) if len(sequence) else []:
                epoch = Received(trace.boot, set(part.tolist()), trace.last_time)
                assert len(epoch.numbers) == len(part), "a kernel takes a number once"
                found.setdefault((peer, trace.node), []).append(epoch)
    return found


def taken_from(trace: Trace, peer: int) -> Int:
    """All numbers that a boot traced from a peer, in time order."""
    events = [trace.events["recv", kind] for kind in ("message", "rcom")]
    sequence = np.concatenate([each.sequence[each.peer == peer] for each in events])
    time = np.concatenate([each.time[each.peer == peer] for each in events])
    return sequence[np.argsort(time, kind="stable")]


def killed(name: str, *nodes: int) -> int | None:
    """When one of the nodes was ended by kill -9, ns."""
    for event in scenario(name)["events"]:
        if (match := re.match(r"kill -9 of node (\d)", event["what"])) and int(match[1]) in nodes:
            return round(float(event["t"]) * 1e9)
    return None


def shown(files: tuple[str, ...], pair: Pair) -> list[Shown]:
    """The stream on the wire, epoch by epoch: a new one begins with the first number 0 after a node was killed."""
    frames = decoded(*files)
    ours = (frames.source == pair[0]) & (frames.destination == pair[1]) & (frames.command == OPTS)
    acks = (frames.source == pair[1]) & (frames.destination == pair[0]) & (frames.command == ACK)
    long_names = (frames.inner == RCOM) & (frames.type == RECOVERY_TYPES["NAMES_REPLY"])
    long_names &= frames.length == NAMES_REPLY_LENGTH
    zeros = frames.time[ours & (frames.sequence == 0)]
    broken = killed(scenario_of(files[0]), *pair)
    starts = [int(zeros[0])] if broken is None else [int(zeros[0]), int(zeros[zeros > broken][0])]
    found = []
    for start, stop in zip(starts, [*starts[1:], 1 << 62], strict=True):
        now = (frames.time >= start) & (frames.time < stop)
        kinds = (frames.inner == FIN, long_names)
        fins, names = (set(frames.sequence[ours & now & kind].tolist()) for kind in kinds)
        found.append(Shown(fins, names, int(frames.sequence[acks & now].max(initial=0))))
    return found


def assert_only_unwritten(beyond: set[int], kernel: Received, wire: Shown, files: tuple[str, ...], pair: Pair) -> None:
    """Numbers behind the last one that a killed node traced: the end of its trace died with it.

    In crash-3node the last lines are a dlm_recv of 721 bytes and the first of the six messages in them.
    """
    death = killed(scenario_of(files[0]), pair[1])
    assert death is not None
    assert kernel.trace_ends < death
    assert min(beyond) > max(kernel.numbers)
    for number in beyond:
        assert number < wire.confirmed or taken_by_tcp(files, pair, number)


def taken_by_tcp(files: tuple[str, ...], pair: Pair, number: int) -> bool:
    """Did the receiver's TCP acknowledge the first frame with this number?  Read off the packets alone."""
    ends = {node: bytes(map(int, text.split("."))) for text, node in node_addresses(scenario_of(files[0])).items()}
    header = struct.pack("<III", 0x00030002, number, pair[0])
    end, ports = None, b""
    for _, packet in struct_packets(capture_bytes(files[0])):
        if packet[23] != 6:
            continue
        tcp = 14 + (packet[14] & 15) * 4
        sequence, acknowledgement, offset = struct.unpack_from(">IIB", packet, tcp + 4)
        payload = tcp + (offset >> 4) * 4
        addresses = packet[26:30], packet[30:34]
        at = packet.find(header, payload)
        if end is None and at >= 0 and addresses == (ends[pair[0]], ends[pair[1]]):
            end = sequence + at - payload + struct.unpack_from("<H", packet, at + 12)[0]
            ports = packet[tcp + 2 : tcp + 4] + packet[tcp : tcp + 2]
        back = addresses == (ends[pair[1]], ends[pair[0]]) and packet[tcp : tcp + 4] == ports
        if end is not None and back and (acknowledgement - end) % 2**32 < 2**31:
            return True
    return False


@pytest.mark.parametrize("files", TRACED, ids="+".join)
def test_delivered_is_what_the_receivers_traced(files: tuple[str, ...]) -> None:
    name, analysis = scenario_of(files[0]), analysed(*files)
    kernels = received(name)
    assert kernels.keys() == {(each.sender, each.receiver) for each in analysis.result.streams if each.epochs}
    for pair, epochs_taken in kernels.items():
        second = 2 if (pair[1], 2) in boots(name) else 1
        if killed(name, *pair) and len(epochs_taken) == 1:
            epochs_taken.append(Received(second, set(), 0))  # nothing but FIN came of the second
        assert [each.boot for each in epochs_taken] == [1, second][: len(epochs_taken)]
        for epoch, kernel, wire in zip(analysis.stream(pair).epochs, epochs_taken, shown(files, pair), strict=True):
            delivered = numbers(epoch.delivered_ranges)
            assert epoch.delivered == len(delivered)
            taken = max(max(kernel.numbers, default=-1), wire.confirmed - 1)  # numbers are taken in order
            untraced = {number for number in wire.fins | wire.long_names if number <= taken}
            beyond = delivered - kernel.numbers - untraced
            assert not kernel.numbers - delivered
            assert not untraced - delivered
            if beyond:
                assert_only_unwritten(beyond, kernel, wire, files, pair)


@pytest.mark.parametrize("files", LOGGED, ids="+".join)
def test_what_the_kernels_retransmitted_is_told_as_sent_again(files: tuple[str, ...]) -> None:
    """The log is rate-limited: ours has all of its lines, and more."""
    name, frames = scenario_of(files[0]), decoded(*files)
    again: Counter[tuple[int, int, int]] = Counter()
    for finding in analysed(*files).result.findings:
        if finding.code == "SEQ204":
            assert (finding.sender, finding.receiver) != (None, None)
            for number in numbers([(finding.seq_first or 0, finding.seq_last or 0)]):
                again[finding.sender or 0, finding.receiver or 0, number] += 1
    for node, boot in boots(name):
        logged = Counter((node, line.peer, line.sequence) for line in log(name, node, boot).retransmitted)
        for frame in (logged - again).elements():
            # Its first copy was still queued when the connection broke: the kernel counts it, the wire has it once.
            assert len(frames.times_of(*frame)) == 1


@pytest.mark.parametrize("files", LOGGED, ids="+".join)
def test_what_the_kernels_ignored_is_known_as_dropped(files: tuple[str, ...]) -> None:
    """`ignore dlm msg because seq mismatch, seq: S, expected: E`: a frame S came when E was expected."""
    name, analysis = scenario_of(files[0]), analysed(*files)
    findings = [each for each in analysis.result.findings if (each.code, each.severity) == ("SEQ207", "error")]
    came_back = {(each.sender, each.receiver): each for each in findings}
    dropped: Counter[tuple[int, int, int, int]] = Counter()
    for (sender, receiver), frames in analysis.arrivals.items():
        restart = came_back.get((sender, receiver))
        for frame in frames:
            if restart is not None and frame.time >= (restart.time or 0) and not frame.came:
                dropped[receiver, sender, frame.number, 0] += 1  # SEQ207: the receiver had started again
            elif frame.came and frame.number != frame.expected:
                dropped[receiver, sender, frame.number, frame.expected] += 1
    for node, boot in boots(name):
        lines = log(name, node, boot).ignored
        assert not Counter((node, line.peer, line.sequence, line.expected) for line in lines) - dropped
