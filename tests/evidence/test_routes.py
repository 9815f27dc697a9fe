"""Routes, rules and the way to a group: as ip-route(8) and ip-rule(8) tell them, and as sockets then go."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.evidence.routes import route_to, routes, rules

from .support import say, tell

_TABLES = {"main": 254, "local": 255, "default": 253}
_FLAGS = {"ipv4": "-4", "ipv6": "-6"}
FAMILIES = pytest.mark.parametrize("family", ["ipv4", "ipv6"])

CHANGES = {
    "ipv4": """
        ip route add 239.0.0.0/8 dev eth0 metric 7
        ip route add multicast 239.1.0.0/16 dev eth0 table 77 src 10.64.200.1
        ip route add blackhole 239.2.0.0/16
        ip route add prohibit 239.3.0.0/16
        ip route add unreachable 239.4.0.0/16
        ip route add 10.99.0.0/16 nexthop via 10.64.200.2 dev eth0 nexthop via 10.64.200.3 dev eth0
        ip route add 10.98.0.0/16 via inet6 fe80::9:0 dev eth0
        ip rule add to 239.1.0.0/16 lookup 77 priority 100
        ip rule add from 10.64.200.0/24 iif lo oif eth0 fwmark 5 prohibit
    """,
    "ipv6": """
        ip -6 route add ff3e::/16 dev eth0 metric 7
        ip -6 route add multicast ff3e:1::/32 dev eth0 table 77
        ip -6 route add blackhole ff3e:2::/32 table local
        ip -6 route add prohibit ff3e:3::/32 table local
        ip -6 route add unreachable ff3e:4::/32 table local
        ip -6 route add fd99::/64 nexthop via fe80::2:0 dev eth0 nexthop via fe80::3:0 dev eth0
        ip -6 rule add to ff3e:1::/32 lookup 77 priority 100
        ip -6 rule add from fd00::/64 iif lo oif eth0 fwmark 5 prohibit
    """,
}


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    host = mcast_lab.host(interfaces={"eth0": mcast_lab.link("changed")})
    say(host, "ip address add 10.64.200.1/16 dev eth0")
    return host


def table(name: str) -> int:
    return _TABLES.get(name) or int(name)


def network(text: str, family: str) -> str:
    return text if "/" in text or text == "default" else f"{text}/{32 if family == 'ipv4' else 128}"


@FAMILIES
def test_routes_are_as_ip_says(host: VirtualHost, family: str) -> None:
    say(host, CHANGES[family])
    expected = []
    for each in tell(host, f"ip -json {_FLAGS[family]} -details route show table all"):
        for hop in each.get("nexthops", [each]):
            via = hop.get("via", {}).get("host")
            expected.append(
                (
                    table(each.get("table", "main")),
                    network(each["dst"], family),
                    each["type"],
                    each.get("metric", 0),
                    each.get("prefsrc"),
                    hop.get("dev"),
                    hop.get("gateway") or via,
                )
            )
    with host.inside():
        found = routes()
    names = ("table", "destination", "kind", "metric", "source", "interface", "gateway")
    listed = [tuple(each[name] for name in names) for each in found if each["family"] == family]
    assert sorted(listed, key=str) == sorted(expected, key=str)
    kinds = {each["kind"] for each in found}
    assert {"unicast", "multicast", "blackhole", "prohibit", "unreachable", "local"} <= kinds
    with host.inside():
        index = socket.if_nametoindex("eth0")
    assert {each["index"] for each in found if each["interface"] == "eth0"} == {index}


@FAMILIES
def test_rules_are_as_ip_says(host: VirtualHost, family: str) -> None:
    say(host, CHANGES[family])
    expected = []
    for each in tell(host, f"ip -json {_FLAGS[family]} rule"):
        source, destination = (
            None if each.get(name) in (None, "all") else f"{each[name]}/{each[f'{name}len']}" for name in ("src", "dst")
        )
        expected.append(
            (
                each["priority"],
                table(each["table"]) if "table" in each else None,
                each.get("action", "lookup"),
                source,
                destination,
                each.get("iif"),
                each.get("oif"),
                int(each["fwmark"], 0) if "fwmark" in each else None,
            )
        )
    with host.inside():
        found = rules()
    names = ("priority", "table", "action", "source", "destination", "iif", "oif", "mark")
    assert [tuple(each[name] for name in names) for each in found if each["family"] == family] == expected
    assert any(each["action"] == "prohibit" for each in found)


def expected_way(host: VirtualHost, group: str) -> dict[str, Any]:
    (answer,) = tell(host, f"ip -json route get {group}")
    return {
        "interface": answer["dev"],
        "source": answer.get("prefsrc"),
        "gateway": answer.get("gateway"),
    }


GROUPS = {
    "ipv4": ("239.1.2.3", "239.9.9.9", "224.0.0.251", "10.99.1.1", "10.64.200.7", "10.64.200.1"),
    "ipv6": ("ff3e:1::1", "ff3e:9::1", "ff02::fb", "fd99::1"),
}
REFUSED = {
    "ipv4": {"239.2.2.3": "EINVAL", "239.3.2.3": "EACCES", "239.4.2.3": "EHOSTUNREACH"},
    "ipv6": {"ff3e:2::1": "EINVAL", "ff3e:3::1": "EACCES", "ff3e:4::1": "EHOSTUNREACH"},
}


@FAMILIES
def test_the_way_to_a_group_is_as_ip_says(host: VirtualHost, family: str) -> None:
    say(host, CHANGES[family])
    with host.inside():
        found = route_to(GROUPS[family])
        index = socket.if_nametoindex("eth0")
    for group, way in found.items():
        assert {name: way[name] for name in ("interface", "source", "gateway")} == expected_way(host, group)
        assert way["index"] == index or way["interface"] == "lo"
    assert found[GROUPS[family][0]]["kind"] == "multicast"


@FAMILIES
def test_a_group_without_a_way_has_the_error_that_a_socket_gets(host: VirtualHost, family: str) -> None:
    say(host, CHANGES[family])
    asked = REFUSED[family]
    with host.inside():
        found = route_to(asked)
        assert found == {group: {"error": error} for group, error in asked.items()}
        kind = socket.AF_INET6 if family == "ipv6" else socket.AF_INET
        for group, error in asked.items():
            with socket.socket(kind, socket.SOCK_DGRAM) as sock, pytest.raises(OSError) as caught:  # noqa: PT011 - which one, is next
                sock.connect((group, 5000))
            assert errno.errorcode[caught.value.errno or 0] == error


def test_a_host_without_routes_has_none(host: VirtualHost) -> None:
    say(host, "ip link set eth0 down; ip -6 route del local ff00::/8 dev lo table local")
    with host.inside():
        found = route_to(["239.1.2.3", "ff3e::1"])
        assert [each["interface"] for each in routes() if each["table"] == 254] == []
    assert found == {group: {"error": "ENETUNREACH"} for group in ("239.1.2.3", "ff3e::1")}


def test_more_routes_than_can_be_read_soon_are_said(host: VirtualHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_mcast.evidence.routes.MOST", 300)
    lines = "".join(f"route add 10.70.{number // 200}.{number % 200}/32 dev eth0\n" for number in range(400))
    say(host, f"ip -batch - <<END\n{lines}END\n")
    with host.inside(), pytest.raises(OSError, match=r"cannot list the routes: there are more than 300$") as caught:
        routes()
    assert caught.value.errno == errno.EOVERFLOW
    with host.inside():
        assert route_to(["10.70.0.1"])["10.70.0.1"]["interface"] == "eth0"
        monkeypatch.undo()
        assert len(routes()) > 400
