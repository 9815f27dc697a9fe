"""What macOS and the BSDs say: ifconfig(8), netstat(1), route(8), in the shapes that the readings of Linux have.

Unverified: written after the manual pages and recordings of what these programs print.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from .asking import answer

__all__ = ["addresses", "links", "memberships", "readers", "route_to", "routes"]

_HEAD = re.compile(r"^(\S+): flags=\w+<([A-Z0-9_,]*)>.*?\bmtu (\d+)")
# An address: no link#4, and no Ethernet address, which is six numbers.
_HOP = re.compile(r"(?![0-9a-f]+(:[0-9a-f]+){5}$)[0-9a-f]*[.:]")
_GROUP = re.compile(r"^\s*([0-9a-f.:]+)(?:%\S+)?\s+\S+\s+(\S+)\s*$")
_TUNNELS = {"utun": "tun", "tun": "tun", "ppp": "ppp", "ipsec": "xfrm", "gif": "ipip", "wg": "wireguard"}


def readers(groups: Sequence[str]) -> Dict[str, Callable[[], Any]]:
    """Return what can be read, by the names of the readings; ``groups`` are those whose way is asked for."""
    asked = lru_cache(None)(answer)  # each program once
    return {
        # What they print as it is, for what is not understood here.
        "ifconfig": partial(asked, ("ifconfig", "-a")),
        "netstat": partial(asked, ("netstat", "-rn")),
        "groups": partial(asked, ("netstat", "-gn")),
        "links": lambda: links(asked(("ifconfig", "-a"))),
        "addresses": lambda: addresses(asked(("ifconfig", "-a"))),
        "routes": lambda: routes(asked(("netstat", "-rn"))),
        "memberships": lambda: memberships(asked(("netstat", "-gn"))),
        "route_to": lambda: {group: route_to(_way(group)) for group in groups},
    }


def _way(group: str) -> Optional[str]:
    try:
        return answer(("route", "-n", "get", *(("-inet6",) if ":" in group else ()), group))
    except ChildProcessError:  # it fails when there is none
        return None


def _blocks(text: str) -> Iterator[List[str]]:
    block: List[str] = []
    for line in text.splitlines():
        if line[:1].strip() and block:
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def links(text: str) -> List[Dict[str, Any]]:
    """Read the interfaces out of ``ifconfig -a``; their index is their place in it, from 1."""
    found: List[Dict[str, Any]] = []
    for number, block in enumerate(_blocks(text), 1):
        head = _HEAD.match(block[0])
        if head is None:
            continue
        name, flags, mtu = head.groups()
        words = {line.split()[0]: line.split()[1:] for line in block[1:] if line.split()}
        status = " ".join(words.get("status:", ["active"]))
        kind = _TUNNELS.get(name.rstrip("0123456789"), "bridge" if name.startswith("bridge") else "")
        found.append(
            {
                "index": number,
                "name": name,
                "kind": kind,
                "flags": [flag.lower() for flag in flags.split(",") if flag],
                "mtu": int(mtu),
                "operstate": "up" if "RUNNING" in flags and status == "active" else "down",
                "carrier": status == "active",
                "master": None,
                "peer": None,
                "mac": words.get("ether", [""])[0],
            }
        )
    return found


def addresses(text: str) -> List[Dict[str, Any]]:
    """Read the addresses out of ``ifconfig -a``."""
    found: List[Dict[str, Any]] = []
    for number, block in enumerate(_blocks(text), 1):
        for words in (line.split() for line in block[1:]):
            if words[:1] == ["inet"]:
                mask = int(words[words.index("netmask") + 1], 16)
                found.append(_address(number, "ipv4", words[1], bin(mask).count("1"), words))
            elif words[:1] == ["inet6"]:
                prefix = int(words[words.index("prefixlen") + 1])
                found.append(_address(number, "ipv6", words[1].partition("%")[0], prefix, words))
    return found


def _address(index: int, family: str, address: str, prefix: int, words: List[str]) -> Dict[str, Any]:
    known = {"duplicated": "dadfailed", "tentative": "tentative", "deprecated": "deprecated"}
    flags = [flag for word, flag in known.items() if word in words]
    scope = "host" if address in ("127.0.0.1", "::1") else "link" if address.startswith("fe80:") else "global"
    return {"index": index, "family": family, "address": address, "prefix": prefix, "scope": scope, "flags": flags}


def routes(text: str) -> List[Dict[str, Any]]:
    """Read the routes out of ``netstat -rn``; they have no metric."""
    found: List[Dict[str, Any]] = []
    family = ""
    columns: List[str] = []
    for line in text.splitlines():
        words = line.split()
        if line.startswith("Internet"):
            family = "ipv6" if line.startswith("Internet6") else "ipv4"
        elif words[:1] == ["Destination"]:
            columns = words
        elif len(words) >= 4 and family and columns:
            row = dict(zip(columns, words))
            gateway = row["Gateway"] if _HOP.match(row["Gateway"]) else None
            kind = "blackhole" if "B" in row["Flags"] else "unreachable" if "R" in row["Flags"] else "unicast"
            destination = _destination(row["Destination"], family)
            found.append(
                {
                    "family": family,
                    "table": 0,
                    "destination": destination,
                    "kind": kind,
                    "index": None,
                    "interface": row["Netif"],
                    "gateway": gateway,
                    "metric": 0,
                    "source": None,
                }
            )
    return found


def _destination(text: str, family: str) -> str:
    """Write a destination as everybody does: netstat leaves out zeros at the end, and the length where it is a class."""
    text = re.sub(r"%[^/]*", "", text)
    if text == "default" or family == "ipv6":
        return text if text == "default" or "/" in text else f"{text}/128"
    address, _, length = text.partition("/")
    octets = address.split(".")
    length = length or str(8 * len(octets))
    return ".".join([*octets, *["0"] * (4 - len(octets))]) + f"/{length}"


def memberships(text: str) -> List[Dict[str, Any]]:
    """Read the groups out of ``netstat -gn``: without modes and sources, which it does not tell."""
    found: List[Dict[str, Any]] = []
    family = False
    for line in text.splitlines():
        if "Memberships" in line:
            family = line.startswith(("IPv4", "IPv6"))
        elif family and (match := _GROUP.match(line)):
            found.append({"interface": match[2], "group": match[1], "version": None})
    return found


def route_to(text: Optional[str]) -> Dict[str, Any]:
    """Read what ``route -n get`` answers for a group; None: it has failed."""
    fields = dict(line.strip().split(": ", 1) for line in (text or "").splitlines() if ": " in line)
    if "interface" not in fields:
        return {"error": "ENETUNREACH"}
    return {
        "interface": fields["interface"],
        "index": None,
        "source": None,
        "gateway": fields.get("gateway"),
        "kind": "unicast",
    }
