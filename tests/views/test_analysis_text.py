"""The text of analyze, from values made by hand: what comes first, where it is, and how it fits a terminal."""

import re
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dlmtrace.capture.packets import FileSummary
from dlmtrace.findings.outcome import Outcome
from dlmtrace.streams.nodes import Node, NodeTable
from dlmtrace.streams.results import Epoch, Finding, Reconnect, Stream
from dlmtrace.views.analysis import FrameCounts, Run
from dlmtrace.views.analysis_text import AnalysisText, numbers
from dlmtrace.views.places import Places
from dlmtrace.views.terminal import Terminal
from dlmtrace.views.times import TimeFormat

SECOND = 1_000_000_000
START = 1_795_324_693 * SECOND  # 2026-11-22T05:18:13Z
ESCAPES = re.compile("\x1b\\[[0-9;]*m")


def files() -> list[FileSummary]:
    return [FileSummary("/traces/one.pcap", "pcap", 900, 1000, START, START + 20 * SECOND, [1])]


def stalled() -> tuple[Run, list[Finding]]:
    """1→2 fell into a hole at a reconnect and came out at the next; 2→1 is well."""
    streams = [
        Stream(1, 2, "3.2", ["c1", "c2"], 8833, {"OPTS": 8494}, [Epoch(0, 7787, 8494, 7788, confirmed_to=7788)]),
        Stream(2, 1, "3.2", ["c1"], 300, {"OPTS": 300}, [Epoch(0, 299, 300, 300, confirmed_to=300, ended_by="fin")]),
    ]
    streams[0].epochs[0].duplicates, streams[0].epochs[0].resends = 706, {"reconnect": 600, "other connection": 106}
    streams[0].epochs[0].missing = [(900, 900), (905, 907)]
    reconnects = [
        Reconnect("r2", 2, 1, "c1", "c3", "fin", START + 4 * SECOND, START + 4 * SECOND, 400, 401, verdict="safe"),
        Reconnect("r1", 1, 2, "c1", "c2", "rst", START + 3 * SECOND, START + 3_055_841_000, 125, 128),
    ]
    reconnects[0].reason = "every frame had been confirmed"
    reconnects[1].verdict, reconnects[1].reason = "unsafe", "2 frames were not sent again"
    reconnects[1].unconfirmed, reconnects[1].lost, reconnects[1].lost_frames = [(778, 805)], [(804, 805)], 2
    findings = [
        Finding("SEQ204", "sent again", 1, 2, "c2", 129, START + 5 * SECOND, 778, 805, 28, None, {"oldest_age_ns": 5}),
        Finding("CON404", "r2: safe", 2, 1, "c3", 401, START + 4 * SECOND, evidence={"reconnect": "r2"}),
        Finding("SEQ211", "the receiver waited for 804", 1, 2, "c2", 128, START + 3 * SECOND, 804, 804, 578),
        Finding("CON401", "r1: unsafe", 1, 2, "c2", 128, START + 3 * SECOND, evidence={"reconnect": "r1"}),
        Finding("CAP902", "3 packets cut"),
    ]
    outcome = Outcome()
    for finding in findings:
        outcome.add(finding)
    return run(streams, reconnects, outcome), findings


def run(streams: list[Stream], reconnects: list[Reconnect], outcome: Outcome) -> Run:
    nodes = NodeTable()
    nodes.nodes = {1: Node(), 2: Node()}
    analysis = cast(
        Any,
        SimpleNamespace(
            streams=streams,
            reconnects=reconnects,
            verdicts=Counter(each.verdict for each in reconnects),
            nodes=nodes,
            connections={},
        ),
    )
    counts = FrameCounts()
    counts.total = 9133
    return Run(files(), 890, counts, analysis, outcome)


def report(
    found: tuple[Run, list[Finding]],
    terminal: Terminal = Terminal(),  # noqa: B008  a frozen value
    times: TimeFormat = TimeFormat.UTC,
    nodes: dict[int, str] | None = None,
) -> list[str]:
    view = AnalysisText(terminal, Places(terminal, times, found[0].files, nodes or {}))
    return "\n".join(view.report(*found)).splitlines()


