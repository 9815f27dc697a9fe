"""What is broken so that the kernel refuses to send, or to bind to an address of one link."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

from tests.doctor.scene import Break, Scene, Sends

from .plain import ipv6, plain, right
from .plain_sender import plain_sender

_IP_MTU_DISCOVER, _DO = 10, 2  # linux/in.h
_IPV6_DONTFRAG = 62  # linux/in6.h
_WHOLE = {"ipv4": (socket.IPPROTO_IP, _IP_MTU_DISCOVER, _DO), "ipv6": (socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)}


def _payload(size: int) -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        scene.payload_size = size

    return change


def _whole(scene: Scene) -> None:
    scene.payload_size = 2000
    scene.open_sender = lambda: plain_sender(scene, options=(_WHOLE[scene.family],))


def _in_fragments(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene)


def _small_buffer(scene: Scene) -> None:
    scene.payload_size = 60_000
    scene.sender_options["send_buffer"] = 2304  # the least that Linux gives (socket(7)), as the others count it


def _usual_buffer(scene: Scene) -> None:
    scene.sender_options.clear()


_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
_WANTS_ERRORS = {"ipv4": (socket.IPPROTO_IP, _IP_RECVERR, 1), "ipv6": (socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)}


def _no_queue(scene: Scene) -> None:
    """A socket that wants to know is told what others are not."""
    scene.sh(scene.tx, "tc qdisc add dev eth0 root pfifo limit 0")
    scene.open_sender = lambda: plain_sender(scene, options=(_WANTS_ERRORS[scene.family],))


def _slow_queue(scene: Scene) -> None:
    """Fill the send buffer, while hardly anything goes out."""
    scene.sh(scene.tx, "tc qdisc add dev eth0 root tbf rate 8bit burst 1600 limit 1000000")
    scene.payload_size = 1000
    opened = scene.open_sender

    def full() -> Sends:
        scene.open_sender = opened  # the cure makes it fast
        scene.sender_options.update(send_buffer=2304, timeout=0.0)
        sender = opened()
        scene.sender_options.clear()
        with suppress(BlockingIOError):
            for _ in range(100):
                sender.send(bytes(1000))
        return sender

    scene.open_sender = full


_IPSEC = "ip xfrm policy add dir out src {0} dst {1} priority 100 {2}"
_ALL = {"ipv4": ("0.0.0.0/0", "224.0.0.0/4"), "ipv6": ("::/0", "ff00::/8")}


def ipsec(what: str) -> Callable[[Scene], None]:
    """Return what adds an IPsec policy for all groups to the sender."""

    def add(scene: Scene) -> None:
        scene.tx.settle()  # what a new host reports would be counted, too
        scene.sh(scene.tx, _IPSEC.format(*_ALL[scene.family], what))

    return add


_FILTER = "nft add table {0}; nft 'add chain {0} out {{ type filter hook {1} priority 0; policy {2}; }}'"
_DROP = "; nft add rule {0} out {1} drop"


def _filter(hook: str, rule: str, *, table: str = "inet t", policy: str = "accept") -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        layer = "ip6" if scene.family == "ipv6" else "ip"
        what = rule.format(port=scene.channel.port, group=f"{layer} daddr {scene.channel.group}")
        scene.sh(scene.tx, _FILTER.format(table, hook, policy) + (_DROP.format(table, what) if what else ""))

    return change


def _sender_without_zone(scene: Scene) -> None:
    scene.open_sender = lambda: plain_sender(scene, interface=None, bind=(scene.tx.source("ipv6"), 0))


def _sender_with_zone(scene: Scene) -> None:
    index = scene.tx.interface.index
    scene.open_sender = lambda: plain_sender(scene, interface=None, bind=(scene.tx.source("ipv6"), 0, 0, index))


def _receiver_without_zone(scene: Scene) -> None:
    scene.open_receiver = lambda: plain(scene, address=scene.channel.group)


BREAKS = (
    Break("too large", "datagram.too-large", _payload(65508), _payload(65507)),
    Break("too large, ipv6", "datagram.too-large", _payload(65528), _payload(65527), ipv6),
    Break("not to be fragmented", "datagram.not-fragmented", _whole, _in_fragments),
    Break("not to be fragmented, ipv6", "datagram.not-fragmented", _whole, _in_fragments, ipv6),
    Break("small send buffer", "send-buffer.too-small", _small_buffer, _usual_buffer),
    Break("small send buffer, ipv6", "send-buffer.too-small", _small_buffer, _usual_buffer, ipv6),
    Break("no queue", "queue.refuses", _no_queue),
    Break("no queue, ipv6", "queue.refuses", _no_queue, scene=ipv6),
    Break("slow queue", "queue.stuck", _slow_queue),
    Break("ipsec policy", "ipsec.output", ipsec("action block")),
    Break("ipsec policy, ipv6", "ipsec.output", ipsec("action block"), scene=ipv6),
    Break("output filter", "firewall.output", _filter("output", "udp dport {port}")),
    Break("output filter, ipv6", "firewall.output", _filter("output", "{group}"), scene=ipv6),
    Break("output filter of ipv4", "firewall.output", _filter("output", "ip daddr 224.0.0.0/4", table="ip t")),
    Break("output policy", "firewall.output", _filter("output", "", policy="drop")),
    Break("postrouting filter", "firewall.output", _filter("postrouting", "oifname eth0 udp dport {port}")),
    Break("sender without zone", "zone.missing", _sender_without_zone, _sender_with_zone, ipv6),
    Break("receiver without zone", "zone.missing", _receiver_without_zone, right, ipv6),
)
