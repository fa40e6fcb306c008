"""Frames written by hand after the tables of the protocol page, parsed; and any bytes, parsed and built back."""

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlmtrace.wire.enums import (
    AstFlags,
    Command,
    LockFlags,
    LockspaceFlags,
    MessageType,
    Mode,
    RecoveryType,
    Result,
    Status,
    StatusRequestFlags,
)
from dlmtrace.wire.frame import build, parse

V30, V31, V32 = 0x00030000, 0x00030001, 0x00030002
LOCKSPACE, NODE = 0x7CAEC595, 2


def header(command: int, length: int, second: int = LOCKSPACE, version: int = V32) -> bytes:
    return struct.pack("<IIIHBB", version, second, NODE, length, command, 0)


def message(m_type: int, tail: bytes = b"", version: int = V32) -> bytes:
    words = (m_type, 1, 777, 0x12, 0x34, 0, 0, 0x9, 0, 0, 5, 0xB57FD050, 2, 3, -1, 0, 0x3, -115)
    return header(1, 88 + len(tail), version=version) + struct.pack("<12I4iIi", *words) + tail


def recovery(rc_type: int, payload: bytes = b"", result: int = 0, version: int = V32) -> bytes:
    return header(2, 48 + len(payload), version=version) + struct.pack("<IiQQQ", rc_type, result, 9, 4, 3) + payload


def envelope(inner: bytes, options: bytes = b"", sequence: int = 41) -> bytes:
    length = 24 + len(options) + len(inner)
    return header(3, length, sequence) + struct.pack("<BBHI", inner[14], 0, len(options), 0) + options + inner


def parsed(data: bytes) -> Any:
    frame = parse(data)
    assert build(frame) == data
    return frame


def test_a_request_carries_its_18_words_and_a_name() -> None:
    name = b"       2              17"
    frame = parsed(envelope(message(1, name)))
    assert (frame.header.h_version, frame.header.h_seq, frame.header.h_nodeid) == (V32, 41, NODE)
    assert frame.header.h_cmd is Command.OPTS
    assert frame.body.o_nextcmd is Command.MSG
    inner = frame.body.inner
    assert (inner.header.h_lockspace, inner.header.h_length) == (LOCKSPACE, 112)
    body = inner.body
    assert body.m_type is MessageType.REQUEST
    assert (body.m_nodeid, body.m_pid, body.m_lkid, body.m_remid) == (1, 777, 0x12, 0x34)
    assert (body.m_parent_lkid, body.m_parent_remid, body.m_lvbseq, body.m_hash) == (0, 0, 5, 0xB57FD050)
    assert body.m_exflags == LockFlags.NOQUEUE | LockFlags.VALBLK
    assert (body.m_sbflags, body.m_flags, body.m_bastmode) == (0, 0, 0)
    assert body.m_status is Status.GRANTED
    assert (body.m_grmode, body.m_rqmode) == (Mode.PR, Mode.IV)
    assert body.m_asts == AstFlags.COMP | AstFlags.BAST
    assert body.m_result is Result.EINPROGRESS
    assert (body.m_name, body.m_lvb, body.m_other) == (name, b"", b"")


@pytest.mark.parametrize("m_type", [1, 11, 12])
def test_the_tail_of_request_lookup_and_remove_is_a_name(m_type: int) -> None:
    body = parsed(message(m_type, b"\x01name\xff")).body
    assert (body.m_name, body.m_lvb, body.m_other) == (b"\x01name\xff", b"", b"")


@pytest.mark.parametrize("m_type", [2, 3, 5, 6, 9])
def test_the_tail_of_convert_unlock_grant_and_two_replies_is_a_value_block(m_type: int) -> None:
    body = parsed(message(m_type, bytes(range(32)))).body
    assert (body.m_name, body.m_lvb, body.m_other) == (b"", bytes(range(32)), b"")


