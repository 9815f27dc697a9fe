"""The result record, and views of it."""

from __future__ import annotations

from .conformance import conformance_document, conformance_summary
from .diff import Difference, compare, diff_lines
from .markdown import markdown
from .merge import MergeError, Source, merge
from .record import Cell, Event, Feature, File, Record, RecordError, Run
from .store import read, write
from .table import tables

__all__ = [
    "Cell",
    "Difference",
    "Event",
    "Feature",
    "File",
    "MergeError",
    "Record",
    "RecordError",
    "Run",
    "Source",
    "compare",
    "conformance_document",
    "conformance_summary",
    "diff_lines",
    "markdown",
    "merge",
    "read",
    "tables",
    "write",
]
