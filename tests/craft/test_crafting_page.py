"""The examples of docs/crafting.md run one after the other, and tshark reads what they write."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence import REPOSITORY


def test_the_examples_run(require_tool: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (REPOSITORY / "docs" / "crafting.md").read_text()
    names: dict[str, object] = {}
    for example in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(example, names)
    for file, packets in (("lock.pcap", 3 + 2 + 2 + 4 + 2 + 2 + 4), ("path1.pcap", 3)):
        command = [require_tool("tshark"), "-r", file, "-T", "fields", "-e", "frame.number"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert len(lines) == packets
