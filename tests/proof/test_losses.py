"""A capture that lost something has no error that the whole one does not have: it tells what it lost instead.

Small captures lose packets whole, of large ones the part around the event is taken first.
"""

import random
from pathlib import Path

import pytest

from dlmtrace.findings.catalogue import severity
from dlmtrace.streams.analysis import Analysis
from proof.analysed import analyse
from proof.losing import ANY, CERTAIN, Packets, recorded, write

LOSSES = [(name, loss, seed) for name, loss in ANY.items() for seed in range(2)]
LOSSES += [(name, loss, 0) for name, loss in CERTAIN.items()]
ALWAYS_TOLD = {"10 %", "1 %", "one direction", "cut at 60", "cut at 96"}
"""Losses that always take bytes of DLM here; the others may take packets, or a connection, without any."""

STRANGER = {"forged-3.2-tcp.pcap"}
"""Where a capture may begin with a frame that gives a false node id: nobody knows better, and the others seem false."""

PARTS = {
    "clean-3.1-tcp.pcap": (0, None),
    "clean-3.2-tcp.pcap": (0, None),
    "clean-6.12-tcp.pcap": (0, None),
    "ipv6-tcp.pcap": (0, None),
    "sctp-3.2.pcap": (0, None),
    "sctp-6.12.pcap": (0, None),
    "gfs2-2node.pcap": (0, None),
    "netem-tcp.pcap": (0, None),
    "mixed-3.1-6.12.pcap": (0, None),
    "mixed-6.1-6.12.pcap": (0, None),
    "forged-3.2-tcp.pcap": (0, None),
    "two-spaces-3node.pcap": (0, None),
    "recovery-locks-3node.pcap": (0, None),
    "reboot-2node.pcap": (0, None),
    "rst-3.1-tcp.pcap": (0, 6000),  # two connections killed
    "rst-3.2-tcp.pcap": (0, 5000),  # two connections killed
    "rst-6.12-tcp.pcap": (0, 4000),  # the standstill and its repair
    "rst-oneside-6.12-tcp.pcap": (0, 4000),  # one connection killed
    "rst-stall-6.12-tcp.pcap": (36_000, None),  # two connections killed, then the standstill for good
    "crash-3node.pcap": (30_000, 34_000),  # node 3 joins again
}
"""First packet, and packet behind the last."""


def errors(analysis: Analysis) -> set[tuple[str, int | None]]:
    """Code and sender of all; who received may be what was lost."""
    return {(finding.code, finding.sender) for finding in analysis.findings if severity(finding) == "error"}


def written(path: Path, packets: Packets) -> Analysis:
    write(path, packets)
    return analyse([str(path)])


@pytest.mark.parametrize("file", PARTS)
def test_a_loss_is_no_error(file: str, tmp_path: Path) -> None:
    start, stop = PARTS[file]
    packets = recorded(file)[start:stop]
    whole = errors(written(tmp_path / "whole.pcap", packets))
    for name, loss, seed in LOSSES:
        if name == "beginning" and file in STRANGER:
            continue
        kept = loss(packets, random.Random(f"{file} {name} {seed}"))
        analysis = written(tmp_path / "lossy.pcap", kept)
        assert not errors(analysis) - whole, (name, seed)
        if name in ALWAYS_TOLD:
            assert any(finding.code.startswith("CAP") for finding in analysis.findings), (name, seed)


@pytest.mark.parametrize("name", ANY)
def test_no_loss_makes_the_standstill_safe(name: str, tmp_path: Path) -> None:
    """In rst-6.12-tcp node 2 took nothing from node 1 for 2.45 s behind the first reconnect, as the kernels traced."""
    packets = recorded("rst-6.12-tcp.pcap")[:4000]
    # then the connection of the standstill is reset, and the next one repeats everything
    repaired = packets[0].time + 5_402_000_000  # ns
    for seed in range(4):
        analysis = written(tmp_path / "lossy.pcap", ANY[name](packets, random.Random(f"{name} {seed}")))
        fatal = [record for record in analysis.reconnects if record.sender == 1 and record.ended < repaired]
        assert "safe" not in [record.verdict for record in fatal], seed
