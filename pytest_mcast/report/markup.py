"""Texts of others in HTML: shown as they are, or spelt out, and never anything but text."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any
from urllib.parse import quote

__all__ = ["artifact_link", "clean", "linked", "markup", "quoted", "source_hash"]

# Control characters, those that reorder or hide text, and halves of surrogate pairs, which no encoding has.
_ODD = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_ADDRESS = re.compile(r"https?://[^\s<>\"'`\\]*[^\s<>\"'`\\.,;:!?)\]}]")


def linked(text: str, words: str | None = None) -> Any:
    """Return text in which addresses are links; with ``words``, one link that reads so."""
    from markupsafe import escape

    parts = []
    end = 0
    for match in _ADDRESS.finditer(text):
        address = escape(clean(match.group()))
        parts.append(escape(clean(text[end : match.start()])))
        parts.append(markup(f'<a href="{address}" rel="noreferrer">{address if words is None else escape(words)}</a>'))
        end = match.end()
    return markup("").join([*parts, escape(clean(text[end:]))])


def artifact_link(path: str) -> Any:
    """Return a link to a file relative to the page; just the text where it could be something else."""
    from markupsafe import escape

    text = escape(clean(path))
    plain = path and not path.startswith("/") and not _ODD.search(path) and not re.search(r"[:\\]|^//", path)
    return markup(f'<a href="./{quote(path, safe="/")}">{text}</a>') if plain else text


def source_hash(text: str) -> Any:
    """Return the source of a policy that allows just this text."""
    return markup("sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


def markup(text: str) -> Any:
    """Return text that is HTML as it stands."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - what is not ours in it has been escaped


def clean(text: str) -> str:
    """Return text in which characters that are not seen are spelt out."""
    return _ODD.sub(lambda match: match.group().encode("unicode_escape", "backslashreplace").decode(), text)


def quoted(text: str, safe: str = "") -> str:
    """Return text for an address, percent-encoded but for letters, digits and ``safe``."""
    return quote(clean(text), safe=safe)
