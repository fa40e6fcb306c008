"""The table of what `analyze` has to say (`expected`) agrees with what the lab did and what the kernels noted.

Nothing here comes from the analysis: the kernels' logs and traces, the lists of the lab, and the bare packets.
"""

import re
import struct
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from evidence import capture_bytes, kernel_record, scenario, scenario_of
from oracles.kernel import boots, log, traces
from oracles.packets import struct_packets

from proof.expected import ALL, EVENTFUL, QUIET, Expected

TROUBLE = re.compile(
    "retransmit dlm msg|ignore dlm msg|socket error|invalid (?:version|length) header|version mismatch"
    "|unsupported h_cmd|non cluster|closing connection"
)
"""What a kernel logs of numbers, frames and connections that are not as they should be."""
SECOND = 1_000_000_000  # ns
MANY = 100  # frames
SYN, RST, ACK = 2, 4, 16


def entry(name: str) -> Expected:
    return next(each for each in ALL if scenario_of(each.files[0]) == name)


def codes(expected: Expected) -> Counter[str]:
    found: Counter[str] = Counter()
    for told in expected.told:
        found[told.code] += told.findings
    return found


def named(prefix: str) -> list[str]:
    return [scenario_of(each.files[0]) for each in EVENTFUL if each.files[0].startswith(prefix)]


RESET = [name for name in named("rst-") if name != "rst-3.1-tcp"]


def troubles(name: str) -> set[str]:
    logs = [kernel_record(name, node, "dmesg", boot) or "" for node, boot in boots(name)]
    return {match[0] for text in logs for match in TROUBLE.finditer(text)}


@pytest.mark.parametrize("name", sorted({scenario_of(each.files[0]) for each in QUIET}))
def test_the_kernels_of_quiet_captures_had_nothing_to_log(name: str) -> None:
    assert not troubles(name)
    assert not scenario(name).get("rst")


@pytest.mark.parametrize("name", [*named("rst-"), *named("crash"), "recovery-locks-3node", "reboot-2node"])
def test_the_kernels_of_the_others_had(name: str) -> None:
    assert troubles(name)


UNLISTED = {("rst-stall-6.12-tcp", 2): 1}
"""Kill 0 moved node 2's frames from a connection to its port 21064 to another one: the lab told them by that port."""


@pytest.mark.parametrize("name", [*RESET, "reboot-2node", "forged-3.2-tcp"])
def test_reconnects_are_the_changes_of_connection_that_the_lab_listed(name: str) -> None:
    """lab/seqgaps.py: where a node's numbered frames moved to another connection; 999999 belongs to no numbering."""
    starts = Counter(
        re.findall(r" n(\d) starts sending on \S+ with seq=(?!999999)", "\n".join(scenario(name)["seqgaps"]))
    )
    for node in (1, 2):
        listed = starts[str(node)] - 1 + UNLISTED.get((name, node), 0)
        assert len(entry(name).verdicts.get((node, 3 - node), ())) == listed


@pytest.mark.parametrize("name", RESET)
def test_numbers_rewind_where_the_lab_saw_queued_ones_go_first(name: str) -> None:
    repaired = "hole repaired after 0.0" in "\n".join(scenario(name)["seqgaps"])
    assert ("SEQ205" in entry(name).notes) == repaired


class Standstill(NamedTuple):
    """A receiver took nothing for more than a second while its peer sent on."""

    sender: int
    expected: int
    seconds: float
    last_sent: int
    for_good: bool


def standstills(name: str) -> list[Standstill]:
    """Read off the traces of two nodes: messages taken and sent."""
    found = []
    kernels = {trace.node: trace for trace in traces(name)}
    for sender, receiver in ((1, 2), (2, 1)):
        sent, taken = kernels[sender].events["send", "message"], kernels[receiver].events["recv", "message"]
        moments = np.append(taken.time, kernels[receiver].last_time)
        for place in np.flatnonzero(np.diff(moments) > SECOND).tolist():
            meanwhile = (sent.time > moments[place]) & (sent.time < moments[place + 1])
            if meanwhile.sum() > MANY:
                expected = int(taken.sequence[place]) + 1
                seconds = (moments[place + 1] - moments[place]) / SECOND
                last = int(sent.sequence[meanwhile].max())
                found.append(Standstill(sender, expected, seconds, last, place + 2 == len(moments)))
    return found


