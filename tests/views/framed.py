"""Captures as the views get them: columns of frames, and what was learnt of the nodes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from evidence import capture_path

from dlmtrace.pipeline import Trace
from dlmtrace.streams.survey import Survey
from dlmtrace.views.columns import FrameColumns
from dlmtrace.views.naming import Naming


def columns_of(path: Path, lockspaces: Mapping[int, str] = MappingProxyType({})) -> Iterator[FrameColumns]:
    """All frames of a capture, batch by batch."""
    trace, survey = Trace([str(path)]), Survey()
    naming = Naming(survey.nodes, lockspaces, [str(path)])
    for batch in trace.batches():
        first = survey.frames
        survey.add(batch)
        if len(batch):
            yield FrameColumns(batch, np.arange(len(batch)), naming, first)


def columns_of_capture(file: str, lockspaces: Mapping[int, str] = MappingProxyType({})) -> Iterator[FrameColumns]:
    """All frames of a capture of the repository."""
    return columns_of(capture_path(file), lockspaces)


def survey_of(path: Path) -> Survey:
    """Counts of a capture."""
    survey = Survey()
    for batch in Trace([str(path)]).batches():
        survey.add(batch)
    return survey
