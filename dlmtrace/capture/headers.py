"""Layouts of the link, network and transport headers, and columns of them.

Each structure stands here once, as a numpy dtype that names the fields dlmtrace reads; the others are holes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def _layout(size: int, **fields: tuple[str, int]) -> np.dtype[Any]:
    """dtype of ``size`` bytes; ``fields`` maps a name to its format and byte offset."""
    return np.dtype(
        {
            "names": list(fields),
            "formats": [form for form, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": size,
        }
    )


IPV4 = _layout(  # RFC 791 §3.1
    20,
    version_length=("u1", 0),
    total_length=(">u2", 2),
    identification=(">u2", 4),
    fragment=(">u2", 6),
    protocol=("u1", 9),
    source=(">u4", 12),
    destination=(">u4", 16),
)
IPV6 = _layout(  # RFC 8200 §3
    40,
    version=("u1", 0),
    payload_length=(">u2", 4),
    next_header=("u1", 6),
    source_high=(">u8", 8),
    source_low=(">u8", 16),
    destination_high=(">u8", 24),
    destination_low=(">u8", 32),
)
EXTENSION = _layout(8, next_header=("u1", 0), length=("u1", 1))  # RFC 8200 §4.2
FRAGMENT = _layout(8, next_header=("u1", 0), fragment=(">u2", 2), identification=(">u4", 4))  # RFC 8200 §4.5
UDP = _layout(8, source_port=(">u2", 0), destination_port=(">u2", 2))  # RFC 768
TCP = _layout(  # RFC 9293 §3.1
    20,
    source_port=(">u2", 0),
    destination_port=(">u2", 2),
    sequence=(">u4", 4),
    acknowledgement=(">u4", 8),
    data_offset=("u1", 12),
    flags=("u1", 13),
)
SCTP = _layout(12, source_port=(">u2", 0), destination_port=(">u2", 2), verification_tag=(">u4", 4))  # RFC 9260 §3.1
CHUNK = _layout(4, type=("u1", 0), flags=("u1", 1), length=(">u2", 2))  # RFC 9260 §3.2
DATA = _layout(16, tsn=(">u4", 4), stream=(">u2", 8))  # RFC 9260 §3.3.1, chunk header included
WORD = _layout(2, value=(">u2", 0))  # one 16-bit field in network byte order


def column(rows: npt.NDArray[Any], name: str) -> Int:
    """A field of gathered rows as int64."""
    values: Int = rows[name].astype(np.int64)
    return values
