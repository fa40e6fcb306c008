"""The analysis as JSON: schema ``dlmtrace.analysis/1`` (docs/analysis.md), as one object or as records a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from dlmtrace.capture.packets import FileSummary, packet_file, packet_number
from dlmtrace.findings.catalogue import CATALOGUE, severity
from dlmtrace.findings.outcome import Outcome
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.streams.analysis import CONNECTION_LIMIT, Analysis
from dlmtrace.streams.results import Epoch, Finding, Range, Reconnect, Stream, Verdict
from dlmtrace.transport.connections import Connection
from dlmtrace.views.analysis_schema import OBJECTS, SCHEMA
from dlmtrace.views.texts import VERSIONS
from dlmtrace.views.times import iso

MOMENTS = frozenset({"from", "until"})
"""Keys of the evidence whose values are times."""


class FrameCounts:
    """Frames of the run: all, and those of each direction of the connections that are listed."""

    def __init__(self) -> None:
        self.total = 0
        self._by_end = np.zeros(2 * CONNECTION_LIMIT, np.int64)  # by Connection.index * 2 + side

    def add(self, batch: FrameBatch) -> None:
        """Count the frames of a batch."""
        self.total += len(batch)
        ends = batch.ends
        listed = ends.number < len(self._by_end)
        self._by_end[ends.number[listed]] += np.bincount(ends.of, minlength=len(ends.number))[listed]

    def of(self, connection: Connection, side: int) -> int:
        """Frames that one side sent."""
        return int(self._by_end[2 * connection.index + side])


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over: what was read, and what came of it."""

    files: Sequence[FileSummary]
    dlm_packets: int
    counts: FrameCounts
    analysis: Analysis
    outcome: Outcome

    @property
    def streams(self) -> list[Stream]:
        """The streams that anything was seen of."""
        return streams_seen(self.analysis)


def streams_seen(analysis: Analysis) -> list[Stream]:
    """The streams that anything was seen of: frames, or ACKs of frames."""
    return [stream for stream in analysis.streams if stream.frames or stream.epochs]


def document(run: Run, findings: Sequence[Finding]) -> dict[str, Any]:
    """The object; absent values are None, never left out.  ``findings`` are those to be shown."""
    return {
        "schema": SCHEMA,
        "capture": capture_record(run),
        "nodes": list(node_records(run)),
        "connections": list(connection_records(run)),
        "streams": [stream_record(stream) for stream in run.streams],
        "reconnects": [reconnect_record(reconnect) for reconnect in run.analysis.reconnects],
        "findings": [finding_record(finding, run.files) for finding in findings],
        "summary": summary_record(run),
    }


def capture_record(run: Run) -> dict[str, Any]:
    """What was read."""
    first = [file.first_time for file in run.files if file.first_time is not None]
    last = [file.last_time for file in run.files if file.last_time is not None]
    return {
        "files": [_file(file) for file in run.files],
        "packets": sum(file.packets for file in run.files),
        "bytes": sum(file.bytes for file in run.files),
        "first_time": _time(min(first, default=None)),
        "last_time": _time(max(last, default=None)),
        "dlm_packets": run.dlm_packets,
        "frames": run.counts.total,
    }


def _file(file: FileSummary) -> dict[str, Any]:
    return {
        "name": file.name,
        "format": file.format,
        "packets": file.packets,
        "bytes": file.bytes,
        "first_time": _time(file.first_time),
        "last_time": _time(file.last_time),
        "link_types": file.link_types,
    }


def node_records(run: Run) -> Iterator[dict[str, Any]]:
    """Nodes by id."""
    nodes = run.analysis.nodes
    paths: dict[int, set[str]] = {}  # a node with several addresses may have sent from one of them only
    for connection in run.analysis.connections.values():
        for side in (0, 1):
            paths.setdefault(nodes.node_at(connection, side), set()).update(
                path[side].address for path in connection.paths
            )
    for number, node in sorted(nodes.nodes.items()):
        yield {
            "node": number,
            "addresses": sorted(paths.get(number, set()).union(node.addresses)),
            "versions": {VERSIONS[version]: count for version, count in sorted(node.versions.items())},
            "frames_sent": node.frames,
        }


