"""What a batch of frames says about their senders, and about bytes that belong to no frame."""

from pathlib import Path

import pytest
from evidence import capture_path

from dlmtrace.craft import Network, ack, status
from dlmtrace.pipeline import Trace


@pytest.mark.parametrize("file", ["rst-3.2-tcp.pcap", "sctp-6.12.pcap", "two-spaces-3node.pcap"])
def test_ends_name_the_sender_of_every_frame(file: str) -> None:
    seen = 0
    for batch in Trace([str(capture_path(file))]).batches():
        senders = [(int(frame["connection"]) * 2 + int(frame["side"])) for frame in batch.frames]
        ends = batch.ends
        assert ends.number.tolist() == sorted(set(senders))
        assert ends.number[ends.of].tolist() == senders
        assert ends.first.tolist() == [senders.index(number) for number in ends.number.tolist()]
        last = {number: row for row, number in enumerate(senders)}
        assert ends.last.tolist() == [last[number] for number in ends.number.tolist()]
        seen += len(senders)
    assert seen


def test_a_skip_says_where_its_bytes_are(tmp_path: Path) -> None:
    broken = ack(5, h_length=7) + b"not a frame"
    with Network(tmp_path / "bad.pcap") as network:
        one, two = network.node(1, "10.0.0.1"), network.node(2, "10.0.0.2")
        connection = network.connect(one, two)
        connection.send(one, status() + ack(4))
        connection.send(one, broken)
    skipped = []
    for batch in Trace([str(tmp_path / "bad.pcap")]).batches():
        for skip in batch.skips:
            skipped.append(batch.buffer[skip["offset"] : skip["offset"] + skip["length"]].tobytes())
    assert b"".join(skipped) == broken
