"""Shared by the tests of membership protocols."""

from __future__ import annotations

import socket

from pytest_mcast import Host, Listener, VirtualHost

__all__ = ["fall_back", "solicited_node"]


def solicited_node(host: Host) -> str:
    """RFC 4291 section 2.7.1: the group of the host's link-local address."""
    low = socket.inet_pton(socket.AF_INET6, host.source("ipv6"))[-3:]
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "ff02::1:ff00:0")[:-3] + low)


def fall_back(host: VirtualHost, wire: Listener, family: str, version: int) -> None:
    """Make the hosts of a link use an older version by a query of it, and wait until this one does.

    That also cancels reports of newer versions that are still due; to force a version by sysctl does not.
    """
    query = wire.querier(family, version=version).query(max_response=0.1 if family == "ipv4" else 0.01)
    if family == "ipv6":  # read by a worker; IGMP is read when it comes in
        wire.expect_report(solicited_node(host), sender=host, version=1, answers=query)
