"""What tshark should show of a capture, made from the decode: every dlm3 field with its packets, in tshark's order."""

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
from evidence import capture_path
from oracles import tshark

from dlmtrace.capture.packets import packet_number
from dlmtrace.framing.frames import WHOLE, FrameBatch
from dlmtrace.pipeline import Trace
from dlmtrace.wire.columns import CONFIG_SHORT, HEADER, LOCK, MESSAGE, OPTIONS, RECOVERY, STATUS_REQUEST, gather

Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

MSG, RCOM, OPTS, FIN = 1, 2, 3, 5
VALBLK = 8
PAYLOADS = {1: (STATUS_REQUEST, tshark.STATUS), 4: (LOCK, tshark.LOCK), 5: (CONFIG_SHORT, tshark.CONFIG)}
"""rc_type → layout and fields of those payloads that tshark decodes."""


class Shown:
    """The whole frames of a capture as tshark should show them; frames are numbered from 0."""

    def __init__(self, file: str) -> None:
        self.packet: list[int] = []  # by frame: the packet that completed it
        self.direction: list[tuple[str, str]] = []  # by frame: sender and receiver, address:port
        self.content: list[bytes] = []  # by frame: what tshark takes for the frame
        self._numbers: dict[str, list[tuple[Int, npt.NDArray[np.uint64]]]] = defaultdict(list)
        self._tails: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._bytes: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._misread: list[int] = []
        for batch in Trace([str(capture_path(file))]).batches():
            self._feed(batch)

    def regroup(self, messages: list[tshark.UserMessage]) -> None:
        """Over SCTP tshark shows the first frame of a user message only, with all that follows for its tail."""
        waiting: dict[tuple[str, str], list[int]] = defaultdict(list)
        for frame, direction in reversed(list(enumerate(self.direction))):
            waiting[direction].append(frame)
        self.packet = [-1] * len(self.packet)
        for message in messages:
            first = waiting[message.direction].pop()
            while len(self.content[first]) < message.length:
                self.content[first] += self.content[waiting[message.direction].pop()]
            assert len(self.content[first]) == message.length, "a user message ends with a frame"
            self.packet[first] = message.packet
        assert not any(waiting.values())

    def fields(self) -> dict[str, tshark.Occurrences]:
        """Every field in the order of its packets."""
        for frame in self._misread:
            for field, values in tshark.misread(self.content[frame]).items():
                for place, value in enumerate(values):
                    if isinstance(value, str):
                        self._bytes[field].append((frame, value))
                    else:
                        self._add(field, np.array([frame]), np.array([value], np.uint64), second=place > 0)
        self._misread = []
        packet = np.array(self.packet, np.int64)
        return {field: self._ordered(field, packet) for field in tshark.NUMBERS + tshark.BYTES}

    def _ordered(self, field: str, packet: Int) -> tshark.Occurrences:
        if field in tshark.BYTES:
            tails = [(frame, self.content[frame][begin:].hex()) for frame, begin in self._tails[field]]
            found = sorted((packet[frame], frame, value) for frame, value in self._bytes[field] + tails if value)
            found = [row for row in found if row[0] >= 0]
            return tshark.Occurrences(np.array([row[0] for row in found], np.int64), [row[2] for row in found])
        keys = np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in self._numbers[field])])
        values = np.concatenate([np.empty(0, np.uint64), *(values for _, values in self._numbers[field])])
        order = np.lexsort((keys, packet[keys // 2]))
        order = order[packet[keys[order] // 2] >= 0]
        return tshark.Occurrences(packet[keys[order] // 2], values[order])

    def _add(self, field: str, frame: Int, values: npt.NDArray[Any], second: bool = False) -> None:
        """One occurrence in each of these frames; ``second``: behind another one of the same frame."""
        wide = values.astype(np.uint64) if values.dtype.kind == "u" else values.astype(np.int64).view(np.uint64)
        self._numbers[field].append((frame * 2 + second, wide))

    def _feed(self, batch: FrameBatch) -> None:
        whole = np.flatnonzero(batch.frames["state"] == WHOLE)
        number = len(self.content) + np.arange(len(whole))
        for row in whole.tolist():
            frame = batch.frames[row]
            connection = batch.connections[int(frame["connection"])]
            sender, receiver = (str(connection.endpoint(side)) for side in (frame["side"], 1 - frame["side"]))
            self.packet.append(packet_number(int(frame["packet"])))
            self.direction.append((sender, receiver))
            self.content.append(batch.bytes_of(row))
        header, options = batch.header[whole], batch.options[whole]
        version, command = header["h_version"], header["h_cmd"]
        body = (command == MSG) | (command == RCOM)
        old = (version == 0x00030001) & body
        new = (version == 0x00030002) & ~body & (command >= OPTS) & (command <= FIN)
        self._misread += number[(version == 0x00030002) & body].tolist()
        self._add_headers(header, number, old, "lockspac")
        self._add_headers(header, number, new, "seq")
        envelope = new & (command == OPTS)
        for field, name in zip(tshark.OPTIONS, OPTIONS.names or (), strict=True):
            self._add(field, number[envelope], options[name][envelope])
        carries = envelope & ((options["o_nextcmd"] == MSG) | (options["o_nextcmd"] == RCOM))
        self._add_headers(batch.inner[whole], number, carries, "lockspac", inside=True)
        shown = old | carries
        self._add_messages(batch, whole, number, shown & batch.is_message[whole])
        self._add_recoveries(batch, whole, number, shown & batch.is_recovery[whole])

    def _add_headers(
        self, header: npt.NDArray[Any], number: Int, chosen: Bool, second_word: str, inside: bool = False
    ) -> None:
        """The tree below h_cmd, with what is inside the frame, comes before h_pad."""
        fields = ("version", second_word, "nodeid", "length", "cmd", "pad")
        for field, name in zip(fields, HEADER.names or (), strict=True):
            later = inside != (field == "pad")
            self._add(f"dlm3.h.{field}", number[chosen], header[name][chosen], second=later)

    def _add_messages(self, batch: FrameBatch, whole: Int, number: Int, chosen: Bool) -> None:
        rows = whole[chosen]
        body = batch.message(rows)
        for field, name in zip(tshark.MESSAGE, MESSAGE.names or (), strict=True):
            self._add(field, number[chosen], body[name])
        begin = batch.inner_offset[rows] + HEADER.itemsize + MESSAGE.itemsize
        self._tails["dlm3.m.extra"] += zip(number[chosen].tolist(), begin.tolist(), strict=True)

    def _add_recoveries(self, batch: FrameBatch, whole: Int, number: Int, chosen: Bool) -> None:
        rows, frames = whole[chosen], number[chosen]
        body = batch.recovery(rows)
        for field, name in zip(tshark.RECOVERY, RECOVERY.names or (), strict=True):
            self._add(field, frames, body[name])
        begin = batch.inner_offset[rows] + HEADER.itemsize + RECOVERY.itemsize
        self._tails["dlm3.rc.buf"] += zip(frames.tolist(), begin.tolist(), strict=True)
        for kind, (layout, fields) in PAYLOADS.items():
            has = (batch.type[rows] == kind) & (batch.frames["length"][rows] - begin >= layout.itemsize)
            payload = gather(batch.buffer, layout, (batch.frames["offset"][rows] + begin)[has])
            for field, name in zip(fields, layout.names or (), strict=False):  # rl_name is of bytes
                self._add(field, frames[has], payload[name])
            if layout is LOCK:
                names = (name.tobytes().hex() for name in payload["rl_name"])
                self._bytes["dlm3.rl.name"] += zip(frames[has].tolist(), names, strict=True)
                valued = payload["rl_exflags"] & VALBLK != 0
                ends = (begin[has] + layout.itemsize)[valued].tolist()
                self._tails["dlm3.rl.lvb"] += zip(frames[has][valued].tolist(), ends, strict=True)
