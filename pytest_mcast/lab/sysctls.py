"""The settings of a network namespace that a verdict relies on, and how they are made (ip-sysctl)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_mcast.core.errors import MissingCapability

from . import netlink
from .namespace import Namespace

__all__ = ["REPORT_INTERVALS", "prepare", "write_sysctl"]

#: In which time a change of membership is reported again, in all versions of the protocols (ip-sysctl).
REPORT_INTERVALS = tuple(
    f"{family}/conf/{{}}/{version}_unsolicited_report_interval"
    for family, version in (("ipv4", "igmpv2"), ("ipv4", "igmpv3"), ("ipv6", "mldv1"), ("ipv6", "mldv2"))
)
# What a verdict relies on, whatever the machine's defaults are (a new namespace copies them, ip-sysctl):
# no reverse-path filter, no duplicate address detection, no addresses or routes but ours. Reports are repeated within
# 50 ms instead of 1 s, or 10 s in older versions: nobody waits for long, and a new host is quiet soon.
_SYSCTLS = {
    "ipv4/conf/{}/rp_filter": "0",
    "ipv6/conf/{}/disable_ipv6": "0",
    "ipv6/conf/{}/accept_dad": "0",
    "ipv6/conf/{}/accept_ra": "0",
    "ipv6/conf/{}/router_solicitations": "0",
    **dict.fromkeys(REPORT_INTERVALS, "50"),
}


def prepare(namespace: Namespace, sysctls: Mapping[str, str] | None = None) -> netlink.Netlink:
    """Make a new namespace fit for multicast, before there is any link but loopback, and return a socket to it."""
    wanted = {path.format(which): value for path, value in _SYSCTLS.items() for which in ("all", "default")}
    wanted.update(sysctls or {})
    with namespace:
        for path, value in wanted.items():
            write_sysctl(path, value)
        connection = netlink.Netlink()
    connection.run(
        netlink.link(1, up=True),
        # IPv6 multicast over loopback needs a route of type local; its metric leaves the choice to real links.
        netlink.route("ff00::/8", index=1, kind="local", table=255, metric=4096),
    )
    return connection


def write_sysctl(path: str, value: str, *, required: bool = False) -> None:
    """Set a sysctl of the calling thread's namespace, as far as there is such a thing and it is not read-only.

    Raises ``MissingCapability`` when it is read-only, is ``required`` or changes verdicts, and has another value.
    """
    file = Path("/proc/sys/net", path)
    try:
        file.write_text(value)
    except FileNotFoundError:  # no IPv6, no packet filter for bridges
        return
    except OSError:
        # Read-only in a container. Addresses come without DAD all the same, by their own flags; but what would change a
        # verdict must be as it should be.
        found = file.read_text().strip()
        if (required or path.endswith(("rp_filter", "disable_ipv6"))) and found != value:
            name = "net." + path.replace("/", ".")
            raise MissingCapability(
                "namespaces",
                f"/proc/sys is read-only, and {name} is {found}",
                "make it writable: docker run --security-opt systempaths=unconfined",
            ) from None
