"""FRM101 … FRM108: headers and options that are not as the protocol page says (§1.3, §4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.findings.losses import Losses
from dlmtrace.findings.ranges import Place, Ranges, place
from dlmtrace.framing.frames import FrameBatch
from dlmtrace.framing.synchronise import BAD_LENGTH
from dlmtrace.gather import gather
from dlmtrace.wire.columns import HEADER, LOCK, MESSAGE, OPTIONS, RECOVERY
from dlmtrace.wire.enums import Command, RecoveryType
from dlmtrace.wire.header import MAXIMUM_LENGTH
from dlmtrace.wire.options import OptionHeader, OptionList

Int = npt.NDArray[np.int64]
Flag = npt.NDArray[np.bool_]

OLDEST, NEWEST = 0x00030000, 0x00030002
"""h_version of protocols 3.0 and 3.2."""

ENVELOPE = HEADER.itemsize + OPTIONS.itemsize
"""Bytes of a DLM_OPTS frame before its options."""

_OPTS, _CARRIED = int(Command.OPTS), (Command.MSG, Command.RCOM, Command.FIN)
_KINDS = 16  # types below this are told apart


def is_of_dlm(batch: FrameBatch, row: int) -> bool:
    """Has a frame a version of DLM?  Whatever else one without claims is not looked at (FRM102)."""
    return bool(OLDEST <= batch.header["h_version"][row] <= NEWEST)


def _minimums() -> Int:
    """Least h_length by h_cmd (below 8; what is above has none) and type (§1.3)."""
    least = np.full((8, _KINDS), HEADER.itemsize)
    least[Command.MSG] += MESSAGE.itemsize
    least[Command.RCOM] += RECOVERY.itemsize
    least[Command.RCOM, [RecoveryType.LOCK, RecoveryType.LOCK_REPLY]] += LOCK.itemsize
    least[Command.OPTS] = ENVELOPE
    return least


MINIMUM = _minimums()


class FrameRules:
    """Looks at every header by columns, and one by one at the frames in which something is odd."""

    def __init__(self, ranges: Ranges, losses: Losses) -> None:
        self._ranges, self._losses = ranges, losses

    def feed(self, batch: FrameBatch) -> None:
        """The frames of a batch."""
        for skip in batch.skips[batch.skips["reason"] == BAD_LENGTH]:
            self._bad_length(batch, skip)
        if len(batch):
            for row in np.flatnonzero(_odd(batch)).tolist():
                self._judge(_Frame(batch, row))

    def _bad_length(self, batch: FrameBatch, skip: Any) -> None:
        where = Place(batch.connections[int(skip["connection"])], skip, None)
        if not self._losses.sure(where):
            return
        header = gather(batch.buffer, HEADER, skip["offset"].reshape(1))[0]
        wrong = f"below {HEADER.itemsize}" if header["h_length"] < HEADER.itemsize else f"above {MAXIMUM_LENGTH}"
        self._ranges.add("FRM101", f"h_length {header['h_length']} is {wrong}", where)

    def _judge(self, frame: _Frame) -> None:
        if not self._losses.sure(frame.place):
            return
        if not is_of_dlm(frame.batch, frame.index):
            self._find(frame, "FRM102", f"h_version {dotted(frame.version)} is none of 3.0, 3.1 and 3.2")
            return
        unknown, short = frame.unknown_command(), frame.too_short()
        if unknown:
            self._find(frame, "FRM103", unknown)
        if short:
            self._find(frame, "FRM105", short)
        if not unknown and not short:
            for text in frame.contradictions():
                self._find(frame, "FRM104", text)
        for text in frame.padding():
            self._find(frame, "FRM106", text)
        if frame.carries and frame.options_length:
            self._find(frame, "FRM107", f"o_optlen is {frame.options_length}")
            self._options(frame)

    def _options(self, frame: _Frame) -> None:
        data = frame.options_bytes()
        if len(data) < frame.options_length:
            return  # not all there, or running past the frame (FRM105)
        found = OptionList.parse(data)
        if found.unread:
            size = OptionHeader.sizeof()
            text = f"{len(found.unread)} bytes of options hold no whole option"
            if len(found.unread) >= size:
                length = OptionHeader.parse(found.unread).t_length
                problem = f"below the {size} of its own header" if length < size else "past the end of the options"
                text = f"t_length {length} is {problem}"
            self._find(frame, "FRM108", text)
        if any(option.t_pad for option in found.options):
            self._find(frame, "FRM106", "t_pad is not 0")

    def _find(self, frame: _Frame, code: str, text: str) -> None:
        self._ranges.add(code, text, frame.place)


def _odd(batch: FrameBatch) -> Flag:
    """Frames that deserve a closer look: all in which anything of FRM102 … FRM108 could be."""
    header, inner, carried = batch.header, batch.inner, batch.command
    version, command, length = header["h_version"], header["h_cmd"], header["h_length"]
    odd: Flag = (version - np.uint32(OLDEST)) > NEWEST - OLDEST
    odd |= (command == 0) | (command > Command.FIN) | ((version != NEWEST) & (command > Command.RCOM))
    odd |= (header["h_pad"] | inner["h_pad"]) != 0
    opts, readable = command == _OPTS, batch.inner_offset >= 0
    least = MINIMUM.reshape(-1)[np.minimum(carried, 7) * _KINDS + np.minimum(batch.type, _KINDS - 1)]
    odd |= readable & (inner["h_length"] < least)
    odd |= opts & (length < ENVELOPE + HEADER.itemsize)
    # the options header as one number: o_nextcmd, and all the rest 0
    options = np.ascontiguousarray(batch.options).view("<u8")
    odd |= batch.carries & (options != Command.MSG) & (options != Command.RCOM) & (options != Command.FIN)
    differs = (options != carried) | (inner["h_length"] != length - ENVELOPE)
    differs |= (inner["h_version"] != version) | (inner["h_nodeid"] != header["h_nodeid"])
    odd |= opts & readable & differs
    return odd


class _Frame:
    """One odd frame, as far as it was captured."""

    def __init__(self, batch: FrameBatch, index: int) -> None:
        self.batch, self.index = batch, index
        self.place = place(batch, index)
        self.header, self.inner, self.options = batch.header[index], batch.inner[index], batch.options[index]
        self.version, self.length = int(self.header["h_version"]), int(self.header["h_length"])
        self.command, self.type = int(self.header["h_cmd"]), int(batch.type[index])
        self.carries = bool(batch.carries[index])
        self.next_command, self.options_length = int(self.options["o_nextcmd"]), int(self.options["o_optlen"])
        self.carries_header = self.carries and int(batch.inner_offset[index]) >= 0
        self.carried, self.carried_length = int(self.inner["h_cmd"]), int(self.inner["h_length"])

    def unknown_command(self) -> str | None:
        """What is wrong with h_cmd, o_nextcmd or the carried h_cmd."""
        known = Command.FIN if self.version == NEWEST else Command.RCOM
        if not Command.MSG <= self.command <= known:
            return f"h_cmd {self.command} is unknown in protocol {dotted(self.version)}"
        if self.carries and self.next_command not in _CARRIED:
            return f"o_nextcmd {self.next_command} is none of MSG, RCOM and FIN"
        if self.carries_header and self.carried not in _CARRIED:
            return f"the h_cmd {self.carried} of the carried frame is none of MSG, RCOM and FIN"
        return None

    def too_short(self) -> str | None:
        """What of the frame is shorter than its kind needs."""
        if self.command == _OPTS:
            needed = ENVELOPE + self.options_length + (_least(self.next_command, 0) if self.carries else 0)
            if self.length < needed:
                return f"OPTS of {self.length} bytes, where {needed} are needed"
            if self.carries_header and self.carried_length < (needed := _least(self.carried, self.type)):
                return f"a carried {_name(self.carried)} of {self.carried_length} bytes, where {needed} are needed"
        elif self.length < (needed := _least(self.command, self.type)):
            return f"{_name(self.command)} of {self.length} bytes, where {needed} are needed"
        return None

    def contradictions(self) -> list[str]:
        """Where the two headers of an OPTS frame disagree."""
        if not self.carries_header:
            return []
        room = self.length - ENVELOPE - self.options_length
        version, node = int(self.inner["h_version"]), int(self.inner["h_nodeid"])
        pairs = (
            ("o_nextcmd", self.next_command, "h_cmd", self.carried),
            ("room", room, "h_length", self.carried_length),
            ("h_version", self.version, "h_version", version),
            ("h_nodeid", int(self.header["h_nodeid"]), "h_nodeid", node),
        )
        return [
            f"{outer} {expected}, but the carried frame has {inner} {found}"
            for outer, expected, inner, found in pairs
            if expected != found
        ]

    def padding(self) -> list[str]:
        """Fields of the headers that should be 0 and are not."""
        fields = [("h_pad", self.header["h_pad"]), ("o_pad", self.options["o_pad"]), ("o_pad2", self.options["o_pad2"])]
        if self.carries_header:
            fields.append(("h_pad of the carried frame", self.inner["h_pad"]))
        return [f"{name} is not 0" for name, value in fields if value]

    def options_bytes(self) -> bytes:
        """The options, as far as they were captured."""
        return self.batch.bytes_of(self.index)[ENVELOPE : ENVELOPE + self.options_length]


def _least(command: int, kind: int) -> int:
    return int(MINIMUM[min(command, 7), min(kind, _KINDS - 1)])


def dotted(version: int) -> str:
    """h_version as people write it."""
    return f"{version >> 16}.{version & 0xFFFF}"


def _name(command: int) -> str:
    return Command(command).name if command in Command._value2member_map_ else f"command {command}"
