"""What is wrong with the membership protocols: versions, queriers, bridges that snoop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_mcast.doctor.check import Match
from pytest_mcast.doctor.facts import Facts, NotRead
from pytest_mcast.doctor.machine_check import MachineCheck

from .asking import FAMILIES, in_use

__all__ = ["CHECKS"]

_NEWEST = {"ipv4": 3, "ipv6": 2}
_NAMES = {"ipv4": "IGMP", "ipv6": "MLD"}
_FORCED = {"ipv4": "force_igmp_version", "ipv6": "force_mld_version"}


def _forced(facts: Facts) -> Iterator[Match]:
    for family, name in _NAMES.items():
        for link in in_use(facts):
            try:
                version = facts.conf(family, link["name"], _FORCED[family])
            except NotRead:  # an interface without IPv6
                continue
            if 0 < version < _NEWEST[family]:
                own = facts.sysctl_int(f"net.{family}.conf.{link['name'].replace('.', '/')}.{_FORCED[family]}")
                where = link["name"].replace(".", "/") if own == version else "all"
                sysctl = f"net.{family}.conf.{where}.{_FORCED[family]}"
                values = {"interface": link["name"], "version": f"{name}v{version}", "sysctl": sysctl}
                yield Match("likely", (f"{sysctl}={version}",), values)


def _older(facts: Facts) -> Iterator[Match]:
    heard = _heard(facts)
    for link in in_use(facts):
        version, forced = facts.igmp_version(link["name"]), facts.conf("ipv4", link["name"], _FORCED["ipv4"])
        bridge = link.get("bridge") or {}
        if version is None or version >= 3 or forced or (bridge.get("querier") and bridge["igmp_version"] == version):
            continue  # or it is the bridge that it has it from, which another check says
        evidence = [f"/proc/net/igmp: {link['name']} V{version}, and no sysctl forces it"]
        query = heard.get(link["name"], {}).get("ipv4")
        if query is not None:
            evidence.append(f"an IGMPv{query['version']} query was heard from {query['source']}")
        yield Match("likely", tuple(evidence), {"interface": link["name"], "version": f"IGMPv{version}"})
    for interface, families in heard.items():  # the kernel does not tell the version of MLD
        query = families.get("ipv6")
        if query is not None and query["version"] < 2:
            evidence = [f"an MLDv1 query was heard from {query['source']}"]
            yield Match("likely", tuple(evidence), {"interface": interface, "version": "MLDv1"})


def _heard(facts: Facts) -> dict[str, dict[str, dict[str, Any] | None]]:
    try:
        found: dict[str, dict[str, dict[str, Any] | None]] = facts.read("queriers")["interfaces"]
    except NotRead:  # what the kernel has heard it tells all the same
        return {}
    return found


def _no_querier(facts: Facts) -> Iterator[Match]:
    queriers = facts.read("queriers")
    if not queriers["proof"]:
        return
    for interface, families in queriers["interfaces"].items():
        for family, query in families.items():
            if query is None:
                evidence = (f"no {_NAMES[family]} query within {queriers['waited_s']:g} s",)
                yield Match("possible", evidence, {"interface": interface, "protocol": _NAMES[family]})


def _bridge_without_querier(facts: Facts) -> Iterator[Match]:
    for link in facts.links():
        bridge = link.get("bridge")
        if bridge is None or "up" not in link["flags"] or not bridge["snooping"] or bridge["querier"]:
            continue
        closed = [
            port["name"]
            for port in facts.links()
            if port["master"] == link["index"] and not port.get("port", {}).get("mcast_flood", True)
        ]
        missing = [family for family in FAMILIES if not (bridge.get("other_querier") or {}).get(family)]
        if closed and missing:
            evidence = (
                f"{link['name']} snoops, is no querier, and has heard none ({', '.join(FAMILIES[each] for each in missing)})",
                f"mcast_flood is off on {', '.join(closed)}",
            )
            yield Match("likely", evidence, {"bridge": link["name"]})


def _old_bridge_querier(facts: Facts) -> Iterator[Match]:
    for link in facts.links():
        bridge = link.get("bridge")
        if bridge is None or not bridge["querier"] or "up" not in link["flags"]:
            continue
        for family, key in (("ipv4", "igmp_version"), ("ipv6", "mld_version")):
            version = bridge.get(key)
            if version is not None and version < _NEWEST[family]:
                values = {
                    "bridge": link["name"],
                    "version": f"{_NAMES[family]}v{version}",
                    "option": f"mcast_{key} {_NEWEST[family]}",
                }
                yield Match("likely", (f"{link['name']}: mcast_querier 1, mcast_{key} {version}",), values)


def _bridge_filtered(facts: Facts) -> Iterator[Match]:
    bridges = [link["name"] for link in facts.links() if link["kind"] == "bridge" and "up" in link["flags"]]
    if not bridges:
        return
    for family, name in (("ip", "iptables"), ("ip6", "ip6tables")):
        try:
            on = facts.sysctl(f"net.bridge.bridge-nf-call-{name}") == "1"
        except NotRead:  # the module br_netfilter is not loaded
            continue
        chains = [each["chain"] for each in facts.firewall() if "chain" in each] if on else []
        for chain in chains:
            if chain.get("hook") == "forward" and chain.get("policy") == "drop" and chain["family"] in (family, "inet"):
                where = f"{chain['family']} {chain['table']} {chain['name']}"
                evidence = (f"net.bridge.bridge-nf-call-{name}=1", f"{where} has the policy drop")
                values = {"bridges": ", ".join(bridges), "sysctl": f"net.bridge.bridge-nf-call-{name}"}
                yield Match("possible", evidence, values)


#: Checks of membership protocols.
CHECKS: tuple[MachineCheck, ...] = (
    MachineCheck(
        id="machine.old-version-forced",
        condition=_forced,
        sentence="{version} is forced on {interface}: it cannot report sources, and no router forwards SSM for it",
        cure="force nothing",
        command="sysctl -w {sysctl}=0",
        reads=("links", "sysctl net.ipv4.conf.*.force_igmp_version, net.ipv6.conf.*.force_mld_version"),
        reference="RFC 3376 section 7.2.1; RFC 3810 section 8.2.1; RFC 4604 section 2.2",
    ),
    MachineCheck(
        id="machine.older-querier",
        condition=_older,
        sentence="{version} is in force on {interface}, because a querier of that version is there: sources of SSM are not "
        "reported",
        cure="set the querier (router, switch, access point) to IGMPv3 and MLDv2",
        reads=("memberships", "queriers", "sysctl net.ipv4.conf.*.force_igmp_version"),
        reference="RFC 3376 section 7.2.1; RFC 3810 section 8.2.1",
        privilege="CAP_NET_RAW to hear who it is, and for MLD",
    ),
    MachineCheck(
        id="machine.no-querier",
        condition=_no_querier,
        sentence="there is no {protocol} querier on {interface}: a switch that snoops forgets members after 260 s",
        cure="switch a querier on in the router or the switch, or snooping off",
        reads=("queriers",),
        reference="RFC 3376 sections 8.4, 8.5; RFC 4541 section 2.1.1",
        privilege="CAP_NET_RAW, and --wait 130",
    ),
    MachineCheck(
        id="machine.bridge-no-querier",
        condition=_bridge_without_querier,
        sentence="the bridge {bridge} snoops without a querier and does not flood: it forgets members after 260 s",
        cure="make it a querier",
        command="ip link set {bridge} type bridge mcast_querier 1 mcast_igmp_version 3 mcast_mld_version 2",
        reads=("links",),
        reference="RFC 4541 section 2.1.1; bridge(8): mcast_flood",
    ),
    MachineCheck(
        id="machine.bridge-old-querier",
        condition=_old_bridge_querier,
        sentence="the querier of the bridge {bridge} speaks {version}: hosts on it stop reporting the sources of SSM",
        cure="have it speak the newest version",
        command="ip link set {bridge} type bridge {option}",
        reads=("links",),
        reference="RFC 3376 section 7.2.1; RFC 3810 section 8.2.1",
    ),
    MachineCheck(
        id="machine.bridge-filtered",
        condition=_bridge_filtered,
        sentence="what {bridges} forwards passes the packet filter of this machine, which drops what no rule accepts",
        cure="keep bridges out of the packet filter",
        command="sysctl -w {sysctl}=0",
        reads=("links", "sysctl net.bridge.bridge-nf-call-*", "firewall"),
        reference="Linux: ip-sysctl.rst, bridge-nf-call-iptables",
        privilege="CAP_NET_ADMIN to read nftables",
        verified=False,
    ),
)
