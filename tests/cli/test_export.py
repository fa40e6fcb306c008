"""`dlmtrace export`: the three formats say the same, files appear whole, and text from the wire stays text."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_result import Result
from evidence import capture_bytes, capture_path

from dlmtrace.tables import files
from dlmtrace.tables.schema import TABLES
from dlmtrace.tables.texts import csv_text, json_lines

Run = Callable[..., Result]

STALLED = capture_path("rst-stall-6.12-tcp.pcap")
RECOVERED = capture_path("recovery-locks-3node.pcap")


def test_the_formats_say_the_same(dlmtrace: Run, tmp_path: Path) -> None:
    for form in ("parquet", "csv", "jsonl"):
        result = dlmtrace("export", RECOVERED, "-o", tmp_path / "made" / "here", "--format", form)
        assert (result.status, result.err) == (0, "")
    directory = tmp_path / "made" / "here"
    assert sorted(os.listdir(directory)) == sorted(
        f"{table}.{form}" for table in TABLES for form in ("parquet", "csv", "jsonl")
    )
    for table in TABLES:
        columns = pq.read_table(directory / f"{table}.parquet")
        with (directory / f"{table}.csv").open(newline="") as file:
            names, *cells = csv.reader(file)
        lines = [json.loads(line) for line in (directory / f"{table}.jsonl").read_text().splitlines()]
        assert names == columns.column_names
        assert len(cells) == len(lines) == len(columns)
        for place, name in enumerate(names):
            kind = columns.schema.field(name).type
            if pa.types.is_nested(kind):
                told = [json.loads(row[place]) for row in cells]
                assert [line[name] for line in lines] == told == columns[name].to_pylist()
                continue
            values = (
                columns[name].cast(pa.string()).to_pylist()
                if pa.types.is_timestamp(kind)
                else columns[name].to_pylist()
            )
            expected = [None if value is None else shown(value, kind) for value in values]
            inert = [
                f"'{text}" if text and pa.types.is_string(kind) and text[0] in "=+-@" else text for text in expected
            ]
            assert [row[place] or None for row in cells] == inert, name
            assert [None if line[name] is None else shown(line[name], None) for line in lines] == expected, name


def shown(value: object, kind: pa.DataType | None) -> str:
    if kind is not None and pa.types.is_timestamp(kind):
        return f"{str(value).replace(' ', 'T')}Z"
    if isinstance(value, bool):
        return str(value).lower()
    return value.hex() if isinstance(value, bytes) else str(value)


def test_parquet_tells_units_and_the_name_of_the_schema(dlmtrace: Run, tmp_path: Path) -> None:
    dlmtrace("export", RECOVERED, "-o", tmp_path)
    schema = pq.read_schema(tmp_path / "frames.parquet")
    assert schema.metadata[b"schema"] == b"dlmtrace.tables/1"
    assert schema.field("captured").metadata[b"unit"] == b"bytes"
    assert schema.field("time").metadata[b"unit"] == b"ns, UTC"


def test_lockspaces_have_the_names_that_were_given(dlmtrace: Run, tmp_path: Path) -> None:
    dlmtrace("export", STALLED, "-o", tmp_path, "--lockspace-name", "mine=0x7caec595", "--format", "csv")
    with (tmp_path / "frames.csv").open(newline="") as file:
        assert {row["lockspace"] for row in csv.DictReader(file)} == {"", "mine"}


def test_files_of_an_earlier_run_stay_until_the_new_ones_are_whole(
    dlmtrace: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dlmtrace("export", RECOVERED, "-o", tmp_path, "--format", "jsonl")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(batch: pa.RecordBatch) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "json_lines", full)
    result = dlmtrace("export", STALLED, "-o", tmp_path, "--format", "jsonl")
    assert (result.status, result.out) == (2, "")
    assert result.err.endswith("No space left on device\n")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_directory_that_cannot_be_made_is_one_line(dlmtrace: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = dlmtrace("export", RECOVERED, "-o", tmp_path / "file")
    assert result.status == 2
    assert result.err == f"dlmtrace: {tmp_path / 'file'}: File exists\n"


def test_a_capture_without_dlm_gives_empty_tables_and_says_why(dlmtrace: Run, tmp_path: Path) -> None:
    result = dlmtrace("export", RECOVERED, "-o", tmp_path, "--port", "4711")
    assert result.status == 0
    assert result.lines[0] == f"{tmp_path / 'frames.parquet'}: 0 rows"
    assert result.err.startswith("dlmtrace: no DLM on port 4711")
    assert pq.read_table(tmp_path / "frames.parquet").num_rows == 0


def test_a_file_with_packets_but_no_frame_bytes_still_has_its_findings(dlmtrace: Run, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture_bytes("clean-3.2-tcp.pcap")[:5000])
    dlmtrace("export", cut, "-o", tmp_path)
    codes = pq.read_table(tmp_path / "findings.parquet")["code"].to_pylist()
    assert "CAP907" in codes  # the file ends inside a record


@pytest.mark.parametrize(
    ("text", "cell", "value"),
    [
        ("=1+1", "'=1+1", "=1+1"),
        ("@cmd", "'@cmd", "@cmd"),
        ('a "b", c', '"a ""b"", c"', 'a "b", c'),
        ("two\nlines", '"two\nlines"', "two\nlines"),
        ("\x1b[31m", "\x1b[31m", "\x1b[31m"),
        ("", "", ""),
    ],
)
def test_text_in_csv_and_json_lines(text: str, cell: str, value: str) -> None:
    batch = pa.record_batch({"text": pa.array([text]), "number": pa.array([-5])})
    assert csv_text(batch) == f"{cell},-5\n"
    assert json.loads(json_lines(batch)) == {"text": value, "number": -5}


def test_numbers_that_json_readers_would_round_are_strings_and_what_is_no_number_is_null() -> None:
    batch = pa.record_batch(
        {
            "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
            "bytes": pa.array([b"\x00\xff", None], pa.binary()),
            "float": pa.array([float("nan"), 0.5]),
            "truth": pa.array([True, None]),
        }
    )
    assert [json.loads(line) for line in json_lines(batch).splitlines()] == [
        {"unsigned": "18446744073709551615", "bytes": "00ff", "float": None, "truth": True},
        {"unsigned": None, "bytes": None, "float": 0.5, "truth": None},
    ]
    assert csv_text(batch.slice(1)) == ",,0.5,\n"
    assert json.loads(json_lines(batch.slice(0, 1)))["bytes"] == "00ff"
