"""The network of a scenario file in a lab: links, routers and virtual hosts, as calls of the lab would make them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .model import LinkSpec
from .outcomes import Unready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_mcast.lab import Lab, LabView, Link, VirtualHost
    from pytest_mcast.lab.port import Port

    from .model import HostSpec, Scenario

__all__ = ["FLAT", "build", "build_link", "interfaces_of", "set_sysctls", "show_router"]

#: The link that is there without being declared, and that all files and tests share.
FLAT = LinkSpec("lan")


def build(scenario: Scenario, lab: Lab | LabView) -> dict[str, VirtualHost]:
    """Make the links, routers and virtual hosts of a file in a lab, in the order of the file; return routers and hosts by name.

    Cables are not impaired, and routers forward nothing yet: that is done in cells. Raises ``InterfaceError`` for names that are taken in the lab, and ``Unready``
    for a sysctl that cannot be set.
    """
    links = {
        name: lab.link(name) if spec == FLAT else build_link(lab, spec, name) for name, spec in scenario.links.items()
    }
    made: dict[str, VirtualHost] = {}
    for name, router in scenario.routers.items():
        made[name] = lab.router(name, interfaces={nic: links[link] for nic, link in router.interfaces.items()})
        for port in made[name].plugged.values():
            show_router(port)
    for name, spec in scenario.hosts.items():
        if spec.kind == "virtual":
            made[name] = lab.host(name, interfaces={nic: links[link] for nic, link in interfaces_of(spec).items()})
            set_sysctls(made[name], spec.sysctl)
    return made


def build_link(lab: Lab | LabView, spec: LinkSpec, name: str) -> Link:
    """Make a link under a name."""
    link = (
        lab.switch(name, snooping=True, igmp_version=spec.igmp_version, mld_version=spec.mld_version)
        if spec.snooping
        else lab.link(name)
    )
    if spec.mtu is not None:
        link.set_mtu(spec.mtu)
    return link


def interfaces_of(spec: HostSpec) -> Mapping[str, str]:
    """Return the interfaces of a virtual host, with their links."""
    return spec.interfaces or ({} if spec.interface == "lo" else {spec.interface or "eth0": FLAT.name})


def show_router(port: Port) -> None:
    """Have a switch that snoops know that a router is at a port, if there is one: it gets all groups (RFC 4541 section 2.1.1)."""
    from pytest_mcast.lab import Router

    if isinstance(port.host, Router) and getattr(port.link, "prunes", False):
        port.multicast_router = "always"


def set_sysctls(host: VirtualHost, settings: Mapping[str, str]) -> None:
    """Set sysctls of a host (sysctl(8): dots, or slashes where a name has dots); raises ``Unready``."""
    for name, value in settings.items():
        file = Path("/proc/sys") / (name if "/" in name else name.replace(".", "/"))
        with host.inside():
            try:
                file.write_text(value)
            except OSError as error:
                raise Unready(f"host {host}: cannot set {name} to {value!r}: {error.strerror}") from None
