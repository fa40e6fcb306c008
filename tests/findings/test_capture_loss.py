"""What the capture lost is no fault of the cluster: exchanges in which nothing goes wrong, with packets missing."""

import pytest

from dlmtrace.craft import Connection, Packet, ack, opts, request
from findings.captured import SECOND, Lab, above_note


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
