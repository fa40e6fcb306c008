"""Which TCP and SCTP packets are wanted: those with a wanted port on either side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.headers import Int, column
from dlmtrace.capture.network import Datagrams
from dlmtrace.capture.tally import Tally
from dlmtrace.gather import Bytes, gather

PORTS_SIZE = 4  # both transports begin with the two ports


class Wanted(NamedTuple):
    """The wanted packets and their transport headers."""

    datagrams: Datagrams
    header: npt.NDArray[Any]
    source_port: Int
    destination_port: Int


class PortFilter:
    """Passes packets by port, all of them with ``any_port``; the ports of the others are counted in ``tally``."""

    def __init__(self, ports: frozenset[int], any_port: bool, tally: Tally) -> None:
        self._wanted = np.full(1 << 16, any_port)
        self._wanted[list(ports)] = True
        self._any_port = any_port
        self._tally = tally

    def select(
        self,
        buffer: Bytes,
        datagrams: Datagrams,
        layout: np.dtype[Any],
        name: str,
        count_ports: Callable[[Int, Int], None],
    ) -> Wanted:
        """The wanted ones of packets that have ``layout`` (called ``name``) at ``transport``."""
        datagrams = self._whole(datagrams, PORTS_SIZE, name)[0]
        header = gather(buffer, layout, datagrams.transport)
        source, destination = column(header, "source_port"), column(header, "destination_port")
        wanted = self._wanted[source] | self._wanted[destination]
        if self._any_port:
            count_ports(source, destination)
        elif not wanted.all():
            count_ports(source[~wanted], destination[~wanted])
            datagrams, header = datagrams.select(wanted), header[wanted]
            source, destination = source[wanted], destination[wanted]
        datagrams, whole = self._whole(datagrams, layout.itemsize, name)
        if whole is not None:
            header, source, destination = header[whole], source[whole], destination[whole]
        return Wanted(datagrams, header, source, destination)

    def _whole(self, datagrams: Datagrams, size: int, name: str) -> tuple[Datagrams, npt.NDArray[np.bool_] | None]:
        """The packets that hold ``size`` bytes of the header and their mask (None: all); the others are counted."""
        after = datagrams.transport + size
        short = after > datagrams.stop
        if not short.any():
            return datagrams, None
        self._tally.short(name, after[short] <= datagrams.end[short])
        return datagrams.select(~short), ~short
