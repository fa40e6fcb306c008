"""What a capture holds, as one JSON object: schema ``dlmtrace.info/1`` (docs/info.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlmtrace.capture.packets import FileSummary, packet_number
from dlmtrace.capture.segments import TrafficSummary
from dlmtrace.framing.frames import CUT, MISSING, SKIP_REASONS, UNFINISHED
from dlmtrace.streams.limits import Limit
from dlmtrace.streams.survey import Kind, Survey
from dlmtrace.transport.connections import Connection
from dlmtrace.views.columns import STATES
from dlmtrace.views.naming import Naming
from dlmtrace.views.texts import COMMANDS, TYPES, VERSIONS
from dlmtrace.views.times import iso

SCHEMA = "dlmtrace.info/1"


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over, and what it kept."""

    files: list[FileSummary]
    traffic: TrafficSummary
    survey: Survey
    naming: Naming
    limits: list[Limit]


def information(run: Run) -> dict[str, Any]:
    """The object; absent values are None, never left out."""
    files, survey, traffic, gaps = run.files, run.survey, run.traffic, run.survey.gaps
    first = [file.first_time for file in files if file.first_time is not None]
    last = [file.last_time for file in files if file.last_time is not None]
    return {
        "schema": SCHEMA,
        "capture": {
            "files": [_file(file) for file in files],
            "packets": sum(file.packets for file in files),
            "bytes": sum(file.bytes for file in files),
            "first_time": iso(min(first)) if first else None,
            "last_time": iso(max(last)) if last else None,
            "dlm_packets": traffic.dlm_packets,
            "frames": survey.frames,
            "frame_bytes": survey.bytes,
        },
        "kinds": [_kind(kind, count) for kind, count in sorted(survey.kinds.items())],
        "versions": {VERSIONS[version]: count for version, count in sorted(survey.versions.items())},
        "lockspaces": [
            {"lockspace": f"{number:#010x}", "name": run.naming.lockspace_name(number), "frames": count}
            for number, count in sorted(survey.lockspaces.items())
        ],
        "nodes": [_node(number, survey) for number in sorted(survey.nodes.nodes)],
        "connections": [_connection(connection, survey) for connection in survey.connections],
        "more_connections": survey.more_connections,
        "loss": {
            "holes": gaps.holes,
            "hole_bytes": gaps.hole_bytes,
            "cut_packets": traffic.cut_packets,
            "cut_bytes": gaps.cut_bytes,
            "frames_not_whole": {STATES[state]: survey.states[state] for state in (CUT, MISSING, UNFINISHED)},
            "skipped": [
                {"reason": SKIP_REASONS[reason], "places": count, "bytes": gaps.skipped_bytes[reason]}
                for reason, count in sorted(gaps.skips.items())
            ],
            "dropped": sum(file.dropped for file in files),
            "undecodable": dict(traffic.undecodable),
        },
        "other_packets": {
            "kinds": dict(traffic.other),
            "tcp_ports": {str(port): count for port, count in sorted(traffic.tcp_ports.items())},
            "sctp_ports": {str(port): count for port, count in sorted(traffic.sctp_ports.items())},
        },
        "limits": [limit._asdict() for limit in run.limits],
    }


def _file(file: FileSummary) -> dict[str, Any]:
    return {
        "name": file.name,
        "format": file.format,
        "packets": file.packets,
        "bytes": file.bytes,
        "first_time": None if file.first_time is None else iso(file.first_time),
        "last_time": None if file.last_time is None else iso(file.last_time),
        "link_types": file.link_types,
        "comments": file.comments,
        "dropped": file.dropped,
    }


def _kind(kind: Kind, count: int) -> dict[str, Any]:
    return {
        "command": COMMANDS[kind.command, kind.carried],
        "type": TYPES[kind.carried, kind.type] or None,
        "frames": count,
    }


def _node(number: int, survey: Survey) -> dict[str, Any]:
    node = survey.nodes.nodes[number]
    addresses = set(node.addresses)
    for connection in survey.connections:
        for side in (0, 1):
            if survey.nodes.node_at(connection, side) == number:
                addresses.update(path[side].address for path in connection.paths)
    return {
        "node": number,
        "addresses": sorted(addresses),
        "versions": {VERSIONS[version]: count for version, count in sorted(node.versions.items())},
        "frames_sent": node.frames,
    }


def _connection(connection: Connection, survey: Survey) -> dict[str, Any]:
    ends = [survey.nodes.node_at(connection, side) for side in (0, 1)]
    nodes = [None if node < 0 else node for node in ends]
    return {
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
                "sender": nodes[side],
                "receiver": nodes[1 - side],
                "bytes": direction.bytes,
                "frames": int(survey.frames_by_end[2 * connection.index + side]),
                "holes": direction.holes,
                "hole_bytes": direction.hole_bytes,
                "cut_bytes": direction.cut_bytes,
                "tcp_retransmitted_segments": direction.retransmitted_segments,
                "tcp_retransmitted_bytes": direction.retransmitted_bytes,
                "tcp_out_of_order": direction.out_of_order,
                "captured_again": direction.captured_again,
                "conflicting_bytes": direction.conflicting_bytes,
            }
            for side, direction in enumerate(connection.directions)
        ],
    }
