"""Every dlm3 field that tshark shows of every capture, packet by packet, is what the decode says.

Where tshark reads a frame wrongly (docs/tshark.md) the test expects exactly what its defect makes of the frame's
bytes: so the frames beside it stay comparable, and the defect is known to be the whole of the difference.
"""

import re
import subprocess
from collections.abc import Callable
from enum import IntFlag
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
from evidence import CAPTURE_FILES, scenario, scenario_of
from oracles import tshark

from dlmtrace.wire.enums import AstFlags, InternalFlags, LockFlags, StatusFlags
from proof.shown import Shown

FLAGS: dict[str, type[IntFlag]] = {
    "m.exflags": LockFlags,
    "m.sbflags": StatusFlags,
    "m.flags": InternalFlags,
    "m.asts": AstFlags,
    "rl.exflags": LockFlags,
    "rl.flags": InternalFlags,
    "rl.asts": AstFlags,
}

CUT = [file for file in CAPTURE_FILES if "snap" in file]
SAME_TRAFFIC = ["big-3.2-tcp.n1.ring.pcap1", "big-3.2-tcp.n2.ring.pcap"]
"""More of what big-3.2-tcp.n1.ring.pcap holds already: 20 MB of MSG each."""


def assert_same(ours: tshark.Occurrences, theirs: tshark.Occurrences, field: str) -> None:
    """Both show the same values in the same packets."""
    if np.array_equal(ours.packet, theirs.packet) and np.array_equal(ours.value, theirs.value):
        return
    pairs = zip_longest(by_packet(ours).items(), by_packet(theirs).items())
    pytest.fail(f"{field}: decode and tshark differ first at {next(pair for pair in pairs if pair[0] != pair[1])}")


def by_packet(shown: tshark.Occurrences) -> dict[int, list[int | str]]:
    """Packet → the values that it shows."""
    found: dict[int, list[int | str]] = {}
    for packet, value in zip(shown.packet.tolist(), list(shown.value), strict=True):
        found.setdefault(packet, []).append(value if isinstance(value, str) else int(value))
    return found


@pytest.mark.parametrize("file", [file for file in CAPTURE_FILES if file not in CUT + SAME_TRAFFIC])
def test_tshark_shows_the_same_fields(
    file: str, require_tool: Callable[[str], str], plain_capture: Callable[[str], Path]
) -> None:
    tool, path = require_tool("tshark"), plain_capture(file)
    ours = Shown(file)
    if scenario(scenario_of(file))["protocol"] == "sctp":
        ours.regroup(tshark.user_messages(tool, path))
    theirs = tshark.occurrences(tool, path)
    assert len(theirs["dlm3.h.version"].packet)
    for field, shown in ours.fields().items():
        assert_same(shown, theirs[field], field)


@pytest.mark.parametrize("file", CUT)
def test_tshark_shows_the_same_of_cut_packets(
    file: str, require_tool: Callable[[str], str], plain_capture: Callable[[str], Path]
) -> None:
    """Behind the whole frames of a cut packet tshark shows what is left of the last one; all others are equal."""
    tool, path = require_tool("tshark"), plain_capture(file)
    lengths = tshark.run(tool, path, ("frame.len", "frame.cap_len"))
    cut = {int(packet) for packet, length, captured in lengths if length != captured}
    theirs = tshark.occurrences(tool, path, options=())  # see docs/tshark.md, "Frames that are not shown"
    for field, shown in Shown(file).fields().items():
        ours, others = by_packet(shown), by_packet(theirs[field])
        for packet in ours.keys() | others.keys():
            found = others.get(packet, [])
            assert ours.get(packet, []) == (found[: len(ours.get(packet, []))] if packet in cut else found), (
                field,
                packet,
            )


def test_flags_have_the_names_that_tshark_gives_them(require_tool: Callable[[str], str]) -> None:
    fields = subprocess.run([require_tool("tshark"), "-G", "fields"], capture_output=True, text=True, check=True).stdout
    masks = re.findall(r"\tdlm3\.(\w+\.\w+)\.(\w+)\tFT_BOOLEAN\tdlm3\t\d+\t(0x\w+)", fields)
    for prefix, flags in FLAGS.items():
        named = {name.upper(): int(mask, 16) for field, name, mask in masks if field == prefix}
        assert named
        assert named.items() <= {flag.name: flag.value for flag in flags}.items()
