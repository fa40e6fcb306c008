"""numpy layouts derived from the Construct declarations, for decoding many frames at once.

Nothing here repeats an offset or a width: Construct stays the only place that says them.
"""

from __future__ import annotations

from typing import Any

import construct as C
import numpy as np

from dlmtrace.gather import gather as gather
from dlmtrace.wire.fields import integer_format
from dlmtrace.wire.header import LockspaceHeader, SequenceHeader
from dlmtrace.wire.message import MessageBody
from dlmtrace.wire.options import Options
from dlmtrace.wire.recovery import (
    RecoveryBody,
    RecoveryConfig,
    RecoveryConfigShort,
    RecoveryLock,
    RecoverySlot,
    RecoveryStatusRequest,
)


def dtype_of(declaration: Any) -> np.dtype[Any]:
    """The dtype with the same bytes as a Construct of fixed size.

    A Struct gives a structured dtype with its field names, an Array a sub-array, an integer (with whatever names its
    values have) an integer in its byte order, fixed Bytes a void.  Raises TypeError for a size that depends on data.
    """
    letters = integer_format(declaration)
    if letters is not None:
        # widths from construct: numpy reads the letter L as 8 bytes
        return np.dtype(f"{letters[0]}{'i' if letters[1].islower() else 'u'}{declaration.sizeof()}")
    while isinstance(declaration, C.Renamed):
        declaration = declaration.subcon
    try:
        size = declaration.sizeof()
    except (C.SizeofError, AttributeError):  # AttributeError: the size asks for a value that was not parsed
        raise TypeError(f"{declaration!r} has no fixed size") from None
    if isinstance(declaration, C.Struct):
        sizes = [field.sizeof() for field in declaration.subcons]
        return np.dtype(
            {
                "names": [field.name for field in declaration.subcons],
                "formats": [dtype_of(field) for field in declaration.subcons],
                "offsets": [sum(sizes[:index]) for index in range(len(sizes))],
                "itemsize": size,
            }
        )
    if isinstance(declaration, C.Array):
        return np.dtype((dtype_of(declaration.subcon), (declaration.count,)))
    if isinstance(declaration, C.Bytes):
        return np.dtype(f"V{size}")
    raise TypeError(f"{declaration!r} has no numpy layout")


HEADER = dtype_of(LockspaceHeader)
"""h_version h_lockspace h_nodeid h_length h_cmd h_pad."""
SEQUENCE_HEADER = dtype_of(SequenceHeader)
"""The same bytes as HEADER, with h_seq for h_lockspace."""
OPTIONS = dtype_of(Options)
"""o_nextcmd o_pad o_optlen o_pad2, behind the header."""
MESSAGE = dtype_of(MessageBody)
"""m_type … m_result, behind the header."""
RECOVERY = dtype_of(RecoveryBody)
"""rc_type rc_result rc_id rc_seq rc_seq_reply, behind the header; the payloads below come behind this."""
STATUS_REQUEST = dtype_of(RecoveryStatusRequest)
CONFIG = dtype_of(RecoveryConfig)
CONFIG_SHORT = dtype_of(RecoveryConfigShort)
SLOT = dtype_of(RecoverySlot)
LOCK = dtype_of(RecoveryLock)
