"""What receive cores and senders do, as a table for people: behaviour by core, with a note for whatever is no plain yes."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence

import pytest_mcast
from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.cores.runner import SELF_CHECK, Result

from .rows import escape, rows

__all__ = ["core_document", "core_table"]

_WORDS = {"pass": "yes", "fail": "no", "unsupported": "n/a", "skipped": "absent", "error": "error"}
_FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}
_EVIDENCE = 300  # characters of it in a note

_LEGEND = """\
*yes*: it does, for each kind of channel that the behaviour is about (IPv4 and IPv6, ASM and SSM). *no*: it does not; the note says
what it did instead, and whether that is a known finding. *n/a*: it does not claim to. *absent*: the program was not there.
*error*: nothing was established. Where the kinds differ they are named."""


def core_document(
    command: str, receiving: Sequence[Result], sending: Sequence[Result], titles: Mapping[str, str]
) -> Iterator[str]:
    """Yield the lines of the document: what was measured, the tables, the notes. ``titles`` are those of the behaviours."""
    yield "# What receive cores do"
    yield ""
    yield "Each behaviour is looked at in virtual hosts, as [Any receive core](receive-cores.md) says: by control and fence, in the"
    yield "kernel and on the wire."
    yield ""
    yield _LEGEND
    yield ""
    looked_at = {result.behaviour for result in (*receiving, *sending)}
    yield from rows(["behaviour", "what it is"], [[name, title] for name, title in titles.items() if name in looked_at])
    for heading, results in (("Receivers", receiving), ("Senders", sending)):
        if results:
            yield ""
            yield f"## {heading}"
            yield ""
            yield from core_table(results, titles)
    yield ""
    yield f"Measured with pytest-mcast {pytest_mcast.__version__}, CPython {platform.python_version()}, Linux {platform.release()}, by"
    yield f"`{command}`."


def core_table(results: Sequence[Result], titles: Mapping[str, str]) -> Iterator[str]:
    """Yield a table of behaviour by core, and its notes, in the order of the titles."""
    order = [SELF_CHECK, *titles]
    cores = list(dict.fromkeys(result.core for result in results))
    behaviours = sorted({result.behaviour for result in results}, key=order.index)
    versions = {result.core: result.version for result in results if result.version}
    notes: dict[str, int] = {}
    body = [
        [
            behaviour,
            *(
                _cell([one for one in results if (one.core, one.behaviour) == (core, behaviour)], notes)
                for core in cores
            ),
        ]
        for behaviour in behaviours
    ]
    yield from rows(["", *(" ".join(filter(None, (core, versions.get(core)))) for core in cores)], body)
    if notes:
        yield ""
    yield from (f"{number}. {escape(note)}" for note, number in notes.items())


def _cell(results: Sequence[Result], notes: dict[str, int]) -> str:
    alike: dict[tuple[str, bool], list[Result]] = {}
    for result in results:
        alike.setdefault((_WORDS[result.outcome], result.surprising), []).append(result)
    parts = []
    for (word, _), found in alike.items():
        where = f" for {_kinds(found)}" if len(alike) > 1 else ""
        note = _note(found)
        number = f" ({notes.setdefault(note, len(notes) + 1)})" if note else ""
        parts.append(word + where + number)
    return "; ".join(parts)


def _kinds(results: Sequence[Result]) -> str:
    kinds = {(result.family, result.mode) for result in results}
    for family in FAMILIES:
        if {one for one, _ in kinds} == {family} and len(kinds) == len(MODES):
            return _FAMILIES[family]
    for mode in MODES:
        if {one for _, one in kinds} == {mode} and len(kinds) == len(FAMILIES):
            return mode.upper()
    return ", ".join(f"{_FAMILIES[family]} {mode.upper()}" for family, mode in sorted(kinds))


def _note(results: Sequence[Result]) -> str:
    """Return what there is to say of the results of one core and behaviour that have the same outcome."""
    first = results[0]
    measured = first.reason.splitlines()[0][:_EVIDENCE] if first.reason else ""
    if first.outcome == "skipped":
        return f"{first.core}: {measured}"
    known = next((result.expected for result in results if result.expected is not None), None)
    if known is None and first.outcome in ("pass", "unsupported"):
        return ""
    what = f"{first.core}, {first.behaviour}"
    if known is None:
        return f"{what}, new: {measured}"
    versions = f", versions {known.versions}" if known.versions else ""
    if first.outcome == "pass":
        return f"{what}: it passed, where a finding is known{versions}: {known.reason}"
    return f"{what}, known{versions}: {known.reason}. Measured: {measured}"