def test_the_whole_report() -> None:
    assert report(stalled()) == [
        "one.pcap: 900 packets, 9133 frames of nodes 1, 2, 2026-11-22T05:18:13.000000Z to 2026-11-22T05:18:33.000000Z",
        "",
        "ERRORS: 2 errors, 1 warning, 2 notes; 2 reconnects: 1 safe, 1 unsafe",
        "  1→2: stalled-stream, unsafe-reconnect",
        "  beside the streams: truncated-packet",
        "",
        "Reconnects",
        "  r1   CON401 unsafe       1→2 c1 reset 2026-11-22T05:18:16.000000Z packet 125, on c2 after 0.055841 s "
        "packet 128: 2 frames were not sent again; unconfirmed 778-805; lost 804-805",
        "  r2   CON404 safe         2→1 c1 closed 2026-11-22T05:18:17.000000Z packet 400, on c3 after 0.000000 s "
        "packet 401: every frame had been confirmed",
        "",
        "Stream 1→2: 8833 frames of protocol 3.2 on c1, c2",
        "  numbers 0-7787: 7788 sent, 7788 delivered, highest ACK 7788, 706 came again (106 other connection, 600 "
        "reconnect), never seen 900, 905-907",
        "  error   SEQ211 stalled-stream 2026-11-22T05:18:16.000000Z packet 128 c2: the receiver waited for 804",
        "  note    SEQ204 resend 2026-11-22T05:18:18.000000Z packet 129 c2: sent again (778-805, oldest age 0.000000 "
        "s)",
        "",
        "Stream 2→1: 300 frames of protocol 3.2 on c1",
        "  numbers 0-299: 300 sent, 300 delivered, highest ACK 300; ended by FIN",
        "",
        "Beside the streams",
        "  warning CAP902 truncated-packet: 3 packets cut",
        "",
        "`dlmtrace explain CODE` tells what a finding means and what to do next, `dlmtrace streams FILE 1-2` what "
        "became of each number of stream 1→2.",
    ]


def test_what_is_not_shown_still_counts() -> None:
    whole, findings = stalled()
    lines = report((whole, [finding for finding in findings if finding.code == "SEQ211"]))
    assert "ERRORS: 2 errors, 1 warning, 2 notes; 2 reconnects: 1 safe, 1 unsafe" in lines
    assert "Reconnects" not in lines
    assert "  1→2: stalled-stream, unsafe-reconnect" in lines
    assert "4 findings not shown." in lines


def test_of_the_same_finding_only_some_are_shown() -> None:
    found = [Finding("CAP910", f"range {number}", 1, 2) for number in range(158)]
    lines = report((stalled()[0], [*found, Finding("SEQ201", "a gap", 1, 2)]))
    stream = lines.index("Stream 1→2: 8833 frames of protocol 3.2 on c1, c2") + 2
    assert lines[stream] == "  error   SEQ201 sequence-gap: a gap"
    assert lines[stream + 20] == "  warning CAP910 unseen-but-confirmed: range 19"
    assert lines[stream + 21] == "          CAP910 and 138 more of them"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_lines_fit_the_terminal_and_lose_nothing(width: int) -> None:
    coloured = report(stalled(), Terminal(width, True))
    plain = [ESCAPES.sub("", line) for line in coloured]
    assert coloured != plain
    assert max(map(len, plain)) <= width
    words = " ".join(" ".join(plain).split())
    assert "reset 05:18:16.000000 packet 125, on c2 after 0.055841 s packet 128: 2 frames were not sent again" in words


def test_without_colours_there_are_none() -> None:
    assert "\x1b" not in "\n".join(report(stalled(), Terminal(80, False)))


def test_times_can_count_from_the_first_packet() -> None:
    text = "\n".join(report(stalled(), times=TimeFormat.RELATIVE))
    assert "SEQ211 stalled-stream 3.000000 packet 128" in text
    assert "2026-11-22T05:18:13.000000Z to 2026-11-22T05:18:33.000000Z" in text  # when it was stays said


def test_names_of_nodes_stand_behind_their_ids() -> None:
    text = "\n".join(report(stalled(), nodes={1: "alpha", 2: "be\x1bta"}))
    assert "Stream 1(alpha)→2(be\\x1bta): 8833 frames" in text


