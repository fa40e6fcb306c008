"""Any reordering, splitting, duplication and overlap of a stream decodes to the same frames as the plain one."""

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from proof.streams import ACK, FIN, SYN, Wire, decode, real_frames, told

OPTS, ACKNOWLEDGE = 3, 4

Frames = tuple[list[bytes], list[bytes]]

frame_lists = st.lists(st.deferred(lambda: st.sampled_from(real_frames())), max_size=7)
conversations = st.tuples(frame_lists, frame_lists).filter(lambda frames: any(frames))
initial_numbers = st.sampled_from([0, 1, 2**31 - 40, 2**32 - 1, 2**32 - 200]) | st.integers(0, 2**32 - 1)
splits = st.lists(st.integers(1, 60), max_size=4)
thoroughly = settings(max_examples=250, deadline=None)


class Piece(NamedTuple):
    """Bytes start … stop of what one side sends."""

    side: int
    start: int
    stop: int


def joined(frames: Frames) -> tuple[bytes, bytes]:
    return b"".join(frames[0]), b"".join(frames[1])


@st.composite
def pieces(draw: st.DrawFn, frames: Frames) -> list[Piece]:
    """Both streams cut anywhere, with any ranges again, in any order."""
    found = []
    for side, stream in enumerate(joined(frames)):
        if not stream:
            continue
        places = st.integers(0, len(stream))
        cuts = sorted({0, len(stream), *draw(st.lists(places, max_size=6))})
        found += [Piece(side, start, stop) for start, stop in pairwise(cuts)]
        for start, stop in draw(st.lists(st.tuples(places, places), max_size=4)):
            found += [Piece(side, *sorted((start, stop)))] if start != stop else []
    return draw(st.permutations(found))


def assert_complete(
    wire: Wire, frames: Frames, batch_splits: Sequence[int], differing: tuple[int, int] = (0, 0)
) -> None:
    """All frames, told of the right packets, and nothing else; ``differing``: bytes that later copies changed."""
    found = decode(wire.packets, batch_splits)
    expected = wire.expected(frames)
    assert len(expected) == sum(map(len, frames))
    assert told(found) == expected
    assert sum(map(len, found)) == len(expected), "no frame is unfinished"
    assert not any(len(batch.holes) or len(batch.skips) for batch in found)
    for batch in found:
        assert np.all(np.diff(batch.frames["ordinal"]) >= 0), "frames come in the order in which they became complete"
    (connection,) = (event.connection for batch in found for event in batch.events if event.kind == "open")
    for side, direction in enumerate(connection.directions):
        assert direction.bytes == direction.sent == len(wire.streams[side])
        assert (direction.hole_bytes, direction.late_bytes) == (0, 0)
        assert direction.conflicting_bytes == differing[side]


def handshake(wire: Wire, initial: tuple[int, int]) -> None:
    wire.tcp(0, (initial[0] - 1, 0), 0, b"", SYN)
    wire.tcp(1, (initial[0], initial[1] - 1), 0, b"", SYN | ACK)


@thoroughly
@given(st.data(), conversations, st.tuples(initial_numbers, initial_numbers), splits)
def test_tcp_in_any_order(
    data: st.DataObject, frames: Frames, initial: tuple[int, int], batch_splits: list[int]
) -> None:
    """SYN, both streams rearranged, and FIN before or behind the last bytes; later copies may differ."""
    wire = Wire(joined(frames))
    handshake(wire, initial)
    order = data.draw(pieces(frames))
    ends = [Piece(side, len(wire.streams[side]), len(wire.streams[side])) for side in (0, 1)]
    for end in data.draw(st.sampled_from([[], ends[:1], ends])):
        order.insert(data.draw(st.integers(0, len(order))), end)
    other = data.draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order)))
    differing = [0, 0]
    for piece, differs in zip(order, other, strict=True):
        new = wire.arrives(*piece)
        payload = bytearray(wire.streams[piece.side][piece.start : piece.stop])
        if differs and len(payload) > 1:  # what came before is not what it was; one byte alone is a keep-alive
            for place in np.flatnonzero(~new):
                payload[place] ^= 0xFF
                differing[piece.side] += 1
        wire.tcp(piece.side, initial, piece.start, bytes(payload), ACK if payload else ACK | FIN)
    assert_complete(wire, frames, batch_splits, (differing[0], differing[1]))


@thoroughly
@given(st.data(), conversations, st.tuples(initial_numbers, initial_numbers), splits)
def test_tcp_captured_twice(
    data: st.DataObject, frames: Frames, initial: tuple[int, int], batch_splits: list[int]
) -> None:
    """Any packets a second time, as two interfaces or two files show them: each counts once, and only the first."""
    wire = Wire(joined(frames))
    handshake(wire, initial)
    for piece in data.draw(pieces(frames)):
        wire.arrives(*piece)
        wire.tcp(piece.side, initial, piece.start, wire.streams[piece.side][piece.start : piece.stop])
        if data.draw(st.booleans()):
            wire.packets.append(data.draw(st.sampled_from(wire.packets[-3:])))
    assert_complete(wire, frames, batch_splits)


def certainly_found(sent: list[bytes], arrived: npt.NDArray[np.bool_], in_step: bool = True) -> set[int]:
    """Positions of the frames that must be found although bytes are missing (protocol page §1.4).

    Framing goes on over a hole inside a frame whose header came.  Where it was lost, a start is certain from the next
    OPTS or ACK on with a header behind it, or without one once this sender's frames are known.
    """
    found: set[int] = set()
    position, known = 0, False
    for content in sent:
        end = position + len(content)
        header = arrived[position : position + 16]
        whole = bool(arrived[position:end].all())
        follows = len(arrived) >= end + 16 and bool(arrived[end : end + 16].all())
        if not in_step and whole and content[14] in (OPTS, ACKNOWLEDGE) and (known or follows):
            in_step = True
        if in_step and whole:
            found.add(position)
            known = True
        in_step = in_step and bool(header.all())
        position = end
    return found


