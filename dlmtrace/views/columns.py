"""The columns that the frame list, CSV and JSON lines share, made for a whole batch at once.

Every text list has one text per row, empty where the frame has no such field or the capture does not hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.packets import PACKET_BITS, packet_file, packet_number
from dlmtrace.framing.frames import TYPE, WHOLE, FrameBatch
from dlmtrace.gather import gather
from dlmtrace.transport.connections import Connection
from dlmtrace.views import texts
from dlmtrace.views.naming import Naming
from dlmtrace.views.texts import ABSENT, Texts
from dlmtrace.wire.columns import HEADER, LOCK, MESSAGE, RECOVERY
from dlmtrace.wire.enums import Command, MessageType, RecoveryType
from dlmtrace.wire.message import NAMED
from dlmtrace.wire.structures import FIELDS

Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

REPLIES = frozenset(
    {
        MessageType.REQUEST_REPLY,
        MessageType.CONVERT_REPLY,
        MessageType.UNLOCK_REPLY,
        MessageType.CANCEL_REPLY,
        MessageType.LOOKUP_REPLY,
        MessageType.GRANT,
    }
)
"""Messages whose m_result says something even when it is 0 (protocol page §2.5)."""

MODELESS = frozenset({MessageType.REMOVE, MessageType.PURGE, MessageType.LOOKUP_REPLY})
"""Messages that are not built from a lock: their modes are zeros, which would read as NL (protocol page §2.1)."""

LOCK_FIELDS = {
    "lkid": ("m_lkid", "rl_lkid"),
    "remid": ("m_remid", "rl_remid"),
    "granted": ("m_grmode", "rl_grmode"),
    "requested": ("m_rqmode", "rl_rqmode"),
    "blocking": ("m_bastmode", None),
    "exflags": ("m_exflags", "rl_exflags"),
    "sbflags": ("m_sbflags", None),
    "flags": ("m_flags", "rl_flags"),
    "result": ("m_result", "rl_result"),
}
"""What a message and a lock in recovery have in common: column, field of the message, field of struct rcom_lock."""

STATES = ("whole", "cut", "missing", "unfinished")
"""Names of a frame's state, by number."""

REASONS = ("", "cut by the snaplen", "the rest was not captured", "the stream ended")
"""Why a frame is not whole, by its state."""

_RECEIVERS_FLAGS = 0xFFFF
"""Half of m_flags that concerns the receiver; the other is the sender's own (protocol page §2.4)."""


RESULT, MASTER = 0, -1
"""Kinds of outcome that are not told by recovery."""


def _outcome(outcome: tuple[int, int]) -> str:
    kind, number = outcome
    if kind == MASTER:
        return f"master {number}"
    return texts.RESULTS[number] if kind == RESULT else texts.RECOVERY_RESULTS[kind, number]


_OUTCOMES: Texts[tuple[int, int]] = Texts(_outcome)