def test_hostile_text_does_no_harm() -> None:
    whole, _ = stalled()
    lines = report((whole, [Finding("CAP907", "ends\x1b[2J early\nCLEAN: nothing found", 1, 2)]))
    assert "  warning CAP907 truncated-file: ends\\x1b[2J early\\nCLEAN: nothing found" in lines


def test_packets_of_several_files_name_their_file() -> None:
    whole, findings = stalled()
    several = Run([*files(), FileSummary("two.pcap", "pcap")], 890, whole.counts, whole.analysis, whole.outcome)
    text = "\n".join(report((several, findings)))
    assert "SEQ211 stalled-stream 2026-11-22T05:18:16.000000Z packet one.pcap:128 c2" in text


@pytest.mark.parametrize(
    ("codes", "empty", "line"),
    [
        (["SEQ204"], False, "CLEAN: 1 note"),
        ([], False, "CLEAN: nothing found"),
        (["CON405"], False, "WARNINGS: 1 warning"),
        ([], True, "UNDECIDED: there is no DLM in this capture"),
    ],
)
def test_the_verdict_comes_in_a_word(codes: list[str], empty: bool, line: str) -> None:
    outcome = Outcome(empty=empty)
    findings = [Finding(code, "x", 1, 2) for code in codes]
    for finding in findings:
        outcome.add(finding)
    assert report((run([Stream(1, 2, frames=1)], [], outcome), findings))[2] == line


def test_a_reconnect_that_cannot_be_judged_makes_the_verdict_undecided() -> None:
    reconnect = Reconnect("r1", 1, 2, "c1", None, "rst", START, None, 5, None, reason="the capture ends")
    outcome = Outcome()
    finding = Finding("CON403", "r1", 1, 2, evidence={"reconnect": "r1"})
    outcome.add(finding)
    outcome.judge(reconnect)
    lines = report((run([Stream(1, 2, frames=1)], [reconnect], outcome), [finding]))
    assert lines[2] == "UNDECIDED: 1 warning; 1 reconnect: 1 inconclusive"
    assert "  r1   CON403 inconclusive 1→2 c1 reset 2026-11-22T05:18:13.000000Z packet 5: the capture ends" in lines


def test_evidence_that_the_message_has_is_not_repeated() -> None:
    found = [
        Finding("SEQ202", "804–805 were not sent again", 1, 2, "c2", 128, START, 804, 805, 2),
        Finding("FRM103", "h_cmd 9", 1, 2, "c2", 128, START, evidence={"last_packet": 128}),
        Finding("FRM103", "h_cmd 9", 1, 2, "c2", 128, START, 7, 9, evidence={"last_packet": 140, "bytes_skipped": 16}),
    ]
    lines = report((stalled()[0], found))
    assert [line.partition("c2: ")[2] for line in lines if " c2: " in line] == [
        "804–805 were not sent again",
        "h_cmd 9",
        "h_cmd 9 (7-9, last packet 140, bytes skipped 16)",
    ]


def test_many_quiet_streams_are_counted_and_those_with_findings_shown() -> None:
    streams = [Stream(sender, 99, frames=1) for sender in range(1, 41)]
    lines = report((run(streams, [], Outcome()), [Finding("SEQ204", "x", 40, 99)]))
    assert "23 more streams without findings." in lines
    assert "Stream 40→99: 1 frame" in lines


def test_a_stream_without_numbers_says_so() -> None:
    lines = report((run([Stream(1, 2, "3.1", ["c1"], 7)], [], Outcome()), []))
    assert lines[-2:] == [
        "Stream 1→2: 7 frames of protocol 3.1 on c1",
        "  no sequence numbers",
    ]


def test_a_direction_of_which_nothing_was_seen_is_left_out() -> None:
    assert not any("Stream" in line for line in report((run([Stream(2, 1)], [], Outcome()), [])))


def test_ranges_of_numbers() -> None:
    assert numbers([(7, 7), (9, 12), (4294967290, 3)]) == "7, 9-12, 4294967290-3"
    assert numbers([(number, number) for number in range(0, 40, 2)]) == "0, 2, 4, 6, 8, 10, 12, 14 and 12 ranges more"
