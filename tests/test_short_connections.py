"""benchmarks/connections.py: many connections of a pair, one after the other, in which nothing goes wrong."""

import subprocess
import sys
from pathlib import Path

from evidence import REPOSITORY, stand_alone_counter
from proof.analysed import analyse

from dlmtrace.findings.catalogue import severity
from dlmtrace.streams.pair import REMEMBERED

COUNT = REMEMBERED + 200
OPTS = 3


def test_every_reconnect_is_safe_and_every_number_delivered(tmp_path: Path) -> None:
    path = tmp_path / "connections.pcap"
    script = REPOSITORY / "benchmarks" / "connections.py"
    subprocess.run([sys.executable, script, str(COUNT), path], check=True, timeout=60)
    walk = stand_alone_counter()
    sent = [frame.header().node for frame in walk.Walk().frames(path.read_bytes()) if frame.header().command == OPTS]
    assert (sent.count(1), sent.count(2)) == (2 * COUNT, COUNT)  # as the script says
    analysis = analyse([str(path)])
    assert [record.verdict for record in analysis.reconnects] == ["safe"] * (2 * (COUNT - 1))
    assert [epoch.delivered for stream in analysis.streams for epoch in stream.epochs] == [2 * COUNT, COUNT]
    assert [finding.code for finding in analysis.findings if severity(finding) == "error"] == []
