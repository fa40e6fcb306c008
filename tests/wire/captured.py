"""Frames of the real captures: every kind that a capture has, and an even sample of the rest."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from evidence import capture_path

from dlmtrace.framing.frames import FrameBatch
from dlmtrace.pipeline import Trace

AT_MOST = 2500
"""Frames of a batch, apart from the first of each kind; the smaller captures are one batch with fewer."""


def batches_of(file: str) -> Iterator[tuple[FrameBatch, npt.NDArray[np.int64]]]:
    """Batches of a capture, each with the rows of the frames chosen from it."""
    for batch in Trace([str(capture_path(file))]).batches():
        if not len(batch):
            continue
        columns: list[npt.NDArray[Any]] = [batch.header["h_version"], batch.header["h_cmd"], batch.command, batch.type]
        kinds = np.stack([*(column.astype(np.int64) for column in columns), batch.frames["state"].astype(np.int64)])
        first_of_a_kind = np.unique(kinds, axis=1, return_index=True)[1]
        every_nth = np.arange(0, len(batch), -(-len(batch) // AT_MOST))
        yield batch, np.union1d(first_of_a_kind, every_nth)


def frames_of(file: str) -> list[bytes]:
    """The chosen frames, as captured."""
    return [batch.bytes_of(row) for batch, rows in batches_of(file) for row in rows]
