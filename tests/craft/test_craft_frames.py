"""Crafted frames against bytes written by hand from the tables of the protocol page."""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dlmtrace.craft import (
    Network,
    Node,
    ack,
    fin,
    frame,
    granted,
    message,
    opts,
    recovery,
    request,
    status,
    status_reply,
)
from dlmtrace.wire.enums import Command, LockFlags, MessageType, Mode, RecoveryType

TEST_LOCKSPACE = 0x77222027
"""Global id of the lockspace "test": the vector of §1.1."""


def header(second: int, length: int, command: int, node: int = 1) -> bytes:
    """§1.1; version 3.2."""
    return bytes.fromhex("02000300") + struct.pack("<IIHBB", second, node, length, command, 0)


def test_ack() -> None:
    assert ack(7, sender=2) == header(7, 16, 4, node=2)


def test_fin_goes_inside_opts() -> None:
    assert fin(9, sender=2) == header(9, 40, 3, 2) + bytes([5, 0, 0, 0, 0, 0, 0, 0]) + header(0, 16, 5, 2)


def message_body(
    kind: int,
    *,
    nodeid: int = 0,
    pid: int = 0,
    lkid: int = 0,
    remid: int = 0,
    exflags: int = 0,
    name_hash: int = 0,
    status: int = 0,
    granted: int = -1,
    requested: int = -1,
) -> bytes:
    """The 18 words of §2.1, in their order."""
    unsigned = struct.pack("<12I", kind, nodeid, pid, lkid, remid, 0, 0, exflags, 0, 0, 0, name_hash)
    return unsigned + struct.pack("<4iIi", status, granted, requested, 0, 0, 0)


def test_request() -> None:
    kernels_hash = 0x505CF356  # m_hash of the kernel's own request for this name in clean-3.2-tcp
    built = request(b"res00020", Mode.EX, lkid=5, m_pid=4321, m_exflags=LockFlags.VALBLK)
    body = message_body(1, pid=4321, lkid=5, exflags=0x8, name_hash=kernels_hash, requested=5)
    assert built == header(TEST_LOCKSPACE, 88 + 8, 1) + body + b"res00020"


def test_grant_of_a_request() -> None:
    built = granted(lkid=3, remid=5, mode=Mode.PR, sender=2, lockspace=0xABCD)
    assert built == header(0xABCD, 88, 1, node=2) + message_body(5, lkid=3, remid=5, status=2, granted=3)


def test_other_messages_carry_a_lock_value_block_or_nothing() -> None:
    convert = message(MessageType.CONVERT, bytes(range(32)), m_lkid=5, m_remid=3, m_grmode=Mode.PR, m_rqmode=Mode.NL)
    body = message_body(2, lkid=5, remid=3, granted=3, requested=0)
    assert convert == header(TEST_LOCKSPACE, 120, 1) + body + bytes(range(32))


def test_opts_repeats_sender_and_version_of_its_inner_frame() -> None:
    inner = request(b"name", sender=Node(3, ("10.0.0.3",)))
    assert opts(12, inner) == header(12, 24 + 92, 3, node=3) + bytes([1, 0, 0, 0, 0, 0, 0, 0]) + inner
    assert opts(12, recovery(RecoveryType.LOOKUP, b"name"))[16] == 2


def test_opts_with_options_and_wrong_fields() -> None:
    option = struct.pack("<HHI", 1, 12, 0) + b"abcd"
    built = opts(1, fin_header := frame(Command.FIN, lockspace=0), options=option, o_nextcmd=77, h_length=9999)
    assert built == header(1, 9999, 3) + bytes([77, 0, 12, 0, 0, 0, 0, 0]) + option + fin_header


def test_status() -> None:
    body = struct.pack("<IiQQQ", 1, 0, 99, 1, 0)
    assert status(rc_id=99) == header(TEST_LOCKSPACE, 64, 2) + body + struct.pack("<IIQ", 1, 0, 0)


def test_status_reply_with_slots() -> None:
    body = struct.pack("<IiQQQ", 5, 3, 1, 1, 1)
    config = struct.pack("<IIIHHIIQ", 64, 0, 0, 1, 2, 7, 0, 0)
    slots = struct.pack("<IHHQ", 1, 1, 0, 0) + struct.pack("<IHHQ", 2, 2, 0, 0)
    built = status_reply([(1, 1), (2, 2)], rc_result=3, rf_lvblen=64, rf_our_slot=1, rf_generation=7)
    assert built == header(TEST_LOCKSPACE, 112, 2) + body + config + slots


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="no field m_rmode here"):
        request(b"name", m_rmode=5)


def test_tshark_reads_the_same_fields(require_tool: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "frames.pcap"
    with Network(path) as network:
        a, b = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(a, b, handshake=False)
        connection.send(a, opts(3, request(b"resource", Mode.EX, lkid=0x77, sender=a)), sizes=[50, 30])
        connection.send(b, ack(4, sender=b) + opts(0, granted(lkid=5, remid=0x77, mode=Mode.EX, sender=b)))
    fields = [
        "h.cmd",
        "h.seq",
        "h.nodeid",
        "h.length",
        "o.nextcmd",
        "m.type",
        "m.lkid",
        "m.remid",
        "m.status",
        "m.grmode",
        "m.rqmode",
    ]
    command = [require_tool("tshark"), "-r", str(path), "-Y", "dlm3", "-T", "fields"]
    for field in fields:
        command += ["-e", f"dlm3.{field}"]
    rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    # several frames of a packet: their values with commas between
    assert [row.split("\t") for row in rows] == [
        ["3,1", "3", "1,1", "120,96", "1", "1", str(0x77), "0", "0", "-1", "5"],
        ["4,3,1", "4,0", "2,2,2", "16,112,88", "1", "5", "5", str(0x77), "2", "5", "-1"],
    ]
