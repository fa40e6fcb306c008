"""FRM: frames that a kernel would not have sent, each beside the nearest one that is right."""

import struct
from itertools import pairwise

import pytest
from evidence import CAPTURE_FILES, scenario

from dlmtrace.craft import ack, fin, frame, granted, message, opts, recovery, request, status, status_reply
from dlmtrace.streams.results import Finding
from dlmtrace.wire.columns import LOCK
from dlmtrace.wire.enums import Command, MessageType, RecoveryType
from dlmtrace.wire.names import jhash
from findings.captured import Lab, findings_of, numbered, only

FORGED = "forged-3.2-tcp.pcap"
NAME = b"resource"
LVB = bytes(32)


def lock(name: bytes = NAME, lvb: bytes = b"", **fields: int) -> bytes:
    """Payload of an RCOM LOCK."""
    transfer = bytearray(LOCK.itemsize)
    values = {"rl_namelen": len(name), **fields}
    for field, value in values.items():
        kind, offset = LOCK.fields[field][:2]
        transfer[offset : offset + kind.itemsize] = value.to_bytes(kind.itemsize, "little")
    offset = LOCK.fields["rl_name"][1]
    transfer[offset : offset + len(name)] = name
    return bytes(transfer) + lvb


def names(*entries: bytes, end: int | None = 0xFFFF, surplus: int = 8) -> bytes:
    """Payload of a NAMES_REPLY."""
    ending = b"" if end is None else struct.pack(">H", end) + bytes(surplus)
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries) + ending


def reply(kind: RecoveryType, payload: bytes, **fields: int) -> bytes:
    return recovery(kind, payload, rc_seq_reply=1, **fields)


# Real captures.


@pytest.mark.parametrize("file", [file for file in CAPTURE_FILES if not file.startswith(("forged", "big"))])
def test_real_kernels_build_their_frames_as_the_protocol_page_says(file: str) -> None:
    assert only(findings_of(file), "FRM") == []


def shots() -> dict[str, tuple[float, float]]:
    """What was forged, and from when to when, by the scenario's record."""
    events = scenario("forged-3.2-tcp")["events"]
    return {event["shot"]: (event["t"], then["t"]) for event, then in pairwise(events) if event.get("shot")}


def during(shot: str, findings: list[Finding]) -> list[Finding]:
    """The findings of that time."""
    begin, end = shots()[shot]
    return [finding for finding in findings if begin < (finding.time or 0) / 1e9 < end]


@pytest.mark.parametrize(
    ("shot", "code", "text"),
    [
        ("wrong nodeid 7 in the header", "FRM110", "h_nodeid 7 from the address of node 2"),
        ("unknown command 9", "FRM103", "h_cmd 9 is unknown in protocol 3.2"),
        ("version 4.0", "FRM102", "h_version 4.0 is none of 3.0, 3.1 and 3.2"),
        ("length 0xffff", "FRM101", "h_length 65535 is above 4096"),
        ("length 4 (shorter than the header)", "FRM101", "h_length 4 is below 16"),
        ("garbage", "FRM102", "h_version 770.256 is none of 3.0, 3.1 and 3.2"),
    ],
)
def test_a_forged_frame_has_its_finding(shot: str, code: str, text: str) -> None:
    (finding,) = during(shot, only(findings_of(FORGED), code))
    assert (finding.sender, finding.receiver, finding.message, finding.count) == (2, 1, text, 1)


def test_forged_frames_have_no_other_findings_on_frames() -> None:
    odd = only(findings_of(FORGED), "FRM")
    assert len([finding for finding in odd if finding.code != "FRM109"]) == 6
    values = [finding for finding in odd if finding.code == "FRM109"]
    assert [finding.message for finding in values] == ["an LVB of 8 bytes in a lockspace whose rf_lvblen is 32"] * 4
    # UNLOCK and GRANT with the text "forged" where the lock value block belongs
    with_text = [
        shot for shot in shots() if any(word in shot for word in ("UNLOCK", "GRANT", "3.1 header", "nodeid 7"))
    ]
    assert [during(shot, values) for shot in with_text] == [[finding] for finding in values]


