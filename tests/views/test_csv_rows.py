"""CSV: what Python's reader gets back is what JSON lines say of the same frames, and no text is a formula."""

import csv
import json
from pathlib import Path

import pytest

from dlmtrace.craft import Network, opts, request
from dlmtrace.views.csv import FrameTable
from dlmtrace.views.jsonl import FrameLines
from dlmtrace.views.times import Clock, TimeFormat

from framed import columns_of, columns_of_capture  # isort: skip

SAME = ("frame", "file", "packet", "connection", "source", "destination", "sender", "receiver", "sequence", "command")
SAME += ("type", "lockspace", "resource", "result", "flags", "state", "position", "length", "captured")


def text(value: object) -> str:
    return "" if value is None else str(value)


@pytest.mark.parametrize("file", ["recovery-locks-3node.pcap", "mid-capture.snap96.pcap", "mixed-3.1-3.2.pcap"])
def test_rows_say_what_json_lines_say(file: str) -> None:
    for columns in columns_of_capture(file):
        rows = csv.DictReader(FrameTable(["x"], Clock(TimeFormat.UTC)).text(columns).splitlines())
        for row, line in zip(rows, FrameLines(["x"]).text(columns).splitlines(), strict=True):
            record = json.loads(line)
            if (record["resource"] or "").startswith("+"):  # the load generator made some such names
                record["resource"] = f"'{record['resource']}"
            assert {key: row[key] for key in SAME} == {key: text(record[key]) for key in SAME}
            assert row["h_version"] == text(record["header"]["h_version"])
            message = record["message"] or {}
            lock = message or ((record["recovery"] or {}).get("rc_buf") or {})
            prefix = "m_" if message else "rl_"
            for column, field in (("lkid", "lkid"), ("granted", "grmode"), ("result", "result")):
                assert row[f"{column}_number"] == text(lock.get(prefix + field))


def test_names_of_columns_come_once() -> None:
    columns = next(columns_of_capture("clean-3.2-tcp.pcap"))
    table = FrameTable(["x"], Clock(TimeFormat.UTC))
    again = table.text(columns), table.text(columns)
    assert again[0].split("\n", 1)[1] == again[1]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        (b"=1+1", "'=1+1"),
        (b'@SUM(A1),"x"', '\'@SUM(A1),"x"'),
        (b"-2", "'-2"),
        (b"+3", "'+3"),
        (b"\t=4", "\\t=4"),
        (b"a,b", "a,b"),
        (b"two\nlines", "two\\nlines"),
    ],
)
def test_no_name_becomes_a_formula_or_a_row(tmp_path: Path, name: bytes, cell: str) -> None:
    with Network(tmp_path / "a.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        network.connect(a, b).send(a, opts(0, request(name, sender=a)))
    columns = next(columns_of(tmp_path / "a.pcap"))
    (row,) = csv.DictReader(FrameTable(["x"], Clock(TimeFormat.UTC)).text(columns).splitlines())
    assert row["resource"] == cell
    assert bytes.fromhex(row["resource_hex"]) == name
