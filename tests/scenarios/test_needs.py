"""What the environment is asked for cells of remote hosts: whether datagrams get from the one to the other there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_mcast import HostError, Lab, MissingCapability, RemoteHost
from pytest_mcast.plugin.place import Place
from pytest_mcast.plugin.stash import place_of
from pytest_mcast.scenarios import Unready

SPECIFICATION = f"popen//python={sys.executable}"
SENTENCE = r"ipv6-ssm multicast does not work from eth1 of two to eth0 of one \(interface eth1 has no ipv6 address, only 10\.\S+\)"
REMEDY = "give eth1 of two an IPv6 address, or name another interface"


@pytest.fixture
def place(pytester: pytest.Pytester) -> Place:
    return place_of(pytester.parseconfigure("-p", "no:randomly", "-p", "no:rerunfailures", "--mcast-timeout=0.5"))


@pytest.fixture
def hosts() -> Iterator[tuple[RemoteHost, RemoteHost]]:
    """Yield two hosts, of which the other one has no IPv6."""
    with Lab() as lab, ExitStack() as stack, lab.host(interfaces={"eth0": "lan", "eth1": "lan"}):
        Path("/proc/sys/net/ipv6/conf/eth1/disable_ipv6").write_text("1")
        one, two = RemoteHost("one", SPECIFICATION, "eth0"), RemoteHost("two", SPECIFICATION, "eth1")
        for host in (one, two):
            stack.callback(host.close)
            host.connect()
        yield one, two


def test_a_kind_of_channel_that_is_required_is_tried_between_the_hosts_of_the_cell(
    place: Place, hosts: tuple[RemoteHost, RemoteHost]
) -> None:
    one, two = hosts
    place.require("ipv6-ssm", one, one)
    with pytest.raises(MissingCapability, match=SENTENCE) as error:
        place.require("ipv6-ssm", two, one)
    assert (error.value.capability, error.value.remedy) == ("ipv6-ssm", REMEDY)


def test_remote_hosts_between_which_nothing_gets_are_an_error_that_names_both(
    place: Place, hosts: tuple[RemoteHost, RemoteHost]
) -> None:
    one, two = hosts
    with pytest.raises(Unready, match=f"{SENTENCE}; {REMEDY}"):
        place.need(two, one, "ipv6", "ssm")


def test_a_host_that_cannot_be_reached_has_no_say_about_what_is_required(place: Place) -> None:
    host = RemoteHost("far", "popen//python=/no/such/python", "lo")
    with pytest.raises(HostError, match="host far: "):
        place.require("ipv4-asm", host, host)
