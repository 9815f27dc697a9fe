"""Text for a terminal and for the log of a CI: what others have named (programs, interfaces) may be anything."""

from __future__ import annotations

import re
import shlex
import textwrap
import unicodedata
from collections.abc import Mapping

__all__ = ["filled", "in_shell", "printable", "wrapped"]

# What is a command, or part of one: it was quoted where it was made.
_COMMANDS = frozenset({"command", "option", "policy", "route", "settings"})
# Control characters, formats (that turn the direction of writing), surrogates: those of Unicode's C but what is unassigned.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Commands to the runner of a CI: Azure Pipelines "##[error]", "##vso[", anywhere; GitHub Actions "::error ...::" first.
_ANYWHERE = re.compile(r"##(?=\[|vso\[)")
_FIRST = re.compile(r"^(\s*:)(?=:[A-Za-z][\w-]*(?:\s[^:]*)?::)")
_SPACE = re.compile(r"[\t\n\r\v\f]")


def printable(text: str) -> str:
    """Return one line of text without what a terminal, or the runner of a CI, would take for a command."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() or not _is_invisible(each) else _visible(each) for each in text)
    return _FIRST.sub(r"\1 ", _ANYWHERE.sub("## ", text))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE


def _visible(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8 (PEP 383)
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def wrapped(text: str, width: int, first: str = "", others: str = "", *, break_long_words: bool = True) -> list[str]:
    """Break a text into printable lines, at spaces; see ``textwrap.wrap``."""
    text = printable(_SPACE.sub(" ", text))
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
        break_long_words=break_long_words,
    )
    return [printable(line) for line in lines]


def in_shell(command: str, width: int, start: int, *, windows: bool = False) -> list[str]:
    """Break a command (one line) into lines that a shell takes for one; ``start`` is how far it is indented.

    It is broken between words only, never inside quotes, and goes on after a backslash (PowerShell: a backtick).
    """
    more = " `" if windows else " \\"
    indents = " " * start, " " * (start + 4)
    lines, line = [], f"{indents[0]}$ "
    for number, word in enumerate(_words(command)):
        if number and len(line) + 1 + len(word) > width - len(more):
            lines.append(line + more)
            line = f"{indents[1]}{word}"
        else:
            line += f" {word}" if number else word
    return [printable(each) for each in (*lines, line)]


def _words(command: str) -> list[str]:
    """Return the words of a command with their quotes."""
    return re.findall(r"""(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+|['"\\]""", command)


def filled(template: str, values: Mapping[str, object], *, windows: bool = False) -> str:
    """Fill the values into a command, each as one word of a shell; but those that are commands, or parts of one."""
    quote = _for_powershell if windows else shlex.quote
    return template.format(**{name: each if name in _COMMANDS else quote(str(each)) for name, each in values.items()})


def _for_powershell(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
