"""Files that people write: YAML with a JSON Schema, and errors that say where."""

from __future__ import annotations

from .reader import Document, DocumentError, choices, read_schema, show

__all__ = ["Document", "DocumentError", "choices", "read_schema", "show"]
