"""Tables of sender x receiver for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

__all__ = ["tables"]


def tables(cells: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield the lines of one table per file, family and mode: senders down, receivers across, outcomes inside.

    A cell has the keys file, title, family, mode, sender, receiver and outcome.
    """
    for file, title in dict.fromkeys((cell["file"], cell["title"]) for cell in cells):
        yield f"{title} ({file})" if title else file
        here = [cell for cell in cells if cell["file"] == file]
        for kind in sorted({(cell["family"], cell["mode"]) for cell in here}):
            yield ""
            yield from _table("-".join(kind), [cell for cell in here if (cell["family"], cell["mode"]) == kind])
        yield ""


def _table(name: str, cells: Sequence[Mapping[str, str]]) -> Iterator[str]:
    senders = sorted({cell["sender"] for cell in cells})
    receivers = sorted({cell["receiver"] for cell in cells})
    outcomes = {(cell["sender"], cell["receiver"]): cell["outcome"] for cell in cells}
    first = max(len(name), *(len(f"from {sender}") for sender in senders))
    rest = [max(len("skipped"), len(f"to {receiver}")) for receiver in receivers]
    heads = [f"to {receiver}".ljust(width) for receiver, width in zip(receivers, rest, strict=True)]
    yield f"  {name.ljust(first)}  {'  '.join(heads)}".rstrip()
    for sender in senders:
        row = [
            outcomes.get((sender, receiver), "").ljust(width) for receiver, width in zip(receivers, rest, strict=True)
        ]
        yield f"  {f'from {sender}'.ljust(first)}  {'  '.join(row)}".rstrip()
