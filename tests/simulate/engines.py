"""Endpoints of two nodes, and the frames that tests hand them."""

from __future__ import annotations

from dlmtrace.simulate import frames
from dlmtrace.simulate.dialects import DIALECTS, VERSION_3_1, VERSION_3_2
from dlmtrace.simulate.endpoint import Endpoint
from dlmtrace.wire.enums import Command, RecoveryType

LOCKSPACE = 0x77222027


def message(number: int = 0, node: int = 2, version: int = VERSION_3_2) -> bytes:
    """A DLM_MSG."""
    return frames.message(version, LOCKSPACE, node, 3 - node, (1, 2), number)


def status(node: int = 2, version: int = VERSION_3_2) -> bytes:
    """An RCOM STATUS, which tells the version."""
    return frames.recovery(version, LOCKSPACE, node, RecoveryType.STATUS, 1)


def lookup(node: int = 2) -> bytes:
    """An RCOM LOOKUP: no version-detection frame."""
    return status(node)[:16] + RecoveryType.LOOKUP.to_bytes(4, "little") + status(node)[20:]


def opts(sequence: int, inner: bytes | None = None) -> bytes:
    """An OPTS frame of node 2."""
    return frames.options(sequence, message(sequence % 1_000) if inner is None else inner)


def fin(sequence: int) -> bytes:
    """The FIN of node 2."""
    return frames.options(sequence, frames.fin(2))


def ack(expected: int) -> bytes:
    """An ACK of node 2."""
    return frames.acknowledgement(2, expected)


def established(dialect: str, **options: int) -> Endpoint:
    """Node 1 facing node 2: it is member of one lockspace, and its version is known to be 3.2."""
    endpoint = Endpoint(1, 2, DIALECTS[dialect], **options)
    endpoint.member_added()
    endpoint.receive(status(), 0)
    assert endpoint.version == VERSION_3_2
    return endpoint


def towards_3_1(dialect: str) -> Endpoint:
    """Node 1 facing a node 2 that speaks 3.1."""
    endpoint = Endpoint(1, 2, DIALECTS[dialect])
    endpoint.member_added()
    endpoint.receive(status(version=VERSION_3_1), 0)
    return endpoint


def output(endpoint: Endpoint) -> list[str]:
    """What the endpoint wants to send, a word per frame: ``MSG 5``, ``FIN 6``, ``ACK 3``; bare ``MSG``, ``RCOM``."""
    words = []
    for outgoing in endpoint.take_output():
        header = frames.read_header(outgoing.frame)
        if header.command == Command.OPTS:
            words.append(f"{Command(frames.inner_frame(outgoing.frame)[0]).name} {header.word}")
        elif header.command == Command.ACK:
            words.append(f"ACK {header.word}")
        else:
            words.append(Command(header.command).name)
    return words
