"""What the capture itself could not give, in one line each, with the codes CAP901 … CAP909 of the catalogue."""

from __future__ import annotations

from typing import NamedTuple

from dlmtrace.capture.packets import CaptureFact, packet_number
from dlmtrace.capture.segments import TrafficSummary
from dlmtrace.framing.frames import SKIP_REASONS
from dlmtrace.streams.survey import Survey


class Limit(NamedTuple):
    """One of them; ``message`` says what, how much and, where it helps, what to do."""

    code: str
    message: str


def limits(facts: list[CaptureFact], traffic: TrafficSummary, survey: Survey) -> list[Limit]:
    """Everything that keeps this capture from showing all that the cluster said."""
    found = [Limit(fact.code, fact.message) for fact in facts]
    gaps = survey.gaps
    if gaps.hole_bytes > gaps.cut_bytes:
        first = f", the first before packet {packet_number(gaps.first_packet)}" if gaps.first_packet else ""
        lost, holes = _many(gaps.hole_bytes - gaps.cut_bytes, "byte"), _many(gaps.holes, "hole")
        found.append(Limit("CAP901", f"{lost} of the streams were not captured, in {holes}{first}"))
    if traffic.cut_packets:
        found.append(Limit("CAP902", cut_packets(traffic.cut_packets, gaps.cut_bytes)))
    if gaps.skips:
        reasons = ", ".join(
            f"{SKIP_REASONS[reason]} {_many(gaps.skipped_bytes[reason], 'byte')} in {count}"
            for reason, count in sorted(gaps.skips.items())
        )
        found.append(Limit("CAP905", f"captured bytes that belong to no whole frame, by reason and places: {reasons}"))
    if traffic.undecodable:
        found.append(Limit("CAP909", undecoded(traffic.undecodable)))
    return found


def cut_packets(packets: int, lost: int) -> str:
    """How many packets the snaplen cut, and how many bytes of the streams are lost with that (CAP902)."""
    cut = f"{_many(packets, 'packet')} cut by the snaplen, {_many(lost, 'byte')} of the streams lost"
    return f"{cut}; capture whole packets (tcpdump -s 0)"


def undecoded(reasons: dict[str, int]) -> str:
    """How many packets were not decoded, by reason (CAP909)."""
    listed = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    return f"{_many(sum(reasons.values()), 'packet')} not decoded: {listed}"


def nothing_found(traffic: TrafficSummary, ports: frozenset[int], any_port: bool, packets: int) -> str:
    """Why a capture without frames has none, as far as it shows, and which ports it has instead."""
    wanted = "any port" if any_port else f"port {', '.join(map(str, sorted(ports)))}"
    if traffic.dlm_packets:
        return f"no DLM frame in the {_many(traffic.dlm_packets, 'packet')} on {wanted} (of {packets} in all)"
    seen = [
        f"{transport} {_busiest(counts)}"
        for transport, counts in (("TCP", traffic.tcp_ports), ("SCTP", traffic.sctp_ports))
        if counts
    ]
    if not seen:
        return f"no DLM on {wanted}: no TCP and no SCTP in {_many(packets, 'packet')}"
    advice = "" if any_port else "; choose one with --port, or let --any-port look for DLM"
    return f"no DLM on {wanted} in {_many(packets, 'packet')}; ports seen: {', '.join(seen)}{advice}"


def _busiest(counts: dict[int, int], listed: int = 8) -> str:
    ports = sorted(counts, key=lambda port: (-counts[port], port))
    more = f" and {len(ports) - listed} more" if len(ports) > listed else ""
    return ", ".join(f"{port} ({counts[port]})" for port in ports[:listed]) + more


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
