"""JSON lines: odd frames have the line that the Construct declarations give, and the keys are always the same.

Every frame of every capture is compared in proof/test_readers_agree.py.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from dlmtrace.craft import Network, ack, fin, message, opts, recovery, request, status
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.frame_fields import frame_fields
from dlmtrace.views.jsonl import FrameLines
from dlmtrace.wire.enums import MessageType, RecoveryType

from framed import columns_of, columns_of_capture  # isort: skip


def check(columns: FrameColumns) -> None:
    lines = FrameLines(["capture"]).text(columns).splitlines()
    assert len(lines) == len(columns.rows)
    for place, line in enumerate(lines):
        record = json.loads(line)
        expected = frame_fields(columns.bytes_of(place), int(columns.frames["length"][place]))
        assert {key: record[key] for key in expected} == expected


def test_a_frame_has_the_same_line_in_any_company(tmp_path: Path) -> None:
    """What goes into the template of a batch must not depend on the batch."""
    for columns in columns_of_capture("recovery-locks-3node.pcap"):
        together = FrameLines(["capture"]).text(columns).splitlines()
        for place in range(0, len(columns.rows), 7):
            alone = FrameColumns(columns.batch, columns.rows[place : place + 1], columns.naming)
            assert FrameLines(["capture"]).text(alone).splitlines() == [together[place]]


def odd_frames() -> list[bytes]:
    """Frames that no kernel sends, but that a peer could."""
    return [
        ack(7),
        ack(8, h_pad=3),
        fin(0),
        opts(1, request(b"named"), options=bytes.fromhex("0100 0c00 00000000 deadbeef")),
        opts(2, request(b"named"), options=b"\1\2\3"),
        opts(3, request(b"named"), o_nextcmd=9),
        opts(4, message(MessageType.CONVERT, b"v" * 32)),
        opts(5, message(MessageType.BAST, b"tail of none")),
        opts(6, message(99, b"unknown")),
        opts(7, message(MessageType.REQUEST, b"", h_length=40)),
        opts(8, request(b"r" * 70)),
        opts(9, request(b"\x1b[31m\xff%s{0}\"'\\")),
        request(b"bare"),
        status(),
        opts(10, recovery(RecoveryType.STATUS)),
        opts(11, recovery(RecoveryType.LOOKUP_REPLY, b"should be empty")),
        opts(12, recovery(RecoveryType.LOCK, b"too short")),
        opts(13, recovery(RecoveryType.LOCK, bytes(108) + b"value")),
        opts(14, recovery(RecoveryType.NAMES_REPLY, b"\0\3abc\0\2de\xff\xff\0\0")),
        opts(15, recovery(RecoveryType.NAMES_REPLY, b"\0\3abc\0\2d")),
        opts(16, recovery(77, b"?")),
    ]


def test_odd_frames_too(tmp_path: Path) -> None:
    path = tmp_path / "odd.pcap"
    with Network(path) as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b)
        connection.send(a, b"".join(odd_frames()))
    shown = 0
    for columns in columns_of(path):
        check(columns)
        shown += len(columns.rows)
    assert shown == len(odd_frames())


@pytest.mark.parametrize("file", ["mid-capture.snap96.pcap", "mid-capture.snap256.pcap"])
def test_nothing_behind_the_snaplen_has_a_value(file: str) -> None:
    cut = 0
    for columns in columns_of_capture(file):
        for line in FrameLines(["capture"]).text(columns).splitlines():
            record = json.loads(line)
            if record["state"] == "whole":
                continue
            cut += 1
            assert record["state"] == "cut"
            assert record["captured"] < record["length"]
            message = record["message"]
            # header 16, OPTS 8, inner header 16: a message's fields are four bytes each from byte 40 on
            fields = max(0, min((record["captured"] - 40) // 4, 18))
            if message is not None:
                assert [value is not None for value in list(message.values())[:18]] == [n < fields for n in range(18)]
            elif record["recovery"] is None:
                assert fields == 0
    assert cut > 100


def test_keys_are_always_the_same(tmp_path: Path) -> None:
    shapes = set()
    for file in ("clean-3.1-tcp.pcap", "sctp-3.2.pcap", "mid-capture.snap96.pcap", "forged-3.2-tcp.pcap"):
        for columns in columns_of_capture(file):
            shapes.update(tuple(json.loads(line)) for line in FrameLines(["x"]).text(columns).splitlines())
    assert len(shapes) == 1


def test_64_bits_survive_readers_that_count_in_doubles() -> None:
    # rc_seq of a 6.12 kernel starts at a random number of 64 bits
    for columns in columns_of_capture("clean-6.12-tcp.pcap"):
        places = np.flatnonzero(columns.type > 0)
        records = [json.loads(line) for line in FrameLines(["x"]).text(columns).splitlines()]
        sequences = {records[place]["recovery"]["rc_seq"] for place in places if records[place]["recovery"]}
        assert any(int(sequence) > 2**53 for sequence in sequences)
        assert all(isinstance(sequence, str) for sequence in sequences)
