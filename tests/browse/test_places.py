"""Which frame a finding leads to, and what a filter takes while the capture is still being read."""

from functools import cache

from evidence import capture_path

from dlmtrace.browse.places import FindingPlaces, Selected
from dlmtrace.browse.store import FrameStore
from dlmtrace.capture.packets import PACKET_BITS, packet_number
from dlmtrace.cli.filter_line import read_filter
from dlmtrace.pipeline import Trace
from dlmtrace.streams.nodes import NodeTable
from dlmtrace.streams.results import Finding
from dlmtrace.views.naming import Naming

FILE = "rst-3.2-tcp.pcap"
SECOND_FILE = 1 << PACKET_BITS


@cache
def stored(*files: str) -> FrameStore:
    store = FrameStore()
    for batch in Trace([str(capture_path(file)) for file in files]).batches():
        store.add(batch)
    return store


def rows_of(store: FrameStore, *findings: Finding) -> list[int]:
    places = FindingPlaces(store)
    places.note(list(findings))
    found = {id(finding): row for row, finding in places.places()}
    return [found[id(finding)] for finding in findings]


def test_the_frame_with_the_number_among_those_of_the_packet() -> None:
    # README: packet 1599 carries 799, 800, 795, 796, 797, 798, 799, 800, 801
    store = stored(FILE)
    (row,) = rows_of(store, Finding("SEQ204", "", packet=1599, seq_first=797))
    batch = store.rows(row - 2, row + 2)
    assert batch.sequence.tolist() == [795, 796, 797, 798]
    assert {packet_number(packet) for packet in batch.frames["packet"].tolist()} == {1599}
    assert rows_of(store, Finding("CON404", "", packet=1599)) == [row - 4]


def test_the_next_frame_where_the_packet_carries_none_and_the_last_where_none_follows() -> None:
    store = stored(FILE)
    first, last = (packet_number(int(store.records(row, row + 1)["packet"][0])) for row in (0, store.count - 1))
    findings = [Finding("CAP902", "", packet=number) for number in (1, first, last, last + 1000)]
    assert rows_of(store, *findings) == [0, 0, store.count - 1, store.count - 1]


def test_packets_of_another_file_do_not_come_after_those_of_this_one() -> None:
    store = stored("sctp-multihome.net0.pcap", "sctp-multihome.net1.pcap")
    row, other = rows_of(store, Finding("CAP902", "", packet=1), Finding("CAP902", "", packet=SECOND_FILE | 1))
    assert store.records(row, row + 1)["packet"][0] < SECOND_FILE <= store.records(other, other + 1)["packet"][0]


def test_the_gravest_finding_marks_its_packet() -> None:
    places = FindingPlaces(stored(FILE))
    findings = [Finding("SEQ204", "", packet=7), Finding("SEQ211", "", packet=7), Finding("CAP906", "", packet=8)]
    places.note(findings)
    findings.append(Finding("SEQ203", "", packet=8))
    places.note(findings)
    assert [places.worst(packet) for packet in (7, 8, 9)] == ["error", "warning", None]
    assert len(places.places()) == 4


def test_a_filter_goes_on_with_what_comes_later() -> None:
    store, naming = FrameStore(), Naming(NodeTable(), {}, [FILE])
    selected = Selected(store, read_filter("--seq 795 --node 1 --command OPTS", 0).selection)
    assert not selected.search(naming)
    for batch in Trace([str(capture_path(FILE))]).batches():
        store.add(batch)
        while selected.search(naming):
            pass
    packets = [packet_number(int(store.records(row, row + 1)["packet"][0])) for row in selected.rows]
    assert packets == [1586, 1599]  # sent, and sent again (README)
    assert selected.searched == store.count