# Crafted ones: `good` must pass, `bad` must not.


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        # The length of the header, and the largest frame (§1.3).
        (ack(1, h_length=16), ack(1, h_length=15), ("FRM101", "h_length 15 is below 16")),
        (
            recovery(RecoveryType.NAMES_REPLY, names(b"a", surplus=4096 - 48 - 5)),
            recovery(RecoveryType.NAMES_REPLY, names(b"a", surplus=4097 - 48 - 5)),
            ("FRM101", "h_length 4097 is above 4096"),
        ),
        (
            status(h_version=0x00030002),
            status(h_version=0x00030003),
            ("FRM102", "h_version 3.3 is none of 3.0, 3.1 and 3.2"),
        ),
        (ack(0), frame(6), ("FRM103", "h_cmd 6 is unknown in protocol 3.2")),
        (
            opts(0, request(NAME)),
            opts(0, request(NAME), o_nextcmd=4),
            ("FRM103", "o_nextcmd 4 is none of MSG, RCOM and FIN"),
        ),
        (
            fin(0),
            opts(0, ack(0), o_nextcmd=Command.FIN),
            ("FRM103", "the h_cmd 4 of the carried frame is none of MSG, RCOM and FIN"),
        ),
        (
            opts(0, message(MessageType.CANCEL)),
            opts(0, message(MessageType.CANCEL), o_nextcmd=2),
            ("FRM104", "o_nextcmd 2, but the carried frame has h_cmd 1"),
        ),
        (
            opts(0, recovery(RecoveryType.LOOKUP_REPLY)),
            opts(0, recovery(RecoveryType.LOOKUP_REPLY, h_length=49)),
            ("FRM104", "room 48, but the carried frame has h_length 49"),
        ),
        (
            opts(0, request(NAME)),
            opts(0, request(NAME), h_version=0x00030001, h_cmd=3),
            ("FRM103", "h_cmd 3 is unknown in protocol 3.1"),
        ),
        (
            opts(0, message(MessageType.CANCEL)),
            opts(0, message(MessageType.CANCEL)[:87], h_length=24 + 87),
            ("FRM105", "OPTS of 111 bytes, where 112 are needed"),
        ),
        (
            recovery(RecoveryType.LOCK_REPLY, lock()),
            recovery(RecoveryType.LOCK_REPLY, lock()[:-1]),
            ("FRM105", "RCOM of 155 bytes, where 156 are needed"),
        ),
        (
            opts(0, recovery(RecoveryType.LOCK, lock())),
            opts(0, recovery(RecoveryType.LOCK, lock()[:-1], h_length=155)),
            ("FRM105", "a carried RCOM of 155 bytes, where 156 are needed"),
        ),
        (ack(0), ack(0, h_pad=1), ("FRM106", "h_pad is not 0")),
        (fin(0), opts(0, frame(Command.FIN, lockspace=0, h_pad=1)), ("FRM106", "h_pad of the carried frame is not 0")),
        (fin(0), opts(0, frame(Command.FIN, lockspace=0), o_pad=1), ("FRM106", "o_pad is not 0")),
        (fin(0), opts(0, frame(Command.FIN, lockspace=0), o_pad2=1), ("FRM106", "o_pad2 is not 0")),
        (
            opts(0, granted()),
            opts(0, granted(m_parent_remid=1)),
            ("FRM106", "m_parent_remid is not 0"),
        ),
        (status(rs_flags=1), status(rs_unused2=1), ("FRM106", "rs_unused2 is not 0")),
        (status_reply([(1, 1)]), status_reply([(1, 1)], rf_flags=1), ("FRM106", "rf_flags is not 0")),
        (
            recovery(RecoveryType.LOCK, lock()),
            recovery(RecoveryType.LOCK, lock(rl_parent_lkid=1)),
            ("FRM106", "rl_parent_lkid is not 0"),
        ),
        (
            opts(0, granted()),
            opts(0, granted(), options=struct.pack("<HHI", 7, 8, 0)),
            ("FRM107", "o_optlen is 8"),
        ),
        (opts(0, request(b"x" * 64)), opts(0, request(b"x" * 65)), ("FRM109", "a resource name of 65 bytes")),
        (
            opts(0, message(MessageType.REMOVE, b"x")),
            opts(0, message(MessageType.REMOVE, b"")),
            ("FRM109", "a resource name of 0 bytes"),
        ),
        (
            opts(0, message(MessageType.GRANT, LVB)),
            opts(0, message(MessageType.GRANT, LVB[1:])),
            ("FRM109", "an LVB of 31 bytes in a lockspace whose rf_lvblen is 32"),
        ),
        (
            opts(0, message(MessageType.GRANT, LVB[1:], lockspace="other")),
            opts(0, message(MessageType.GRANT, LVB[1:], lockspace="test")),
            ("FRM109", "an LVB of 31 bytes in a lockspace whose rf_lvblen is 32"),
        ),
        (
            opts(0, message(MessageType.BAST)),
            opts(0, message(MessageType.BAST, LVB)),
            ("FRM109", "32 bytes behind a BAST, which has nothing there"),
        ),
        (
            opts(0, recovery(RecoveryType.LOOKUP, b"x" * 64)),
            opts(0, recovery(RecoveryType.LOOKUP, b"x" * 65)),
            ("FRM109", "a resource name of 65 bytes"),
        ),
        (
            recovery(RecoveryType.NAMES, b""),
            recovery(RecoveryType.NAMES, b"x" * 65),
            ("FRM109", "a resource name of 65 bytes"),
        ),
        (
            reply(RecoveryType.NAMES_REPLY, names(b"one", b"two", end=0, surplus=40)),
            reply(RecoveryType.NAMES_REPLY, names(b"one", b"two", end=None)),
            ("FRM109", "a list of names without its end"),
        ),
        (
            reply(RecoveryType.NAMES_REPLY, names(b"x" * 64)),
            reply(RecoveryType.NAMES_REPLY, names(b"x" * 65)),
            ("FRM109", "a name of 65 bytes in a list of names"),
        ),
        (
            opts(0, recovery(RecoveryType.LOCK, lock(b"x" * 64, LVB))),
            opts(0, recovery(RecoveryType.LOCK, lock(b"x" * 64, LVB, rl_namelen=65))),
            ("FRM109", "rl_namelen 65 is not in 1 … 64"),
        ),
        (
            opts(0, recovery(RecoveryType.LOCK, lock(lvb=LVB))),
            opts(0, recovery(RecoveryType.LOCK, lock(lvb=LVB[1:]))),
            ("FRM109", "an LVB of 31 bytes in a lockspace whose rf_lvblen is 32"),
        ),
        (
            opts(0, recovery(RecoveryType.LOCK_REPLY, lock())),
            opts(0, recovery(RecoveryType.LOCK_REPLY, lock(lvb=LVB))),
            ("FRM109", "32 bytes behind a LOCK_REPLY, which has no LVB"),
        ),
        (
            status_reply([(1, 1), (2, 2)]),
            status_reply([(1, 1), (2, 2)], rf_num_slots=3),
            ("FRM109", "a STATUS_REPLY announces 3 slots, more than it has room for"),
        ),
        (
            recovery(RecoveryType.STATUS_REPLY, struct.pack("<IIQ", 32, 0, 0), h_version=0x00030000),
            recovery(RecoveryType.STATUS_REPLY, struct.pack("<IIQ", 32, 0, 0), h_version=0x00030001),
            ("FRM109", "a STATUS_REPLY with 16 bytes of configuration"),
        ),
        (ack(0), ack(0, h_nodeid=3), ("FRM110", "h_nodeid 3 from the address of node 1")),
        (
            opts(0, request(NAME)),
            opts(0, request(NAME, m_hash=jhash(NAME) + 1)),
            ("FRM111", f"m_hash {jhash(NAME) + 1} is not the hash of the resource name"),
        ),
        (
            opts(0, request(NAME, m_hash=0)),
            opts(0, request(NAME, m_hash=1)),
            ("FRM111", "m_hash 1 is not the hash of the resource name"),
        ),
    ],
)
def test_frames(lab: Lab, good: bytes, bad: bytes, expected: tuple[str, str]) -> None:
    connection = lab.meet()
    connection.send(lab.one, good)
    assert lab.texts("FRM") == []
    connection.send(lab.one, bad)
    assert expected in lab.texts("FRM")
    assert {code for code, _ in lab.texts("FRM")} == {expected[0]}


