"""What is broken at the sender, or is too little to get to the receiver."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pytest_mcast import Channel, LabView
from pytest_mcast.lab import Router
from tests.doctor.scene import Break, Scene

from .plain import ipv6
from .plain_sender import over_loopback, plain_sender, run
from .refused_sends import ipsec

# TTL, scope, loopback


def _no_ttl(scene: Scene) -> None:
    scene.tx.receiver(scene.channel)  # else they leave
    scene.sender_options["ttl"] = 0


def _ttl(scene: Scene) -> None:
    scene.sender_options["ttl"] = 1


def behind_router(family: str) -> Callable[[LabView], Scene]:
    """The receiver is on another link than the sender, and a router between them forwards."""

    def make(lab: LabView) -> Scene:
        scene = Scene(lab, family)
        scene.rx = lab.host("far", interfaces={"eth0": "behind"})
        router = lab.router("router", interfaces={"eth0": scene.switch, "eth1": "behind"})
        for group in (_WIDE[family], _LINK_LOCAL[family]):
            router.route(group, "eth0", ["eth1"])
        _wide_again(scene)
        _more_ttl(scene)
        return scene

    return make


def _router(scene: Scene) -> Router:
    router = scene.lab.host("router")
    assert isinstance(router, Router)
    return router


def _no_entry(scene: Scene) -> None:
    _router(scene).unroute(scene.channel.group, "eth0")


def _wrong_way(scene: Scene) -> None:
    _no_entry(scene)
    _router(scene).route(scene.channel.group, "eth1", ["eth0"], source=scene.tx)


def _right_way(scene: Scene) -> None:
    _router(scene).route(scene.channel.group, "eth0", ["eth1"], source=scene.tx)


def _more_ttl(scene: Scene) -> None:
    scene.sender_options["ttl"] = 2


_UNICAST = {"ipv4": (socket.IPPROTO_IP, socket.IP_TTL), "ipv6": (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)}
_MULTICAST = {
    "ipv4": (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL),
    "ipv6": (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS),
}


def unicast_ttl(scene: Scene) -> None:
    """Set the TTL that is not for groups, as is often done."""
    scene.open_sender = lambda: plain_sender(scene, options=((*_UNICAST[scene.family], 16),))


def _more_ttl_plainly(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene, options=((*_MULTICAST[scene.family], 16),))


# On links of the test's own.
_LINK_LOCAL = {"ipv4": "224.0.0.211", "ipv6": "ff12::8000:1"}
_WIDE = {"ipv4": "239.255.77.1", "ipv6": "ff15::8000:1"}


def _group(group: Callable[[Scene], str]) -> Callable[[Scene], None]:
    """Return what has both ends use another group."""

    def change(scene: Scene) -> None:
        scene.channel = Channel(group(scene), scene.channel.port)

    return change


_narrow = _group(lambda scene: _LINK_LOCAL[scene.family])
_interface_local = _group(lambda _: "ff11::8000:1")
_wide_again = _group(lambda scene: _WIDE[scene.family])


def _one_host(family: str) -> Callable[[LabView], Scene]:
    def make(lab: LabView) -> Scene:
        scene = Scene(lab, family)
        scene.rx = scene.tx
        return scene

    return make


_NOT_LOCAL = "ip -6 route del local ff00::/8 dev lo table local; ip -6 route add {}ff00::/8 dev lo{}"


def _no_loopback(scene: Scene) -> None:
    scene.sender_options["loopback"] = False


def _loopback(scene: Scene) -> None:
    scene.sender_options["loopback"] = True


# The way out


def two_interfaces(family: str) -> Callable[[LabView], Scene]:
    """The sender has eth9 too, which is on another link."""

    def make(lab: LabView) -> Scene:
        scene = Scene(lab, family)
        scene.tx = lab.host("tx with two", interfaces={"eth0": scene.switch, "eth9": "beside"})
        return scene

    return make


def _names_eth9(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene, interface="eth9")


def _names_eth9_by_address(scene: Scene) -> None:
    address = scene.tx.find("eth9").ipv4[0]
    option = (socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    scene.open_sender = lambda: plain_sender(scene, interface=None, options=(option,))


def _bound_to_eth9(scene: Scene) -> None:
    option = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth9")
    scene.open_sender = lambda: plain_sender(scene, interface=None, options=(option,))


def _from_address_of_eth9(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene, interface=None, bind=(scene.tx.find("eth9").ipv4[0], 0))


def _names_eth0(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene)


def _names_none(scene: Scene) -> None:
    scene.tx.settle()  # what a new host reports by eth0 would be counted there
    command = "ip -6 route add multicast ff12::/16 dev eth9 table local"
    scene.sh(scene.tx, command if scene.family == "ipv6" else "ip route add 224.0.0.0/4 dev eth9")
    scene.open_sender = lambda: plain_sender(scene, interface=None)


def _no_interface(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene, interface=None)


_RULE = "ip route add 224.0.0.0/4 dev eth9 table 100; ip rule add priority 50 {} lookup 100"
_SO_MARK = 36  # asm-generic/socket.h


def _rule(scene: Scene) -> None:
    scene.sh(scene.tx, _RULE.format(f"to {scene.channel.group}"))
    scene.open_sender = lambda: plain_sender(scene, interface=None)


def _rule_for_mark(scene: Scene) -> None:
    scene.sh(scene.tx, _RULE.format("fwmark 7"))
    option = (socket.SOL_SOCKET, _SO_MARK, 7)
    scene.open_sender = lambda: plain_sender(scene, interface=None, options=(option,))


def _pull_cable(scene: Scene) -> None:
    scene.tx.plugged[scene.tx.interface.index].down()


def _plug_in(scene: Scene) -> None:
    scene.tx.plugged[scene.tx.interface.index].up()


def _sends_plainly(lab: LabView) -> Scene:
    scene = Scene(lab)
    scene.open_sender = lambda: plain_sender(scene)
    return scene


def _queue(queue: str) -> Callable[[Scene], None]:
    def add(scene: Scene) -> None:
        scene.tx.settle()  # what a new host reports would be counted, too
        scene.sh(scene.tx, f"tc qdisc add dev eth0 root {queue}")

    return add


_QUEUES = {"blackhole": "blackhole", "too short": "pfifo limit 0", "shaper": "tbf rate 8bit burst 10 latency 1ms"}


def filter_egress(scene: Scene) -> None:
    """Drop what goes out behind the back of the sender's stack."""
    scene.sh(
        scene.tx,
        "nft add table netdev t;"
        "nft 'add chain netdev t out { type filter hook egress device eth0 priority 0; }';"
        f"nft add rule netdev t out udp dport {scene.channel.port} drop",
    )


