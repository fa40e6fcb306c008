#!/usr/bin/env python3
"""Kill TCP connections by forged RSTs, the way tcpkill does it.

Looks at a segment on the wire, forges an RST for either end from its sequence and acknowledgement numbers, and repeats
until the connection is replaced (a SYN is seen). Prints one JSON line per kill.
"""

import argparse
import json
import random
import socket
import struct
import time
from typing import NamedTuple

SYN, RST = 2, 4


class Segment(NamedTuple):
    is_ipv6: bool
    macs: tuple[bytes, bytes]  # destination, source
    addresses: tuple[bytes, bytes]  # source, destination
    ports: tuple[int, int]
    sequence: int
    acknowledgement: int
    flags: int
    length: int

    @property
    def connection(self) -> tuple[tuple[bytes, int], ...]:
        return tuple(sorted(zip(self.addresses, self.ports, strict=True)))


def parse(frame: bytes, port: int) -> Segment | None:
    ethertype = struct.unpack_from("!H", frame, 12)[0]
    if ethertype == 0x800 and frame[23] == 6:
        header_length = (frame[14] & 15) * 4
        addresses = frame[26:30], frame[30:34]
        tcp, total = frame[14 + header_length :], struct.unpack_from("!H", frame, 16)[0] - header_length
    elif ethertype == 0x86DD and frame[20] == 6:
        addresses = frame[22:38], frame[38:54]
        tcp, total = frame[54:], struct.unpack_from("!H", frame, 18)[0]
    else:
        return None
    source_port, peer_port, sequence, acknowledgement, offset, flags = struct.unpack_from("!HHIIBB", tcp)
    if port not in (source_port, peer_port):
        return None
    return Segment(
        is_ipv6=ethertype == 0x86DD,
        macs=(frame[0:6], frame[6:12]),
        addresses=addresses,
        ports=(source_port, peer_port),
        sequence=sequence,
        acknowledgement=acknowledgement,
        flags=flags,
        length=total - (offset >> 4) * 4,
    )


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def reset_frame(seen: Segment, to_receiver: bool) -> bytes:
    """The RST that the other end of `seen` would send."""
    (destination_mac, source_mac), (source, destination), ports = seen.macs, seen.addresses, seen.ports
    sequence = seen.sequence + seen.length
    if not to_receiver:
        destination_mac, source_mac, source, destination = source_mac, destination_mac, destination, source
        ports, sequence = ports[::-1], seen.acknowledgement
    tcp = struct.pack("!HHIIBBHHH", *ports, sequence & 0xFFFFFFFF, 0, 5 << 4, RST, 0, 0, 0)
    if seen.is_ipv6:
        pseudo_header = source + destination + struct.pack("!II", len(tcp), 6)
        ip = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + source + destination
        ethertype = b"\x86\xdd"
    else:
        pseudo_header = source + destination + struct.pack("!BBH", 0, 6, len(tcp))
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, random.randrange(65536), 0, 64, 6, 0) + source + destination
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        ethertype = b"\x08\x00"
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo_header + tcp)) + tcp[18:]
    return destination_mac + source_mac + ethertype + ip + tcp


class Injector:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((options.device, 0))

    def next_segment(self) -> Segment | None:
        try:
            frame, address = self.socket.recvfrom(65536)
        except TimeoutError:
            return None
        return None if address[2] == socket.PACKET_OUTGOING else parse(frame, self.options.port)

    def drain(self) -> None:
        self.socket.setblocking(False)
        try:
            while True:
                self.socket.recv(65536)
        except BlockingIOError:
            self.socket.settimeout(0.2)

    def is_quiet(self) -> bool:
        """Fewer than --stopquiet data segments in 0.7 s."""
        segments, end = 0, time.time() + 0.7
        while time.time() < end:
            segment = self.next_segment()
            segments += segment is not None and segment.length > 16
        return segments < self.options.stopquiet

    def kill(self, number: int) -> None:
        mode = self.options.mode
        if mode == "mix":
            mode = random.choice(("both", "sender", "receiver"))
        start, sent, connection, replaced = time.time(), 0, None, None
        while not replaced and time.time() - start < 20:
            segment = self.next_segment()
            if segment is None:
                continue
            if segment.flags & SYN:
                replaced = time.time() if sent else None
                continue
            if segment.flags & RST or segment.length < 1 or segment.connection != (connection or segment.connection):
                continue
            connection = segment.connection
            for end in ("receiver", "sender"):
                if mode in ("both", end):
                    self.socket.send(reset_frame(segment, to_receiver=end == "receiver"))
                    sent += 1
        result = {
            "kill": number,
            "t_start": start,
            "t_new_syn": replaced,
            "mode": mode,
            "rst_sent": sent,
            "ports": [port for _, port in connection] if connection else None,
        }
        print(json.dumps(result), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="br0")
    parser.add_argument("--port", type=int, default=21064)
    parser.add_argument("--count", type=int, default=5, help="connections to kill")
    parser.add_argument("--first", type=float, default=1.5, help="seconds before the first kill")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between kills, more or less 30 %%")
    parser.add_argument(
        "--mode",
        default="both",
        choices=("both", "sender", "receiver", "mix"),
        help="which end of the segment seen gets an RST",
    )
    parser.add_argument(
        "--stopquiet",
        type=int,
        default=0,
        help="stop for good when fewer data segments than this pass in 0.7 s: the peers have stalled",
    )
    options = parser.parse_args()
    injector = Injector(options)
    time.sleep(options.first)
    for number in range(options.count):
        injector.drain()
        if options.stopquiet and number and injector.is_quiet():
            print(json.dumps({"stopped": f"stalled after kill {number - 1}", "t": time.time()}), flush=True)
            break
        injector.kill(number)
        time.sleep(options.every * random.uniform(0.7, 1.3))


if __name__ == "__main__":
    main()
