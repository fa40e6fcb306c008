"""Frames of real kernels: scapy reads every field as Construct does, and builds the same bytes again."""

import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from evidence import CAPTURE_FILES, CAPTURES, capture_bytes
from scapy.packet import NoPayload, Packet, Raw

from dlmtrace.scapy_layer import DLM, DLMLock, DLMName, DLMOptions, DLMStatusReply
from dlmtrace.wire.frame import parse

OF_A_KIND = 6
"""Frames looked at of each kind in a capture: same version, command, type and length."""


def frames_of(file: str) -> Iterator[bytes]:
    """Frames cut out by the lab's stand-alone walker, which shares nothing with the package."""
    kinds: Counter[object] = Counter()
    for frame in walker().Walk().frames(capture_bytes(file)):
        kind = frame.kind, frame.header().version, len(frame.data)
        kinds[kind] += 1
        if kinds[kind] <= OF_A_KIND or frame.kind == "RCOM.NAMES_REPLY":  # which is of one length, full or empty
            yield frame.data


def walker() -> Any:
    if "walk" not in sys.modules:
        spec = importlib.util.spec_from_file_location("walk", CAPTURES / "lab" / "walk.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["walk"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["walk"])
    return sys.modules["walk"]


def assert_same_frame(frame: Any, packet: Packet) -> None:
    """``frame`` as Construct reads it, ``packet`` as scapy does."""
    body: Any = frame.body if isinstance(frame.body, dict) else {}
    if "o_nextcmd" in body:
        inner, options = body.inner, body.o_opts
        assert_same_fields({**frame.header, **without(body, "o_opts", "inner"), **options}, packet)
        assert_same_frame(inner, packet.payload)
    elif "rc_type" in body:
        payload = body.rc_buf
        assert_same_fields({**frame.header, **without(body, "rc_buf")}, packet)
        if isinstance(packet.payload, (NoPayload, Raw)):
            assert bytes(packet.payload) == (payload if isinstance(payload, bytes) else b"".join(payload.values()))
        else:
            assert_same_fields(payload, packet.payload)
    else:
        assert_same_fields({**frame.header, **body}, packet)
        assert bytes(packet.payload) == (b"" if body else frame.body)
    assert frame.surplus == b""


def assert_same_fields(container: dict[str, Any], packet: Packet) -> None:
    assert [field.name for field in packet.fields_desc] == list(container)
    for name, value in container.items():
        seen = packet.getfieldval(name)
        if isinstance(value, list):
            assert len(seen) == len(value)
            for item, part in zip(value, seen, strict=True):
                assert_same_fields(item, part)
        elif isinstance(value, bytes):
            assert seen == value, name
        else:
            assert int(seen) == int(value), name


def without(container: Any, *names: str) -> dict[str, Any]:
    return {name: value for name, value in container.items() if name not in names}


@pytest.mark.parametrize("file", CAPTURE_FILES)
def test_scapy_reads_what_construct_reads_and_builds_it_again(file: str) -> None:
    seen = 0
    for data in frames_of(file):
        packet = DLM(data)
        assert_same_frame(parse(data), packet)
        packet.clear_cache()  # else scapy returns the bytes it was given
        assert bytes(packet) == data
        seen += 1
    assert seen


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
