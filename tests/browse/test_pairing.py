"""From a request to its reply and back, and from copy to copy, on real captures."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from evidence import capture_path

from dlmtrace.browse.pairing import next_copy, partner
from dlmtrace.browse.store import FrameStore
from dlmtrace.pipeline import Trace
from dlmtrace.streams.nodes import NodeTable
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.jsonl import FrameLines
from dlmtrace.views.naming import Naming


@cache
def browsed(file: str) -> tuple[FrameStore, NodeTable, list[dict[str, Any]]]:
    """The frames of a capture, and each as a line of JSON."""
    store, nodes = FrameStore(), NodeTable()
    for batch in Trace([str(capture_path(file))]).batches():
        store.add(batch)
        nodes.learn(batch)
    lines = []
    for _, batch in store.chunks():
        columns = FrameColumns(batch, np.arange(len(batch)), Naming(nodes, {}, [file]))
        lines += [json.loads(line) for line in FrameLines([file]).text(columns).splitlines()]
    return store, nodes, lines


def rows(file: str, **wanted: Any) -> list[int]:
    lines = browsed(file)[2]
    return [row for row, line in enumerate(lines) if all(line[key] == value for key, value in wanted.items())]


def test_a_resent_frame_and_its_copies_in_a_circle() -> None:
    # README: 795 goes out in packet 1586 and, behind the reset, again in 1599
    store, nodes, lines = browsed("rst-3.2-tcp.pcap")
    first, second = rows("rst-3.2-tcp.pcap", sequence=795, sender=1, command="OPTS/MSG")
    assert [lines[row]["packet"] for row in (first, second)] == [1586, 1599]
    assert next_copy(store, nodes, first) == second
    assert next_copy(store, nodes, second) == first
    once = rows("rst-3.2-tcp.pcap", sequence=700, sender=1, command="OPTS/MSG")
    assert next_copy(store, nodes, once[0]) == "this frame was sent once"
    ack = rows("rst-3.2-tcp.pcap", command="ACK")
    assert next_copy(store, nodes, ack[0]) == "only numbered frames are sent again"


@pytest.mark.parametrize("kind", ["REQUEST", "CONVERT", "UNLOCK"])
def test_replies_name_the_asker_s_lock_and_lead_back(kind: str) -> None:
    store, nodes, lines = browsed("gfs2-2node.pcap")
    found = 0
    for row in rows("gfs2-2node.pcap", type=kind)[:100]:
        reply = partner(store, nodes, row)
        if isinstance(reply, str):
            continue
        found += 1
        asked, answered = lines[row], lines[reply]
        assert answered["type"] == f"{kind}_REPLY"
        assert (answered["sender"], answered["receiver"]) == (asked["receiver"], asked["sender"])
        assert answered["message"]["m_remid"] == asked["message"]["m_lkid"]
        assert answered["lockspace"] == asked["lockspace"]
        assert reply > row
        assert partner(store, nodes, reply) == row
    assert found > 10


def test_a_lookup_is_answered_by_the_directory_or_by_the_master() -> None:
    store, nodes, lines = browsed("gfs2-2node.pcap")
    answers = {}
    for row in rows("gfs2-2node.pcap", type="LOOKUP"):
        reply = partner(store, nodes, row)
        assert isinstance(reply, int)
        message = lines[reply]["message"]
        asker = message["m_lkid" if lines[reply]["type"] == "LOOKUP_REPLY" else "m_remid"]
        assert asker == lines[row]["message"]["m_lkid"]
        answers[lines[reply]["type"]] = answers.get(lines[reply]["type"], 0) + 1
    # `dlmtrace info` of this capture (README): 224 LOOKUP, 119 LOOKUP_REPLY
    assert answers["LOOKUP_REPLY"] == 119
    assert answers["REQUEST_REPLY"] == 224 - 119


def test_a_conversion_downwards_has_no_reply() -> None:
    store, nodes, lines = browsed("gfs2-2node.pcap")
    down = [
        row
        for row in rows("gfs2-2node.pcap", type="CONVERT", granted_mode="EX")
        if lines[row]["requested_mode"] in ("NL", "PR")
    ]
    assert down
    assert partner(store, nodes, down[0]) == "a conversion to a weaker mode has no reply"


def test_recovered_locks_are_paired_one_by_one() -> None:
    file = "recovery-locks-3node.pcap"
    store, nodes, lines = browsed(file)
    asked = rows(file, type="LOCK")
    replies = [partner(store, nodes, row) for row in asked]
    assert len(asked) > 1
    for row, reply in zip(asked, replies, strict=True):
        assert isinstance(reply, int)
        ask, answer = lines[row]["recovery"], lines[reply]["recovery"]
        assert answer["rc_id"] == ask["rc_id"]
        assert answer["rc_buf"]["rl_lkid"] == ask["rc_buf"]["rl_lkid"]
        assert answer["rc_seq_reply"] == ask["rc_seq"]
        assert partner(store, nodes, reply) == row
    assert len(set(replies)) == len(asked)


def test_frames_without_a_partner_say_why() -> None:
    file = "gfs2-2node.pcap"
    store, nodes, _ = browsed(file)
    for kind in ("BAST", "GRANT"):
        assert partner(store, nodes, rows(file, type=kind)[0]) == "this frame neither asks for a reply nor is one"
