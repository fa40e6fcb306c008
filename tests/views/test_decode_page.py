"""docs/decode.md says what JSON lines and CSV hold."""

import csv
import json

from evidence import REPOSITORY

from dlmtrace.views import csv as csv_view
from dlmtrace.views import schema
from dlmtrace.views.jsonl import FrameLines
from dlmtrace.views.times import Clock, TimeFormat

from framed import columns_of_capture  # isort: skip

PAGE = (REPOSITORY / "docs" / "decode.md").read_text()


def test_the_page_has_the_schema_that_the_declarations_print() -> None:
    assert "\n".join(schema.lines()) in PAGE


def test_lines_have_the_documented_keys_in_that_order() -> None:
    columns = next(columns_of_capture("two-spaces-3node.pcap"))
    for line in FrameLines(["x"]).text(columns).splitlines():
        assert list(json.loads(line)) == [key.name for key in schema.KEYS]


def test_every_key_inside_a_structure_is_documented() -> None:
    documented = {line.split("`")[1] for line in schema.lines() if line.startswith("| `")}

    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        if isinstance(value, list):
            return set().union(*map(keys, value))
        return set()

    for file in ("recovery-locks-3node.pcap", "clean-3.1-tcp.pcap", "forged-3.2-tcp.pcap"):
        for columns in columns_of_capture(file):
            for line in FrameLines(["x"]).text(columns).splitlines():
                assert keys(json.loads(line)) <= documented


def test_csv_has_the_columns_of_the_list_and_the_documented_extras() -> None:
    columns = next(columns_of_capture("ipv6-tcp.pcap"))
    table = csv_view.FrameTable(["x"], Clock(TimeFormat.UTC))
    rows = list(csv.reader(table.text(columns).splitlines()))
    assert rows[0] == list(csv_view.COLUMNS)
    assert {"time_ns", "position", "length", "captured", "resource_hex"} <= set(rows[0])
    assert {len(row) for row in rows} == {len(csv_view.COLUMNS)}