class FrameColumns:
    """Columns of the ``rows`` of a batch; ``first`` frames of the run came in earlier batches."""

    def __init__(self, batch: FrameBatch, rows: Int, naming: Naming, first: int = 0) -> None:
        self.batch = batch
        self.naming = naming
        self.rows = rows
        self.numbers = rows + first + 1
        self.frames = batch.frames[rows]
        self.header = batch.header[rows]
        self.inner_offset = batch.inner_offset[rows]
        self.command = batch.command[rows]
        # bodies begin behind the header that carries them: where, how long, and how much of it was captured; -1: none
        self.body = self.frames["offset"] + self.inner_offset + HEADER.itemsize
        room = np.minimum(batch.inner["h_length"][rows], self.frames["length"] - self.inner_offset)
        self.body_length = np.where(self.inner_offset < 0, -1, room - HEADER.itemsize)
        self.reach = np.where(self.inner_offset < 0, -1, batch.body_end[rows] - self.inner_offset - HEADER.itemsize)
        self.type = np.where(self.reach >= TYPE.itemsize, batch.type[rows], 0)

    def bytes_of(self, place: int) -> bytes:
        """The captured bytes of a frame."""
        return self.batch.bytes_of(int(self.rows[place]))

    def packet_text(self, identity: int) -> str:
        """A packet's number; with several files, behind the file's name."""
        number = packet_number(identity)
        return str(number) if len(self.naming.files) == 1 else f"{self.naming.file(packet_file(identity))}:{number}"

    @cached_property
    def packets(self) -> list[str]:
        """The packet that completed the frame, see ``packet_text``."""
        if len(self.naming.files) == 1:
            return list(map(str, (self.frames["packet"] & ((1 << PACKET_BITS) - 1)).tolist()))
        return [self.packet_text(identity) for identity in self.frames["packet"].tolist()]

    def by_sender(self, text: Callable[[Connection, int, int], str]) -> list[str]:
        """``text`` of the connection, the sender's side and its node id, made once for each that occurs."""

        def text_of(key: int) -> str:
            end, node = divmod(key, 1 << 32)
            return text(self.batch.connections[end >> 1], end & 1, node)

        cache: Texts[int] = Texts(text_of)
        ends = self.frames["connection"].astype(np.int64) * 2 + self.frames["side"]
        return [cache[key] for key in (ends << 32 | self.header["h_nodeid"]).tolist()]

    @cached_property
    def connections(self) -> list[str]:
        """``c1``, ``c2``, …"""
        return self.by_sender(lambda connection, side, node: connection.name)

    @cached_property
    def transports(self) -> list[str]:
        """``tcp`` or ``sctp``."""
        return self.by_sender(lambda connection, side, node: connection.transport)

    @cached_property
    def sources(self) -> list[str]:
        """Address and port of the sender."""
        return self.by_sender(lambda connection, side, node: str(connection.endpoint(side)))

    @cached_property
    def destinations(self) -> list[str]:
        """Address and port of the receiver."""
        return self.by_sender(lambda connection, side, node: str(connection.endpoint(1 - side)))

    @cached_property
    def streams(self) -> list[str]:
        """``1→2``: sender and receiver, the receiver's address as long as its id is not known."""
        return self.by_sender(lambda connection, side, node: f"{node}→{self.naming.receiver(connection, side)}")

    @cached_property
    def receivers(self) -> Int:
        """Node id of the receiver, UNKNOWN until a frame has told it."""
        return self.naming.nodes.receivers(self.batch)[self.rows]

    @cached_property
    def sequences(self) -> list[str]:
        """h_seq of OPTS and ACK."""
        return ["" if number < 0 else str(number) for number in self.batch.sequence[self.rows].tolist()]

    @cached_property
    def commands(self) -> list[str]:
        """``MSG``, or ``OPTS/MSG`` when OPTS carries it."""
        keys = zip(self.header["h_cmd"].tolist(), self.command.tolist(), strict=True)
        return [texts.COMMANDS[key] for key in keys]

    @cached_property
    def types(self) -> list[str]:
        """m_type or rc_type by name."""
        return [texts.TYPES[key] for key in zip(self.command.tolist(), self.type.tolist(), strict=True)]

    @cached_property
    def lockspaces(self) -> list[str]:
        """Name of the lockspace when the user gave it, else its id."""
        cache: Texts[int] = Texts(lambda number: "" if number < 0 else self.naming.lockspace(number))
        return [cache[number] for number in self.batch.lockspace[self.rows].tolist()]

    @cached_property
    def states(self) -> list[str]:
        """``whole``, or why it is not."""
        return [STATES[state] for state in self.frames["state"].tolist()]

    @cached_property
    def notes(self) -> dict[int, str]:
        """For each frame that is not whole, by place: how much of it there is, and why."""
        places = np.flatnonzero(self.frames["state"] != WHOLE)
        facts = (self.frames[field][places].tolist() for field in ("captured", "length", "state"))
        return {
            place: f"[{captured} of {length} bytes: {REASONS[state]}]"
            for place, captured, length, state in zip(places.tolist(), *facts, strict=True)
        }

    @cached_property
    def messages(self) -> tuple[Int, npt.NDArray[Any]]:
        """Places (within these columns) of the frames that carry a message, and their MESSAGE records."""
        places = np.flatnonzero(self.command == Command.MSG)
        return places, gather(self.batch.buffer, MESSAGE, self.body[places])

    @cached_property
    def recovered_locks(self) -> tuple[Int, npt.NDArray[Any]]:
        """Places of the frames that carry a lock in recovery, and their LOCK records."""
        places = np.flatnonzero(self._recovery_types(RecoveryType.LOCK, RecoveryType.LOCK_REPLY))
        return places, gather(self.batch.buffer, LOCK, self.body[places] + RECOVERY.itemsize)

    @cached_property
    def holds_lock(self) -> Bool:
        """Does the frame carry a struct rcom_lock, and was that captured whole?"""
        holds = self._recovery_types(RecoveryType.LOCK, RecoveryType.LOCK_REPLY)
        holds &= self.reach >= RECOVERY.itemsize + LOCK.itemsize
        return holds

    def _recovery_types(self, *types: RecoveryType) -> Bool:
        found: Bool = np.isin(self.type, types)
        found &= self.command == Command.RCOM
        return found

    @cached_property
    def lock_numbers(self) -> dict[str, Int]:
        """The LOCK_FIELDS as they are on the wire, ABSENT where the frame has no such field or it was not captured."""
        numbers = {column: np.full(len(self.rows), ABSENT) for column in LOCK_FIELDS}
        for source, base in ((0, 0), (1, RECOVERY.itemsize)):
            places, records = self.recovered_locks if source else self.messages
            reach = self.reach[places] - base
            for column, fields in LOCK_FIELDS.items():
                name = fields[source]
                if name is not None:
                    numbers[column][places] = np.where(reach >= _end_of(name), records[name], ABSENT)
        return numbers

    @cached_property
    def lock_words(self) -> dict[str, Int]:
        """The LOCK_FIELDS without those words that the frame's type leaves at zero."""
        words = {column: numbers.copy() for column, numbers in self.lock_numbers.items()}
        message = self.command == Command.MSG
        modeless = message & np.isin(self.type, tuple(MODELESS))
        words["granted"][modeless] = words["requested"][modeless] = ABSENT
        words["blocking"][self.type != MessageType.BAST] = ABSENT
        quiet = message & ~np.isin(self.type, tuple(REPLIES)) & (words["result"] == 0)
        words["result"][quiet] = ABSENT
        lookup = message & (self.type == MessageType.LOOKUP_REPLY)
        words["remid"][lookup] = words["lkid"][lookup]  # this reply repeats the asker's id where others have their own
        words["lkid"][lookup] = 0
        return words

    @cached_property
    def locks(self) -> list[str]:
        """Lock id on the sender → lock id on the receiver, 0 left out."""
        ids = (np.maximum(self.lock_words[column], 0).tolist() for column in ("lkid", "remid"))
        return [
            (f"{own:#x}→{other:#x}" if other else f"{own:#x}") if own else (f"→{other:#x}" if other else "")
            for own, other in zip(*ids, strict=True)
        ]

    @cached_property
    def modes(self) -> list[str]:
        """``PR`` granted, ``PR→EX`` granted and requested, ``PR!EX`` granted and in the way of EX."""
        numbers = (self.lock_words[which].tolist() for which in ("granted", "requested", "blocking"))
        return [texts.MODES[modes] for modes in zip(*numbers, strict=True)]

    @cached_property
    def flags(self) -> list[str]:
        """Flags that the caller gave, then ``sb:`` those of the status block and ``fl:`` those of the lock."""
        numbers = self.lock_numbers
        shown = (numbers["exflags"], numbers["sbflags"], numbers["flags"] & _RECEIVERS_FLAGS)
        return [texts.FLAGS[key] for key in zip(*(bits.tolist() for bits in shown), strict=True)]

    @cached_property
    def outcomes(self) -> tuple[Int, Int]:
        """What kind of outcome a frame tells, an rc_type, MASTER or RESULT; and the number that tells it, or ABSENT."""
        kinds = np.full(len(self.rows), RESULT)
        numbers = self.lock_words["result"].copy()
        places, records = self.messages
        found = (self.type[places] == MessageType.LOOKUP_REPLY) & (records["m_result"] == 0)
        found &= self.reach[places] >= MESSAGE.itemsize
        kinds[places[found]] = MASTER
        numbers[places[found]] = records["m_nodeid"][found]
        replies = self._recovery_types(RecoveryType.STATUS_REPLY, RecoveryType.NAMES_REPLY, RecoveryType.LOOKUP_REPLY)
        places = np.flatnonzero(replies & (self.reach >= RECOVERY.itemsize))
        kinds[places] = self.type[places]
        numbers[places] = gather(self.batch.buffer, RECOVERY, self.body[places])["rc_result"]
        return kinds, numbers

    @cached_property
    def results(self) -> list[str]:
        """Outcome of a reply: 0, an errno, the master that a lookup found, the phases of a recovery status."""
        return [_OUTCOMES[key] for key in zip(*(numbers.tolist() for numbers in self.outcomes), strict=True)]

    @cached_property
    def names(self) -> list[bytes | None]:
        """Resource name as it is on the wire; None where the frame carries none or not all of it was captured."""
        start, stop = self.name_spans()
        data = self.batch.buffer.data
        return [bytes(data[a:b]) if a < b else None for a, b in zip(start.tolist(), stop.tolist(), strict=True)]

    @cached_property
    def resources(self) -> list[str]:
        """Resource name as people know it."""
        return ["" if name is None else texts.RESOURCES[name] for name in self.names]

    def name_spans(self) -> tuple[Int, Int]:
        """Where in the buffer the resource name of each frame begins and ends; the same where there is none."""
        start = np.zeros(len(self.rows), np.int64)
        length = np.zeros(len(self.rows), np.int64)
        for carriers, fixed in (
            ((self.command == Command.MSG) & np.isin(self.type, tuple(NAMED)), MESSAGE.itemsize),
            (self._recovery_types(RecoveryType.LOOKUP, RecoveryType.NAMES), RECOVERY.itemsize),
        ):
            whole = carriers & (self.reach == self.body_length)
            start[whole] = self.body[whole] + fixed
            length[whole] = self.body_length[whole] - fixed
        places, locks = self.recovered_locks
        whole = self.holds_lock[places]
        width = LOCK["rl_name"].itemsize
        start[places[whole]] = self.body[places[whole]] + RECOVERY.itemsize + _end_of("rl_name") - width
        length[places[whole]] = np.minimum(locks["rl_namelen"][whole], width)
        return start, start + np.maximum(length, 0)


def _end_of(name: str) -> int:
    """Offset in its structure of the first byte behind a field of fixed place."""
    field = FIELDS[name]
    assert field.offset is not None
    assert field.size is not None
    return field.offset + field.size