@pytest.mark.parametrize("name", RESET)
def test_a_reconnect_is_unsafe_where_the_receiver_stood_still_behind_it(name: str) -> None:
    expected = entry(name)
    found = standstills(name)
    assert {each.sender for each in found} == {pair[0] for pair, all in expected.verdicts.items() if "unsafe" in all}
    assert [each.expected for each in found] == [
        told.numbers[0] for told in expected.told if told.code == "SEQ211" and told.numbers
    ]
    assert [each.for_good for each in found] == ["SEQ202" in codes(expected)] * len(found)


def test_the_standstill_that_was_repaired_took_as_long_and_as_many() -> None:
    """804 and 805 were lost with the connection; everything behind them was dropped until 778 … came again."""
    (found,) = standstills("rst-6.12-tcp")
    assert round(found.seconds, 1) == 2.5
    assert "SEQ211 1→2 of 804, 578 frames" in map(str, entry("rst-6.12-tcp").told)
    repaired = scenario("rst-6.12-tcp")["rst"][1]["t_new_syn"] * 1e9
    sent = next(trace for trace in traces("rst-6.12-tcp") if trace.node == 1).events["send", "message"]
    assert len(range(806, int(sent.sequence[sent.time < repaired].max()) + 1)) == 578


def test_the_standstill_for_good_lost_two_and_dropped_the_rest() -> None:
    """The FIN behind the last message is dropped too; both nodes wait for it when they leave."""
    (found,) = standstills("rst-stall-6.12-tcp")
    assert "SEQ211 1→2 of 15108, 467 frames" in map(str, entry("rst-stall-6.12-tcp").told)
    assert "FIN501 1→2 of 15576" in map(str, entry("rst-stall-6.12-tcp").told)
    assert (found.expected, found.last_sent) == (15108, 15575)
    assert len(range(15110, 15576 + 1)) == 467
    for name in RESET:
        events = [
            (event["what"], event["t"]) for event in scenario(name)["events"] if event["what"] in ("leave", "left")
        ]
        longest = max(left - leave for (_, leave), (_, left) in zip(events[::2], events[1::2], strict=True))
        assert (longest > 5) == ("FIN501" in codes(entry(name)))


def test_what_was_not_sent_again_to_the_new_boot_was_never_taken() -> None:
    name = "reboot-2node"
    assert "CON401 1→2 of 695–703, 9 frames" in map(str, entry(name).told)
    assert [line.sequence for line in log(name, 1).retransmitted][:9] == list(range(695, 704))
    assert "starts sending on 10.77.0.1:33181 with seq=695 (highest sent 703" in "\n".join(scenario(name)["seqgaps"])
    ignored = log(name, 2, boot=2).ignored
    assert {line.expected for line in ignored} == {0}
    assert {line.sequence for line in ignored} >= set(range(695, 704))
    assert "connect from non cluster IPv4 node 10.77.0.2" in (kernel_record(name, 1, "dmesg") or "")


@pytest.mark.parametrize("name", [*named("crash"), "recovery-locks-3node", "reboot-2node"])
def test_streams_are_reset_where_a_node_was_killed_and_took_numbers_from_0_again(name: str) -> None:
    """The survivors log `closing connection to node N` when its comm is removed; node N has booted twice."""
    reset: set[tuple[int, int]] = set()
    for node, boot in boots(name):
        for gone in re.findall(r"closing connection to node (\d)", kernel_record(name, node, "dmesg", boot) or ""):
            assert (int(gone), 2) in boots(name)
            reset |= {(node, int(gone)), (int(gone), node)}
    assert reset == {pair for pair, all in entry(name).verdicts.items() if "reset" in all}
    assert codes(entry(name))["CON408"] == len(reset)


@pytest.mark.parametrize("name", named("mixed"))
def test_mixed_versions_are_what_the_newer_kernel_learnt(name: str) -> None:
    assert "version 0x00030001 for node 1 detected" in (kernel_record(name, 2, "dmesg") or "")


