"""The list's columns, against what the sending kernels printed of the same messages in their traces."""

import errno
import re

import pytest
from evidence import kernel_record

from framed import columns_of_capture  # isort: skip

SENT = re.compile(r"dlm_send_message: (?:dst=(?P<dst>\d+) h_)?seq=(?P<seq>\d+) (?P<fields>.*)")
OUTCOMES = {0: "0", -65537: "ECANCEL", -65538: "EUNLOCK"}  # dlm's own (include/uapi/linux/dlm.h)
OUTCOMES[-errno.EDEADLK] = "EDEADLK"  # which errno.errorcode knows by its other name
ANSWERS = {"REQUEST_REPLY", "CONVERT_REPLY", "UNLOCK_REPLY", "CANCEL_REPLY", "LOOKUP_REPLY", "GRANT"}
NOT_OF_A_LOCK = {"REMOVE", "PURGE", "LOOKUP_REPLY"}


def traced(name: str, node: int) -> dict[int, dict[str, str]]:
    """What a node of a two-node scenario says it sent: fields as printed, by sequence number."""
    record = kernel_record(name, node, "trace")
    assert record
    return {
        int(match["seq"]): dict(field.partition("=")[::2] for field in match["fields"].split())
        for match in SENT.finditer(record)
    }


def modes(fields: dict[str, str]) -> str:
    if fields["m_type"] in NOT_OF_A_LOCK:
        return ""
    granted, requested = (fields[name].replace("IV", "") for name in ("m_grmode", "m_rqmode"))
    blocking = f"!{fields['m_bastmode']}" if fields["m_type"] == "BAST" else ""
    return granted + (f"→{requested}" if requested else "") + blocking


def locks(fields: dict[str, str]) -> str:
    own, other = int(fields["m_lkid"]), int(fields["m_remid"])
    if fields["m_type"] == "LOOKUP_REPLY":  # it repeats the asker's id where others have their own
        own, other = 0, own
    return "→".join(hex(number) if number else "" for number in (own, other)).removesuffix("→")


def result(fields: dict[str, str]) -> str:
    number = int(fields["m_result"])
    if fields["m_type"] == "LOOKUP_REPLY" and number == 0:
        return f"master {fields['m_nodeid']}"
    if fields["m_type"] not in ANSWERS and number == 0:
        return ""
    return OUTCOMES.get(number) or errno.errorcode[-number]


def flags(fields: dict[str, str]) -> set[str]:
    lock = {f"fl:{name}" for name in fields["m_flags"].split("|") if name in ("USER", "ORPHAN")}
    status = {f"sb:{name}" for name in fields["m_sbflags"].split("|") if name}
    return {name for name in fields["m_exflags"].split("|") if name} | status | lock


@pytest.mark.parametrize("name", ["clean-3.2-tcp", "clean-6.12-tcp", "gfs2-2node", "sctp-3.2", "ipv6-tcp"])
def test_the_list_says_what_the_kernel_printed(name: str) -> None:
    record = {node: traced(name, node) for node in (1, 2)}
    compared = 0
    for columns in columns_of_capture(f"{name}.pcap"):
        rows = zip(
            columns.streams,
            columns.sequences,
            columns.commands,
            columns.types,
            columns.modes,
            columns.locks,
            columns.results,
            columns.flags,
            columns.names,
            columns.lockspaces,
            strict=True,
        )
        for stream, sequence, command, kind, shown_modes, shown_locks, outcome, shown_flags, resource, space in rows:
            if command != "OPTS/MSG":
                continue
            sender, receiver = map(int, stream.split("→"))
            assert {sender, receiver} == {1, 2}
            fields = record[sender][int(sequence)]
            assert (kind, shown_modes, shown_locks, outcome) == (
                fields["m_type"],
                modes(fields),
                locks(fields),
                result(fields),
            )
            words = shown_flags.replace("sb:", "|sb:").replace("fl:", "|fl:").replace(" ", "").split("|")
            assert {word for word in words if word} == flags(fields)
            named = fields["m_extra"] if kind in ("REQUEST", "LOOKUP", "REMOVE") else "0x"
            assert (resource or b"").hex() == named.removeprefix("0x")
            assert int(space, 16) == int(fields["h_lockspace"])
            compared += 1
    assert compared == sum(map(len, record.values()))
