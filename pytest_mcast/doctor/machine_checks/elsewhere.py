"""Containers, WSL, macOS and Windows: what is known of them from their documentation. None of it was verified there."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_mcast.doctor.check import Match
from pytest_mcast.doctor.facts import Facts
from pytest_mcast.doctor.machine_check import MachineCheck

from .asking import in_use, is_loopback, of_tried, tried

__all__ = ["CHECKS"]

_DARWIN_OF_MACOS_15 = 24
_EHOSTUNREACH_DARWIN = 65


def _container_network(facts: Facts) -> Iterator[Match]:
    found = facts.read("container")
    if found["container"] is None or not found["network_of_init"]:
        return
    kind, seen = found["container"]
    for link in in_use(facts):
        if link["kind"] == "veth" and link.get("peer_elsewhere", True) and facts.addresses(link["name"], "ipv4"):
            own = "the network of the pod" if kind == "kubernetes" else f"a bridge of {kind}"
            cure = "hostNetwork: true in the pod" if kind == "kubernetes" else f"{kind} run --network host"
            values = {"interface": link["name"], "network": own, "cure": cure}
            yield Match("possible", (seen, f"{link['name']} is one end of a veth pair"), values)


def _wsl_nat(facts: Facts) -> Iterator[Match]:
    found = facts.read("container")["wsl"]
    names = [link["name"] for link in facts.links()]
    # Mirrored networking adds loopback0, by which Windows is reached on 127.0.0.1.
    if found is not None and found[0] == "WSL2" and "loopback0" not in names:
        yield Match("likely", (found[1], "there is no loopback0, which mirrored networking adds"), {})


def _wsl1(facts: Facts) -> Iterator[Match]:
    found = facts.read("container")["wsl"]
    if found is not None and found[0] == "WSL1":
        yield Match("likely", (found[1],), {})


def _macos_permission(facts: Facts) -> Iterator[Match]:
    release = facts.read("machine")["release"]
    link = tried(facts)
    refused = [each for family in ("ipv4", "ipv6") if (each := of_tried(facts, family)) is not None]
    if (
        int(release.partition(".")[0]) >= _DARWIN_OF_MACOS_15
        and link is not None
        and not is_loopback(link)
        and any(each.get("errno") == _EHOSTUNREACH_DARWIN for each in refused)
    ):
        yield Match("likely", (f"Darwin {release}", "errno 65 (No route to host) on " + link["name"]), {})


def _macos_loopback(facts: Facts) -> Iterator[Match]:
    link, refused = tried(facts), of_tried(facts, "ipv6")
    if link is not None and is_loopback(link) and refused is not None:
        yield Match("likely", (refused["reason"],), {"interface": link["name"]})


def _windows_firewall(facts: Facts) -> Iterator[Match]:
    link = tried(facts)
    verdicts = [of_tried(facts, family) for family in ("ipv4", "ipv6")]
    # Nothing was refused, and nothing arrived.
    lost = any(verdict is not None and verdict.get("errno") is None for verdict in verdicts)
    if link is None or is_loopback(link) or not lost:
        return
    for each in facts.read("firewall_profiles"):
        if each["active"] and each["enabled"] and each["inbound"] != "allow":  # not configured: it blocks
            evidence = (f"the profile {each['profile']} is in force and blocks what comes in",)
            yield Match("likely", evidence, {"profile": each["profile"]})


def _windows_public(facts: Facts) -> Iterator[Match]:
    for each in facts.read("connection_profiles"):
        if each["category"] == "Public":
            evidence = (f"the network of {each['interface']} is of the category Public",)
            yield Match("possible", evidence, {"interface": each["interface"]})


def _windows_metric(facts: Facts) -> Iterator[Match]:
    wanted = tried(facts)
    routes = [each for each in facts.routes("ipv4") if each["destination"] == "224.0.0.0/4"]
    names = {link["name"]: link for link in facts.links()}
    usable = [each for each in routes if each["interface"] in names and not is_loopback(names[each["interface"]])]
    if wanted is None or is_loopback(wanted) or not usable:
        return
    best = min(usable, key=lambda each: each["metric"])
    if best["interface"] != wanted["name"]:
        evidence = (f"224.0.0.0/4 by {best['interface']} has the lowest metric, {best['metric']}",)
        yield Match("possible", evidence, {"interface": best["interface"], "wanted": wanted["name"]})


#: Checks of systems on which the tests do not run.
CHECKS: tuple[MachineCheck, ...] = (
    MachineCheck(
        id="container.bridge",
        condition=_container_network,
        sentence="{interface} is on {network}: multicast passes between containers on it, not to or from the outside",
        cure="for the network of the machine: {cure}; for a network of the tests' own: pytest --mcast-lab",
        reads=("container", "links"),
        reference="Docker documentation: bridge and host network drivers; Kubernetes: hostNetwork",
        verified=False,
    ),
    MachineCheck(
        id="wsl.nat",
        condition=_wsl_nat,
        sentence="WSL 2 is behind the NAT of Windows, which multicast does not pass, neither way",
        cure="set networkingMode=mirrored below [wsl2] in .wslconfig of Windows, then: wsl --shutdown; or pytest --mcast-lab",
        reads=("container", "links"),
        reference="Microsoft: Accessing network applications with WSL, mirrored mode networking",
        verified=False,
    ),
    MachineCheck(
        id="wsl.one",
        condition=_wsl1,
        sentence="WSL 1 has no Linux kernel: namespaces, packet sockets and many options of multicast are missing",
        cure="convert it: wsl --set-version DISTRIBUTION 2",
        reads=("container",),
        reference="Microsoft: Comparing WSL versions",
        verified=False,
    ),
    MachineCheck(
        id="macos.local-network",
        condition=_macos_permission,
        sentence="macOS refuses this program the local network, and says: no route to host",
        cure="allow the terminal in System Settings, Privacy & Security, Local Network; or run as root",
        reads=("machine", "links", "tried"),
        reference="Apple: TN3179, Understanding local network privacy",
        systems=("darwin",),
        verified=False,
    ),
    MachineCheck(
        id="macos.loopback",
        condition=_macos_loopback,
        sentence="{interface} of macOS carries IPv4 multicast; IPv6 multicast needs an interface with a link-local address",
        cure="name an interface that has one: --iface en0, --mcast-iface en0",
        reads=("links", "tried"),
        reference="docs/platforms.md",
        systems=("darwin",),
        verified=False,
    ),
    MachineCheck(
        id="windows.firewall",
        condition=_windows_firewall,
        sentence="the firewall of Windows blocks what comes in to programs without a rule (profile {profile})",
        cure="allow the python.exe that runs the tests: Windows Security, Firewall, Allow an app through firewall",
        reads=("firewall_profiles", "tried"),
        reference="Microsoft: Windows Firewall rules; Get-NetFirewallProfile",
        systems=("win32",),
        verified=False,
    ),
    MachineCheck(
        id="windows.public-network",
        condition=_windows_public,
        sentence="{interface} is on a public network, on which Windows lets little in",
        cure="make it private",
        command="Set-NetConnectionProfile -InterfaceAlias {interface} -NetworkCategory Private",
        reads=("connection_profiles",),
        reference="Microsoft: Set-NetConnectionProfile",
        systems=("win32",),
        verified=False,
    ),
    MachineCheck(
        id="windows.metric",
        condition=_windows_metric,
        sentence="groups that name no interface go by {interface}, not by {wanted}",
        cure="name the interface in every join and send, or give it the lowest metric",
        command="Set-NetIPInterface -InterfaceAlias {wanted} -InterfaceMetric 1",
        reads=("routes", "links"),
        reference="Microsoft: Automatic metric for IPv4 routes",
        systems=("win32",),
        verified=False,
    ),
)
