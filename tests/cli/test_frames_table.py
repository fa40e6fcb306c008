"""The table `frames` has what the JSON lines of `decode` have, which are made in another way, frame by frame."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from command_result import Result
from evidence import capture_path

from dlmtrace.tables.schema import TABLES, WIRE

Run = Callable[..., Result]

OWN = {"time", "resource_bytes", "rc_buf"}
"""Columns that the lines write in another form."""
PARTS = {fields.prefix + name: (fields.part, name) for fields in WIRE for name in fields.names}
PARTS |= {"m_lvb": ("message", "m_lvb"), "m_other": ("message", "m_other")}


def in_line(line: dict[str, Any], column: str) -> Any:
    """The value of a column, from a line of JSON."""
    if column not in PARTS:
        return line[column]
    part, name = PARTS[column]
    if part == "lock":
        part, line = "rc_buf", line["recovery"] or {"rc_buf": None}
    fields = line[part]
    value = fields.get(name) if isinstance(fields, dict) else None
    return int(value) if column in ("rc_id", "rc_seq", "rc_seq_reply") and value is not None else value


@pytest.mark.parametrize(
    "file",
    [
        "rst-stall-6.12-tcp.pcap",  # resends, several connections
        "crash-3node.pcap",  # recovery with locks
        "mid-capture.snap96.pcap",  # frames cut at every place
        "clean-3.1-tcp.pcap",
        "sctp-3.2.pcap",
    ],
)
def test_every_column_of_every_frame_is_that_of_the_json_line(dlmtrace: Run, tmp_path: Path, file: str) -> None:
    path = capture_path(file)
    assert dlmtrace("export", path, "-o", tmp_path).status == 0
    lines = [json.loads(line) for line in dlmtrace("decode", path, "--format", "jsonl").lines]
    table = pq.read_table(tmp_path / "frames.parquet")
    assert table.column_names == [column.name for column in TABLES["frames"]]
    for name in table.column_names:
        if name not in OWN:
            found = table[name].to_pylist()
            if isinstance(table.schema.field(name).type, type(table.schema.field("m_lvb").type)):
                found = [value.hex() if isinstance(value, bytes) else value for value in found]
            assert found == [in_line(line, name) for line in lines], name
    times = [f"{str(time).replace(' ', 'T')}Z" for time in table["time"].cast("string").to_pylist()]
    assert times == [line["time"] for line in lines]
    names = [name.hex() if name else None for name in table["resource_bytes"].to_pylist()]
    whole = [line["message"] for line in lines]
    assert [message["m_name"] for message in whole if message and message["m_name"]] == [
        name for name, message in zip(names, whole, strict=True) if name and message
    ]
