"""Cores by name, by ``module:attribute`` or by the file of a description."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pytest_mcast.core.errors import McastError

from .description import Description, read_description
from .protocol import ReceiveCore
from .sender import ExternalSender

__all__ = ["CoreError", "find_core", "find_sender", "shipped_cores", "shipped_senders"]

_DESCRIPTIONS = Path(__file__).parent / "descriptions"
_ATTRIBUTES = ("name", "version", "capabilities", "open")


class CoreError(McastError, LookupError):
    """What was named is no receive core; the text names it and what there is."""


def shipped_cores() -> dict[str, Callable[[], ReceiveCore]]:
    """Return how to make each core of this package, by name, in the order of tables."""
    return {**_IN_PROCESS, **{name: _maker(path, "receiver") for name, path in _described("receiver").items()}}


def shipped_senders() -> dict[str, Callable[[], ExternalSender]]:
    """Return how to make each described sender of this package, by name."""
    return {name: _sender_maker(path) for name, path in _described("sender").items()}


def find_core(what: str, more: Iterable[ReceiveCore] = (), directory: Path | None = None) -> ReceiveCore:
    """Find a core: a name (of this package, or of ``more``), ``module:attribute``, or a description's file.

    The attribute is a core, or a function or class that makes one when it is called without arguments; a relative
    path starts at ``directory``. Raises ``CoreError``, and ``DescriptionError`` for a file that is no good.
    """
    if what.endswith((".yaml", ".yml")):
        return _from_file(what, directory)
    if ":" in what:
        return _from_module(what)
    others: Mapping[str, ReceiveCore] = {core.name: core for core in more}
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


def find_sender(what: str) -> ExternalSender:
    """Find a sender: a name of this package, or a description's file; raises as ``find_core``."""
    if what.endswith((".yaml", ".yml")):
        description = _read(what, None)
        if description.kind != "sender":
            raise CoreError(f"{what} describes a {description.kind}, {description.name}, where a sender belongs")
        return ExternalSender(description)
    shipped = shipped_senders()
    if what not in shipped:
        raise CoreError(f"there is no sender {what!r}; there are {', '.join(shipped)}, and FILE.yaml")
    return shipped[what]()


def _builtin() -> ReceiveCore:
    from .builtin import BuiltInCore

    return BuiltInCore()


def _naive() -> ReceiveCore:
    from .naive import NaiveCore

    return NaiveCore()


_IN_PROCESS: dict[str, Callable[[], ReceiveCore]] = {"builtin": _builtin, "naive": _naive}


def _described(kind: str) -> dict[str, Path]:
    # By the file's name, which is the description's (a test compares them): so nothing is read that is not used.
    files = sorted(_DESCRIPTIONS.glob("*.yaml"))
    return {path.stem: path for path in files if path.stem.endswith("_send") == (kind == "sender")}


def _maker(path: Path, kind: str) -> Callable[[], ReceiveCore]:
    def make() -> ReceiveCore:
        from .external import ExternalCore

        return ExternalCore(read_description(path))

    return make


def _sender_maker(path: Path) -> Callable[[], ExternalSender]:
    return lambda: ExternalSender(read_description(path))


def _read(what: str, directory: Path | None) -> Description:
    path = Path(what).expanduser() if directory is None else directory / Path(what).expanduser()
    try:
        return read_description(path)
    except OSError as error:
        raise CoreError(f"cannot read the description {path}: {error.strerror}") from None


def _from_file(what: str, directory: Path | None) -> ReceiveCore:
    from .external import ExternalCore

    description = _read(what, directory)
    if description.kind != "receiver":
        raise CoreError(f"{what} describes a {description.kind}, {description.name}, where a receiver belongs")
    return ExternalCore(description)


def _from_module(what: str) -> ReceiveCore:
    module_name, _, attribute = what.partition(":")
    try:
        found = importlib.import_module(module_name)
    except ImportError as error:
        raise CoreError(f"receive core {what!r}: cannot import {module_name!r}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = ", ".join(sorted(name for name in vars(found) if not name.startswith("_"))) or "nothing"
            raise CoreError(f"receive core {what!r}: there is no {part!r} in it; there is {names}")
        found = getattr(found, part)
    made = found() if isinstance(found, type) or not hasattr(found, "open") and callable(found) else found
    missing = [name for name in _ATTRIBUTES if not hasattr(made, name)]
    if missing:
        raise CoreError(f"receive core {what!r} is {made!r}, which has no {', '.join(missing)}; see ReceiveCore")
    core: ReceiveCore = made
    return core
