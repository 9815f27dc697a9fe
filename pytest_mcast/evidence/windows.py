"""What Windows says: PowerShell's Get-Net... commands, in the shapes that the readings of Linux have.

Unverified: written after Microsoft's documentation of the commands.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Callable, Dict, List, Mapping

from .asking import answer

__all__ = ["COMMAND", "readers", "understand"]

# Each property as text, because enumerations would be numbers in JSON.
_WANTED = {
    "adapters": ("Get-NetAdapter", "Name ifIndex Status MtuSize MacAddress InterfaceDescription"),
    "interfaces": ("Get-NetIPInterface", "InterfaceAlias ifIndex AddressFamily NlMtu ConnectionState InterfaceMetric"),
    "addresses": ("Get-NetIPAddress", "ifIndex AddressFamily IPAddress PrefixLength AddressState"),
    "routes": (
        "Get-NetRoute | Where-Object DestinationPrefix -in '224.0.0.0/4','ff00::/8','0.0.0.0/0','::/0'",
        "DestinationPrefix InterfaceAlias ifIndex NextHop RouteMetric InterfaceMetric AddressFamily",
    ),
    "firewall": ("Get-NetFirewallProfile -PolicyStore ActiveStore", "Name Enabled DefaultInboundAction"),
    "connections": ("Get-NetConnectionProfile", "InterfaceAlias NetworkCategory"),
}


def _script() -> str:
    parts = []
    for name, (command, properties) in _WANTED.items():
        columns = ",".join(f"@{{n='{each}';e={{\"$($_.{each})\"}}}}" for each in properties.split())
        parts.append(f"{name}=@({command} -ErrorAction SilentlyContinue | Select-Object {columns})")
    return f"@{{{';'.join(parts)}}} | ConvertTo-Json -Depth 3 -Compress"


#: What is asked, all at once, because starting PowerShell takes a second.
COMMAND = ("powershell", "-NoProfile", "-NonInteractive", "-Command", _script())
# By the category of a connection: the profile of the firewall that is in force.
_PROFILES = {"Public": "Public", "Private": "Private", "DomainAuthenticated": "Domain"}
_NO_HOP = ("0.0.0.0", "::")  # noqa: S104 - nothing is bound
_TUNNELS = {"wireguard": "wireguard", "tap-windows": "tun", "openvpn": "tun", "wan miniport": "ppp", "vpn": "tun"}


def readers() -> Dict[str, Callable[[], Any]]:
    """Return what can be read, by the names of the readings; PowerShell is asked once."""
    asked: List[Any] = []

    def understood(name: str) -> Any:
        if not asked:
            try:
                asked.append(understand(json.loads(answer(COMMAND))))
            except (OSError, ValueError) as error:
                asked.append(error)
        if isinstance(asked[0], Exception):
            raise asked[0]
        return asked[0][name]

    names = ("links", "addresses", "routes", "firewall_profiles", "connection_profiles")
    return {
        **{name: partial(understood, name) for name in names},
        "joins": lambda: answer(("netsh", "interface", "ipv4", "show", "joins")),
    }


def understand(data: Mapping[str, List[Mapping[str, str]]]) -> Dict[str, Any]:
    """Return the readings that what ``COMMAND`` prints is."""
    adapters = {each["ifIndex"]: each for each in data["adapters"]}
    links: Dict[str, Dict[str, Any]] = {}
    for each in data["interfaces"]:
        adapter = adapters.get(each["ifIndex"], {})
        loopback = each["ifIndex"] == "1"
        up = each["ConnectionState"] == "Connected"
        flags = [flag for flag, on in (("up", up), ("loopback", loopback), ("multicast", not loopback)) if on]
        described = adapter.get("InterfaceDescription", "").lower()
        links[each["ifIndex"]] = {
            "index": int(each["ifIndex"]),
            "name": each["InterfaceAlias"],
            "kind": next((kind for word, kind in _TUNNELS.items() if word in described), ""),
            "flags": flags,
            "mtu": min(int(each["NlMtu"]), 0xFFFFFFFF),
            "operstate": "up" if up else "down",
            "carrier": up,
            "master": None,
            "peer": None,
            "mac": adapter.get("MacAddress", "").replace("-", ":").lower(),
        }
    connections = [
        {"interface": each["InterfaceAlias"], "category": each["NetworkCategory"]} for each in data["connections"]
    ]
    active = {_PROFILES.get(each["category"], each["category"]) for each in connections}
    return {
        "links": sorted(links.values(), key=lambda link: int(link["index"])),
        "addresses": [_address(each) for each in data["addresses"]],
        "routes": [_route(each) for each in data["routes"]],
        "connection_profiles": connections,
        "firewall_profiles": [
            {
                "profile": each["Name"],
                "enabled": each["Enabled"] == "True",
                "inbound": each["DefaultInboundAction"].lower(),
                "active": each["Name"] in active,
            }
            for each in data["firewall"]
        ],
    }


def _address(each: Mapping[str, str]) -> Dict[str, Any]:
    states = {"Duplicate": ["dadfailed"], "Tentative": ["tentative"], "Deprecated": ["deprecated"]}
    return {
        "index": int(each["ifIndex"]),
        "family": each["AddressFamily"].lower(),
        "address": each["IPAddress"].partition("%")[0],
        "prefix": int(each["PrefixLength"]),
        "scope": "link" if each["IPAddress"].startswith("fe80:") else "global",
        "flags": states.get(each["AddressState"], []),
    }


def _route(each: Mapping[str, str]) -> Dict[str, Any]:
    gateway = None if each["NextHop"] in _NO_HOP else each["NextHop"]
    destination = each["DestinationPrefix"]
    return {
        "family": each["AddressFamily"].lower(),
        "table": 0,
        "destination": "default" if destination.endswith("/0") else destination,
        "kind": "unicast",
        "index": int(each["ifIndex"]),
        "interface": each["InterfaceAlias"],
        "gateway": gateway,
        "metric": int(each["RouteMetric"]) + int(each["InterfaceMetric"] or 0),
        "source": None,
    }
