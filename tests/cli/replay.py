"""Send the packets of a plain little-endian pcap file on an interface: `replay.py FILE IFACE PACKETS_A_SECOND`."""

import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from oracles.packets import struct_packets


def replay(file: str, interface: str, rate: int) -> None:
    """At most ``rate`` packets a second, in bursts of 10 ms."""
    burst = max(rate // 100, 1)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind((interface, 0))
        for number, (_, data) in enumerate(struct_packets(Path(file).read_bytes()), 1):
            link.send(data)
            if number % burst == 0:
                time.sleep(burst / rate)


if __name__ == "__main__":
    replay(sys.argv[1], sys.argv[2], int(sys.argv[3]))