@pytest.mark.parametrize("m_type", [4, 7, 8, 10, 13, 14, 0, 15, 0xFFFFFFFF])
def test_the_tail_of_any_other_message_is_kept_as_it_is(m_type: int) -> None:
    body = parsed(message(m_type, b"unexpected")).body
    assert (body.m_name, body.m_lvb, body.m_other) == (b"", b"", b"unexpected")
    assert body.m_type == m_type


@pytest.mark.parametrize("version", [V30, V31, V32])
def test_a_bare_message_reads_the_same_in_every_version(version: int) -> None:
    frame = parsed(message(9, version=version))
    assert frame.header.h_version == version
    assert (frame.header.h_lockspace, frame.body.m_type) == (LOCKSPACE, MessageType.GRANT)


def test_ack_is_a_header_whose_second_word_is_a_sequence_number() -> None:
    frame = parsed(header(4, 16, 1234))
    assert (frame.header.h_cmd, frame.header.h_seq, frame.body, frame.surplus) == (Command.ACK, 1234, b"", b"")


def test_fin_bare_and_as_kernels_send_it() -> None:
    bare = parsed(header(5, 16, 0))
    assert (bare.header.h_cmd, bare.header.h_lockspace, bare.body) == (Command.FIN, 0, b"")
    carried = parsed(envelope(header(5, 16, 0)))
    assert (carried.header.h_length, carried.body.o_nextcmd) == (40, Command.FIN)
    assert carried.body.inner.header.h_cmd is Command.FIN


def test_status_asks_for_slots_and_says_nothing_in_version_3_0() -> None:
    asked = parsed(recovery(1, struct.pack("<IIQ", 1, 0, 0)))
    assert asked.body.rc_type is RecoveryType.STATUS
    assert (asked.body.rc_id, asked.body.rc_seq, asked.body.rc_seq_reply) == (9, 4, 3)
    assert asked.body.rc_buf.rs_flags == StatusRequestFlags.NEED_SLOTS
    assert parsed(recovery(1, version=V30)).body.rc_buf == b""


def test_status_reply_with_slots() -> None:
    config = struct.pack("<iIIHHIIQ", 32, 1, 0, 2, 2, 7, 0, 0)
    slots = struct.pack("<IHHQ", 5, 1, 0, 0) + struct.pack("<IHHQ", 6, 2, 0, 0)
    reply = parsed(recovery(5, config + slots + bytes(4), result=0x0F)).body
    assert (reply.rc_result, reply.rc_buf.rf_lvblen, reply.rc_buf.rf_our_slot) == (0x0F, 32, 2)
    assert (reply.rc_buf.rf_lsflags, reply.rc_buf.rf_generation) == (LockspaceFlags.NODIR, 7)
    assert [(slot.ro_nodeid, slot.ro_slot) for slot in reply.rc_buf.slots] == [(5, 1), (6, 2)]
    assert reply.rc_buf.rest == bytes(4)


def test_status_reply_in_version_3_0_has_half_a_configuration() -> None:
    reply = parsed(recovery(5, struct.pack("<iIQ", 64, 0, 0), version=V30)).body.rc_buf
    assert (reply.rf_lvblen, reply.rf_unused, reply.rest) == (64, 0, b"")
    assert "rf_num_slots" not in reply


def test_status_reply_not_ready_travels_in_opts() -> None:
    config = struct.pack("<iIIHHIIQ", -1, 0, 0, 0, 0, 0, 0, 0)
    frame = parsed(envelope(recovery(5, config, result=-3)))
    assert frame.header.h_length == 104
    assert frame.body.inner.body.rc_result == -3
    assert frame.body.inner.body.rc_buf.rf_lvblen == 0xFFFFFFFF


def test_status_reply_that_announces_more_slots_than_it_has() -> None:
    config = struct.pack("<iIIHHIIQ", 32, 0, 0, 1, 3, 1, 0, 0)
    reply = parsed(recovery(5, config + bytes(16))).body.rc_buf
    assert (reply.rf_num_slots, reply.rest) == (3, bytes(16))
    assert "slots" not in reply