FORGED = {
    "OPTS far in the future, UNLOCK inside": ("SEQ210 FRM109", "seq mismatch, seq: 999999, expected: 364"),
    "OPTS already seen (seq 5), REQUEST inside": ("SEQ206", "seq mismatch, seq: 5, expected: 364"),
    "bare MSG GRANT (3.2 header, no OPTS)": ("VER602 FRM109", "unsupported h_cmd received: 1"),
    "bare MSG with a 3.1 header": ("VER601 FRM109", "version mismatch detected"),
    "wrong nodeid 7 in the header": ("FRM110 VER602 FRM109", "unsupported h_cmd received: 1"),
    "unknown command 9": ("FRM103", "unsupported h_cmd received: 9"),
    "version 4.0": ("FRM102", "received invalid version header: 262144"),
    "length 0xffff": ("FRM101 CAP905", "received invalid length header: 65535"),
    "length 4 (shorter than the header)": ("FRM101 CAP905", "received invalid length header: 4 "),
    "ACK of a sequence number never sent": ("ACK301", "got connection from 2"),  # it is taken in silence
    "garbage": ("FRM102", "got connection from 2"),  # version 0x03020100; the kernel waits for the rest of it
}
"""What each forged frame is, and what node 1 logged when it came."""


def test_every_forged_frame_is_told_as_what_it_is() -> None:
    name = "forged-3.2-tcp"
    shots = [event["shot"] for event in scenario(name)["events"] if event["what"] == "forged"]
    assert shots == list(FORGED)
    answers = (kernel_record(name, 1, "dmesg") or "").split("dlm: version 0x00030002 for node 2 detected")[1]
    for shot in shots:
        _, found, answers = answers.partition(FORGED[shot][1])
        assert found, shot
    assert "connect from non cluster IPv4 node 10.77.0.99" in answers
    assert codes(entry(name)) == Counter(" ".join(codes for codes, _ in FORGED.values()).split()) + Counter(["CON406"])


def test_what_tcp_had_not_acknowledged_when_a_3_1_connection_was_killed_is_lost() -> None:
    """Frames of each killed connection that end behind the last acknowledgement before the RST that its end got."""
    name = "rst-3.1-tcp"
    lost: dict[tuple[int, int], list[int]] = {}
    for kill in scenario(name)["rst"]:
        (port,) = set(kill["ports"]) - {21064}
        for client in (1, 2):
            for sender, frames in unacknowledged(capture_bytes(f"{name}.pcap"), client, port).items():
                if frames:
                    lost.setdefault((sender, 3 - sender), []).append(frames)
    assert {pair: len(frames) for pair, frames in lost.items()} == {
        pair: len(verdicts) for pair, verdicts in entry(name).verdicts.items()
    }
    assert {told.pair: told.findings for told in entry(name).told} == {pair: len(each) for pair, each in lost.items()}


def unacknowledged(capture: bytes, client: int, port: int) -> dict[int, int]:
    """By sender: frames of a connection (client's node and port) that end behind the peer's last acknowledgement."""
    ends = {1: (bytes([10, 77, 0, client]), port), 2: (bytes([10, 77, 0, 3 - client]), 21064)}
    streams: dict[int, dict[int, bytes]] = {1: {}, 2: {}}
    begins: dict[int, int] = {}
    acknowledged = {1: 0, 2: 0}
    for _, packet in struct_packets(capture):
        if packet[12:14] != b"\x08\x00" or packet[23] != 6:
            continue
        source_port, _, sequence, acknowledgement, offset, flags = struct.unpack_from(">HHIIBB", packet, 34)
        side = next((side for side, end in ends.items() if end == (packet[26:30], source_port)), None)
        if side is None or (packet[30:34] != ends[3 - side][0]):
            continue
        if side == 2 and struct.unpack_from(">H", packet, 36)[0] != port:
            continue
        if flags & SYN:
            begins[side] = sequence + 1
        if flags & RST:
            continue
        payload = packet[34 + (offset >> 4) * 4 : 14 + struct.unpack_from(">H", packet, 16)[0]]
        if payload:
            streams[side][(sequence - begins[side]) % 2**32] = payload
        if flags & ACK and not flags & SYN:
            acknowledged[3 - side] = max(acknowledged[3 - side], acknowledgement - begins[3 - side])
    count = {}
    for side, pieces in streams.items():
        stream = b"".join(piece for _, piece in sorted(pieces.items()))
        at = count[client if side == 1 else 3 - client] = 0
        while at + 16 <= len(stream):
            at += struct.unpack_from("<H", stream, at + 12)[0]
            count[client if side == 1 else 3 - client] += at > acknowledged[side]
    return count
