"""Sizes and places of the fields, against the tables of the protocol page."""

from typing import Any

import construct as C
import numpy as np
import pytest

from dlmtrace.wire import columns
from dlmtrace.wire.fields import fields_of
from dlmtrace.wire.header import LockspaceHeader, SequenceHeader
from dlmtrace.wire.message import Message, MessageBody
from dlmtrace.wire.options import Option, OptionHeader, Options
from dlmtrace.wire.recovery import (
    RecoveryBody,
    RecoveryConfig,
    RecoveryConfigShort,
    RecoveryLock,
    RecoverySlot,
    RecoveryStatusRequest,
    result_text,
)

# offset and type of each field as §1.1, §2.1, §3.1, §3.3 and §4 print them; offsets of MSG and RCOM include the header
HEADER = {
    "h_version": (0, "u4"),
    "h_nodeid": (8, "u4"),
    "h_length": (12, "u2"),
    "h_cmd": (14, "u1"),
    "h_pad": (15, "u1"),
}
MESSAGE = {
    "m_type": (16, "u4"), "m_nodeid": (20, "u4"), "m_pid": (24, "u4"), "m_lkid": (28, "u4"), "m_remid": (32, "u4"),
    "m_parent_lkid": (36, "u4"), "m_parent_remid": (40, "u4"), "m_exflags": (44, "u4"), "m_sbflags": (48, "u4"),
    "m_flags": (52, "u4"), "m_lvbseq": (56, "u4"), "m_hash": (60, "u4"), "m_status": (64, "i4"),
    "m_grmode": (68, "i4"), "m_rqmode": (72, "i4"), "m_bastmode": (76, "i4"), "m_asts": (80, "u4"),
    "m_result": (84, "i4"),
}  # fmt: skip
LOCK = {
    "rl_ownpid": (0, "u4"), "rl_lkid": (4, "u4"), "rl_remid": (8, "u4"), "rl_parent_lkid": (12, "u4"),
    "rl_parent_remid": (16, "u4"), "rl_exflags": (20, "u4"), "rl_flags": (24, "u4"), "rl_lvbseq": (28, "u4"),
    "rl_result": (32, "i4"), "rl_rqmode": (36, "i1"), "rl_grmode": (37, "i1"), "rl_status": (38, "i1"),
    "rl_wait_type": (40, "u2"), "rl_namelen": (42, "u2"), "rl_name": (44, "V64"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("declaration", "base", "size", "expected"),
    [
        (LockspaceHeader, 0, 16, {**HEADER, "h_lockspace": (4, "u4")}),
        (SequenceHeader, 0, 16, {**HEADER, "h_seq": (4, "u4")}),
        (Options, 16, 24, {"o_nextcmd": (16, "u1"), "o_pad": (17, "u1"), "o_optlen": (18, "u2"), "o_pad2": (20, "u4")}),
        (OptionHeader, 0, 8, {"t_type": (0, "u2"), "t_length": (2, "u2"), "t_pad": (4, "u4")}),
        (MessageBody, 16, 88, MESSAGE),
        (
            RecoveryBody,
            16,
            48,
            {"rc_type": (16, "u4"), "rc_result": (20, "i4"), "rc_id": (24, "u8"), "rc_seq": (32, "u8"),
             "rc_seq_reply": (40, "u8")},
        ),
        (RecoveryStatusRequest, 0, 16, {"rs_flags": (0, "u4")}),
        (RecoveryConfigShort, 0, 16, {"rf_lvblen": (0, "u4"), "rf_lsflags": (4, "u4")}),
        (
            RecoveryConfig,
            0,
            32,
            {"rf_lvblen": (0, "u4"), "rf_lsflags": (4, "u4"), "rf_flags": (8, "u4"), "rf_our_slot": (12, "u2"),
             "rf_num_slots": (14, "u2"), "rf_generation": (16, "u4")},
        ),
        (RecoverySlot, 0, 16, {"ro_nodeid": (0, "u4"), "ro_slot": (4, "u2")}),
        (RecoveryLock, 0, 108, LOCK),
    ],
)  # fmt: skip
def test_fields_lie_where_the_protocol_page_says(
    declaration: Any, base: int, size: int, expected: dict[str, tuple[int, str]]
) -> None:
    dtype = columns.dtype_of(declaration)
    assert base + dtype.itemsize == size
    assert dtype.fields is not None
    for name, (offset, kind) in expected.items():
        assert (base + dtype.fields[name][1], dtype.fields[name][0]) == (offset, np.dtype(kind)), name


def test_the_list_of_fields_and_the_columns_are_the_same_layout() -> None:
    for declaration in (LockspaceHeader, Options, MessageBody, RecoveryBody, RecoveryConfig, RecoveryLock):
        dtype = columns.dtype_of(declaration)
        fields = list(fields_of(declaration))
        assert dtype.names == tuple(field.name for field in fields)
        for field in fields:
            assert dtype.fields is not None
            kind, offset = dtype.fields[field.name][:2]
            assert (field.offset, field.size) == (offset, kind.itemsize)
            if field.integer:
                assert field.signed == (kind.kind == "i")
            assert field.meaning


def test_dtypes_of_nested_and_repeated_structures() -> None:
    nested = C.Struct("head" / C.Struct("big" / C.Int16ub, "byte" / C.Int8sl), "words" / C.Int32ul[3])
    dtype = columns.dtype_of(nested)
    record = np.frombuffer(bytes([1, 2, 0xFF, *range(12)]), dtype)[0]
    assert record["head"]["big"] == 0x0102
    assert record["head"]["byte"] == -1
    assert record["words"].tolist() == [0x03020100, 0x07060504, 0x0B0A0908]


@pytest.mark.parametrize("declaration", [Message, Option, C.Struct("n" / C.Int8ul, "rest" / C.Bytes(C.this.n))])
def test_a_size_that_depends_on_the_data_has_no_dtype(declaration: Any) -> None:
    with pytest.raises(TypeError, match="no fixed size"):
        columns.dtype_of(declaration)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("m_type", 11, "LOOKUP"),
        ("m_type", 99, "99"),
        ("m_exflags", 0x8, "VALBLK"),
        ("m_exflags", 0x80000009, "NOQUEUE|VALBLK|0x80000000"),
        ("m_exflags", 0, "0"),
        ("m_rqmode", -1, "IV"),
        ("m_result", -65538, "EUNLOCK"),
        ("m_result", 0, "0"),
        ("m_lkid", 0x2F, "0x2f"),
        ("m_pid", 12, "12"),
    ],
)
def test_values_are_told_in_the_kernels_names(field: str, value: int, text: str) -> None:
    (found,) = [each for each in fields_of(MessageBody) if each.name == field]
    assert found.text(value) == text


@pytest.mark.parametrize(
    ("rc_type", "rc_result", "text"),
    [(5, 0x15, "NODES|DIR|LOCKS"), (5, -3, "ESRCH"), (7, 2, "node 2"), (7, -22, "EINVAL"), (1, 0, "0")],
)
def test_the_result_of_recovery_means_what_its_type_says(rc_type: int, rc_result: int, text: str) -> None:
    assert result_text(rc_type, rc_result) == text