def test_names_asks_from_the_last_name_on() -> None:
    assert parsed(recovery(2, b"last one")).body.rc_buf.last_name == b"last one"
    assert parsed(recovery(2)).body.rc_buf.last_name == b""


@pytest.mark.parametrize("terminator", [b"\0\0", b"\xff\xff"])
def test_names_reply_is_a_list_with_big_endian_lengths(terminator: bytes) -> None:
    names = b"\0\x05alpha" + b"\0\x18" + b"       2              17" + terminator
    reply = parsed(recovery(6, names + bytes(60))).body.rc_buf
    assert [entry.n_name for entry in reply.entries] == [b"alpha", b"       2              17", b""]
    assert reply.entries[-1].n_length == int.from_bytes(terminator, "big")
    assert reply.rest == bytes(60)


def test_names_reply_without_terminator_gives_the_whole_names() -> None:
    reply = parsed(recovery(6, b"\0\x05alpha" + b"\0\x40cut off")).body.rc_buf
    assert [entry.n_name for entry in reply.entries] == [b"alpha"]
    assert reply.rest == b"\0\x40cut off"


def test_lookup_asks_by_name_and_its_reply_has_no_payload() -> None:
    assert parsed(envelope(recovery(3, b"res"))).body.inner.body.rc_buf.lookup_name == b"res"
    assert parsed(envelope(recovery(7, result=1))).body.inner.body.rc_buf == b""


@pytest.mark.parametrize("rc_type", [4, 8])
def test_lock_and_its_reply_carry_the_lock(rc_type: int) -> None:
    words = struct.pack("<8IibbbBHH", 777, 0x21, 0, 0, 0, 0x8, 0, 3, -17, -1, 5, 2, 3, 5, 3)
    lock = parsed(envelope(recovery(rc_type, words + b"res".ljust(64, b"\0") + b"V" * 32))).body.inner.body.rc_buf
    assert (lock.rl_ownpid, lock.rl_lkid, lock.rl_exflags, lock.rl_lvbseq) == (777, 0x21, LockFlags.VALBLK, 3)
    assert (lock.rl_result, lock.rl_rqmode, lock.rl_grmode) == (Result.EEXIST, Mode.IV, Mode.EX)
    assert (lock.rl_status, lock.rl_wait_type) == (Status.GRANTED, MessageType.REQUEST_REPLY)
    assert (lock.rl_name[: lock.rl_namelen], lock.rl_lvb) == (b"res", b"V" * 32)


def test_recovery_of_an_unknown_type_or_a_short_lock_stays_bytes() -> None:
    assert parsed(recovery(9, b"something new")).body.rc_buf == b"something new"
    assert parsed(recovery(4, b"not a lock")).body.rc_buf == b"not a lock"


def test_options_are_read_as_far_as_they_make_sense() -> None:
    options = struct.pack("<HHI", 7, 16, 0) + b"contents" + struct.pack("<HHI", 8, 8, 0)
    body = parsed(envelope(message(4), options + b"\x09\0\x03\0rest")).body
    assert [(option.t_type, option.t_length, option.t_value) for option in body.o_opts.options] == [
        (7, 16, b"contents"),
        (8, 8, b""),
    ]
    assert body.o_opts.unread == b"\x09\0\x03\0rest"
    assert body.inner.body.m_type is MessageType.CANCEL


def test_an_option_that_overruns_the_options_does_not_reach_into_the_inner_frame() -> None:
    body = parsed(envelope(message(4), struct.pack("<HHI", 7, 90, 0))).body
    assert (list(body.o_opts.options), len(body.o_opts.unread)) == ([], 8)
    assert body.inner.header.h_cmd is Command.MSG


def test_opts_does_not_nest() -> None:
    frame = header(4, 16)
    for _ in range(100):
        frame = envelope(frame)
    inner = parsed(frame).body.inner
    assert inner.header.h_cmd is Command.OPTS
    assert inner.body == frame[40:]


