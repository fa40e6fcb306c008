"""The examples of docs/scapy.md run as they stand there."""

import re
from pathlib import Path

import pytest
from evidence import REPOSITORY

from dlmtrace import scapy_layer
from dlmtrace.craft import Network, ack, opts, request


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with Network("lock.pcap") as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b)
        connection.send(a, opts(0, request(b"resource", lkid=77)), sizes=[10])
        connection.send(b, ack(1))
    names: dict[str, object] = {}
    for example in re.findall(r"^```python\n(.*?)^```", page(), re.MULTILINE | re.DOTALL):
        exec(example, names)
    printed = capsys.readouterr().out
    assert printed.startswith("77 Ether / IP / TCP / DLM OPTS 0 / DLM MSG REQUEST from node 1\n")
    assert "m_exflags = NOQUEUE" in printed


def test_the_page_names_every_class() -> None:
    assert set(re.findall(r"`(DLM\w*)", page())) >= set(scapy_layer.__all__)


def page() -> str:
    return (REPOSITORY / "docs" / "scapy.md").read_text()
