"""A service that avahi-daemon announces in one host is found by zeroconf in another."""

from __future__ import annotations

import os

import pytest
from zeroconf import IPVersion, Zeroconf

from pytest_mcast import Channel

TYPE, NAME = "_http._tcp.local.", "Lamp._http._tcp.local."
SERVICE = "<service-group><name>Lamp</name><service><type>_http._tcp</type><port>8080</port></service></service-group>"
CONFIGURATION = "[server]\nhost-name=hall\nallow-interfaces=eth0\nenable-dbus=no\n"
MDNS = {"ipv4": Channel("224.0.0.251", 5353), "ipv6": Channel("ff02::fb", 5353)}  # RFC 6762 section 3
VERSIONS = {"ipv4": IPVersion.V4Only, "ipv6": IPVersion.V6Only}

# Its directory in /run must be the user avahi's, which an ordinary user cannot give to anybody; so he is avahi himself.
AS_AVAHI = () if os.geteuid() == 0 else ("unshare", "--user", "--map-user=avahi", "--map-group=avahi")

# The directory of services is compiled in; the daemon gets one of its own there, with our service in it.
SERVICES = "/etc/avahi/services"
START = f'cp "$1" {SERVICES}/ && shift && exec "$@"'


@pytest.fixture
def avahi(program, tmp_path):
    """Function that starts the daemon in a host, and returns when it has announced its service."""
    daemon = program("avahi-daemon", "avahi-daemon")
    service, configuration = tmp_path / "lamp.service", tmp_path / "avahi-daemon.conf"
    service.write_text(SERVICE)
    configuration.write_text(CONFIGURATION)

    def start(host, *options, as_user=()):
        command = ["sh", "-c", START, "sh", str(service), *as_user, daemon, "--file", str(configuration), *options]
        return host.popen(command, private=["/run", SERVICES], ready=r'Service "Lamp" .* successfully established')

    return start


def find(host, family):
    """Look for the service from a host; None when it is not found."""
    with Zeroconf([host.source(family)], ip_version=VERSIONS[family]) as zeroconf:
        return zeroconf.get_service_info(TYPE, NAME, timeout=5000)


def found_by(host, family):
    return host.run(lambda: find(host, family))


@pytest.mark.parametrize("snooping", [False, True], ids=["flat", "snooping"])
@pytest.mark.parametrize("family", MDNS)
def test_its_service_is_found_across_a_switch(mcast_lab, avahi, family, snooping):
    switch = mcast_lab.switch("hall", snooping=snooping)
    lamp, phone, idle = (mcast_lab.host(name, interfaces={"eth0": switch}) for name in ("lamp", "phone", "idle"))
    with switch.count(MDNS[family]) as count:
        daemon = avahi(lamp, "--no-drop-root", "--no-chroot", as_user=AS_AVAHI)
        found = found_by(phone, family)
        assert (found.port, found.server) == (8080, "hall.local.")
        assert set(found.parsed_addresses()) < set(lamp.interface.addresses)
        # Switches send 224.0.0.0/24 to everybody, joined or not (RFC 4541 section 2.1.2); IPv6 has no such rule.
        pruned = snooping and family == "ipv6"
        assert count.received(switch.port(lamp)) > 0
        assert (count.sent(switch.port(idle)) == 0) == pruned
        if pruned:
            assert switch.wait_for_entry(MDNS[family], lamp)
    assert daemon.stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="avahi-daemon becomes another user and enters a chroot, which takes root")
def test_it_is_found_when_the_daemon_gives_up_its_rights(mcast_lab, avahi):
    lamp, phone = mcast_lab.hosts(2)
    daemon = avahi(lamp)
    assert found_by(phone, "ipv4").port == 8080
    assert daemon.stop() == 0
