"""All frames of a capture as the decode gives them, in the form in which the kernels' records can be held against."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from evidence import capture_path, scenario, scenario_of
from oracles.kernel import CONTENT, HEADER_FIELDS

from dlmtrace.framing.frames import WHOLE, FrameBatch
from dlmtrace.pipeline import Trace

OPTS = 3
FIXED = {"message": 88, "rcom": 48}  # bytes in front of m_extra and rc_buf

Int = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Carried:
    """Messages or recovery commands that came inside DLM_OPTS; ``row`` points into the frames."""

    row: Int
    content: npt.NDArray[Any]  # dtype CONTENT[kind]
    tail: list[bytes]


@dataclass(frozen=True)
class Decoded:
    """Every whole frame, in the order in which they became complete; one array element each.

    ``source`` and ``destination`` are the node ids of the two addresses (0: an address of no node), not h_nodeid.
    """

    source: Int
    destination: Int
    time: Int  # ns
    length: Int
    command: Int
    inner: Int  # h_cmd of the frame inside OPTS, else h_cmd
    type: Int
    sequence: Int
    carried: dict[str, Carried]
    skipped: dict[tuple[int, int], int]  # (source, destination) → bytes in no whole frame

    def bytes_by_direction(self) -> Counter[tuple[int, int]]:
        """(source, destination) → payload bytes, whether in frames or not."""
        total = Counter(self.skipped)
        for source, destination, length in zip(
            self.source.tolist(), self.destination.tolist(), self.length.tolist(), strict=True
        ):
            total[source, destination] += length
        return total

    def times_of(self, source: int, destination: int, sequence: int) -> Int:
        """When a sequenced frame was on the wire, each time."""
        ends = (self.source == source) & (self.destination == destination)
        times: Int = self.time[ends & (self.command == OPTS) & (self.sequence == sequence)]
        return times


def node_addresses(name: str) -> dict[str, int]:
    """Address → node id."""
    return {address: node["nodeid"] for node in scenario(name)["nodes"] for address in node["addresses"]}


@lru_cache(maxsize=4)
def decoded(*files: str) -> Decoded:
    """Decode capture files of one scenario together."""
    nodes = node_addresses(scenario_of(files[0]))
    columns: dict[str, list[Int]] = {}
    carried: dict[str, list[Carried]] = {kind: [] for kind in CONTENT}
    skipped: Counter[tuple[int, int]] = Counter()
    first = 0
    for batch in Trace([str(capture_path(file)) for file in files]).batches():
        whole = np.flatnonzero(batch.frames["state"] == WHOLE)
        ends = _ends(batch, nodes)
        broken = batch.frames[batch.frames["state"] != WHOLE]
        for rows, lengths in ((broken, broken["captured"]), (batch.skips, batch.skips["length"])):
            for connection, side, length in zip(rows["connection"], rows["side"], lengths, strict=True):
                skipped[int(ends[connection, side]), int(ends[connection, 1 - side])] += int(length)
        for name, values in _columns(batch, whole, ends).items():
            columns.setdefault(name, []).append(values.astype(np.int64))
        for kind in CONTENT:
            carried[kind].append(_carried(batch, whole, kind, first))
        first += len(whole)
    return Decoded(
        **{name: np.concatenate(parts) for name, parts in columns.items()},
        carried={
            kind: Carried(
                np.concatenate([part.row for part in parts]),
                np.concatenate([part.content for part in parts]),
                [tail for part in parts for tail in part.tail],
            )
            for kind, parts in carried.items()
        },
        skipped=skipped,
    )


def _ends(batch: FrameBatch, nodes: dict[str, int]) -> Int:
    """Node ids by connection and side."""
    ends = np.zeros((max(batch.connections, default=-1) + 1, 2), np.int64)
    for index, connection in batch.connections.items():
        ends[index] = [nodes.get(connection.endpoint(side).address, 0) for side in (0, 1)]
    return ends


def _columns(batch: FrameBatch, whole: Int, ends: Int) -> dict[str, npt.NDArray[Any]]:
    frames = batch.frames[whole]
    return {
        "source": ends[frames["connection"], frames["side"]],
        "destination": ends[frames["connection"], 1 - frames["side"]],
        "time": frames["time"],
        "length": frames["length"],
        "command": batch.header["h_cmd"][whole],
        "inner": batch.command[whole],
        "type": batch.type[whole],
        "sequence": batch.sequence[whole],
    }


def _carried(batch: FrameBatch, whole: Int, kind: str, first: int) -> Carried:
    fits = batch.is_message if kind == "message" else batch.is_recovery
    chosen = (batch.header["h_cmd"][whole] == OPTS) & fits[whole]
    rows = whole[chosen]
    content = np.zeros(len(rows), CONTENT[kind])
    body = batch.message(rows) if kind == "message" else batch.recovery(rows)
    inner = batch.inner[rows]
    for name in content.dtype.names or ():
        content[name] = inner[name] if name in HEADER_FIELDS else body[name]
    start = batch.frames["offset"][rows] + batch.inner_offset[rows]
    tails = [
        batch.buffer[begin + FIXED[kind] : begin + length].tobytes()
        for begin, length in zip(start.tolist(), content["h_length"].tolist(), strict=True)
    ]
    return Carried(first + np.flatnonzero(chosen), content, tails)
