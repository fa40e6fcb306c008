"""docs/tshark.md: each defect is shown by tshark, and the bytes say what the page says."""

import re
import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evidence import REPOSITORY, capture_bytes, capture_path
from oracles import tshark

from dlmtrace.capture.packets import packet_number
from dlmtrace.pipeline import Trace
from dlmtrace.wire.frame import parse
from proof.decoded import OPTS, decoded

ACK = 4

PAGE = (REPOSITORY / "docs" / "tshark.md").read_text()


def table(heading: str) -> list[list[str]]:
    """Rows of the table below a heading of the page."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


@pytest.fixture(scope="module")
def tool(require_tool: Callable[[str], str]) -> str:
    path = require_tool("tshark")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    if not re.match(r"TShark \(Wireshark\) 4\.0\.", version):
        pytest.skip("the page is about tshark 4.0")
    return path


def numbers_in(value: Any) -> Iterator[tuple[str, int]]:
    """(name, number) of every field of a parsed frame, nested ones included."""
    for name, content in value.items():
        if isinstance(content, int):
            yield name, int(content)
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, dict):
                yield from numbers_in(part)


def decoded_numbers(file: str, packet: int) -> set[tuple[str, int]]:
    """All numbers of the frames that a packet completed."""
    return {
        pair
        for batch in Trace([str(capture_path(file))]).batches()
        for row in np.flatnonzero([packet_number(int(identity)) == packet for identity in batch.frames["packet"]])
        for pair in numbers_in(parse(batch.bytes_of(int(row))))
    }


@pytest.mark.parametrize("row", table("Fields that are wrong") + table("Fields that are missing"), ids=" ".join)
def test_fields(row: list[str], tool: str, plain_capture: Callable[[str], Path]) -> None:
    capture, packet, field, shows, says, _ = row
    options = (*tshark.IN_ORDER, "-Y", f"frame.number == {packet}")
    shown = tshark.run(tool, plain_capture(f"{capture}.pcap"), ("frame.len", field), options)
    if field == "_ws.malformed":
        assert f"[Malformed Packet: {shows}]" in shown[0][2]
    else:
        assert shown[0][2] == shows
    name, value = says.split(" = ")
    assert (name, int(value)) in decoded_numbers(f"{capture}.pcap", int(packet))


def test_names(tool: str) -> None:
    values = subprocess.run([tool, "-G", "values"], capture_output=True, text=True, check=True).stdout
    for field, number, shows, _ in table("Names that mislead"):
        assert f"V\t{field}\t{number}\t{shows}\n" in values
    fields = subprocess.run([tool, "-G", "fields"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"`concurrent read' mode\tdlm3\.m\.exflags\.altcw\t", fields)
    assert re.search(r"\tdlm3\.rf\.lsflags\.noqueue\t.*\t0x1\t", fields)


@pytest.mark.parametrize("row", table("Frames that are not shown"), ids=" ".join)
def test_counts(row: list[str], tool: str, plain_capture: Callable[[str], Path]) -> None:
    file, preferences, shown, present, _ = row
    options = [] if preferences == "none" else preferences.split()
    packets = tshark.run(tool, plain_capture(file), ("dlm3.o.nextcmd",), options)
    assert sum(cell.count(",") + 1 for _, cell in packets) == int(shown)
    assert Counter(decoded(file).command.tolist())[OPTS] == int(present)


def test_one_lost_packet_ends_a_direction_in_tshark_only(tool: str, tmp_path: Path) -> None:
    """Packet 58 completes three OPTS frames and an ACK, as tshark shows of the whole capture."""
    data, at = capture_bytes("clean-3.2-tcp.pcap"), 24
    for _ in range(57):
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    behind = at + 16 + struct.unpack_from("<I", data, at + 8)[0]
    path = tmp_path / "hole.pcap"
    path.write_bytes(data[:at] + data[behind:])
    shown = [
        sum(row[1].count(",") + 1 for row in tshark.run(tool, path, ("dlm3.o.nextcmd",), options))
        for options in (tshark.IN_ORDER, ())
    ]
    claim = r"without packet 58 of clean-3.2-tcp tshark shows (\d+) of 3490 .* default preferences (\d+)"
    numbers = re.search(claim, " ".join(PAGE.split()))
    assert numbers is not None
    assert shown == [int(number) for number in numbers.groups()]
    frames = Counter(int(command) for batch in Trace([str(path)]).batches() for command in batch.header["h_cmd"])
    assert Counter(decoded("clean-3.2-tcp.pcap").command.tolist()) - frames == Counter({OPTS: 3, ACK: 1})