def test_no_frame_can_be_shorter_than_its_kind(lab: Lab) -> None:
    connection = lab.meet()
    connection.send(
        lab.one, frame(Command.MSG, bytes(71)) + frame(Command.RCOM, bytes(31)) + frame(Command.OPTS, bytes(7))
    )
    assert lab.texts("FRM") == [
        ("FRM105", "MSG of 87 bytes, where 88 are needed"),
        ("FRM105", "RCOM of 47 bytes, where 48 are needed"),
        ("FRM105", "OPTS of 23 bytes, where 24 are needed"),
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (struct.pack("<HHI", 1, 8, 0) + struct.pack("<HHIQ", 2, 16, 0, 5), []),
        (struct.pack("<HHI", 1, 7, 0), [("FRM108", "t_length 7 is below the 8 of its own header")]),
        (struct.pack("<HHI", 1, 9, 0), [("FRM108", "t_length 9 is past the end of the options")]),
        (struct.pack("<HHI", 1, 8, 0) + bytes(4), [("FRM108", "4 bytes of options hold no whole option")]),
        (struct.pack("<HHI", 1, 8, 1), [("FRM106", "t_pad is not 0")]),
    ],
)
def test_options(lab: Lab, options: bytes, expected: list[tuple[str, str]]) -> None:
    lab.meet().send(lab.one, opts(0, request(NAME), options=options))
    assert lab.texts("FRM") == sorted([("FRM107", f"o_optlen is {len(options)}"), *expected])


