"""Cores by name, by ``module:attribute`` or by the file of a description."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from pytest_mcast.core.errors import McastError

from .asynchronous import AsyncCore
from .builtin import BuiltInCore
from .description import Description, read_description
from .external import ExternalCore
from .naive import NaiveCore
from .protocol import ReceiveCore
from .sender import ExternalSender

__all__ = ["CoreError", "find_any", "find_core", "shipped_cores", "shipped_senders"]

_DESCRIPTIONS = Path(__file__).parent / "descriptions"
_SUFFIXES = (".yaml", ".yml")
_ATTRIBUTES = ("name", "version", "capabilities", "expected_failures", "open")


class CoreError(McastError, LookupError):
    """What was named is no receive core; the text names it and what there is."""


def shipped_cores() -> dict[str, Callable[[], ReceiveCore]]:
    """Return how to make each core of this package, by name, in the order of tables."""
    described = {name: partial(_external_core, path) for name, path in _described(senders=False).items()}
    return {"builtin": BuiltInCore, "builtin-asyncio": AsyncCore, "naive": NaiveCore, **described}


def shipped_senders() -> dict[str, Callable[[], ExternalSender]]:
    """Return how to make each described sender of this package, by name."""
    return {name: partial(_external_sender, path) for name, path in _described(senders=True).items()}


def find_core(what: str, more: Iterable[ReceiveCore] = ()) -> ReceiveCore:
    """Find a core: a name (of ``more``, or of this package), ``module:attribute``, or a description's file.

    The attribute is a core, or a function or class that makes one when it is called without arguments. Raises
    ``CoreError``, and ``DescriptionError`` for a file that is no good.
    """
    if what.endswith(_SUFFIXES):
        found = _described_by(_read(what))
        if isinstance(found, ExternalSender):
            raise CoreError(f"{what} describes a sender, {found.name}, where a receiver belongs")
        return found
    if ":" in what:
        return _from_module(what)
    others = {core.name: core for core in (_checked(one, "a receive core of a plugin") for one in more)}
    if what in others:
        return others[what]
    shipped = shipped_cores()
    if what in shipped:
        return shipped[what]()
    names = [*shipped, *others]
    near = difflib.get_close_matches(what, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise CoreError(
        f"there is no receive core {what!r}; {hint}there are {', '.join(names)}, module:attribute, and FILE.yaml"
    )


def find_any(what: str) -> ReceiveCore | ExternalSender:
    """Find a core or a described sender, of this package or in a file; raises as ``find_core``."""
    senders = shipped_senders()
    if what in senders:
        return senders[what]()
    if what.endswith(_SUFFIXES):
        return _described_by(_read(what))
    return find_core(what)


def _described(*, senders: bool) -> dict[str, Path]:
    # By the file's name, which is the description's (a test compares them): so nothing is read that is not used.
    return {path.stem: path for path in sorted(_DESCRIPTIONS.glob("*.yaml")) if path.stem.endswith("_send") == senders}


def _external_core(path: Path) -> ExternalCore:
    return ExternalCore(read_description(path))


def _external_sender(path: Path) -> ExternalSender:
    return ExternalSender(read_description(path))


def _described_by(description: Description) -> ExternalCore | ExternalSender:
    return ExternalSender(description) if description.kind == "sender" else ExternalCore(description)


def _read(what: str) -> Description:
    path = Path(what).expanduser()
    try:
        return read_description(path)
    except OSError as error:
        raise CoreError(f"cannot read the description {path}: {error.strerror}") from None


def _from_module(what: str) -> ReceiveCore:
    module_name, _, attribute = what.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # a module of the user's may raise anything
        raise CoreError(f"receive core {what!r}: cannot import {module_name!r}: {_said(error)}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = ", ".join(sorted(name for name in vars(found) if not name.startswith("_"))) or "nothing"
            raise CoreError(f"receive core {what!r}: there is no {part!r} in it; there is {names}")
        found = getattr(found, part)
    if isinstance(found, type) or (callable(found) and not hasattr(found, "open")):
        try:
            found = found()
        except Exception as error:  # and so may a class
            raise CoreError(f"receive core {what!r}: cannot be made without arguments: {_said(error)}") from error
    return _checked(found, f"receive core {what!r}")


def _checked(made: Any, what: str) -> ReceiveCore:
    # Statically: to ask a program for its version is too much for now, and it may not even be there.
    missing = [name for name in _ATTRIBUTES if inspect.getattr_static(made, name, None) is None]
    if missing:
        raise CoreError(f"{what} is {made!r}, which has no {', '.join(missing)}; see pytest_mcast.cores.ReceiveCore")
    core: ReceiveCore = made
    _check_versions(core, what)
    return core


def _check_versions(core: ReceiveCore, what: str) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    for known in core.expected_failures:
        try:
            SpecifierSet(known.versions)
        except InvalidSpecifier:
            said = f"versions={known.versions!r} does not say which versions, as '>=0.2.7,<0.4' does"
            raise CoreError(f"{what}: the expected failure of {known.behaviour}: {said}") from None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
