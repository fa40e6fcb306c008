"""What the capture lost is no fault of the cluster: exchanges in which nothing goes wrong, with packets missing."""

import pytest

from dlmtrace.craft import Connection, Node, Packet, ack, fin, opts, request, status
from findings.captured import SECOND, Lab, above_note


def lose_all_of(lab: Lab, node: Node) -> None:
    lab.network.lose(*[packet for packet in lab.network.packets if packet.sender is node])


def send(lab: Lab, connection: Connection, *numbers: int) -> list[Packet]:
    """Node 1 sends these numbers, each in a segment of its own, which TCP acknowledges."""
    packets: list[Packet] = []
    for number in numbers:
        packets += connection.send(lab.one, opts(number, request(b"resource", lkid=number + 1, sender=1)))
        lab.network.wait(SECOND // 1000)
    return packets


class TestAcknowledgedButNotSeen:
    """An ACK of numbers that the capture does not show: the sender's next frame tells whether they were sent."""

    def test_the_sender_went_on_behind_them_on_a_connection_that_was_not_captured(self, lab: Lab) -> None:
        seen, unseen = lab.meet(), lab.network.connect(lab.one, lab.two)
        send(lab, seen, 0)
        for number in (1, 2):
            frame = opts(number, request(b"resource", sender=1))
            lab.network.lose(*unseen.send(lab.one, frame, acknowledge=False))
        seen.send(lab.two, ack(3, sender=2))
        send(lab, seen, 3)
        assert above_note(lab.findings("ACK", "SEQ")) == []
        (finding,) = lab.findings("CAP910")
        assert (finding.seq_first, finding.seq_last) == (1, 2)

    def test_the_sender_went_on_with_them(self, lab: Lab) -> None:
        connection = lab.meet()
        send(lab, connection, 0)
        connection.send(lab.two, ack(3, sender=2))
        send(lab, connection, 1, 2)
        (finding,) = lab.findings("ACK301")
        assert finding.message == "ACK 3 confirms more than was sent (up to 0)"
        assert lab.codes("CAP910") == []

    def test_the_sender_repeats_what_was_lost_on_its_way(self, lab: Lab) -> None:
        """TCP sends bytes in order first: those behind 1 were there before the ACK, so 1 was, too."""
        connection = lab.meet()
        send(lab, connection, 0)
        (first,) = send(lab, connection, 1)
        send(lab, connection, 2)
        connection.send(lab.two, ack(3, sender=2))
        connection.retransmit(first)
        send(lab, connection, 3)
        assert above_note(lab.findings("ACK", "SEQ")) == []
        lab.network.lose(first)
        assert above_note(lab.findings("ACK", "SEQ")) == []

    def test_nothing_follows(self, lab: Lab) -> None:
        connection = lab.meet()
        send(lab, connection, 0)
        connection.send(lab.two, ack(3, sender=2))
        assert above_note(lab.findings("ACK", "SEQ", "CAP910")) == ["CAP910"]


def test_numbers_from_before_the_capture_are_not_sent_again(lab: Lab) -> None:
    """The capture begins with the ACK of 5; 3 and 4 were under way, as SCTP repeats them over another path."""
    connection = lab.meet()
    connection.send(lab.two, ack(5, sender=2))
    send(lab, connection, 3, 4, 5, 6)
    connection.send(lab.two, ack(7, sender=2))
    assert above_note(lab.findings("SEQ", "ACK")) == []


@pytest.mark.parametrize("lost", ["the sender's", "the receiver's", "nothing"])
def test_acks_are_missed_only_where_the_capture_is_whole(lab: Lab, lost: str) -> None:
    connection = lab.meet()
    send(lab, connection, 0)
    connection.send(lab.two, ack(1, sender=2) + opts(0, request(b"resource", sender=2)))
    hole = connection.send(lab.one, opts(1, request(b"x", sender=1)))
    hole_back = connection.send(lab.two, ack(2, sender=2))
    for number in range(2, 352):
        connection.send(lab.one, opts(number, request(b"resource", lkid=number, sender=1)))
        lab.network.wait(SECOND // 100)
    connection.send(lab.two, ack(352, sender=2))
    lab.network.lose(*{"the sender's": hole[:1], "the receiver's": hole_back[:1], "nothing": []}[lost])
    assert lab.codes("ACK304") == (["ACK304"] if lost == "nothing" else [])


class TestOneDirection:
    """Nothing that node 2 sent was captured: whether it got anything, nobody knows."""

    def test_a_reset_behind_which_nothing_seems_repeated(self, lab: Lab) -> None:
        first = lab.meet()
        send(lab, first, 0, 1, 2)
        first.send(lab.two, ack(3, sender=2))
        lab.network.wait(SECOND)
        first.reset(lab.one)
        second = lab.network.connect(lab.one, lab.two)
        send(lab, second, 3, 4)
        lab.network.wait(2 * SECOND)
        send(lab, second, 5)
        assert "CON401" not in lab.codes("CON")
        lose_all_of(lab, lab.two)
        assert above_note(lab.findings("SEQ", "CON4")) == ["CON403"]

    def test_of_a_pair_that_numbers_nothing(self, lab: Lab) -> None:
        first = lab.network.connect(lab.one, lab.two)
        first.send(lab.one, status(sender=1, h_version=0x30001))
        first.reset(lab.one)
        second = lab.network.connect(lab.one, lab.two)
        second.send(lab.one, request(b"resource", sender=1, h_version=0x30001))
        assert lab.codes("CON4") == ["CON402"]
        lose_all_of(lab, lab.two)
        assert lab.codes("CON4") == ["CON403"]


class TestAcknowledgementsOfTCP:
    """Without sequence numbers the verdict rests on what TCP acknowledged: a lossy capture does not know that."""

    @pytest.mark.parametrize(("lossy", "expected"), [(False, "CON402"), (True, "CON403")])
    def test_one_is_missing_and_another_packet(self, lab: Lab, lossy: bool, expected: str) -> None:
        first = lab.network.connect(lab.one, lab.two)
        older = first.send(lab.one, status(sender=1, h_version=0x30001))
        first.send(lab.two, status(sender=2, h_version=0x30001))
        first.send(lab.one, request(b"resource", sender=1, h_version=0x30001))
        acknowledgement = lab.network.packets[-1]
        first.reset(lab.two)
        second = lab.network.connect(lab.one, lab.two)
        second.send(lab.one, request(b"resource", sender=1, h_version=0x30001))
        if lossy:
            lab.network.lose(acknowledgement, *older)
        assert lab.codes("CON4") == [expected]

    @pytest.mark.parametrize(
        ("repeated_after", "silent", "expected"),
        [(None, 500, "CON403"), (None, 300, "CON401"), (200, 300, "CON401")],
    )
    def test_all_are_missing(self, lab: Lab, repeated_after: int | None, silent: int, expected: str) -> None:
        """TCP repeats after 400 ms at the latest what was not acknowledged; times in ms."""
        first = lab.network.connect(lab.one, lab.two)
        first.send(lab.one, status(sender=1, h_version=0x30001))
        first.send(lab.two, status(sender=2, h_version=0x30001))
        (sent,) = first.send(lab.one, request(b"resource", sender=1, h_version=0x30001))
        lab.network.lose(lab.network.packets[-1])
        if repeated_after is not None:
            lab.network.wait(repeated_after * SECOND // 1000)
            first.retransmit(sent)
        lab.network.wait(silent * SECOND // 1000)
        first.reset(lab.two)
        second = lab.network.connect(lab.one, lab.two)
        second.send(lab.one, request(b"resource", sender=1, h_version=0x30001))
        assert lab.codes("CON4") == [expected]


class TestTheBeginningOfANewNumbering:
    """Both nodes start again at 0 on a second connection."""

    @pytest.fixture
    def begun(self, lab: Lab) -> list[Packet]:
        first = lab.meet()
        send(lab, first, *range(20))
        first.send(lab.two, opts(0, request(b"resource", sender=2)) + ack(20, sender=2))
        first.send(lab.one, ack(1))
        first.reset(lab.two)
        lab.network.wait(SECOND)
        second = lab.meet(lab.two, lab.one)
        begun = second.send(lab.one, opts(0, request(b"another", sender=1)))
        begun += second.send(lab.two, opts(0, request(b"another", sender=2)))
        for number in range(1, 10):
            second.send(lab.one, opts(number, request(b"a third one", sender=1)))
            second.send(lab.two, opts(number, request(b"a third one", sender=2)))
        return begun

    def test_is_seen(self, lab: Lab, begun: list[Packet]) -> None:
        assert begun
        assert lab.codes("SEQ206", "CON4") == ["CON408", "CON408"]

    @pytest.mark.parametrize("lost", [[0], [1], [0, 1]])
    def test_is_lost_by_the_capture(self, lab: Lab, begun: list[Packet], lost: list[int]) -> None:
        lab.network.lose(*[begun[index] for index in lost])
        assert not {"SEQ206", "CON401"} & set(lab.codes("SEQ", "CON4"))


def test_frames_that_waited_behind_a_hole_of_a_dead_connection_belong_to_its_epoch(lab: Lab) -> None:
    first = lab.meet()
    send(lab, first, 0, 1)
    for number in (2, 3, 4):  # TCP's acknowledgements of these were not captured either
        packets = first.send(lab.one, opts(number, request(b"resource", sender=1)), acknowledge=False)
        lab.network.lose(*packets[: number == 2])
    lab.network.wait(SECOND)
    second = lab.meet(lab.two, lab.one)
    for number in range(8):
        second.send(lab.one, opts(number, request(b"another", sender=1)))
        second.send(lab.two, opts(number, request(b"another", sender=2)))
    assert lab.codes("SEQ206") == []


def test_a_frame_cut_by_a_lost_chunk_and_those_behind_it_were_not_left_out(lab: Lab) -> None:
    association = lab.network.associate(lab.one, lab.two)
    association.send(lab.one, status(sender=1))
    association.send(lab.two, status(sender=2))
    frames = [opts(number, request(b"a rather long name of a resource", sender=1)) for number in range(8)]
    packets = association.send(lab.one, b"".join(frames), sizes=200)
    association.send(lab.one, opts(8, request(b"x", sender=1)))
    lab.network.lose(packets[1])
    assert "SEQ201" not in lab.codes("SEQ")


def test_the_new_beginning_is_not_seen_and_its_first_number_was_missing_before(lab: Lab) -> None:
    """5 was lost by the capture before, so that its first frame afterwards looks like the lost one."""
    first = lab.meet()
    send(lab, first, *range(5))
    lab.network.lose(*send(lab, first, 5))
    send(lab, first, *range(6, 12))
    first.send(lab.two, ack(12, sender=2))
    first.reset(lab.two)
    lab.network.wait(SECOND)
    second = lab.meet(lab.two, lab.one)
    for number in range(10):
        packets = second.send(lab.one, opts(number, request(b"another", sender=1)))
        lab.network.lose(*packets[: number < 5])
    assert lab.codes("SEQ206") == []


@pytest.mark.parametrize(("sent", "code"), [(1, "CON403"), (20, "CON404")])
def test_a_new_beginning_that_the_hole_has_room_for_is_not_safe(lab: Lab, sent: int, code: str) -> None:
    """The first new frame fits behind the old numbers, and behind as many new ones as the hole can hold as well."""
    first = lab.meet()
    send(lab, first, *range(sent))
    first.send(lab.two, ack(sent, sender=2))
    first.reset(lab.two)
    second = lab.meet()
    lab.network.lose(*send(lab, second, 0))
    send(lab, second, sent, sent + 1)
    second.send(lab.two, ack(sent + 2, sender=2))
    assert lab.codes("CON40") == [code]


@pytest.mark.parametrize("lost", [[2], [0, 1]])
def test_a_standstill_is_not_safe_because_the_capture_lost_something(lab: Lab, lost: list[int]) -> None:
    """2 is lost with the first connection and comes again over the third one only; the second one has a hole."""
    first = lab.meet()
    send(lab, first, 0, 1)
    first.send(lab.two, ack(2, sender=2))
    packets = first.send(lab.one, opts(2, request(b"resource", sender=1)), acknowledge=False)
    lab.network.wait(SECOND)
    first.reset(lab.two)
    second = lab.network.connect(lab.one, lab.two)
    packets += send(lab, second, 3, 4, 5, 6)
    lab.network.wait(2 * SECOND)
    second.reset(lab.two)
    third = lab.network.connect(lab.one, lab.two)
    send(lab, third, 2, 3, 4, 5, 6)
    third.send(lab.two, ack(7, sender=2))
    assert lab.codes("CON40")[0] == "CON401"
    lab.network.lose(*[packets[place] for place in lost])
    assert lab.codes("CON40")[0] == "CON403"


def test_a_standstill_is_not_safe_because_its_connection_was_not_captured(lab: Lab) -> None:
    """2 is lost with the first connection and comes again over the third one only.  That there was a second one, only
    node 2's numbers show, after all is confirmed."""
    first = lab.meet()
    send(lab, first, 0, 1)
    first.send(lab.two, ack(2, sender=2) + opts(0, request(b"resource", sender=2)))
    first.send(lab.one, opts(2, request(b"resource", lkid=3, sender=1)), acknowledge=False)
    lab.network.wait(SECOND)
    first.reset(lab.two)
    before = len(lab.network.packets)
    second = lab.network.connect(lab.one, lab.two)
    send(lab, second, 3, 4, 5, 6)
    second.send(lab.two, opts(1, request(b"resource", sender=2)))
    lab.network.wait(3 * SECOND)
    second.reset(lab.two)
    of_second = lab.network.packets[before:]
    third = lab.network.connect(lab.one, lab.two)
    send(lab, third, 2, 3, 4, 5, 6)
    third.send(lab.two, ack(7, sender=2))
    send(lab, third, 7)
    third.send(lab.two, ack(8, sender=2) + opts(2, request(b"resource", sender=2)))
    third.send(lab.one, ack(3, sender=1))
    assert "CON401" in lab.codes("CON40")
    lab.network.lose(*of_second)
    assert "CON403" in lab.codes("CON40")
    assert not {"CON401", "CON404"} & set(lab.codes("CON40"))


@pytest.mark.parametrize("lost", ["nothing", "the sender's packets", "all packets"])
def test_a_standstill_is_not_safe_because_its_repair_was_not_captured(lab: Lab, lost: str) -> None:
    """2 is lost with the first connection and comes again over the third one, of which the capture may lack a part:
    what the receiver confirms then is no more than what it has seen before, at first."""
    back, first = lab.meet(lab.two, lab.one), lab.meet()
    send(lab, first, 0, 1)
    back.send(lab.two, ack(2, sender=2))
    first.send(lab.one, opts(2, request(b"resource", lkid=3, sender=1)), acknowledge=False)
    lab.network.wait(SECOND)
    first.reset(lab.two)
    second = lab.network.connect(lab.one, lab.two)
    send(lab, second, 3, 4, 5, 6)
    lab.network.wait(2 * SECOND)
    second.reset(lab.two)
    before = len(lab.network.packets)
    third = lab.network.connect(lab.one, lab.two)
    send(lab, third, 2, 3, 4, 5, 6, 7, 8)
    of_third = lab.network.packets[before:]
    back.send(lab.two, ack(7, sender=2))
    back.send(lab.two, ack(9, sender=2))
    lab.network.wait(SECOND)
    match lost:
        case "the sender's packets":
            lab.network.lose(*[packet for packet in of_third if packet.sender is lab.one])
        case "all packets":
            lab.network.lose(*of_third)
    assert lab.codes("CON40")[0] == ("CON401" if lost == "nothing" else "CON403")


def test_the_last_acknowledgement_before_a_reset_was_not_captured(lab: Lab) -> None:
    """Nothing follows it on its connection: it shows by TCP's acknowledgement alone."""
    back, first = lab.meet(lab.two, lab.one), lab.meet()
    send(lab, first, 0, 1)
    back.send(lab.two, ack(2, sender=2))
    first.send(lab.one, opts(2, request(b"resource", lkid=3, sender=1)), acknowledge=False)
    last = back.send(lab.two, ack(3, sender=2))
    lab.network.wait(SECOND)
    back.reset(lab.two)
    first.reset(lab.two)
    third = lab.network.connect(lab.one, lab.two)
    send(lab, third, 3, 4)
    lab.network.wait(2 * SECOND)
    third.reset(lab.two)
    send(lab, lab.network.connect(lab.one, lab.two), 5)
    assert lab.codes("SEQ202", "CON4") == ["CON404", "CON403"]
    lab.network.lose(*last)
    assert lab.codes("SEQ202", "CON4") == ["CON403", "CON403"]


class TestTheCaptureEndsInAStandstill:
    """2 and 3 are lost with the first connection, and the stream goes on with 4 … on the second one."""

    @pytest.fixture
    def second(self, lab: Lab) -> Connection:
        first = lab.meet()
        send(lab, first, 0, 1)
        first.send(lab.two, ack(2, sender=2))
        for number in (2, 3):
            first.send(lab.one, opts(number, request(b"resource", lkid=number + 1, sender=1)), acknowledge=False)
        lab.network.wait(SECOND)
        first.reset(lab.two)
        second = lab.network.connect(lab.one, lab.two)
        send(lab, second, 4, 5)
        return second

    def test_soon(self, lab: Lab, second: Connection) -> None:
        """What was queued goes out first: 2 and 3 may follow."""
        assert lab.codes("SEQ2", "CON4") == ["CON403"]
        send(lab, second, 2, 3, 4, 5)
        second.send(lab.two, ack(6, sender=2))
        assert lab.codes("SEQ202", "CON4") == ["CON404"]

    def test_after_what_was_queued_and_part_of_what_is_repeated(self, lab: Lab, second: Connection) -> None:
        send(lab, second, 2)
        assert lab.codes("SEQ202", "CON4") == ["CON403"]

    def test_after_an_acknowledgement(self, lab: Lab, second: Connection) -> None:
        """The receiver has what was queued, and still expects 2; what else was sent since is no news of that."""
        second.send(lab.two, ack(2, sender=2))
        send(lab, second, 6)
        assert lab.codes("SEQ202", "CON4") == ["CON401"]

    def test_late(self, lab: Lab, second: Connection) -> None:
        """It is one; but the next reconnect may still bring what the receiver waits for."""
        lab.network.wait(2 * SECOND)
        send(lab, second, 6)
        assert lab.codes("SEQ2", "CON4") == ["CON401", "SEQ211"]
        second.reset(lab.two)
        third = lab.network.connect(lab.one, lab.two)
        send(lab, third, 2, 3, 4, 5, 6)
        third.send(lab.two, ack(7, sender=2))
        assert lab.codes("SEQ202", "CON401") == ["CON401"]

    def test_for_good(self, lab: Lab, second: Connection) -> None:
        """The sender takes its leave and closes: nothing can bring them any more."""
        lab.network.wait(2 * SECOND)
        second.send(lab.one, fin(6, sender=1))
        second.close(lab.one)
        assert lab.codes("SEQ202", "CON401") == ["CON401", "SEQ202"]