def test_options_that_run_past_the_frame_leave_no_room(lab: Lab) -> None:
    lab.meet().send(lab.one, opts(0, request(NAME), o_optlen=1000))
    assert ("FRM105", "OPTS of 120 bytes, where 1112 are needed") in lab.texts("FRM")
    assert "FRM108" not in lab.codes("FRM")


def test_both_headers_name_the_sender(lab: Lab) -> None:
    connection = lab.meet()
    connection.send(lab.one, opts(0, request(NAME, sender=1)))
    assert lab.codes("FRM") == []
    connection.send(lab.one, opts(1, request(NAME, sender=1, h_nodeid=3), h_nodeid=1))
    assert lab.texts("FRM") == [
        ("FRM104", "h_nodeid 1, but the carried frame has h_nodeid 3"),
        ("FRM110", "h_nodeid of the carried frame 3 from the address of node 1"),
    ]


def test_a_node_may_have_several_addresses_but_an_address_only_one_node(lab: Lab) -> None:
    lab.meet()
    second = lab.network.node(1, "10.0.0.11")
    lab.meet(second)
    assert lab.codes("FRM") == []
    impostor = lab.network.node(3, "10.0.0.1")
    lab.meet(impostor)
    (finding,) = lab.findings("FRM")
    assert (finding.code, finding.sender, finding.connection) == ("FRM110", 1, "c3")


def test_a_node_that_left_may_come_back_under_another_id(lab: Lab) -> None:
    lab.meet().close()
    lab.network.wait(3_000_000_000)
    lab.meet(lab.network.node(3, "10.0.0.1"))
    assert lab.codes("FRM") == []


def test_big_endian_nodes_hash_long_names_in_their_own_way(lab: Lab) -> None:
    name = b"a name of more than twelve bytes"
    whole = (len(name) - 1) // 12 * 12
    swapped = b"".join(name[at : at + 4][::-1] for at in range(0, whole, 4)) + name[whole:]
    connection = lab.meet()
    connection.send(lab.one, opts(0, request(name, m_hash=jhash(swapped))))
    connection.send(lab.two, opts(0, request(b"short name", sender=2)))
    assert lab.codes("FRM") == []
    connection.send(lab.two, opts(1, request(name, sender=2)))
    (finding,) = lab.findings("FRM")
    assert (finding.code, finding.sender) == ("FRM111", 1)
    assert "big-endian" in finding.message


def test_frames_in_a_row_are_one_finding(lab: Lab) -> None:
    connection = lab.meet()
    for number in range(50):
        connection.send(lab.one, opts(number, request(NAME, m_hash=number + 1)))
        connection.send(lab.two, ack(number + 1, sender=2))
    (finding,) = lab.findings("FRM")
    assert (finding.count, finding.seq_first, finding.seq_last) == (50, 0, 49)
    last = finding.evidence["last_packet"]
    lab.network.wait(10_000_000_000)
    connection.send(lab.one, opts(50, request(NAME, m_hash=1)))
    first, second = lab.findings("FRM")
    assert (first.count, second.count) == (50, 1)
    assert (numbered(second) or 0) > last


def test_a_header_behind_a_hole_is_not_trusted(lab: Lab) -> None:
    connection = lab.meet()
    lost = connection.send(lab.one, opts(0, request(NAME)))
    connection.send(lab.one, opts(1, request(NAME, m_hash=1), o_pad=1) + opts(2, request(NAME)))
    assert lab.codes("FRM") == ["FRM106", "FRM111"]
    lab.network.lose(*lost)
    assert lab.codes("FRM") == []


def test_framing_behind_a_hole_proves_itself(lab: Lab) -> None:
    connection = lab.meet()
    lost = connection.send(lab.one, opts(0, request(NAME)))
    for number in range(1, 200):
        connection.send(lab.one, opts(number, request(NAME)))
    connection.send(lab.one, opts(200, request(NAME, m_hash=1)) + ack(0, h_length=3))
    lab.network.lose(*lost)
    assert lab.codes("FRM") == ["FRM101", "FRM111"]


def test_what_the_snaplen_cut_off_is_not_judged(lab: Lab) -> None:
    connection = lab.meet()
    connection.send(lab.one, reply(RecoveryType.NAMES_REPLY, names(b"one", b"two", end=None)))
    connection.send(lab.one, opts(0, request(NAME, m_hash=1)))
    headers = 14 + 20 + 20
    for snaplen, expected in (
        (headers + 24 + 88 + len(NAME), ["FRM109", "FRM111"]),
        (headers + 24 + 88 + len(NAME) - 1, ["FRM109"]),
        (headers + 48 + len(names(b"one", b"two", end=None)) - 1, []),
    ):
        lab.network.snaplen = snaplen
        assert lab.codes("FRM") == expected
