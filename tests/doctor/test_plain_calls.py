"""A call of a plain socket that was refused is found by the line of its source, and nothing of the user's is run for that."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from pytest_mcast import LabView
from pytest_mcast.doctor import Observation, explain

from .shell import sh

GROUP = "10.1.2.3"  # which is none: EINVAL
REST = bytes(4)
IP_ADD_SOURCE_MEMBERSHIP = 39  # of Python since 3.12
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2  # linux/in.h


class Holder:
    asked = 0

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @property
    def socket(self) -> socket.socket:
        self.asked += 1
        return self.sock


def _by_names(holder: Holder) -> None:
    dé = holder.sock  # noqa: PLC2401 - columns are counted in bytes
    request = socket.inet_aton(GROUP) + REST
    dé.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)


def _on_several_lines(holder: Holder) -> None:
    holder.sock.setsockopt(
        socket.IPPROTO_IP,
        socket.IP_ADD_MEMBERSHIP,
        socket.inet_aton(GROUP) + REST,
    )


def _by_a_property(holder: Holder) -> None:
    holder.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + REST)


def _without_source(holder: Holder) -> None:
    exec("holder.sock.setsockopt(0, 35, request)", {"holder": holder, "request": socket.inet_aton(GROUP) + REST})  # noqa: S102 - that is tried


@pytest.mark.parametrize(
    ("call", "found"), [(_by_names, True), (_on_several_lines, True), (_by_a_property, False), (_without_source, False)]
)
def test_a_refused_join(mcast_lab: LabView, call: Callable[[Holder], None], *, found: bool) -> None:
    host = mcast_lab.host()
    with host:
        holder = Holder()
    with Observation(host) as observation, holder.sock:
        with pytest.raises(OSError, match="Invalid argument") as caught:
            call(holder)
        asked = holder.asked
        diagnoses = explain(caught.value, observation, [host])
    assert [finding.check for each in diagnoses for finding in each.findings] == ["group.unicast"] * found
    assert holder.asked == asked


def _added(sock: socket.socket) -> None:
    group, mine, source = GROUP, "10.255.255.254", "239.9.9.9"
    sock.setsockopt(
        socket.IPPROTO_IP,
        IP_ADD_SOURCE_MEMBERSHIP,
        socket.inet_aton(group) + socket.inet_aton(mine) + socket.inet_aton(source),
    )


def _packed(sock: socket.socket) -> None:
    group, mine, source = GROUP, "10.255.255.254", "239.9.9.9"
    sock.setsockopt(
        socket.IPPROTO_IP,
        IP_ADD_SOURCE_MEMBERSHIP,
        struct.pack("4s4s4s", socket.inet_aton(group), socket.inet_aton(mine), socket.inet_aton(source)),
    )


@pytest.mark.parametrize("call", [_added, _packed])
def test_the_group_is_the_first_address_of_three(mcast_lab: LabView, call: Callable[[socket.socket], None]) -> None:
    host = mcast_lab.host()
    with Observation(host) as observation, host, Holder().sock as sock:
        with pytest.raises(OSError, match="Invalid argument") as caught:
            call(sock)
        (diagnosis,) = explain(caught.value, observation, [host])
    assert (diagnosis.flow.channel.group, diagnosis.findings[0].check) == (GROUP, "group.unicast")


@pytest.mark.parametrize(
    ("left", "who"), [(False, "this process, user"), (True, "left by a test that has failed, user")]
)
def test_a_port_that_is_taken(mcast_lab: LabView, who: str, *, left: bool) -> None:
    host = mcast_lab.host()
    with host:
        holder, other = Holder().sock, Holder().sock
    with Observation(host) as observation, holder, other:
        observation.sends.start()
        holder.bind(("", 5000))
        with pytest.raises(OSError, match="Address already in use") as caught:
            other.bind(("", 5000))
        stale = [os.fstat(holder.fileno()).st_ino] * left
        (diagnosis,) = explain(caught.value, observation, [host], stale=stale)
    assert [finding.check for finding in diagnosis.findings] == ["port.taken"]
    assert who in diagnosis.findings[0].cause


@pytest.mark.parametrize(
    ("family", "held", "wildcard"),
    [
        (socket.AF_INET, "224.0.0.251", ""),
        (socket.AF_INET, "127.0.0.1", "0.0.0.0"),
        (socket.AF_INET6, "::1", "::"),
        (socket.AF_INET6, "ff05::fb", "::"),
    ],
)
def test_a_port_that_is_taken_on_one_address(
    mcast_lab: LabView, family: socket.AddressFamily, held: str, wildcard: str
) -> None:
    host = mcast_lab.host()
    with ExitStack() as stack, Observation(host) as observation, host:
        beside, holder, sock = (stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(3))
        beside.bind((held, 5000))
        holder.bind((held, 5353))
        observation.sends.start()
        with pytest.raises(OSError, match="Address already in use") as caught:
            sock.bind((wildcard, 5353))
        (diagnosis,) = explain(caught.value, observation, [host])
    assert [finding.check for finding in diagnosis.findings] == ["port.taken"]
    assert f"socket on {held} port 5353" in diagnosis.findings[0].evidence[1]


def test_a_socket_for_ipv6_only_has_not_the_port_for_ipv4(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    with ExitStack() as stack, Observation(host) as observation, host:
        beside = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        beside.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        beside.bind(("::", 5353))
        holder, sock = (stack.enter_context(Holder().sock) for _ in range(2))
        holder.bind(("", 5353))
        observation.sends.start()
        with pytest.raises(OSError, match="Address already in use") as caught:
            sock.bind(("", 5353))
        holder.close()
        assert explain(caught.value, observation, [host]) == []


def test_a_refused_unicast_is_not_the_multicast_before(mcast_lab: LabView) -> None:
    near, far = mcast_lab.link("near"), mcast_lab.link("far")
    host = mcast_lab.host(interfaces={"eth0": near, "eth1": far})
    sh(host, "ip link set eth1 mtu 1300; ip route add 10.9.0.0/16 dev eth1")
    with Observation(host) as observation, host:
        observation.sends.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host.source("ipv4")))
            sock.sendto(bytes(1400), ("239.1.2.3", 5000))
            with pytest.raises(OSError, match="Message too long") as caught:
                sock.sendto(bytes(1400), ("10.9.0.1", 5000))
            assert explain(caught.value, observation, [host]) == []


class Counting(Holder):
    group = GROUP

    def __getattribute__(self, name: str) -> Any:
        if name != "asked":
            self.asked += name in ("sock", "group", "__dict__", "__class__")
        return super().__getattribute__(name)


def test_attributes_are_looked_up_without_running_anything(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    with Observation(host) as observation, host:
        mine = Counting()
        with mine.sock, pytest.raises(OSError, match="Invalid argument") as caught:
            mine.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(mine.group) + REST)
        asked = mine.asked
        (diagnosis,) = explain(caught.value, observation, [host])
    assert diagnosis.findings[0].check == "group.unicast"
    assert mine.asked == asked


class Mine(socket.socket):
    """As of a library that has its own idea of sockets."""

    def fileno(self) -> int:
        raise RuntimeError("mine")


def _bind(sock: socket.socket) -> None:
    sock.bind(("", 5000))


def _join(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + REST)


@pytest.mark.parametrize(("call", "check"), [(_bind, "port.taken"), (_join, "group.unicast")])
def test_the_methods_of_a_class_of_the_user_s_are_not_run(
    mcast_lab: LabView, call: Callable[[socket.socket], None], check: str
) -> None:
    host = mcast_lab.host()
    with Observation(host) as observation, host, Holder().sock as holder, Mine(type=socket.SOCK_DGRAM) as sock:
        observation.sends.start()
        holder.bind(("", 5000))
        with pytest.raises(OSError, match=r"Address already in use|Invalid argument") as caught:
            call(sock)
        (diagnosis,) = explain(caught.value, observation, [host])
    assert [finding.check for finding in diagnosis.findings] == [check]


def test_a_call_that_is_not_noted_is_not_one_of_another_socket(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    with ExitStack() as stack, Observation(host) as observation, host:
        holder, other = stack.enter_context(Holder().sock), stack.enter_context(Holder().sock)
        first, second = (stack.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)) for _ in range(2))
        observation.sends.start()
        holder.bind(("", 5000))
        with suppress(OSError):
            other.bind(("", 5000))
        first.bind((0, 0))
        with pytest.raises(OSError, match="Address already in use") as caught:
            second.bind(first.getsockname())
        assert explain(caught.value, observation, [host]) == []
