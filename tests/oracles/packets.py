"""Packets of a capture as tshark lists them, as a plain struct loop reads them, and as dlmtrace yields them."""

import struct
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from dlmtrace.capture.packets import TAIL, packet_file, packet_number
from dlmtrace.capture.source import Capture


class Packet(NamedTuple):
    """One packet; ``time`` in ns, None when the capture has none."""

    number: int
    time: int | None
    captured: int
    length: int


class Whole(NamedTuple):
    """One packet with its bytes, and the file that it came from."""

    file: int
    packet: Packet
    data: bytes


def tshark_packets(path: Path) -> list[Packet]:
    """What tshark says the packets of a capture are."""
    fields = ("frame.number", "frame.time_epoch", "frame.cap_len", "frame.len")
    command = ["tshark", "-r", str(path), "-T", "fields", *(word for field in fields for word in ("-e", field))]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    packets = []
    for line in lines:
        number, time, captured, length = line.split("\t")
        packets.append(
            Packet(int(number), int(Decimal(time) * 1_000_000_000) if time else None, int(captured), int(length))
        )
    return packets


def struct_packets(capture: bytes) -> list[tuple[Packet, bytes]]:
    """Packets of a little-endian pcap with µs, read record by record; a cut record ends the list."""
    packets: list[tuple[Packet, bytes]] = []
    at = 24
    while at + 16 <= len(capture):
        seconds, fraction, captured, length = struct.unpack_from("<IIII", capture, at)
        at += 16
        if at + captured > len(capture):
            break
        packet = Packet(len(packets) + 1, seconds * 1_000_000_000 + fraction * 1000, captured, length)
        packets.append((packet, capture[at : at + captured]))
        at += captured
    return packets


def whole_packets(capture: Capture) -> list[Whole]:
    """What dlmtrace yields, with the promises of each batch checked on the way."""
    packets: list[Whole] = []
    for batch in capture.batches():
        assert batch.first == len(packets)
        assert len(batch.records)
        assert batch.buffer.size >= int((batch.records["offset"] + batch.records["captured"]).max()) + TAIL
        for record in batch.records:
            data = batch.buffer[record["offset"] : record["offset"] + record["captured"]].tobytes()
            identity = int(record["packet"])
            packet = Packet(
                packet_number(identity), int(record["time"]), int(record["captured"]), int(record["length"])
            )
            packets.append(Whole(packet_file(identity), packet, data))
    return packets


def packets_of(capture: Capture) -> list[Packet]:
    """What dlmtrace yields, without the bytes."""
    return [whole.packet for whole in whole_packets(capture)]
