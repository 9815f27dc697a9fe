"""Events as lines of output that programs read: ``event key=value ...``, or an object of JSON with the same keys."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Mapping, Optional, TextIO

__all__ = ["Lines", "OutputLost", "discard"]


class OutputLost(Exception):  # noqa: N818 - an event, not a slip
    """What was to be written cannot be; ``args[0]`` is the ``OSError``, a ``BrokenPipeError`` when nobody reads it."""


class Lines:
    """Writes events to standard output, each as a line of its own and at once, in ASCII.

    As text, None is ``-``, a truth value ``yes`` or ``no``, a mapping ``key:value,...`` (an empty one ``-``), and what
    could not stand in a word (a blank, a backslash, a letter beyond ASCII) is escaped as in Python.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write one; raises ``OutputLost``."""
        if self._as_json:
            line = json.dumps({"event": event, **fields})
        else:
            line = " ".join([event, *(f"{key}={_word(value)}" for key, value in fields.items())])
        try:
            if sys.stdout is None:  # closed by who started us
                raise BrokenPipeError
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except OSError as error:
            discard(sys.stdout)
            raise OutputLost(error) from error

    def error(self, text: str, code: int) -> None:
        """Write an error, and the exit code it leads to: of JSON only, since a text is not made of keys and values."""
        if self._as_json:
            self.write("error", {"message": text, "exit_code": code})


def _word(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{each}" for key, each in sorted(value.items())) or "-"
    return str(value).encode("unicode_escape").decode().replace(" ", "\\x20")


def discard(stream: Optional[TextIO]) -> None:
    """Let what is buffered in a stream go nowhere, or the end of the interpreter would fail on it."""
    if stream is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
