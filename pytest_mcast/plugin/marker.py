"""``@pytest.mark.mcast(family=..., mode=..., scope=..., timeout=...)``: what a test asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _typeshed import SupportsItems

__all__ = ["FAMILIES", "MODES", "SIGNATURE", "Wish", "read_marker"]

# core.FAMILIES, core.MODES, core.SCOPES, without importing core at start-up (a test compares them).
FAMILIES = ("ipv4", "ipv6")
MODES = ("asm", "ssm")
SCOPES = ("interface-local", "link-local", "realm-local", "admin-local", "site-local", "organization-local", "global")

SIGNATURE = (
    "mcast(family=None, mode=None, scope=None, timeout=None): "
    "Narrow mcast_channel to families (ipv4, ipv6), modes (asm, ssm) and a scope; wait that many seconds"
)


@dataclass(frozen=True)
class Wish:
    """What the markers of a test say; ``kinds`` are pairs of family and mode, ``timeout`` is in seconds or None."""

    kinds: tuple[tuple[str, str], ...]
    scope: str | None
    timeout: float | None


def read_marker(node: pytest.Item) -> Wish:
    """Read the markers of a test, the closest first; a wrong argument fails the test's collection or set-up."""
    arguments: dict[str, Any] = {}
    for mark in node.iter_markers("mcast"):
        if mark.args:
            _refuse(f"takes no positional arguments, not {', '.join(map(repr, mark.args))}")
        _check_names(mark.kwargs)
        arguments = {**mark.kwargs, **arguments}
    families = _some(arguments, "family", FAMILIES)
    modes = _some(arguments, "mode", MODES)
    scope = arguments.get("scope")
    if scope is not None and scope not in SCOPES:
        _refuse(f"scope={scope!r} is not one of {', '.join(SCOPES)}")
    timeout = arguments.get("timeout")
    number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if timeout is not None and not (number and timeout > 0):
        _refuse(f"timeout={timeout!r} is not a number of seconds above 0")
    return Wish(tuple((family, mode) for family in families for mode in modes), scope, timeout)


def _check_names(keywords: SupportsItems[str, Any]) -> None:
    unknown = [key for key, _ in keywords.items() if key not in ("family", "mode", "scope", "timeout")]
    if unknown:
        _refuse(f"has no argument {', '.join(unknown)}; there are family, mode, scope and timeout")


def _some(arguments: dict[str, Any], key: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    given = arguments.get(key)
    if given is None:
        return choices
    wanted: Iterable[Any] = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not wanted or any(value not in choices for value in wanted):
        _refuse(f"{key}={given!r} is not one of {', '.join(choices)}, nor a list of them")
    return tuple(choice for choice in choices if choice in wanted)


def _refuse(text: str) -> None:
    pytest.fail(f"@pytest.mark.mcast {text}", pytrace=False)