def test_bytes_behind_h_length_are_surplus_inside_and_outside() -> None:
    assert parsed(header(4, 16) + b"more").surplus == b"more"
    inner = message(9) + b"between"
    frame = parsed(envelope(inner) + b"behind")
    assert (frame.surplus, frame.body.inner.surplus) == (b"behind", b"between")
    assert frame.body.inner.body.m_other == b""


@pytest.mark.parametrize("length", [0, 4, 15])
def test_a_length_shorter_than_the_header_leaves_no_body(length: int) -> None:
    frame = parsed(header(1, length) + bytes(72))
    assert (frame.header.h_length, frame.body, len(frame.surplus)) == (length, b"", 72)


def test_a_frame_cut_short_is_read_as_far_as_it_is_there() -> None:
    whole = envelope(message(1, b"name"))
    assert parsed(whole[:60]).body.inner.body == whole[40:60]
    assert parsed(whole[:114]).body.inner.body.m_name == b"na"
    assert parsed(whole[:30]).body.inner == whole[24:30]
    assert parsed(whole[:20]).body == whole[16:20]


def test_a_cut_header_is_refused_with_a_reason() -> None:
    with pytest.raises(ValueError, match="begins with 16 bytes of header, here are 15"):
        parse(bytes(15))


bytes_like_frames = st.binary(max_size=300) | st.builds(
    lambda pieces, tail: b"".join(pieces) + tail,
    st.lists(
        st.sampled_from([
            header(1, 88), header(2, 400), header(3, 200), header(3, 4), header(4, 16), header(5, 16), header(77, 30),
            message(1, b"x"), recovery(6, b"\0\1a\xff\xff"), recovery(5), envelope(message(2)),
            struct.pack("<BBHI", 1, 0, 8, 0), struct.pack("<HHI", 1, 12, 0),
        ]),
        max_size=6,
    ),
    st.binary(max_size=120),
)  # fmt: skip


@settings(deadline=None)
@given(st.builds(lambda head, rest: head + rest, st.binary(min_size=16, max_size=16), bytes_like_frames))
def test_any_bytes_parse_and_build_back(data: bytes) -> None:
    parsed(data)


@settings(deadline=None)
@given(st.integers(1, 5), st.sampled_from([V30, V31, V32]), st.integers(0, 400), bytes_like_frames)
def test_any_body_behind_a_good_header_parses_and_builds_back(
    command: int, version: int, length: int, rest: bytes
) -> None:
    parsed(header(command, length, version=version) + rest)


@settings(deadline=None)
@given(st.integers(0, 10), st.sampled_from([V30, V31, V32]), st.binary(max_size=200))
def test_any_recovery_payload_parses_and_builds_back(rc_type: int, version: int, payload: bytes) -> None:
    frame = parsed(recovery(rc_type, payload, version=version))
    assert parsed(envelope(recovery(rc_type, payload, version=version))).body.inner.body == frame.body


unsigned = st.integers(0, 0xFFFFFFFF)
signed = st.integers(-(2**31), 2**31 - 1)


@settings(deadline=None)
@given(st.lists(unsigned, min_size=12, max_size=12), st.lists(signed, min_size=4, max_size=4), unsigned, signed)
def test_a_message_built_from_any_values_has_them_when_parsed(
    words: list[int], middle: list[int], asts: int, result: int
) -> None:
    values = [*words, *middle, asts, result]
    body = parse(message(14)).body
    names = [name for name in body if name not in ("m_name", "m_lvb", "m_other")]
    fields = dict(zip(names, values, strict=True))
    head = {"h_version": V32, "h_lockspace": 1, "h_nodeid": 1, "h_length": 88, "h_cmd": 1, "h_pad": 0}
    tails = {"m_name": b"", "m_lvb": b"", "m_other": b""}
    data = build({"header": head, "body": {**fields, **tails}, "surplus": b""})
    assert data[16:] == struct.pack("<12I4iIi", *values)
    assert {name: parsed(data).body[name] for name in names} == fields
