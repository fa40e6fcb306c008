"""The examples of docs/simulator.md run, in order, as one program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dlmtrace.simulate import scenario
from dlmtrace.simulate.dialects import DIALECTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"


def test_the_examples_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(example, names)
    assert {path.name for path in tmp_path.iterdir()} >= {"reset.pcap", "poor.pcap", "late.pcap"}


def test_the_page_names_every_step_and_kernel() -> None:
    page = PAGE.read_text()
    for step in scenario.Step.__args__:
        assert f"`{step.__name__}(" in page
    for dialect in DIALECTS:
        assert f"`{dialect}`" in page