def connection_records(run: Run) -> Iterator[dict[str, Any]]:
    """Connections by first packet."""
    for _, connection in sorted(run.analysis.connections.items()):
        ends = [_node(run.analysis.nodes.node_at(connection, side)) for side in (0, 1)]
        yield {
            "connection": connection.name,
            "transport": connection.transport,
            "client": str(connection.client),
            "server": str(connection.server),
            "first_packet": packet_number(connection.first_packet),
            "last_packet": packet_number(connection.last_packet),
            "opened": iso(connection.opened),
            "closed": iso(connection.closed),
            "ended_by": connection.ended_by,
            "handshake_seen": connection.handshake_seen,
            "directions": [
                {
                    "sender": ends[side],
                    "receiver": ends[1 - side],
                    "bytes": direction.bytes,
                    "frames": run.counts.of(connection, side),
                    "hole_bytes": direction.hole_bytes,
                    "tcp_retransmitted_bytes": direction.retransmitted_bytes,
                    "tcp_out_of_order": direction.out_of_order,
                }
                for side, direction in enumerate(connection.directions)
            ],
        }


def stream_record(stream: Stream) -> dict[str, Any]:
    """One directed node pair."""
    return {
        "sender": _node(stream.sender),
        "receiver": _node(stream.receiver),
        "version": stream.version,
        "connections": stream.connections,
        "frames": stream.frames,
        "commands": {key.name: stream.commands.get(key.name, 0) for key in OBJECTS["streams[].commands"]},
        "epochs": [_epoch(epoch) for epoch in stream.epochs],
    }


def _epoch(epoch: Epoch) -> dict[str, Any]:
    return {
        "seq_first": epoch.seq_first,
        "seq_last": epoch.seq_last,
        "frames": epoch.frames,
        "delivered": epoch.delivered,
        "duplicates": epoch.duplicates,
        "missing": _ranges(epoch.missing),
        "confirmed_to": epoch.confirmed_to,
        "ended_by": epoch.ended_by,
    }


def reconnect_record(reconnect: Reconnect) -> dict[str, Any]:
    """One reconnect and its verdict."""
    return {
        "reconnect": reconnect.reconnect,
        "sender": _node(reconnect.sender),
        "receiver": _node(reconnect.receiver),
        "old_connection": reconnect.old_connection,
        "new_connection": reconnect.new_connection,
        "ended_by": reconnect.ended_by,
        "ended": iso(reconnect.ended),
        "resumed": _time(reconnect.resumed),
        "unconfirmed": _ranges(reconnect.unconfirmed),
        "resent": _ranges(reconnect.resent),
        "already_delivered": reconnect.already_delivered,
        "lost": _ranges(reconnect.lost),
        "lost_frames": reconnect.lost_frames,
        "repaired_by": reconnect.repaired_by,
        "verdict": reconnect.verdict,
        "reason": reconnect.reason,
    }


def finding_record(finding: Finding, files: Sequence[FileSummary]) -> dict[str, Any]:
    """One finding, with name and severity of the catalogue."""
    packet = finding.packet
    return {
        "code": finding.code,
        "name": CATALOGUE[finding.code].name,
        "severity": severity(finding),
        "sender": _node(finding.sender),
        "receiver": _node(finding.receiver),
        "connection": finding.connection,
        "file": None if packet is None else files[packet_file(packet)].name,
        "packet": None if packet is None else packet_number(packet),
        "time": _time(finding.time),
        "seq_first": finding.seq_first,
        "seq_last": finding.seq_last,
        "count": finding.count,
        "message": finding.message,
        "evidence": {key: iso(value) if key in MOMENTS else value for key, value in finding.evidence.items()},
    }


def summary_record(run: Run) -> dict[str, Any]:
    """Counts and the verdict on the whole."""
    outcome = run.outcome
    return {
        "errors": outcome.errors,
        "warnings": outcome.warnings,
        "notes": outcome.notes,
        "reconnects": {verdict: run.analysis.verdicts[verdict] for verdict in get_args(Verdict)},
        "verdict": outcome.verdict,
    }


def _node(number: int | None) -> int | None:
    """A node id; None while it is not known (then the analysis has a negative number for it)."""
    return None if number is None or number < 0 else number


def _time(moment: int | None) -> str | None:
    return None if moment is None else iso(moment)


def _ranges(ranges: Sequence[Range]) -> list[list[int]]:
    return [list(one) for one in ranges]
