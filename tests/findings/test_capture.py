"""CAP901 … CAP909: what the capture could not give, and what is normal and no gap."""

import struct

import pytest
from evidence import CAPTURE_FILES, capture_bytes

from dlmtrace.craft import Connection, ack, opts, request, status, status_reply
from findings.captured import SECOND, Lab, above_note, analyse, findings_of, only
from findings.test_frames import FORGED

NAME = b"resource"
FRAME = len(opts(0, request(NAME)))

# Real captures.

PARTS = ("forged", "big", "mid-capture.mid", "mid-capture.snap", "sctp-multihome")


@pytest.mark.parametrize("file", [file for file in CAPTURE_FILES if not file.startswith(PARTS)])
def test_whole_captures_lack_nothing(file: str) -> None:
    assert only(findings_of(file), "CAP90") == []


def test_two_halves_of_a_multihomed_capture_make_a_whole() -> None:
    assert only(findings_of("sctp-multihome.net0.pcap", "sctp-multihome.net1.pcap"), "CAP90") == []


def test_half_of_a_multihomed_capture_has_holes_or_starts_late() -> None:
    assert {finding.code for finding in only(findings_of("sctp-multihome.net0.pcap"), "CAP90")} == {"CAP901"}
    assert {finding.code for finding in only(findings_of("sctp-multihome.net1.pcap"), "CAP90")} == {"CAP903"}


def test_a_capture_of_the_middle_starts_mid_stream() -> None:
    found = only(findings_of("mid-capture.mid.pcap"), "CAP90")
    assert [(finding.code, finding.sender, finding.receiver) for finding in found] == [
        ("CAP903", 1, 2),
        ("CAP903", 2, 1),
    ]
    assert above_note(found) == []


@pytest.mark.parametrize("file", ["mid-capture.snap96.pcap", "mid-capture.snap256.pcap"])
def test_cut_packets_are_counted(file: str) -> None:
    (finding,) = only(findings_of(file), "CAP902")
    assert finding.count == cut_packets(file)
    assert {each.code for each in only(findings_of(file), "CAP90")} <= {"CAP902", "CAP905"}


def cut_packets(file: str) -> int:
    """Packets of the DLM port that are shorter in the file than they were, by the format of pcap alone."""
    data, at, count = capture_bytes(file), 24, 0
    while at < len(data):
        captured, length = struct.unpack_from("<II", data, at + 8)
        packet = data[at + 16 : at + 16 + captured]
        tcp = 14 + (packet[14] & 15) * 4
        ports = struct.unpack_from(">HH", packet, tcp) if packet[12:14] == b"\x08\x00" and packet[23] == 6 else ()
        count += captured < length and 21064 in ports
        at += 16 + captured
    return count


def test_frames_with_a_forged_length_leave_bytes_behind() -> None:
    found = only(findings_of(FORGED), "CAP90")
    assert [(finding.code, finding.evidence["bytes"]) for finding in found] == [("CAP905", 216), ("CAP905", 16)]


# Crafted ones.


def exchange(lab: Lab, connection: Connection, first: int, last: int) -> None:
    for number in range(first, last):
        connection.send(lab.one, opts(number, request(NAME)))
        connection.send(lab.two, ack(number + 1, sender=2))


def test_a_hole(lab: Lab) -> None:
    connection = lab.meet()
    exchange(lab, connection, 0, 20)
    assert lab.codes("CAP90") == []
    lost = [packet for packet in lab.network.packets if len(packet.payload) == FRAME][5:8]
    lab.network.lose(*lost)
    (finding,) = lab.findings("CAP90")
    assert (finding.code, finding.sender, finding.receiver, finding.connection) == ("CAP901", 1, 2, "c1")
    assert finding.count == 1
    assert finding.evidence["bytes"] == 3 * FRAME
    assert finding.message == f"holes in the stream: 1, {3 * FRAME} bytes were not captured"


