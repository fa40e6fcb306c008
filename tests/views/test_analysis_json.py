"""The JSON of analyze has exactly the keys of its contract, of the right types, and says what the values say."""

import json
import re
from typing import Any

import pytest
from evidence import CAPTURES, capture_path

from dlmtrace.capture.packets import PACKET_BITS, FileSummary
from dlmtrace.findings.outcome import Outcome
from dlmtrace.pipeline import Trace
from dlmtrace.streams.analysis import Analysis
from dlmtrace.streams.results import Epoch, Finding, Reconnect, Stream
from dlmtrace.views import analysis_schema
from dlmtrace.views.analysis import (
    FrameCounts,
    Run,
    document,
    finding_record,
    reconnect_record,
    stream_record,
    summary_record,
)

CONTRACT = {
    "": "schema capture nodes connections streams reconnects findings summary",
    "capture": "files packets bytes first_time last_time dlm_packets frames",
    "capture.files[]": "name format packets bytes first_time last_time link_types",
    "nodes[]": "node addresses versions frames_sent",
    "connections[]": "connection transport client server first_packet last_packet opened closed ended_by "
    "handshake_seen directions",
    "connections[].directions[]": "sender receiver bytes frames hole_bytes tcp_retransmitted_bytes tcp_out_of_order",
    "streams[]": "sender receiver version connections frames commands epochs",
    "streams[].commands": "MSG RCOM OPTS ACK FIN",
    "streams[].epochs[]": "seq_first seq_last frames delivered duplicates missing confirmed_to ended_by",
    "reconnects[]": "reconnect sender receiver old_connection new_connection ended_by ended resumed unconfirmed resent "
    "already_delivered lost lost_frames repaired_by verdict reason",
    "findings[]": "code name severity sender receiver connection file packet time seq_first seq_last count message "
    "evidence",
    "summary": "errors warnings notes reconnects verdict",
    "summary.reconnects": "safe unsafe reset unprotected inconclusive",
}
"""The keys as they were agreed on, by object."""

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}
TIMES = {"first_time", "last_time", "opened", "closed", "ended", "resumed", "time"}
FREE = {"nodes[].versions", "findings[].evidence"}
"""Objects whose keys are data."""


def analysed(file: str) -> tuple[Run, list[Finding]]:
    trace = Trace([str(CAPTURES / f"{file}.zst")])
    analysis, counts, outcome = Analysis(), FrameCounts(), Outcome()
    for batch in trace.batches():
        counts.add(batch)
        analysis.feed(batch)
    analysis.finish(trace.capture.facts, trace.traffic)
    for finding in analysis.findings:
        outcome.add(finding)
    return Run(trace.capture.files, trace.traffic.dlm_packets, counts, analysis, outcome), analysis.findings


def check(value: dict[str, Any], path: str = "") -> None:
    """Keys, types and forms of an object and of all that it holds."""
    keys = analysis_schema.OBJECTS[path]
    assert list(value) == [key.name for key in keys]
    for key in keys:
        held = value[key.name]
        allowed = [kind for word in key.kind.split(" or ") for kind in TYPES[word.split()[0]]]
        assert type(held) in allowed, (path, key.name, held)
        below = f"{path}.{key.name}".lstrip(".")
        if key.name in TIMES and held is not None:
            assert re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{9}Z", held)
        if isinstance(held, dict) and below not in FREE:
            check(held, below)
        elif isinstance(held, list):
            for element in held:
                if isinstance(element, dict):
                    check(element, f"{below}[]")
                elif "[first, last]" in key.kind:
                    assert [type(number) for number in element] == [int, int]
                else:
                    assert type(element) is (int if "numbers" in key.kind else str)


def test_the_schema_is_the_contract() -> None:
    assert {path: " ".join(key.name for key in keys) for path, keys in analysis_schema.OBJECTS.items()} == CONTRACT


@pytest.mark.parametrize(
    "file",
    [
        "rst-stall-6.12-tcp.pcap",
        "crash-3node.pcap",
        "mid-capture.snap96.pcap",
        "clean-3.1-tcp.pcap",
        "sctp-multihome.net1.pcap",
        "forged-3.2-tcp.pcap",
    ],
)
def test_documents_of_real_captures_have_every_key_and_only_these(file: str) -> None:
    found = json.loads(json.dumps(document(*analysed(file))))
    check(found)
    assert found["schema"] == "dlmtrace.analysis/1"
    assert found["capture"]["files"][0]["name"] == str(capture_path(file))
    assert found["capture"]["frames"] == sum(
        direction["frames"] for connection in found["connections"] for direction in connection["directions"]
    )


