"""Which interfaces chains at the hooks ingress and egress are for: nft before 1.0.7 says so in its text, not in JSON."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping

__all__ = ["add_devices", "lack_devices"]

_HOOKS = ("ingress", "egress")
_TABLE = re.compile(r"table (\S+) (\S+) \{")
_CHAIN = re.compile(r"\s*chain (\S+) \{")
_DEVICES = re.compile(r"hook (?:ingress|egress) devices? (?:= )?(\{[^}]*\}|\S+)")


def lack_devices(listing: List[Dict[str, Any]]) -> bool:
    """Return whether there are chains in the list ``nftables`` that should have interfaces (``dev``), and have none."""
    return any(_lacks(each.get("chain", {})) for each in listing)


def add_devices(listing: List[Dict[str, Any]], text: str) -> None:
    """Add them to the list, as later versions of nft have them: from the output of ``nft list chains``."""
    devices = _devices(text)
    for each in listing:
        chain = each.get("chain", {})
        found = devices.get(f"{chain.get('family')} {chain.get('table')} {chain.get('name')}")
        if found and _lacks(chain):
            chain["dev"] = found


def _lacks(chain: Mapping[str, Any]) -> bool:
    return chain.get("hook") in _HOOKS and "dev" not in chain


def _devices(text: str) -> Dict[str, List[str]]:
    found: Dict[str, List[str]] = {}
    table = chain = ""
    for line in text.splitlines():
        if (match := _TABLE.match(line)) is not None:
            table = " ".join(match.groups())
        elif (match := _CHAIN.match(line)) is not None:
            chain = match.group(1)
        elif (match := _DEVICES.search(line)) is not None:
            found[f"{table} {chain}"] = re.findall(r'[^\s{},"]+', match.group(1))
    return found
