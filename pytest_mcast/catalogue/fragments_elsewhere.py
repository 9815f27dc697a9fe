"""Fragments of one datagram that come in on two interfaces."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_mcast.core.errors import NoVerdict
from pytest_mcast.packets import Expectation, Prober, deliver, drop, frames_of, udp
from pytest_mcast.packets.crafter import DYNAMIC_PORT
from pytest_mcast.packets.expectations import FIELDS

from .case import Situation, register

if TYPE_CHECKING:
    from pytest_mcast.cores.behaviours import Bench

__all__ = ["on_two_interfaces"]

_SIZE, _FRAGMENT = 512, 200


def on_two_interfaces(elsewhere: Sequence[int], here: Sequence[int], expect: Expectation) -> Callable[[Bench], None]:
    """Return what sends some of three fragments to a second interface, where the channel is joined too, and then others.

    The others come in on the interface at which the core receives, and are judged.
    """

    def look(bench: Bench) -> None:
        rx = bench.lab.host(interfaces={"eth0": "first", "eth1": "second"})
        one, two = (bench.lab.host(interfaces={"eth0": link}) for link in ("first", "second"))
        channel = bench.channel(one, interface="eth0")
        receiver = bench.open(channel, rx, "eth0")
        packet = udp(
            payload=secrets.token_hex(_SIZE // 2).encode(),
            source_port=DYNAMIC_PORT + secrets.randbelow(16384),  # in both, or no checksum is right
            identification=secrets.randbits(16),
        )
        with (
            rx.receiver(channel, interface="eth1"),  # so that the host lets it in there
            Prober(receiver, one, rx, timeout=bench.timeout, drops=bench.drops) as probe,
        ):
            probe().expect(deliver())
            injector = two.injector()
            right = replace(probe.legitimate, source_mac=injector.mac)
            for frame in frames_of(packet.over(right).fragmented(_FRAGMENT, order=elsewhere)):
                injector.inject(frame)
                if rx.control.find(lambda seen, sent=frame: seen[14:] == sent[14:]) is None:  # type: ignore[misc]
                    raise NoVerdict(f"a fragment has not come to {rx} on eth1\n" + "\n".join(rx.control.account()))
            verdict = probe(packet.fragmented(_FRAGMENT, order=here), expect=expect).check()
        bench.evidence.append(f"{verdict.control}; fence arrived")

    return look


def _situation(
    name: str,
    family: str,
    title: str,
    reference: str,
    reason: str,
    elsewhere: Sequence[int],
    here: Sequence[int],
    expect: Expectation,
) -> Situation:
    run = on_two_interfaces(elsewhere, here, expect)
    return Situation(
        f"fragment.{name}",
        title,
        "kernel",
        reference,
        reason,
        families=(family,),
        needs=("payload", "source_port"),
        outcome=str(expect),
        run=run,
    )


_IPV4 = "RFC 791 section 3.2; ip_find (frag_v4_compare_key)"
_FEEDS = "two of three fragments on another interface, and then all of them, as two feeds bring them"
_IPV6 = "RFC 8200 section 4.5; fq_find (ipv6_frag_rcv)"

register(
    _situation(
        "elsewhere",
        "ipv4",
        "three fragments, the middle one on another interface",
        _IPV4,
        "the interface does not say what belongs together",
        (1,),
        (0, 2),
        deliver(),
    ),
    _situation(
        "elsewhere-ipv6",
        "ipv6",
        "three fragments, the middle one on another interface",
        _IPV6,
        "Linux puts together what came in on one interface only, where the group is multicast",
        (1,),
        (0, 2),
        drop(),
    ),
    _situation(
        "both-feeds",
        "ipv4",
        _FEEDS,
        f"{_IPV4}; skb_iif in inet_frag_reasm_prepare",
        "packet information names the interface of the first fragment that came, the socket's device is that of the last",
        (0, 1),
        (0, 1, 2),
        Expectation(0, 1, fields=FIELDS - {"interface"}),
    ),
    _situation(
        "both-feeds-ipv6",
        "ipv6",
        _FEEDS,
        _IPV6,
        "what came in on another interface is of another datagram",
        (0, 1),
        (0, 1, 2),
        deliver(),
    ),
)