def test_a_document_without_anything_is_whole() -> None:
    empty = Run([FileSummary("x.pcap", "pcap")], 0, FrameCounts(), Analysis(), Outcome(empty=True))
    found = json.loads(json.dumps(document(empty, [])))
    check(found)
    assert found["capture"]["first_time"] is None
    none = dict.fromkeys(("safe", "unsafe", "reset", "unprotected", "inconclusive"), 0)
    assert found["summary"] == {"errors": 0, "warnings": 0, "notes": 0, "reconnects": none, "verdict": "inconclusive"}


FILES = [FileSummary("one.pcap", "pcap"), FileSummary("two.pcap", "pcap")]


def test_a_finding_names_its_file_and_takes_name_and_severity_from_the_catalogue() -> None:
    finding = Finding(
        "SEQ211",
        "the receiver waited 2.45 s for 804 and dropped 578 frames",
        sender=1,
        receiver=2,
        connection="c2",
        packet=(1 << PACKET_BITS) | 1286,
        time=1_795_324_696_157_645_000,
        seq_first=804,
        seq_last=804,
        count=578,
        evidence={"from": 1_795_324_696_157_645_000, "until": 1_795_324_698_607_354_001, "dropped": 578},
    )
    assert finding_record(finding, FILES) == {
        "code": "SEQ211",
        "name": "stalled-stream",
        "severity": "error",
        "sender": 1,
        "receiver": 2,
        "connection": "c2",
        "file": "two.pcap",
        "packet": 1286,
        "time": "2026-11-22T05:18:16.157645000Z",
        "seq_first": 804,
        "seq_last": 804,
        "count": 578,
        "message": "the receiver waited 2.45 s for 804 and dropped 578 frames",
        "evidence": {
            "from": "2026-11-22T05:18:16.157645000Z",
            "until": "2026-11-22T05:18:18.607354001Z",
            "dropped": 578,
        },
    }


def test_what_a_finding_does_not_have_is_null() -> None:
    assert finding_record(Finding("CAP902", "3 packets cut", sender=-2, receiver=7), FILES) == {
        "code": "CAP902",
        "name": "truncated-packet",
        "severity": "warning",
        "sender": None,  # an address whose node no frame has told
        "receiver": 7,
        "connection": None,
        "file": None,
        "packet": None,
        "time": None,
        "seq_first": None,
        "seq_last": None,
        "count": 1,
        "message": "3 packets cut",
        "evidence": {},
    }


def test_a_reconnect_over_the_wrap_keeps_the_order_of_sending() -> None:
    reconnect = Reconnect(
        "r3",
        1,
        2,
        "c1",
        "c4",
        "rst",
        1_000_000_001,
        None,
        5,
        None,
        [(4294967290, 3)],
        [(4294967290, 4294967295), (0, 3)],
    )
    reconnect.verdict, reconnect.reason, reconnect.already_delivered = "safe", "all confirmed", 4
    assert reconnect_record(reconnect) == {
        "reconnect": "r3",
        "sender": 1,
        "receiver": 2,
        "old_connection": "c1",
        "new_connection": "c4",
        "ended_by": "rst",
        "ended": "1970-01-01T00:00:01.000000001Z",
        "resumed": None,
        "unconfirmed": [[4294967290, 3]],
        "resent": [[4294967290, 4294967295], [0, 3]],
        "already_delivered": 4,
        "lost": [],
        "lost_frames": 0,
        "repaired_by": None,
        "verdict": "safe",
        "reason": "all confirmed",
    }


def test_a_stream_has_all_commands_and_its_epochs() -> None:
    epoch = Epoch(0, 9, frames=12, delivered=9, duplicates=3, missing=[(4, 4)], confirmed_to=10, ended_by="fin")
    assert stream_record(Stream(1, 2, "3.2", ["c1", "c2"], 15, {"OPTS": 12, "ACK": 3}, [epoch])) == {
        "sender": 1,
        "receiver": 2,
        "version": "3.2",
        "connections": ["c1", "c2"],
        "frames": 15,
        "commands": {"MSG": 0, "RCOM": 0, "OPTS": 12, "ACK": 3, "FIN": 0},
        "epochs": [
            {
                "seq_first": 0,
                "seq_last": 9,
                "frames": 12,
                "delivered": 9,
                "duplicates": 3,
                "missing": [[4, 4]],
                "confirmed_to": 10,
                "ended_by": "fin",
            }
        ],
    }


def test_the_summary_counts_by_severity() -> None:
    outcome = Outcome()
    for code in ("SEQ211", "SEQ207", "SEQ204", "SEQ204"):
        outcome.add(Finding(code, ""))
    summary = summary_record(Run([], 0, FrameCounts(), Analysis(), outcome))
    del summary["reconnects"]
    assert summary == {"errors": 1, "warnings": 1, "notes": 2, "verdict": "findings"}
