"""Packets of a network interface, by libpcap as scapy binds it, as a pcap stream in a pipe that is read like any other.

Packets go from libpcap into the pipe without passing through Python, in a thread of their own.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterable
from io import FileIO
from typing import Any

from dlmtrace.capture.packets import UnusableInput

SNAPLEN = 262_144  # bytes: all of any packet
BUFFER = 32 << 20  # bytes that the kernel keeps while nobody reads
PATIENCE = 100  # ms that a packet may wait for others
CHUNK = 1 << 20
ETHERNET = 1  # DLT_EN10MB

NO_SUCH_DEVICE, PERMISSION_DENIED, NOT_UP = -5, -8, -9  # PCAP_ERROR_… (pcap/pcap.h)


def filter_expression(ports: Iterable[int] | None, vlan: bool) -> str:
    """A filter (pcap-filter(7)) for TCP and SCTP on these ports, or on any, and for the fragments of what may be that.

    With ``vlan`` also behind a VLAN tag.
    """
    kinds = ["tcp", "sctp"]
    wanted = kinds if ports is None else [f"{kind} port {port}" for port in sorted(ports) for kind in kinds]
    # Only the first fragment of a packet has its ports.
    plain = " or ".join([*wanted, "(ip[6:2] & 0x1fff != 0)", "(ip6[6] = 44)"])
    return f"{plain} or (vlan and ({plain}))" if vlan else plain


class LiveCapture:
    """Opens ``interface`` for TCP and SCTP on ``ports`` (None: any).  Raises UnusableInput when that is not possible.

    ``start`` it, read ``path``, and ``stop`` it.  ``failure`` says why the capture or the copy ended by itself.
    """

    def __init__(self, interface: str, ports: Iterable[int] | None) -> None:
        try:
            from scapy.libs import winpcapy as libpcap
        except OSError:
            raise UnusableInput("libpcap is missing; install it (Debian, Ubuntu: apt install libpcap0.8)") from None
        self.failure: str | None = None
        self.dropped = 0  # packets that the kernel had no room for
        self._libpcap: Any = libpcap
        self._interface = interface
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._handle = self._open()
        self._set_filter(filter_expression(ports, libpcap.pcap_datalink(self._handle) == ETHERNET))

    def start(self, copy: FileIO | None) -> None:
        """Capture from now on; the packets are also written to ``copy``, as pcap."""
        self._reading, writing = os.pipe()
        if copy is not None:
            onward = writing
            between, writing = os.pipe()
            self._threads.append(threading.Thread(target=self._pass_on, args=(between, onward, copy), daemon=True))
        self._dumper = self._libpcap.pcap_dump_open(self._handle, f"/dev/fd/{writing}".encode())
        if not self._dumper:
            raise UnusableInput(f"{self._interface}: {self._error()}")
        os.close(writing)
        self._libpcap.pcap_dump_flush(self._dumper)
        self._threads.append(threading.Thread(target=self._capture, daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def path(self) -> str:
        """Where the packets are to be read."""
        return f"/dev/fd/{self._reading}"

    def opened(self) -> None:
        """The reader has opened ``path``."""
        os.close(self._reading)

    def stop(self) -> None:
        """Capture no more; what was captured can still be read to its end."""
        self._over.set()

    def join(self) -> None:
        """Wait for the end, after ``stop`` or a failure, when everything has been read."""
        for thread in self._threads:
            thread.join()

    def _open(self) -> Any:
        from ctypes import create_string_buffer

        libpcap, errors = self._libpcap, create_string_buffer(256)
        handle = libpcap.pcap_create(self._interface.encode(), errors)
        if not handle:
            raise UnusableInput(f"{self._interface}: {errors.value.decode(errors='replace')}")
        libpcap.pcap_set_snaplen(handle, SNAPLEN)
        libpcap.pcap_set_promisc(handle, 1)
        libpcap.pcap_set_timeout(handle, PATIENCE)
        libpcap.pcap_set_buffer_size(handle, BUFFER)
        self._handle = handle
        status = libpcap.pcap_activate(handle)
        if status < 0:
            raise UnusableInput(f"{self._interface}: {self._reason(status)}")
        libpcap.pcap_setnonblock(handle, 1, errors)
        return handle

    def _reason(self, status: int) -> str:
        if status == NO_SUCH_DEVICE:
            known = ", ".join([*(name for _, name in socket.if_nameindex()), "any"])
            return f"no such interface; there are {known}"
        if status == PERMISSION_DENIED:
            return "no permission to capture; run it as root, or pipe `tcpdump -U -w -` into `dlmtrace analyze -`"
        if status == NOT_UP:
            return f"the interface is down; set it up (ip link set {self._interface} up)"
        return self._error() or str(self._libpcap.pcap_statustostr(status).decode(errors="replace"))

    def _error(self) -> str:
        return " ".join(str(self._libpcap.pcap_geterr(self._handle).decode(errors="replace")).split())

    def _set_filter(self, expression: str) -> None:
        from ctypes import byref

        program = self._libpcap.bpf_program()
        compiled = self._libpcap.pcap_compile(self._handle, byref(program), expression.encode(), 1, 0xFFFFFFFF)
        if compiled < 0 or self._libpcap.pcap_setfilter(self._handle, byref(program)) < 0:
            raise UnusableInput(f"{self._interface}: the filter cannot be set: {self._error()}")

    def _capture(self) -> None:
        """Let libpcap write packets into the pipe as they come."""
        from ctypes import POINTER, byref, c_ubyte, cast

        libpcap, handle = self._libpcap, self._handle
        dump = cast(libpcap.pcap_dump, libpcap.pcap_handler)
        dumper = cast(self._dumper, POINTER(c_ubyte))
        descriptor = libpcap.pcap_get_selectable_fd(handle)
        counts = libpcap.pcap_stat()
        going = True
        while going:
            going = not self._over.is_set()  # after the end, once more for what is left
            select.select([descriptor], [], [], PATIENCE / 1000)
            if libpcap.pcap_dispatch(handle, -1, dump, dumper) < 0:
                self.failure = f"the capture ended: {self._error()}"
                break
            libpcap.pcap_dump_flush(self._dumper)
            if libpcap.pcap_stats(handle, byref(counts)) == 0:
                self.dropped = counts.ps_drop
        libpcap.pcap_dump_close(self._dumper)
        libpcap.pcap_close(handle)

    def _pass_on(self, source: int, target: int, copy: FileIO) -> None:
        """From one pipe to the other, and to the copy."""
        with open(source, "rb", buffering=0) as pipe, open(target, "wb", buffering=0) as onward:
            while chunk := pipe.read(CHUNK):
                if self.failure is None:
                    try:
                        _write_all(copy, chunk)
                    except OSError as error:
                        self.failure = f"{copy.name}: {error.strerror}; the rest is not written there"
                _write_all(onward, chunk)


def _write_all(target: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[target.write(rest) :]
