"""Packets built with scapy against bytes laid out by hand from the tables of the protocol page; and shown to people."""

import struct

import pytest
from scapy.packet import Padding, Raw, ls

from dlmtrace.scapy_layer import (
    DLM,
    DLMAck,
    DLMFin,
    DLMLastName,
    DLMLock,
    DLMLookupName,
    DLMMessage,
    DLMName,
    DLMNames,
    DLMOption,
    DLMOptions,
    DLMRecovery,
    DLMSlot,
    DLMStatusReply,
    DLMStatusReplyShort,
    DLMStatusRequest,
)

LOCKSPACE = 0x77222027


def header(second: int, length: int, command: int, version: str = "02000300") -> bytes:
    """§1.1; from node 2."""
    return bytes.fromhex(version) + struct.pack("<IIHBB", second, 2, length, command, 0)


def recovery_body(kind: int, result: int = 0) -> bytes:
    """§3.1."""
    return struct.pack("<IiQQQ", kind, result, 7, 8, 9)


def recovery(kind: int, **fields: object) -> DLMRecovery:
    return DLMRecovery(h_nodeid=2, h_lockspace=LOCKSPACE, rc_type=kind, rc_id=7, rc_seq=8, rc_seq_reply=9, **fields)


def test_ack() -> None:
    assert bytes(DLMAck(h_seq=5, h_nodeid=2)) == header(5, 16, 4)


def test_fin_inside_opts() -> None:
    packet = DLMOptions(h_seq=6, h_nodeid=2) / DLMFin(h_nodeid=2)
    assert bytes(packet) == header(6, 40, 3) + bytes([5, 0, 0, 0, 0, 0, 0, 0]) + header(0, 16, 5)


def test_message_inside_opts_with_names_for_numbers() -> None:
    packet = DLMOptions(h_seq=6, h_nodeid=2) / DLMMessage(
        h_nodeid=2,
        h_lockspace=LOCKSPACE,
        m_type="CONVERT_REPLY",
        m_nodeid=1,
        m_pid=2,
        m_lkid=3,
        m_remid=4,
        m_parent_lkid=5,
        m_parent_remid=6,
        m_exflags="NOQUEUE+VALBLK",
        m_sbflags="ALTMODE",
        m_flags="ORPHAN",
        m_lvbseq=9,
        m_hash=10,
        m_status="GRANTED",
        m_grmode="EX",
        m_rqmode="IV",
        m_bastmode="PR",
        m_asts="COMP+BAST",
        m_result="EAGAIN",
        m_lvb=b"sixteen bytes ..",
    )
    words = struct.pack("<12I", 6, 1, 2, 3, 4, 5, 6, 0x9, 0x4, 0x2, 9, 10) + struct.pack("<4iIi", 2, 5, -1, 3, 3, -11)
    inner = header(LOCKSPACE, 104, 1) + words + b"sixteen bytes .."
    assert bytes(packet) == header(6, 128, 3) + bytes([1, 0, 0, 0, 0, 0, 0, 0]) + inner


def test_options_are_counted_in_their_length() -> None:
    """TLVs of §4; the last is shorter than its own header, so it cannot be read as one."""
    packet = DLMOptions(h_seq=1, h_nodeid=2, options=[DLMOption(t_type=9, t_value=b"12345678")], unread=b"rest")
    data = bytes(packet / DLMFin(h_nodeid=2))
    tlv = struct.pack("<HHI", 9, 16, 0) + b"12345678"
    assert data == header(1, 60, 3) + bytes([5, 0, 20, 0, 0, 0, 0, 0]) + tlv + b"rest" + header(0, 16, 5)
    again = DLM(data)
    assert [(option.t_type, option.t_value) for option in again.options] == [(9, b"12345678")]
    assert again.unread == b"rest"
    assert isinstance(again.payload, DLMFin)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (recovery(1) / DLMStatusRequest(rs_flags="NEED_SLOTS"), recovery_body(1) + struct.pack("<IIQ", 1, 0, 0)),
        (recovery(2) / DLMLastName(last_name=b"name"), recovery_body(2) + b"name"),
        (recovery(3) / DLMLookupName(lookup_name=b"name"), recovery_body(3) + b"name"),
        (
            recovery(4)
            / DLMLock(rl_ownpid=1, rl_lkid=2, rl_rqmode="IV", rl_grmode="PW", rl_name=b"abc", rl_lvb=b"lvb"),
            recovery_body(4)
            + struct.pack("<8IibbbbHH", 1, 2, 0, 0, 0, 0, 0, 0, 0, -1, 4, 0, 0, 0, 3)
            + b"abc".ljust(64, b"\0")
            + b"lvb",
        ),
        (
            recovery(5, rc_result=3)
            / DLMStatusReply(rf_lvblen=32, rf_our_slot=2, slots=[DLMSlot(ro_nodeid=2, ro_slot=2)]),
            recovery_body(5, 3) + struct.pack("<IIIHHIIQ", 32, 0, 0, 2, 1, 0, 0, 0) + struct.pack("<IHHQ", 2, 2, 0, 0),
        ),
        (
            recovery(6) / DLMNames(entries=[DLMName(n_name=b"one"), DLMName(n_length=0xFFFF)], rest=bytes(5)),
            recovery_body(6) + b"\0\3one" + b"\xff\xff" + bytes(5),
        ),
        (recovery(7, rc_result=3), recovery_body(7, 3)),
        (
            recovery(8) / DLMLock(rl_result="EEXIST"),
            recovery_body(8) + struct.pack("<8IibbbbHH", *[0] * 8, -17, *[0] * 6) + bytes(64),
        ),
    ],
    ids=["STATUS", "NAMES", "LOOKUP", "LOCK", "STATUS_REPLY", "NAMES_REPLY", "LOOKUP_REPLY", "LOCK_REPLY"],
)
def test_recovery(packet: DLMRecovery, expected: bytes) -> None:
    data = bytes(packet)
    assert data == header(LOCKSPACE, 16 + len(expected), 2) + expected
    assert DLM(data).layers() == packet.layers()