@thoroughly
@given(st.data(), conversations, st.tuples(initial_numbers, initial_numbers), splits)
def test_lost_packets_lose_their_frames_only(
    data: st.DataObject, frames: Frames, initial: tuple[int, int], batch_splits: list[int]
) -> None:
    """Packets that the capture missed, though the receiver got them: holes are told exactly, nothing is invented."""
    wire = Wire(joined(frames))
    handshake(wire, initial)
    for piece in data.draw(pieces(frames)):
        if data.draw(st.booleans()):
            wire.arrives(*piece)
            wire.tcp(piece.side, initial, piece.start, wire.streams[piece.side][piece.start : piece.stop])
    for side in (0, 1):
        wire.tcp(side, initial, len(wire.streams[side]), b"", ACK | FIN)
    found = decode(wire.packets, batch_splits)
    missing = {(side, place) for side in (0, 1) for place in np.flatnonzero(wire.arrival[side] < 0).tolist()}
    holes = [
        (int(hole["side"]), place)
        for batch in found
        for hole in batch.holes
        for place in range(hole["position"], hole["position"] + hole["length"])
    ]
    assert sorted(holes) == sorted(missing)
    assert set(told(found)) <= set(wire.expected(frames))
    for side in (0, 1):
        positions = {frame.position for frame in told(found) if frame.side == side}
        assert positions >= certainly_found(frames[side], wire.arrival[side] > 0)


@thoroughly
@given(st.data(), frame_lists.filter(bool), st.sampled_from([0, 1]), initial_numbers, splits)
def test_a_capture_that_starts_in_the_middle(
    data: st.DataObject, sent: list[bytes], side: int, initial: int, batch_splits: list[int]
) -> None:
    """No handshake and no beginning: frames are found by their signature, and nothing else is taken for one."""
    frames: Frames = ([], sent) if side else (sent, [])
    wire = Wire(joined(frames))
    stream = wire.streams[side]
    cuts = sorted({len(stream), *data.draw(st.lists(st.integers(0, len(stream) - 1), min_size=1, max_size=8))})
    for start, stop in pairwise(cuts):
        wire.arrives(side, start, stop)
        wire.tcp(side, (initial, initial), start, stream[start:stop])
    found = [frame._replace(position=frame.position + cuts[0]) for frame in told(decode(wire.packets, batch_splits))]
    assert set(found) <= set(wire.expected(frames))
    arrived = wire.arrival[side] > 0
    assert {frame.position for frame in found} >= certainly_found(sent, arrived, in_step=False)


@st.composite
def user_messages(draw: st.DrawFn, stream: bytes) -> list[tuple[int, int, int]]:
    """(start, stop, flags) of DATA chunks in TSN order: messages end anywhere, and are fragmented anywhere."""
    cuts = sorted({0, len(stream), *draw(st.lists(st.integers(0, len(stream)), max_size=8))})
    ends = [draw(st.booleans()) for _ in cuts[2:]] + [True]
    begins = [True, *ends[:-1]]
    flags = [2 * begin + end for begin, end in zip(begins, ends, strict=True)]
    return [(start, stop, flag) for (start, stop), flag in zip(pairwise(cuts), flags, strict=True)]


def data_chunk(tsn: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">BBHIHHI", 0, flags, 16 + len(payload), tsn % 2**32, 0, 0, 0) + payload


def sctp_conversation(data: st.DataObject, frames: Frames, initial: tuple[int, int]) -> Wire:
    """User messages of any size, fragmented, bundled, repeated and out of order."""
    wire = Wire(joined(frames))
    tags = 0x11111111, 0x22222222  # in packets to the server, to the client
    for side, kind in ((0, 1), (1, 2)):
        init = struct.pack(">BBHIIHHI", kind, 0, 20, tags[1 - side], 1 << 20, 1, 1, initial[side])
        wire.sctp(side, tags[1] if side else 0, [init])
    chunks = []
    for side, stream in enumerate(wire.streams):
        parts = data.draw(user_messages(stream)) if stream else []
        numbered = [(side, initial[side] + number, *part) for number, part in enumerate(parts)]
        chunks += numbered + data.draw(st.lists(st.sampled_from(numbered), max_size=3) if numbered else st.just([]))
    order = data.draw(st.permutations(chunks))
    while order:
        side, bundle = order[0][0], []
        for _ in range(data.draw(st.integers(1, 3))):
            if order and order[0][0] == side:
                _, tsn, start, stop, flags = order.pop(0)
                wire.arrives(side, start, stop)
                bundle.append(data_chunk(tsn, flags, wire.streams[side][start:stop]))
        wire.sctp(side, tags[side], bundle)
    return wire


@thoroughly
@given(st.data(), conversations, st.tuples(initial_numbers, initial_numbers))
def test_sctp_in_any_order(data: st.DataObject, frames: Frames, initial: tuple[int, int]) -> None:
    assert_complete(sctp_conversation(data, frames, initial), frames, ())


@thoroughly
@given(st.data(), conversations, st.tuples(initial_numbers, initial_numbers), splits)
def test_sctp_in_any_order_over_batches(
    data: st.DataObject, frames: Frames, initial: tuple[int, int], batch_splits: list[int]
) -> None:
    assert_complete(sctp_conversation(data, frames, initial), frames, batch_splits)