BREAKS = (
    Break("ttl 0", "ttl.zero", _no_ttl, _ttl),
    Break("hop limit 0", "ttl.zero", _no_ttl, _ttl, ipv6),
    *(
        Break(f"{kind} 1 behind a router", "ttl.one", _ttl, _more_ttl, behind_router(family))
        for kind, family in (("ttl", "ipv4"), ("hop limit", "ipv6"))
    ),
    *(
        Break(f"{words}, {family}", "router.entry", breaks, _right_way, behind_router(family))
        for words, breaks in (("no entry", _no_entry), ("an entry for the other way", _wrong_way))
        for family in ("ipv4", "ipv6")
    ),
    Break("ttl of unicast behind a router", "ttl.one", unicast_ttl, _more_ttl_plainly, behind_router("ipv4")),
    Break("hop limit of unicast behind a router", "ttl.one", unicast_ttl, _more_ttl_plainly, behind_router("ipv6")),
    *(
        Break(
            f"link-local group behind a router, {family}",
            "scope.link-local",
            _narrow,
            _wide_again,
            behind_router(family),
        )
        for family in ("ipv4", "ipv6")
    ),
    Break("interface-local group", "scope.interface-local", _interface_local, _wide_again, ipv6),
    *(
        Break(f"loopback off, {family}", "loopback.off", _no_loopback, _loopback, _one_host(family))
        for family in ("ipv4", "ipv6")
    ),
    Break(
        "loopback by a multicast route",
        "route.loopback-not-local",
        run("tx", _NOT_LOCAL.format("multicast ", " table local metric 4096")),
        scene=over_loopback,
    ),
    Break(
        "loopback by a unicast route",
        "route.loopback-not-local",
        run("tx", _NOT_LOCAL.format("", "")),
        scene=over_loopback,
    ),
    Break("loopback, names no interface", "sender.route-elsewhere", _no_interface, scene=over_loopback, certain=None),
    Break("names eth9", "sender.other-interface", _names_eth9, _names_eth0, two_interfaces("ipv6")),
    Break(
        "names eth9 by its address",
        "sender.other-interface",
        _names_eth9_by_address,
        _names_eth0,
        two_interfaces("ipv4"),
    ),
    Break("bound to eth9", "sender.other-interface", _bound_to_eth9, _names_eth0, two_interfaces("ipv4")),
    Break("bound to eth9, ipv6", "sender.other-interface", _bound_to_eth9, _names_eth0, two_interfaces("ipv6")),
    Break(
        "from the address of eth9",
        "sender.other-interface",
        _from_address_of_eth9,
        _names_eth0,
        two_interfaces("ipv4"),
        certain=None,
    ),
    Break("route by eth9", "sender.route-elsewhere", _names_none, scene=two_interfaces("ipv4"), certain=None),
    Break("route by eth9, ipv6", "sender.route-elsewhere", _names_none, scene=two_interfaces("ipv6"), certain=None),
    Break("rule by eth9", "sender.rule-elsewhere", _rule, scene=two_interfaces("ipv4"), certain=None),
    Break(
        "rule by eth9 for a mark", "sender.rule-elsewhere", _rule_for_mark, scene=two_interfaces("ipv4"), certain=None
    ),
    Break("cable pulled", "sender.no-carrier", _pull_cable, _plug_in, behind_router("ipv4")),
    Break("no source address", "source.none", run("tx", "ip addr flush dev eth0"), scene=_sends_plainly),
    *(
        Break(f"queue: {name}{suffix}", "queue.drops", _queue(queue), scene=scene)
        for name, queue in _QUEUES.items()
        for suffix, scene in (("", Scene), (", ipv6", ipv6))
    ),
    Break("no ipsec state", "ipsec.no-state", ipsec("tmpl proto esp mode transport")),
    Break("no ipsec state, ipv6", "ipsec.no-state", ipsec("tmpl proto esp mode transport"), scene=ipv6),
    Break("egress filter", "firewall.egress", filter_egress),
    Break("egress filter, ipv6", "firewall.egress", filter_egress, scene=ipv6),
)
