"""Tables in GitHub's Markdown that are also read in terminals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["escape", "rows"]


def rows(head: Sequence[str], body: Sequence[Sequence[str]], *, aligned: bool = True) -> Iterator[str]:
    """Yield the lines of a table with these cells, as text that reads as it stands; ``aligned`` for terminals."""
    lines = [[escape(text) for text in row] for row in (head, *body)]
    widths = [max(3, *map(len, column)) if aligned else 3 for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        yield "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"


def escape(text: str) -> str:
    """Return text that reads as it stands, on one line, also in a table. Within a word _ means nothing."""
    return re.sub(r"[\\`*\[\]<|~&]|(?<![^\W_])_|_(?![^\W_])|^[#>+-]", r"\\\g<0>", " ".join(text.split()))
