"""A service that zeroconf registers in one host is found by zeroconf in another."""

from __future__ import annotations

import pytest
from zeroconf import IPVersion, ServiceInfo, Zeroconf

TYPE, NAME = "_http._tcp.local.", "one._http._tcp.local."
VERSIONS = {"ipv4": IPVersion.V4Only, "ipv6": IPVersion.V6Only}


@pytest.mark.parametrize("family", VERSIONS)
def test_a_service_is_found_in_another_host(mcast_lab, family):
    a, b = mcast_lab.host("a"), mcast_lab.host("b")
    # Sockets belong to the host in which they are made, and so do threads that are started there.
    announcer, browser = (
        host.run(lambda host=host: Zeroconf([host.source(family)], ip_version=VERSIONS[family])) for host in (a, b)
    )
    try:
        service = ServiceInfo(TYPE, NAME, port=8080, parsed_addresses=[a.source("ipv4")], server="one.local.")
        announcer.register_service(service, cooperating_responders=True)
        found = browser.get_service_info(TYPE, NAME, timeout=5000)
        assert found is not None
        assert (found.port, found.parsed_addresses()) == (8080, [a.source("ipv4")])
    finally:
        browser.close()
        announcer.close()
