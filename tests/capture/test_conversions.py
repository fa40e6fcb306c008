"""Real captures in every file format and compression that the usual tools write: always the same packets."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from oracles.packets import packets_of, struct_packets, tshark_packets, whole_packets

from dlmtrace.capture.source import Capture

COMPRESSORS = {"gzip": "gzip", "zstd": "zstd", "xz": "xz", "bzip2": "bzip2", "lz4": "lz4"}


def converted(capture: Path, kind: str, path: Path) -> Path:
    subprocess.run(["editcap", "-F", kind, str(capture), str(path)], check=True, capture_output=True)
    return path


def compressed(tool: str, data: bytes) -> bytes:
    return subprocess.run([tool, "-c"], input=data, check=True, capture_output=True).stdout


@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "modpcap", "pcapng"])
@pytest.mark.parametrize("file", ["clean-3.2-tcp.pcap", "mid-capture.snap96.pcap", "sctp-6.12.pcap"])
def test_every_format_gives_the_packets_that_tshark_lists(
    file: str, kind: str, require_tool: Callable[[str], str], plain_capture: Callable[[str], Path], tmp_path: Path
) -> None:
    require_tool("tshark")
    path = converted(plain_capture(file), kind, tmp_path / "capture")
    capture = Capture([path], window=300_000)
    whole = whole_packets(capture)
    assert [packet.packet for packet in whole] == tshark_packets(path)
    assert [packet.data for packet in whole] == [data for _, data in struct_packets(plain_capture(file).read_bytes())]
    assert capture.facts == []
    (summary,) = capture.files
    assert summary.format == ("pcapng" if kind == "pcapng" else "pcap")
    assert summary.bytes == path.stat().st_size
    assert summary.link_types == [1]


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
@pytest.mark.parametrize("compression", COMPRESSORS)
def test_every_compression_is_told_by_content_and_gives_the_same_packets(
    compression: str,
    kind: str,
    require_tool: Callable[[str], str],
    plain_capture: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    tool = require_tool(COMPRESSORS[compression])
    plain = plain_capture("clean-3.2-tcp.pcap")
    content = converted(plain, kind, tmp_path / "plain").read_bytes()
    path = tmp_path / "no-suffix-that-tells"
    # Two members, the second beginning in the middle of a packet.
    path.write_bytes(compressed(tool, content[:100_001]) + compressed(tool, content[100_001:]))
    capture = Capture([path], window=200_000)
    assert packets_of(capture) == [packet for packet, _ in struct_packets(plain.read_bytes())]
    assert capture.facts == []
    assert capture.files[0].format == f"{compression} {kind}"
    assert (capture.position, capture.size) == (path.stat().st_size, path.stat().st_size)
