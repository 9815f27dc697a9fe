"""Tables in GitHub's Markdown that are also read in terminals, and text of any origin in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

__all__ = ["escape", "one_line", "pad", "rows", "width"]

# What means something in GitHub's Markdown: anywhere, at the edge of a word, at the beginning of a line. $ begins formulas.
_MEANING = re.compile(
    r"[\\`*\[\]<|~&$]|(?<![^\W_])_|_(?![^\W_])|^[#>+=-]|(?<=^\d)[.)](?= |$)|(?<=^\d\d)[.)](?= |$)|(?<=^\d{3})[.)](?= |$)"
)


def rows(head: Sequence[str], body: Sequence[Sequence[str]], *, aligned: bool = True) -> Iterator[str]:
    """Yield the lines of a table with these cells, as text that reads as it stands; ``aligned`` for terminals."""
    lines = [[escape(text) for text in row] for row in (head, *body)]
    widths = [max(3, *map(width, column)) if aligned else 3 for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        yield "| " + " | ".join(pad(text, size) for text, size in zip(line, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (size + 2) for size in widths) + "|"


def escape(text: str) -> str:
    """Return text that reads as it stands, on one line, also in a table. Within a word _ means nothing."""
    return _MEANING.sub(r"\\\g<0>", one_line(text))


def one_line(text: str, longest: int | None = None) -> str:
    r"""Return text on one line, without anything that a terminal or browser would obey, such as ``\x1b`` or ``\u202e``."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(char if char.isprintable() else _visible(char) for char in line)
    return line if longest is None or len(line) <= longest else line[: longest - 3] + "..."


def width(text: str) -> int:
    """Return the number of columns that a line of text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
               for char in text)  # fmt: skip


def pad(text: str, columns: int) -> str:
    """Return text with spaces behind it, that many columns wide at least."""
    return text + " " * (columns - width(text))


def _visible(char: str) -> str:
    return char.encode("unicode_escape").decode() if char.isascii() else f"\\u{ord(char):04x}"
