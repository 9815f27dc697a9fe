"""Files that people write: YAML with a JSON Schema, and errors that say where."""

from __future__ import annotations

from .reader import Document, DocumentError, read_schema
from .words import choices, name_of, nearest, show

__all__ = ["Document", "DocumentError", "choices", "name_of", "nearest", "read_schema", "show"]
