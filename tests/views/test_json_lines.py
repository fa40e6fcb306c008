"""Columns of JSON: any number, any bytes, any time and any name has the text that the slow way gives."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmtrace.views.json_lines import JsonLines, text
from dlmtrace.views.resource_column import resources
from dlmtrace.views.times import iso
from dlmtrace.wire.names import resource_text

TIMES = st.integers(-(2**62), 2**63 - 1)


def records(lines: JsonLines) -> list[dict[str, object]]:
    """The lines of an object that is still open, as JSON reads them."""
    lines.literal('"end":null}\n')
    return [json.loads(line) for line in text(lines.characters()).splitlines()]


@pytest.mark.parametrize("kind", ["<i1", "<u2", ">u2", "<i4", "<u4", ">u4", "<i8"])
@given(numbers=st.data())
def test_numbers_of_every_width(kind: str, numbers: st.DataObject) -> None:
    limits = np.iinfo(np.dtype(kind))
    values = numbers.draw(st.lists(st.integers(int(limits.min), int(limits.max)), min_size=1, max_size=20))
    lines = JsonLines(len(values))
    lines.literal("{")
    lines.integers("number", np.array(values, kind))
    assert [record["number"] for record in records(lines)] == values


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_unsigned_numbers_of_64_bits_are_strings(values: list[int]) -> None:
    lines = JsonLines(len(values))
    lines.literal("{")
    lines.integers("number", np.array(values, np.uint64))
    assert [record["number"] for record in records(lines)] == list(map(str, values))


@given(st.lists(st.sampled_from([-1, 0, 7, 4_294_967_295]), min_size=1, max_size=20))
def test_an_absent_number_is_null(values: list[int]) -> None:
    lines = JsonLines(len(values))
    lines.literal("{")
    lines.integers("number", np.array(values), absent=-1)
    assert [record["number"] for record in records(lines)] == [None if value == -1 else value for value in values]


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=20))
def test_bytes_are_hexadecimal_and_none_are_null(values: list[bytes]) -> None:
    stop = np.cumsum([len(value) for value in values])
    lines = JsonLines(len(values))
    lines.literal("{")
    buffer = np.frombuffer(b"".join(values) + b"behind", np.uint8)
    lines.hexadecimal("bytes", buffer, stop - [len(value) for value in values], stop)
    assert [record["bytes"] for record in records(lines)] == [value.hex() or None for value in values]


@given(st.lists(TIMES, min_size=1, max_size=20))
def test_times_are_those_of_the_clock(values: list[int]) -> None:
    lines = JsonLines(len(values))
    lines.literal("{")
    lines.moments("time", np.array(values))
    assert [record["time"] for record in records(lines)] == list(map(iso, values))


def test_a_time_by_another_clock() -> None:
    moment = datetime(2026, 2, 28, 23, 59, 59, 123456, UTC)
    lines = JsonLines(1)
    lines.literal("{")
    lines.moments("time", np.array([round(moment.timestamp() * 1_000_000) * 1000 + 7]))
    assert records(lines)[0]["time"] == "2026-02-28T23:59:59.123456007Z"


GLOCKS = st.builds(
    lambda kind, number: b"%8x%16x" % (kind, number), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
)
NEARLY_GLOCKS = st.text(" 0123456789abcdefABg\x00é", min_size=24, max_size=24).map(lambda name: name.encode("latin-1"))
NAMES = st.one_of(GLOCKS, NEARLY_GLOCKS, st.binary(max_size=64))


@given(st.lists(NAMES, min_size=1, max_size=20))
def test_names_of_resources_are_those_of_the_frame_list(names: list[bytes]) -> None:
    stop = np.cumsum([len(name) for name in names])
    lines = JsonLines(len(names))
    lines.literal("{")
    column = resources(np.frombuffer(b"".join(names), np.uint8), stop - [len(name) for name in names], stop)
    lines.column("resource", column)
    told = [record["resource"] for record in records(lines)]
    assert told == [resource_text(name) if name else None for name in names]


def test_a_glock_by_hand() -> None:
    name = b"       2              17"
    column = resources(np.frombuffer(name, np.uint8), np.array([0]), np.array([24]))
    assert text(column) == '"glock 2/17"'