def test_holes_one_soon_after_the_other_are_one_finding(lab: Lab) -> None:
    connection = lab.meet()
    exchange(lab, connection, 0, 20)
    for number in range(20, 30):
        lab.network.wait(SECOND // 10)
        exchange(lab, connection, number, number + 1)
    lab.network.wait(5 * SECOND)
    exchange(lab, connection, 30, 50)
    frames = [packet for packet in lab.network.packets if len(packet.payload) == FRAME]
    lab.network.lose(frames[3], frames[6], frames[40])
    assert [(finding.code, finding.count) for finding in lab.findings("CAP90")] == [("CAP901", 2), ("CAP901", 1)]


def test_what_tcp_repeats_is_no_hole(lab: Lab) -> None:
    connection = lab.meet()
    (lost,) = connection.send(lab.one, opts(0, request(NAME)), acknowledge=False)
    connection.send(lab.one, opts(1, request(NAME)), acknowledge=False)
    connection.retransmit(lost)
    connection.acknowledge(lab.two)
    lab.network.lose(lost)
    assert lab.codes("CAP90") == []


def test_a_frame_across_a_hole_leaves_bytes_that_belong_to_none(lab: Lab) -> None:
    connection = lab.meet()
    frames = b"".join(opts(number, request(NAME)) for number in range(40))
    packets = connection.send(lab.one, frames, 100)
    lab.network.lose(*packets[10:20])
    found = lab.findings("CAP90")
    assert [finding.code for finding in found] == ["CAP901", "CAP905"]
    # bytes 1000 … 1999 are missing; frame 16 ends at 2040
    assert found[1].evidence["bytes"] == 17 * FRAME - 2000


def test_the_snaplen_cuts_frames(lab: Lab) -> None:
    connection = lab.meet()
    exchange(lab, connection, 0, 20)
    lab.network.snaplen = 14 + 20 + 20 + FRAME
    assert lab.codes("CAP90") == []
    lab.network.snaplen -= 10
    (finding,) = lab.findings("CAP90")
    assert (finding.code, finding.count) == ("CAP902", 20)
    assert "200 bytes of the streams lost" in finding.message


def test_a_capture_that_starts_late(lab: Lab) -> None:
    connection = lab.network.connect(lab.one, lab.two, handshake=False)
    exchange(lab, connection, 7, 100)
    found = lab.findings("CAP90")
    assert [finding.code for finding in found] == ["CAP903", "CAP903"]
    assert (found[0].sender, found[0].seq_first) == (1, 7)


@pytest.mark.parametrize(("first", "expected"), [(0, []), (7, ["CAP903"])])
def test_a_new_connection_of_an_old_pair(lab: Lab, first: int, expected: list[str]) -> None:
    connection = lab.network.connect(lab.one, lab.two)
    connection.send(lab.two, ack(first, sender=2))
    exchange(lab, connection, first, 100)
    assert lab.codes("CAP90") == expected


def test_only_the_first_connection_of_a_stream_can_start_it_late(lab: Lab) -> None:
    exchange(lab, lab.meet(), 0, 5)
    exchange(lab, lab.network.connect(lab.one, lab.two, handshake=False), 5, 10)
    assert lab.codes("CAP90") == []


@pytest.mark.parametrize("handshake", [True, False])
def test_one_direction(lab: Lab, handshake: bool) -> None:
    connection = lab.network.connect(lab.one, lab.two, handshake=handshake)
    exchange(lab, connection, 0, 10)
    lab.network.packets[:] = [packet for packet in lab.network.packets if packet.sender == lab.one]
    found = lab.findings("CAP904")
    assert [(finding.sender, finding.connection) for finding in found] == [(1, "c1")]


def test_each_node_may_send_over_its_own_connection(lab: Lab) -> None:
    mine, other = lab.network.connect(lab.one, lab.two), lab.network.connect(lab.two, lab.one)
    mine.send(lab.one, status())
    other.send(lab.two, status_reply(sender=2))
    for number in range(400):
        mine.send(lab.one, opts(number, request(NAME)))
        other.send(lab.two, ack(number + 1, sender=2))
    assert lab.codes("CAP90") == []
    lab.network.packets[:] = [each for each in lab.network.packets if not is_of(each.data, other)]
    (finding,) = lab.findings("CAP90")
    assert (finding.code, finding.sender, finding.count) == ("CAP904", 1, 401)


def is_of(packet: bytes, connection: Connection) -> bool:
    """Has the packet the ports of the connection?"""
    ports = {side.port for side in connection._sides}
    return set(struct.unpack_from(">HH", packet, 34)) == ports


def test_a_quiet_peer_is_no_gap(lab: Lab) -> None:
    connection = lab.network.connect(lab.one, lab.two, handshake=False)
    for number in range(200):
        connection.send(lab.one, opts(number, request(NAME)))
    assert lab.codes("CAP904") == []


def test_nobody_answers_a_dial(lab: Lab) -> None:
    lab.meet()
    lab.network.connect(lab.one, lab.two)
    del lab.network.packets[-2:]  # only the SYN
    assert lab.codes("CAP90") == []


def test_what_the_files_themselves_say(lab: Lab) -> None:
    exchange(lab, lab.meet(), 0, 5)
    lab.network.packets[-1].time -= 5 * SECOND
    lab.network.write(lab.path)
    lab.path.write_bytes(lab.path.read_bytes()[:-3])
    found = only(analyse([lab.path]), "CAP90")
    assert {finding.code for finding in found} == {"CAP907"}
    assert all(lab.path.name in finding.message for finding in found)
    lab.path.write_bytes(lab.path.read_bytes() + bytes(3))
    (finding,) = only(analyse([lab.path]), "CAP90")
    assert (finding.code, finding.count) == ("CAP906", 1)


def test_packets_that_cannot_be_decoded(lab: Lab) -> None:
    exchange(lab, lab.meet(), 0, 5)
    packet = lab.network.packets[-1]
    packet.data = packet.data[:20]  # ends inside the IP header
    (finding,) = lab.findings("CAP909")
    assert finding.count == 1
    assert finding.message.startswith("1 packet not decoded: ")
