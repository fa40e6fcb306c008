"""Parquet and answers to queries say what `analyze --format json` says, on every capture."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_result import Result
from evidence import CAPTURE_FILES, capture_path

from dlmtrace.pipeline import Trace
from dlmtrace.tables.query import Database

Run = Callable[..., Result]

ANALYSIS = ("connections", "streams", "reconnects", "findings")
BY_SENDER = "SELECT connection, source, sender, h_cmd, count(*) AS frames FROM {} GROUP BY ALL"
COMMANDS = {1: "MSG", 2: "RCOM", 3: "OPTS", 4: "ACK", 5: "FIN"}


def as_json(table: pa.Table) -> list[dict[str, Any]]:
    """Rows in the form of the document: times as text, ranges as pairs, evidence as an object."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.string()))
    return [{key: value_as_json(key, value) for key, value in row.items()} for row in table.to_pylist()]


def value_as_json(key: str, value: Any) -> Any:
    if key in ("opened", "closed", "ended", "resumed", "time"):
        return None if value is None else f"{value.replace(' ', 'T')}Z"
    if key == "evidence":
        return json.loads(value)
    if isinstance(value, list):
        return [value_as_json(key, item) for item in value]
    if isinstance(value, dict):
        inside = {name: value_as_json(name, item) for name, item in value.items()}
        return list(inside.values()) if list(inside) == ["first", "last"] else inside
    return value


def frames_agree(rows: list[dict[str, Any]], document: dict[str, Any]) -> None:
    """The frames, counted by connection, end, sender and command, are those that the analysis counted."""
    assert sum(row["frames"] for row in rows) == document["capture"]["frames"]
    ends: Counter[tuple[str, str]] = Counter()
    commands: Counter[tuple[int, str]] = Counter()
    for row in rows:
        ends[row["connection"], row["source"]] += row["frames"]
        if row["h_cmd"] in COMMANDS:  # forged ones are not
            commands[row["sender"], COMMANDS[row["h_cmd"]]] += row["frames"]
    assert ends == Counter(
        {
            (connection["connection"], connection[end]): connection["directions"][side]["frames"]
            for connection in document["connections"]
            for side, end in enumerate(("client", "server"))
        }
    )
    told: Counter[tuple[int, str]] = Counter()
    for stream in document["streams"]:
        for command, count in stream["commands"].items():
            told[stream["sender"], command] += count
    assert commands == told


@pytest.mark.parametrize("file", CAPTURE_FILES)
def test_tables_agree_with_the_document(dlmtrace: Run, tmp_path: Path, file: str) -> None:
    path = capture_path(file)
    document = json.loads(dlmtrace("analyze", path, "--format", "json").out)
    assert dlmtrace("export", path, "-o", tmp_path).status == 0
    for table in ANALYSIS:
        assert as_json(pq.read_table(tmp_path / f"{table}.parquet")) == document[table]
    written = duckdb.sql(BY_SENDER.format(f"'{tmp_path / 'frames.parquet'}'")).to_arrow_table()
    frames_agree(written.to_pylist(), document)
    with Database(lambda: Trace([str(path)]), {}, "auto") as database:
        frames_agree(pa.Table.from_batches(database.answer(BY_SENDER.format("frames"))).to_pylist(), document)
        for table in ANALYSIS:
            assert as_json(pa.Table.from_batches(database.answer(f"FROM {table}"))) == document[table]
