"""The keys of the JSON of ``dlmtrace analyze``; ``python -m dlmtrace.views.analysis_schema`` prints docs/analysis.md's.

Schema ``dlmtrace.analysis/1``: keys are never left out, and their order is this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from dlmtrace.streams.results import Verdict
from dlmtrace.views.schema import Key

SCHEMA = "dlmtrace.analysis/1"

_NODE = "number or null"
_NODES = (
    Key("sender", _NODE, "node id of the sender; null while no frame has told it"),
    Key("receiver", _NODE, "node id of the receiver; null while no frame has told it"),
)
_RANGES = "array of [first, last]"

OBJECTS: dict[str, tuple[Key, ...]] = {
    "": (
        Key("schema", "string", f"`{SCHEMA}`"),
        Key("capture", "object", "what was read"),
        Key("nodes", "array", "nodes by id"),
        Key("connections", "array", "the first 1000 connections, by first packet"),
        Key("streams", "array", "directed node pairs, by sender and receiver"),
        Key("reconnects", "array", "reconnects with their verdicts, as they became final"),
        Key("findings", "array", "findings that were selected, as they became final"),
        Key("summary", "object", "counts and the verdict on the whole"),
    ),
    "capture": (
        Key("files", "array", "capture files"),
        Key("packets", "number", "packets in all files"),
        Key("bytes", "number", "bytes of the capture, uncompressed"),
        Key("first_time", "string or null", "earliest packet"),
        Key("last_time", "string or null", "latest packet"),
        Key("dlm_packets", "number", "packets on DLM's port"),
        Key("frames", "number", "DLM frames found"),
    ),
    "capture.files[]": (
        Key("name", "string", "as it was given; `-` is standard input"),
        Key("format", "string", "`pcap` or `pcapng`, the compression in front: `zstd pcap`"),
        Key("packets", "number", "packets"),
        Key("bytes", "number", "bytes, uncompressed"),
        Key("first_time", "string or null", "first packet"),
        Key("last_time", "string or null", "last packet"),
        Key("link_types", "array of numbers", "LINKTYPE_ values"),
    ),
    "nodes[]": (
        Key("node", "number", "node id, h_nodeid"),
        Key("addresses", "array of strings", "its addresses, as far as they were seen"),
        Key("versions", "object", "its frames by protocol version"),
        Key("frames_sent", "number", "frames"),
    ),
    "connections[]": (
        Key("connection", "string", "`c1`, `c2`, … by first packet"),
        Key("transport", "string", "`tcp` or `sctp`"),
        Key("client", "string", "address and port of the side that opened it"),
        Key("server", "string", "address and port of the other"),
        Key("first_packet", "number", "first packet, in its file"),
        Key("last_packet", "number", "last packet, in its file"),
        Key("opened", "string", "time of the first packet"),
        Key("closed", "string", "time of the last packet"),
        Key("ended_by", "string", "`fin`, `rst`, `abandoned`, or `open` when the capture ends before it"),
        Key("handshake_seen", "boolean", "does the capture hold its beginning?"),
        Key("directions", "array", "what the client sent, then what the server sent"),
    ),
    "connections[].directions[]": (
        *_NODES,
        Key("bytes", "number", "payload in stream order, each byte once, holes not counted"),
        Key("frames", "number", "DLM frames"),
        Key("hole_bytes", "number", "bytes that the capture does not hold"),
        Key("tcp_retransmitted_bytes", "number", "bytes that the transport repeated"),
        Key("tcp_out_of_order", "number", "segments that came behind a later one"),
    ),
    "streams[]": (
        *_NODES,
        Key("version", "string or null", "what the pair speaks: `3.2` with sequence numbers, `3.1` or `3.0` without"),
        Key("connections", "array of strings", "connections that carried frames of it"),
        Key("frames", "number", "frames"),
        Key("commands", "object", "frames by h_cmd; what OPTS carries is counted as OPTS"),
        Key("epochs", "array", "parts between two resets of the numbers; empty without sequence numbers"),
    ),
    "streams[].commands": tuple(
        Key(name, "number", f"frames with h_cmd {number}")
        for number, name in enumerate(("MSG", "RCOM", "OPTS", "ACK", "FIN"), 1)
    ),
    "streams[].epochs[]": (
        Key("seq_first", "number", "first number"),
        Key("seq_last", "number", "last number"),
        Key("frames", "number", "numbered frames, those that came again included"),
        Key("delivered", "number", "different frames that the receiver's kernel took"),
        Key("duplicates", "number", "frames whose number had come before"),
        Key("missing", _RANGES, "numbers that were never seen on the wire"),
        Key("confirmed_to", "number or null", "highest acknowledgement: everything below it is confirmed"),
        Key("ended_by", "string", "`fin`, `restart` (numbers began again without FIN) or `open`"),
    ),
    "reconnects[]": (
        Key("reconnect", "string", "`r1`, `r2`, …"),
        *_NODES,
        Key("old_connection", "string", "connection that ended"),
        Key("new_connection", "string or null", "connection on which the stream went on; null when it did not"),
        Key("ended_by", "string", "`fin`, `rst` or `abandoned`"),
        Key("ended", "string", "when the old connection ended"),
        Key("resumed", "string or null", "when the stream went on"),
        Key("unconfirmed", _RANGES, "numbers sent and not confirmed when the old connection ended"),
        Key("resent", _RANGES, "of these, sent again"),
        Key("already_delivered", "number", "of the resent, delivered before"),
        Key("lost", _RANGES, "numbers that never came"),
        Key("lost_frames", "number", "how many frames were lost"),
        Key("repaired_by", "string or null", "later reconnect that brought them after all"),
        Key(
            "verdict",
            "string",
            "`safe`, `unsafe`, `reset`, `unprotected` or `inconclusive`, see [findings.md](findings.md)",
        ),
        Key("reason", "string", "why, in a sentence"),
    ),
    "findings[]": (
        Key("code", "string", "code of the catalogue, see [findings.md](findings.md)"),
        Key("name", "string", "its name"),
        Key("severity", "string", "`error`, `warning` or `note`"),
        Key("sender", _NODE, "stream that it is about, if it is about one"),
        Key("receiver", _NODE, "stream that it is about, if it is about one"),
        Key("connection", "string or null", "connection that shows it"),
        Key("file", "string or null", "capture file of `packet`"),
        Key("packet", "number or null", "packet that shows it, in its file"),
        Key("time", "string or null", "time of that packet"),
        Key("seq_first", "number or null", "first sequence number that it is about"),
        Key("seq_last", "number or null", "last one"),
        Key("count", "number", "how often it occurred: frames, ACKs, packets"),
        Key("message", "string", "what was seen, in a sentence"),
        Key("evidence", "object", "further numbers, by code"),
    ),
    "summary": (
        Key("errors", "number", "findings that were selected, of severity error"),
        Key("warnings", "number", "… warning"),
        Key("notes", "number", "… note"),
        Key("reconnects", "object", "how many of each verdict, also those beyond the 10,000 that are listed"),
        Key("verdict", "string", "`clean`, `findings` or `inconclusive`, see [below](#verdict-and-exit-status)"),
    ),
    "summary.reconnects": tuple(Key(verdict, "number", "with that verdict") for verdict in get_args(Verdict)),
}
"""The keys of every object of the document, in order."""

RECORDS = {
    "capture": "capture",
    "node": "nodes[]",
    "connection": "connections[]",
    "stream": "streams[]",
    "reconnect": "reconnects[]",
    "finding": "findings[]",
    "summary": "summary",
}
"""The kinds of records of JSON lines, each with the object that it has the keys of."""


def lines() -> Iterator[str]:
    """The keys, line by line."""
    for title, keys in OBJECTS.items():
        if title:
            yield f"\n#### {title}\n"
        yield "| key | type | what |"
        yield "|---|---|---|"
        for key in keys:
            yield f"| `{key.name}` | {key.kind} | {key.meaning} |"


if __name__ == "__main__":
    print("\n".join(lines()))