def test_the_payload_says_the_type_of_a_recovery_message() -> None:
    assert [
        (DLMRecovery() / payload).rc_type
        for payload in (DLMStatusRequest(), DLMLastName(), DLMLookupName(), DLMLock(), DLMStatusReply(), DLMNames())
    ] == [1, 2, 3, 4, 5, 6]


def test_status_reply_of_protocol_3_0() -> None:
    body = recovery_body(5) + struct.pack("<IIQ", 32, 0, 0)
    packet = DLM(header(LOCKSPACE, 64, 2, version="00000300") + body)
    assert packet.layers() == [DLMRecovery, DLMStatusReplyShort]
    assert packet.rf_lvblen == 32


def test_slots_that_do_not_fit_stay_bytes() -> None:
    config = struct.pack("<IIIHHIIQ", 32, 0, 0, 2, 2, 0, 0, 0)
    packet = DLM(header(LOCKSPACE, 96, 2) + recovery_body(5) + config + b"only one slot ..")
    assert (packet.rf_num_slots, packet.slots, packet.rest) == (2, [], b"only one slot ..")


def test_wrong_lengths_can_be_built() -> None:
    assert bytes(DLMAck(h_seq=5, h_nodeid=2, h_length=3)) == header(5, 3, 4)


@pytest.mark.parametrize(
    ("data", "layers"),
    [
        (header(5, 16, 4)[:15], [Raw]),  # no whole header
        (header(5, 15, 4), [Raw]),  # shorter than itself
        (header(5, 16, 9), [DLM]),  # unknown command
        (header(5, 20, 1) + bytes(4), [DLM, Raw]),  # too short for a MSG
        (header(5, 20, 2) + bytes(4), [DLM, Raw]),  # too short for a RCOM
        (header(5, 20, 3) + bytes(4), [DLM, Raw]),  # too short for an OPTS
        (header(5, 20, 4) + bytes(4), [DLMAck, Raw]),  # bytes behind an ACK, inside its length
        (header(5, 16, 4) + bytes(4), [DLMAck, Padding]),  # and outside
        (header(5, 50, 2) + recovery_body(1) + b"\1\0", [DLMRecovery, Raw]),  # too short for a rcom_status
        (header(5, 48, 3) + bytes(8) + header(5, 24, 3) + bytes(8), [DLMOptions, Raw]),  # OPTS does not nest
        (header(5, 160, 2) + recovery_body(4) + bytes(20), [DLMRecovery, Raw]),  # cut off
    ],
)
def test_bytes_that_do_not_fit_their_kind_stay_bytes(data: bytes, layers: list[type]) -> None:
    packet = DLM(data)
    assert packet.layers() == layers
    packet.clear_cache()
    assert bytes(packet) == data


def test_every_kind_is_found_as_dlm() -> None:
    packet = DLMOptions(h_seq=3) / DLMMessage(m_name=b"name")
    assert packet[DLM] is packet
    assert packet[DLMMessage].m_name == b"name"
    assert packet.getlayer(DLM, 2) is packet[DLMMessage]


def test_show_speaks_in_names() -> None:
    frame = DLMMessage(m_type=11, m_rqmode=5, m_exflags=0x2008, m_lkid=0x1F, m_name=b"       2              17")
    packet = DLM(bytes(DLMOptions(h_seq=3) / frame))
    shown = dict(line.split("=", 1) for line in packet.show(dump=True).splitlines() if "=" in line)
    shown = {name.strip(): value.strip() for name, value in shown.items()}
    assert shown["h_version"] == "3.2"
    assert shown["o_nextcmd"] == "MSG"
    assert (shown["m_type"], shown["m_rqmode"], shown["m_grmode"]) == ("LOOKUP", "EX", "IV")
    assert (shown["m_exflags"], shown["m_lkid"]) == ("VALBLK+NOORDER", "0x1f")
    assert shown["m_name"] == "b'       2              17' (glock 2/17)"


def test_show_keeps_hostile_names_harmless() -> None:
    shown = DLMMessage(m_name=b"\x1b[2J\n\x9b").show(dump=True)
    assert r"b'\x1b[2J\n\x9b'" in shown
    assert shown.replace("\n", "").isprintable()


def test_unknown_values_are_shown_as_numbers() -> None:
    words = dict.fromkeys(("m_type", "m_status", "m_grmode", "m_rqmode", "m_bastmode", "m_result"), 99)
    frame = DLM(bytes(DLMMessage(**words, m_exflags=0x80000000)))
    assert {name: frame.getfieldval(name) for name in words} == words
    assert "m_type    = 99" in frame.show(dump=True)
    assert int(frame.m_exflags) == 0x80000000


def test_summary_says_the_sequence_and_what_it_carries() -> None:
    packet = DLMOptions(h_seq=3, h_nodeid=2) / DLMMessage(h_nodeid=2, m_type="GRANT")
    assert packet.summary() == "DLM OPTS 3 / DLM MSG GRANT from node 2"
    assert DLMAck(h_seq=4, h_nodeid=1).summary() == "DLM ACK 4 from node 1"


def test_ls_lists_fields_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    ls(DLMMessage, verbose=True)
    text = capsys.readouterr().out
    for word in ("h_version", "m_exflags", "m_name", "UNLOCK_REPLY: 7", "NOQUEUE, CANCEL, CONVERT", "EX: 5"):
        assert word in text
