"""Rows of the column types that the network layers yield."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dlmtrace.capture.segments import Chunks, Segments

Columns = TypeVar("Columns", Segments, Chunks)


def select(rows: Columns, index: npt.NDArray[np.bool_] | slice) -> Columns:
    """The rows of a mask or a slice."""
    columns = {field.name: getattr(rows, field.name) for field in fields(rows)}
    return type(rows)(**{name: column if name == "buffer" else column[index] for name, column in columns.items()})
