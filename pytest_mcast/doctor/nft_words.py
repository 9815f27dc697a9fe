"""A rule of nftables as nft writes it, near enough to be found in the ruleset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["rule_words"]

_PLAIN = frozenset({"accept", "continue", "drop", "return"})


def rule_words(rule: Mapping[str, Any]) -> str:
    """Return what a rule of ``nft -j list ruleset`` says: ``ip daddr 239.1.2.3 udp dport 5000 drop``."""
    return " ".join(_statement(statement) for statement in rule.get("expr", ()))


def _statement(statement: Mapping[str, Any]) -> str:
    ((name, what),) = statement.items()
    if name == "match":
        operator = "" if what.get("op", "==") in ("==", "in") else f"{what['op']} "
        return f"{_value(what['left'])} {operator}{_value(what['right'])}"
    if name in ("jump", "goto"):
        return f"{name} {what['target']}"
    if name == "limit":
        over = "over " if what.get("inv") else ""
        return f"limit rate {over}{what.get('rate')}/{what.get('per')}"
    if name == "vmap":
        return f"{_value(what['key'])} vmap {_value(what['data'])}"
    if name == "counter" and isinstance(what, str):
        return f"counter name {what}"
    return name  # what it is, without its details


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "exists" if value else "missing"
    if isinstance(value, list):
        return ",".join(_value(each) for each in value)
    if not isinstance(value, Mapping) or len(value) != 1:
        return str(value)
    ((kind, what),) = value.items()
    if kind == "payload" and "field" in what:
        return f"{what['protocol']} {what['field']}"
    if kind in ("meta", "ct", "socket"):
        key = str(what["key"])
        return key if key.startswith(("iif", "oif")) else f"{kind} {key}"
    if kind == "prefix":
        return f"{what['addr']}/{what['len']}"
    if kind == "range":
        return "-".join(_value(each) for each in what)
    if kind == "set":
        return "{ " + ", ".join(_element(each) for each in (what if isinstance(what, list) else [what])) + " }"
    if kind == "concat":
        return " . ".join(_value(each) for each in what)
    if kind == "&":
        return " & ".join(_value(each) for each in what)
    if kind == "numgen":
        return f"numgen {what['mode']} mod {what['mod']}"
    if kind == "fib":
        return f"fib {' . '.join(what['flags'])} {what['result']}"
    return str(kind)


def _element(element: Any) -> str:
    if isinstance(element, list) and len(element) == 2 and isinstance(element[1], Mapping):
        return f"{_value(element[0])} : {_statement(element[1])}"
    return _value(element)
