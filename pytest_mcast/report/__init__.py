"""The result record, and views of it."""

from __future__ import annotations

from .conformance import conformance_document, conformance_summary
from .markdown import markdown
from .record import Cell, Event, Feature, File, Record, RecordError, Run
from .store import read, write
from .table import tables

__all__ = [
    "Cell",
    "Event",
    "Feature",
    "File",
    "Record",
    "RecordError",
    "Run",
    "conformance_document",
    "conformance_summary",
    "markdown",
    "read",
    "tables",
    "write",
]
