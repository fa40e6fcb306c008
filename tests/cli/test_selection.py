"""Selectors: what each one takes of a real capture, against the JSON lines of all its frames."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from command_result import Result
from evidence import capture_path

Run = Callable[..., Result]
Taken = Callable[[dict[str, Any]], bool]


@pytest.fixture(scope="module")
def everything() -> dict[str, list[dict[str, Any]]]:
    return {}


def all_frames(dlmtrace: Run, everything: dict[str, list[dict[str, Any]]], file: str) -> list[dict[str, Any]]:
    if file not in everything:
        everything[file] = list(map(json.loads, dlmtrace("decode", "--format", "jsonl", capture_path(file)).lines))
    return everything[file]


SELECTORS: list[tuple[list[str], Taken]] = [
    (["--node", "1"], lambda frame: frame["sender"] == 1),
    (["--node", "2,3"], lambda frame: frame["sender"] in (2, 3)),
    (["--peer", "3"], lambda frame: frame["receiver"] == 3),
    (["--node", "1", "--peer", "2-3"], lambda frame: frame["sender"] == 1 and frame["receiver"] in (2, 3)),
    (["--command", "ack"], lambda frame: frame["header"]["h_cmd"] == 4),
    (["--command", "OPTS"], lambda frame: frame["header"]["h_cmd"] == 3),
    (["--command", "RCOM,FIN"], lambda frame: bool(frame["recovery"]) or frame["command"] == "OPTS/FIN"),
    (["--command", "1"], lambda frame: bool(frame["message"])),
    (["--type", "LOOKUP"], lambda frame: frame["type"] == "LOOKUP"),
    (["--type", "lookup", "--command", "RCOM"], lambda frame: frame["type"] == "LOOKUP" and bool(frame["recovery"])),
    (["--type", "*_REPLY"], lambda frame: (frame["type"] or "").endswith("_REPLY")),
    (["--type", "9", "--type", "BAST"], lambda frame: frame["type"] in ("GRANT", "BAST")),
    (["--lockspace", "0x7caec595"], lambda frame: frame["lockspace"] == "0x7caec595"),
    (["--lockspace", "0x1"], lambda frame: False),
    (["--resource", "res*"], lambda frame: (frame["resource"] or "").startswith("res")),
    (["--resource", "3/*"], lambda frame: (frame["resource"] or "").startswith("glock 3/")),
    (["--resource", "glock 3/1babcb"], lambda frame: frame["resource"] == "glock 3/1babcb"),
    (["--seq", "300-310"], lambda frame: frame["sequence"] is not None and 300 <= frame["sequence"] <= 310),
    (["--seq", "0x12c-"], lambda frame: frame["sequence"] is not None and frame["sequence"] >= 300),
    (["--seq", "-3,7"], lambda frame: frame["sequence"] in (0, 1, 2, 3, 7)),
    (["--connection", "c3"], lambda frame: frame["connection"] == "c3"),
    (["--connection", "c2-c3,5"], lambda frame: frame["connection"] in ("c2", "c3", "c5")),
    (
        ["--packet", "2130-2140"],
        lambda frame: any(2130 <= frame[name] <= 2140 for name in ("packet", "first_packet", "last_packet")),
    ),
    (["--time", "2026-11-22T05:39:45Z.."], lambda frame: frame["time"] >= "2026-11-22T05:39:45"),
    (["--time", "..2026-11-22T06:39:45.05+01:00"], lambda frame: frame["time"] <= "2026-11-22T05:39:45.050000000Z"),
    (
        ["--time", "2026-11-22 05:39:31..2026-11-22T05:39:32.5", "--node", "2"],
        lambda frame: (
            "2026-11-22T05:39:31" <= frame["time"] <= "2026-11-22T05:39:32.500000000Z" and frame["sender"] == 2
        ),
    ),
]


@pytest.mark.parametrize(("options", "taken"), SELECTORS, ids=[" ".join(options) for options, _ in SELECTORS])
def test_a_selector_takes_what_it_says(
    dlmtrace: Run, everything: dict[str, list[dict[str, Any]]], options: list[str], taken: Taken
) -> None:
    file = "recovery-locks-3node.pcap"
    frames = all_frames(dlmtrace, everything, file)
    expected = [frame for frame in frames if taken(frame)]
    result = dlmtrace("decode", "--format", "jsonl", capture_path(file), *options)
    assert list(map(json.loads, result.lines)) == expected
    assert len(expected) < len(frames)
    if not expected:
        assert result.err == f"dlmtrace: none of the {len(frames)} frames is selected\n"


def test_relative_times_count_from_the_first_packet(dlmtrace: Run) -> None:
    file = capture_path("clean-3.2-tcp.pcap")
    shown = dlmtrace("decode", "--time-format", "relative", file, "--time", "2..2.5").lines
    every = dlmtrace("decode", "--time-format", "relative", file).lines
    assert shown == [line for line in every if 2 <= float(line.split()[1]) <= 2.5]
    assert 0 < len(shown) < len(every)
    assert dlmtrace("decode", "--time-format", "relative", file, "--time", "2-2.5").lines == shown


def test_times_without_a_zone_are_local_when_local_times_are_shown(
    dlmtrace: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    file = capture_path("clean-3.2-tcp.pcap")
    utc = dlmtrace("decode", "--count", file, "--time", "2026-11-22T05:12:03..").out
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        local = ["decode", "--count", file, "--time-format", "local"]
        assert dlmtrace(*local, "--time", "2026-11-22T14:12:03..").out == utc
        assert dlmtrace(*local, "--time", "2026-11-22T05:12:03Z..").out == utc
    finally:
        monkeypatch.undo()
        time.tzset()


def test_count_and_limit(dlmtrace: Run) -> None:
    file = capture_path("clean-3.2-tcp.pcap")
    total = len(dlmtrace("decode", file).lines)
    assert dlmtrace("decode", file, "--count").out == f"{total}\n"
    assert dlmtrace("decode", file, "--limit", "5").lines == dlmtrace("decode", file).lines[:5]
    assert dlmtrace("decode", file, "--limit", "5", "--count").out == "5\n"
    assert dlmtrace("decode", file, "--limit", str(total + 1), "--count").out == f"{total}\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--seq", "9-3"], "for --seq: '9-3' is not a range: it ends before it begins"),
        (["--seq", "x"], "for --seq: 'x' is not a number or a range such as 7, 3-9 or 3-"),
        (["--seq", "-"], "for --seq: '-' is not a number"),
        (["--node", "one"], "for --node: 'one' is not a number"),
        (["--connection", "d7"], "for --connection: 'd7' is not a number"),
        (["--type", "NONSENSE"], "for --type: 'NONSENSE' is not a message or recovery type"),
        (["--command", "TALK"], "for --command: 'TALK' is not one of MSG, RCOM, OPTS, ACK, FIN"),
        (["--lockspace", "a=b"], "for --lockspace: 'a=b' is not a lockspace"),
        (["--lockspace", "0x123456789"], "for --lockspace: '0x123456789' is not a lockspace"),
        (["--time", "noon.."], "for --time: 'noon..' is not a range such as"),
        (["--time", "2026-13-01.."], "for --time: '2026-13-01..' is not a range such as"),
        (["--time", "5"], "for --time: '5' is not a range such as"),
        (["--time", "5..3"], "for --time: '5..3' is not a range: it ends before it begins"),
        (["--format", "jsonl", "-V"], "for --format: -V and -x are for --format text only"),
        (["--format", "jsonl", "--time-format", "delta"], "for --time-format: --format jsonl has all times in UTC"),
        (["--port", "0"], "port"),
        (["--limit", "0"], "limit"),
        (["--colour"], "No such option: --colour"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2(dlmtrace: Run, options: list[str], complaint: str) -> None:
    result = dlmtrace("decode", capture_path("clean-3.2-tcp.pcap"), *options)
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("dlmtrace: ")
    assert complaint in result.err
    assert result.err.count("\n") == 1
