"""Generated captures are valid traffic, judged by the stand-alone counter and by tshark."""

import collections
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from evidence import REPOSITORY, stand_alone_counter

OPTS, ACK = 3, 4


def generate(variant: str, path: Path) -> Path:
    subprocess.run([sys.executable, REPOSITORY / "benchmarks" / "generate.py", variant, "1", path], check=True)
    return path


@pytest.fixture(scope="module", params=["plain", "span", "reordered", "directions"])
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(request.param, tmp_path_factory.mktemp("generated") / f"{request.param}.pcap")


def test_numbers_count_up_and_acks_never_run_ahead(generated: Path) -> None:
    walk = stand_alone_counter()
    sent: collections.Counter[tuple[int, int]] = collections.Counter()
    acknowledged: collections.Counter[tuple[int, int]] = collections.Counter()
    for frame in walk.Walk().frames(generated.read_bytes()):
        header, peer = frame.header(), frame.peer[3]  # node n has address 10.0.0.n
        if header.command == OPTS:
            assert header.second == sent[header.node, peer]
            sent[header.node, peer] += 1
        elif header.command == ACK:
            assert acknowledged[peer, header.node] <= header.second <= sent[peer, header.node]
            acknowledged[peer, header.node] = header.second
    assert min(acknowledged.values()) > 0


def test_checksums_are_right_and_nothing_is_acknowledged_that_the_capture_does_not_show(
    generated: Path, require_tool: Callable[[str], str]
) -> None:
    wrong = "ip.checksum.status == 0 || tcp.checksum.status == 0 || tcp.analysis.ack_lost_segment || _ws.malformed"
    options = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "tcp.reassemble_out_of_order:TRUE"]
    command = [require_tool("tshark"), "-r", generated, "-Y", wrong, *(word for o in options for word in ("-o", o))]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == ""


def test_a_capture_is_the_same_every_time(generated: Path, tmp_path: Path) -> None:
    assert generate(generated.stem, tmp_path / "again.pcap").read_bytes() == generated.read_bytes()
