"""Frames of real kernels with their lengths taken out, which scapy fills in again.

That scapy reads what Construct reads in every frame, and builds it again, is in proof/test_readers_agree.py.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
from evidence import capture_bytes, stand_alone_counter

from dlmtrace.scapy_layer import DLM, DLMLock, DLMName, DLMOptions, DLMStatusReply

OF_A_KIND = 6
"""Frames looked at of each kind in a capture: same version, command, type and length."""


def frames_of(file: str) -> Iterator[bytes]:
    """Frames cut out by the lab's stand-alone walker, which shares nothing with the package."""
    kinds: Counter[object] = Counter()
    for frame in stand_alone_counter().Walk().frames(capture_bytes(file)):
        kind = frame.kind, frame.header().version, len(frame.data)
        kinds[kind] += 1
        if kinds[kind] <= OF_A_KIND or frame.kind == "RCOM.NAMES_REPLY":  # which is of one length, full or empty
            yield frame.data


@pytest.mark.parametrize("file", ["recovery-locks-3node.pcap", "mixed-3.1-6.12.pcap", "clean-6.12-tcp.pcap"])
def test_lengths_left_out_are_filled_in_as_the_kernel_set_them(file: str) -> None:
    filled: Counter[str] = Counter()
    for data in frames_of(file):
        packet = DLM(data)
        for layer in packet.iterpayloads():
            for kind, names in (
                (DLM, ["h_length"]),
                (DLMOptions, ["o_nextcmd", "o_optlen"]),
                (DLMStatusReply, ["rf_num_slots"]),
                (DLMLock, ["rl_namelen"]),
            ):
                for name in names if isinstance(layer, kind) else ():
                    setattr(layer, name, None)
                    filled[name] += 1
            for entry in getattr(layer, "entries", ()):
                if isinstance(entry, DLMName) and entry.n_name:
                    entry.n_length = None
                    filled["n_length"] += 1
        packet.clear_cache()
        assert bytes(packet) == data
    assert filled["h_length"] > 30
    if file.startswith("recovery-locks"):
        expected = {"h_length", "o_nextcmd", "o_optlen", "rf_num_slots", "rl_namelen", "n_length"}
        assert set(filled) == expected
