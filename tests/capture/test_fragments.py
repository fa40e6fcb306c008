"""IP fragments, in whatever order and shape they come, against the datagram they were cut from."""

from collections.abc import Sequence

import pytest
from batches import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from dlmtrace.capture.dissect import Dissector
from dlmtrace.capture.fragments import MEMORY, Fragment, Reassembler
from dlmtrace.capture.segments import Segments, TrafficSummary
from dlmtrace.capture.tally import Tally

DLM = frozenset({21064})
SECOND = 10**9
ETHERNET = bytes(Ether(src="52:54:00:00:00:01", dst="52:54:00:00:00:02", type=0x0800))
ETHERNET_IPV6 = ETHERNET[:12] + b"\x86\xdd"
PAYLOAD = bytes(range(256)) * 4 + b"the end"
JOINED = "fragment of a reassembled IPv4 datagram"
INCOMPLETE = "fragment of an incomplete IPv4 datagram"


def segment(payload: bytes = PAYLOAD) -> bytes:
    return bytes(TCP(sport=21064, dport=40001, seq=9, ack=2, flags="PA", chksum=0) / Raw(payload))


def piece(start: int, stop: int, data: bytes | None = None, version: int = 4, identification: int = 77) -> bytes:
    """The fragment that carries bytes start:stop of ``data``."""
    data = segment() if data is None else data
    more = stop < len(data)
    if version == 4:
        header = IP(src="10.77.0.1", dst="10.77.0.2", id=identification, proto=6, frag=start // 8, flags=int(more))
        return ETHERNET + bytes(header / Raw(data[start:stop]))
    header = IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrFragment(
        nh=6, offset=start // 8, m=int(more), id=identification
    )
    return ETHERNET_IPV6 + bytes(header / Raw(data[start:stop]))


def dissect(
    packets: Sequence[bytes], times: Sequence[int] | None = None, lengths: Sequence[int] | None = None
) -> tuple[Segments, TrafficSummary]:
    dissector = Dissector(DLM)
    traffic = dissector.feed(batch_of(packets, times=times, lengths=lengths))
    dissector.finish()
    return traffic.tcp, dissector.summary


def payload(tcp: Segments, index: int = 0) -> bytes:
    return tcp.buffer[tcp.data[index] : tcp.data[index] + tcp.captured[index]].tobytes()


@st.composite
def fragmentations(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Ranges that cover the segment, overlapping and repeated at will, in any order."""
    size = len(segment())
    cuts = sorted({0, *draw(st.lists(st.integers(1, (size - 1) // 8), max_size=12))})
    starts = [cut * 8 for cut in cuts]
    ranges = list(zip(starts, [*starts[1:], size], strict=True))
    eighths = st.integers(0, size // 8)
    for first, last in draw(st.lists(st.tuples(eighths, eighths), max_size=6)):
        if first < last:
            ranges.append((first * 8, last * 8))
    return draw(st.permutations(ranges))


@pytest.mark.parametrize("version", [4, 6])
@settings(deadline=None)
@given(ranges=fragmentations())
def test_fragments_in_any_order_give_the_datagram(version: int, ranges: list[tuple[int, int]]) -> None:
    tcp, summary = dissect([piece(start, stop, version=version) for start, stop in ranges])
    assert payload(tcp) == PAYLOAD
    assert (tcp.sequence[0], tcp.length[0], tcp.captured[0]) == (9, len(PAYLOAD), len(PAYLOAD))
    assert tcp.identification[0] == (-1 if version == 6 else 77)
    joined = f"fragment of a reassembled IPv{version} datagram"
    incomplete = f"fragment of an incomplete IPv{version} datagram"
    counted = summary.dlm_packets + summary.other.get(joined, 0) + summary.undecodable.get(incomplete, 0)
    assert counted == len(ranges)


@settings(deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 4), st.booleans(), st.integers(0, 32)), min_size=2, max_size=10
    )
)
def test_no_byte_is_invented_however_fragments_contradict_each_other(parts: list[tuple[int, int, bool, int]]) -> None:
    """Each byte names the fragment that it came in and its place: 0 would be invented, another place would be wrong."""
    reassembler = Reassembler(Tally())
    sent: list[dict[int, int]] = []
    for number, (position, size, more, held) in enumerate(parts):
        places = range(position * 8, (position + size) * 8)
        sent.append({place: 1 + (number * 80 + place) % 255 for place in places[:held]})
        data = bytes(sent[-1].values())
        whole = reassembler.feed(Fragment(4, (b"", 6, 1), bytes(20), 6, position * 8, more, size * 8, data), number)
        if whole is not None:
            for place, byte in enumerate(whole.data[20:]):
                assert byte in [origin.get(place) for origin in sent]


@pytest.mark.parametrize("reverse", [False, True])
def test_fragments_as_scapy_cuts_them(reverse: bool) -> None:
    ipv4: Packet = IP(src="10.77.0.1", dst="10.77.0.2", id=5, options=[IPOption_Router_Alert()]) / TCP(segment())
    ipv6: Packet = (
        IPv6(src="fd00::1", dst="fd00::2")
        / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(2))])
        / IPv6ExtHdrFragment(id=5)
        / TCP(segment())
    )
    packets = [ETHERNET + bytes(part) for part in fragment(ipv4, 400)]
    packets += [ETHERNET_IPV6 + bytes(part) for part in fragment6(ipv6, 400)]
    if reverse:
        packets.reverse()
    tcp, summary = dissect(packets)
    assert [payload(tcp, index) for index in (0, 1)] == [PAYLOAD, PAYLOAD]
    assert summary.dlm_packets == 2
    assert sum(summary.other.values()) == len(packets) - 2


def test_row_of_a_datagram_is_the_packet_that_completed_it() -> None:
    before, after = piece(0, len(segment(b"before")), segment(b"before")), piece(0, 23, segment(b"aft"))
    tcp, summary = dissect([piece(512, len(segment())), before, piece(0, 512), after])
    assert tcp.row.tolist() == [1, 2, 3]
    assert [payload(tcp, index) for index in range(3)] == [b"before", PAYLOAD, b"aft"]
    assert (summary.dlm_packets, summary.other) == (3, {JOINED: 1})


def test_a_datagram_over_three_batches() -> None:
    dissector = Dissector(DLM)
    parts = [piece(0, 400), piece(400, 800), piece(800, len(segment()))]
    traffics = [dissector.feed(batch_of([part])) for part in parts]
    assert [len(traffic.tcp.row) for traffic in traffics] == [0, 0, 1]
    assert payload(traffics[2].tcp) == PAYLOAD


def test_the_buffer_is_copied_only_for_a_datagram_that_was_put_together() -> None:
    whole = piece(0, len(segment()))
    batch = batch_of([whole, piece(0, 400)])
    assert Dissector(DLM).feed(batch).tcp.buffer is batch.buffer
    batch = batch_of([whole, piece(0, 400, identification=1), piece(400, len(segment()), identification=1)])
    tcp = Dissector(DLM).feed(batch).tcp
    assert tcp.buffer[: len(batch.buffer)].tobytes() == batch.buffer.tobytes()
    assert [payload(tcp, 0), payload(tcp, 1)] == [PAYLOAD, PAYLOAD]


def test_first_copy_of_a_byte_wins() -> None:
    """Bytes 400:800 come twice with different contents, the second time as a part of 200:1000."""
    other = bytes(byte ^ 0xFF for byte in segment())
    parts = [piece(0, 200), piece(400, 800), piece(200, 1000, other), piece(1000, len(segment()))]
    tcp, _ = dissect(parts)
    expected = segment()[:200] + other[200:400] + segment()[400:800] + other[800:1000] + segment()[1000:]
    assert payload(tcp) == expected[20:]


def test_datagrams_are_told_apart_by_identification_and_addresses() -> None:
    one, two = segment(b"one" * 100), segment(b"two" * 100)
    turned = bytearray(piece(160, len(one), one))
    turned[26:30], turned[30:34] = turned[30:34], turned[26:30]  # the other way round: source and destination
    tcp, summary = dissect(
        [
            piece(0, 160, one, identification=1),
            piece(0, 160, two, identification=2),
            bytes(turned),
            piece(160, len(two), two, identification=2),
            piece(160, len(one), one, identification=1),
        ]
    )
    assert [payload(tcp, index) for index in (0, 1)] == [b"two" * 100, b"one" * 100]
    assert summary.undecodable == {INCOMPLETE: 1}


def test_packets_captured_twice_give_one_datagram() -> None:
    parts = [piece(0, 400), piece(400, len(segment()))]
    tcp, summary = dissect([parts[0], parts[0], parts[1], parts[1]])
    assert payload(tcp) == PAYLOAD
    assert (len(tcp.row), summary.dlm_packets, summary.other, summary.undecodable) == (1, 1, {JOINED: 3}, {})


def test_an_identification_used_again_is_a_new_datagram() -> None:
    new = segment(PAYLOAD[::-1])
    parts = [piece(0, 400), piece(400, len(segment())), piece(0, 400, new), piece(400, len(new), new)]
    tcp, _ = dissect(parts)
    assert [payload(tcp, index) for index in (0, 1)] == [PAYLOAD, PAYLOAD[::-1]]


def test_incomplete_datagrams_are_given_up_after_30_seconds() -> None:
    parts = [piece(0, 400), piece(400, len(segment()))]
    tcp, summary = dissect(parts, times=[0, 31 * SECOND])
    assert len(tcp.row) == 0
    assert summary.undecodable == {INCOMPLETE: 2}
    tcp, summary = dissect(parts, times=[0, 29 * SECOND])
    assert payload(tcp) == PAYLOAD
    assert summary.undecodable == {}


def test_memory_is_bounded_and_the_oldest_goes() -> None:
    data = segment(bytes(8000))
    firsts = [piece(0, 8000, data, identification=number) for number in range(MEMORY // 8000 + 10)]
    rest = [piece(8000, len(data), data, identification=number) for number in (0, len(firsts) - 1)]
    tcp, summary = dissect([*firsts, *rest])
    assert tcp.row.tolist() == [len(firsts) + 1]
    assert summary.undecodable[INCOMPLETE] == len(firsts)
    assert sum(summary.other.values()) == 1


def test_other_protocols_are_not_put_together() -> None:
    udp = IP(src="10.77.0.1", dst="10.77.0.2", id=5) / UDP(sport=21064, dport=21064) / Raw(bytes(1000))
    _, summary = dissect([ETHERNET + bytes(part) for part in fragment(udp, 400)])
    assert (summary.other, summary.undecodable) == ({"UDP": 3}, {})


def test_fragments_that_cannot_be() -> None:
    odd = bytearray(piece(0, 404))  # more follow, but the length is no multiple of 8
    far = bytearray(piece(8, 808))
    far[20:22] = b"\x3f\xff"  # beyond 65,535 bytes
    _, summary = dissect([bytes(odd), bytes(far)])
    assert summary.undecodable == {"bad IPv4 fragment": 2}


def test_a_fragment_cut_by_the_snaplen_ends_what_is_known() -> None:
    """Bytes behind the cut are neither invented nor moved: the payload ends there, its length on the wire stays."""
    parts = [piece(0, 400), piece(400, 800), piece(800, len(segment()))]
    lengths = [len(part) for part in parts]
    tcp, summary = dissect([parts[0], parts[1][: 34 + 100], parts[2]], lengths=lengths)
    assert (tcp.length[0], tcp.captured[0]) == (len(PAYLOAD), 480)
    assert payload(tcp) == PAYLOAD[:480]
    assert summary.cut_packets == 1


def test_a_datagram_inside_another_ones_fragments() -> None:
    inner = bytes(IPv6ExtHdrFragment(nh=6, offset=0, m=1, id=1)) + segment()
    parts = []
    for start, stop in ((0, 400), (400, len(inner))):
        header = IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrFragment(
            nh=44, offset=start // 8, m=int(stop < len(inner)), id=9
        )
        parts.append(ETHERNET_IPV6 + bytes(header / Raw(inner[start:stop])))
    tcp, summary = dissect(parts)
    assert len(tcp.row) == 0
    assert summary.undecodable == {"fragment inside a fragmented datagram": 1}
