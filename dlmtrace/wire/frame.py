"""One whole frame: parsed into nested containers with the kernel's field names, and built back byte for byte."""

from __future__ import annotations

from typing import Any

import construct as C

from dlmtrace.wire.enums import Command
from dlmtrace.wire.fields import Bounded
from dlmtrace.wire.header import Header
from dlmtrace.wire.message import Message
from dlmtrace.wire.options import OptionList, Options
from dlmtrace.wire.recovery import Recovery

HEADER_SIZE: int = Header().sizeof()


def _frame(bodies: dict[Command, Any]) -> Any:
    return C.Struct(
        "header" / Header() * "The 16 bytes of every frame",
        "body"
        / Bounded(
            lambda context: context.header.h_length - HEADER_SIZE,
            C.Switch(C.this.header.h_cmd, bodies, default=C.GreedyBytes),
        )
        * "What h_cmd says; bytes when it has no body, is unknown, or when they do not fit",
        "surplus" / C.GreedyBytes * "Bytes behind h_length",
    )


InnerFrame = _frame({Command.MSG: Message, Command.RCOM: Recovery})
"""The frame that an OPTS carries; OPTS does not nest."""

Envelope = Options + C.Struct(
    "o_opts" / Bounded(lambda context: context.o_optlen, OptionList) * "Options",
    "inner" / Bounded(lambda context: context["_"].header.h_length, InnerFrame) * "The frame carried",
)
"""A whole DLM_OPTS behind its header (protocol page §4)."""

Frame = _frame({Command.MSG: Message, Command.RCOM: Recovery, Command.OPTS: Envelope})
"""Any frame of protocols 3.0, 3.1 and 3.2; ACK and FIN are their header alone."""


def parse(data: bytes) -> Any:
    """The frame in ``data`` as a construct Container: header, body, surplus.

    Never refuses what a peer sent: unknown values stay numbers, and a body (or payload) that does not fit its kind
    stays bytes.  h_length bounds the body; where data goes on behind it, the rest is ``surplus``, and where data ends
    before it, the frame is read as far as it is there.  Raises ValueError for fewer than 16 bytes.
    """
    if len(data) < HEADER_SIZE:
        raise ValueError(f"a frame begins with {HEADER_SIZE} bytes of header, here are {len(data)}")
    return _without_stream(Frame.parse(data))


def build(frame: Any) -> bytes:
    """The bytes of a container as ``parse`` gives it (or of nested dicts); for a parsed frame the bytes it came from.

    Lengths are written as given, so that wrong ones can be built.  Raises construct.ConstructError when a field is
    missing or does not fit its width.
    """
    return Frame.build(frame)  # type: ignore[no-any-return]


def _without_stream(value: Any) -> Any:
    """``value`` without the stream that construct leaves in each container of a Struct."""
    if isinstance(value, dict):
        value.pop("_io", None)
        for inner in value.values():
            _without_stream(inner)
    elif isinstance(value, list):
        for inner in value:
            _without_stream(inner)
    return value
