"""What is delivered is what was sent: each datagram once, in order, and with its own addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_mcast.core.errors import NotReceived
from pytest_mcast.cores import CoreFailure
from pytest_mcast.cores.behaviours import delivery, metadata
from pytest_mcast.cores.behaviours.interfaces import network, seen_from
from pytest_mcast.packets import deliver, udp

from .case import register
from .probing import ProbeCase
from .situations import beside, prober, proved, situation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_mcast.cores import CoreReceiver
    from pytest_mcast.cores.behaviours import Bench
    from pytest_mcast.cores.behaviours.bench import Flows

__all__: list[str] = []

_DELIVERED = "RFC 1112 section 7.2, RFC 4607 section 4.2"
_FLOWS, _ROUNDS, _TURNS = 24, 10, 3
_SIZES = (1, 1300, 2, 600, 1299, 3, 64, 1024)  # bytes, more or less
_TTLS = (1, 255, 64, 2, 254, 63)


@situation(
    "delivery.one",
    "one datagram",
    "MUST",
    _DELIVERED,
    outcome="delivered once",
    reason="that is what was asked for",
)
def _one(bench: Bench) -> None:
    delivery.single(bench)


@situation(
    "delivery.order",
    "100 datagrams from one port, at once",
    "kernel",
    "__skb_queue_tail of __udp_enqueue_schedule_skb: the queue of a socket is in the order of arrival (RFC 768 promises none)",
    outcome="delivered once each, in order",
    reason="one link and one queue keep the order",
)
def _order(bench: Bench) -> None:
    delivery.succession(bench)


@situation(
    "delivery.order-of-sizes",
    f"{_ROUNDS * len(_SIZES)} datagrams of very different sizes from one port, at once",
    "kernel",
    "__skb_queue_tail of __udp_enqueue_schedule_skb: the queue of a socket is in the order of arrival",
    outcome="delivered once each, in order and whole",
    reason="the size of one datagram is nothing to the next",
)
def _order_of_sizes(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, tx)
    for _ in range(_ROUNDS // 2):  # as many as a buffer holds
        for size in _SIZES:
            flows.send("one", size)
    bench.expect_exactly({receiver: flows}, rx, ordered=True)
    for _ in range(_ROUNDS // 2):
        for size in _SIZES:
            flows.send("another", size)
    flows.payloads = flows.payloads[len(flows.payloads) // 2 :]
    bench.expect_exactly({receiver: flows}, rx, ordered=True)


@situation(
    "delivery.order-of-flows",
    f"{_ROUNDS // 2} datagrams from each of {_FLOWS} ports in turn",
    "kernel",
    "__skb_queue_tail of __udp_enqueue_schedule_skb: the queue of a socket is in the order of arrival",
    outcome="delivered once each, in order",
    reason="one socket has one queue, wherever it comes from",
)
def _order_of_flows(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, tx, _FLOWS)
    for number in range(_ROUNDS // 2):
        flows.send(f"round {number}")
    bench.expect_exactly({receiver: flows}, rx, ordered=True)


@situation(
    "delivery.flows",
    "one datagram from each of 100 ports",
    "MUST",
    _DELIVERED,
    outcome="delivered once each",
    reason="a channel has no source port: all ports are wanted",
)
def _flows(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, tx, 100)
    flows.send("from each port")
    bench.expect_exactly({receiver: flows}, rx)


@situation(
    "delivery.hosts",
    "from two hosts",
    "MUST",
    "RFC 1112 section 7.2",
    outcome="delivered once each",
    reason="every source is wanted",
    modes=("asm",),
)
def _hosts(bench: Bench) -> None:
    delivery.several_senders(bench)


register(
    ProbeCase(
        "delivery.identical",
        "the same datagram three times, octet for octet",
        "kernel",
        "__udp4_lib_mcast_deliver, __udp6_lib_mcast_deliver: nothing is remembered (RFC 768)",
        "whether it is a copy is for the application to say",
        probe=udp().repeated(3),
        expect=deliver(3),
    ),
)


@situation(
    "delivery.interleaved",
    f"{_TURNS} datagrams from each of {_FLOWS} ports to each of two groups, in turn",
    "MUST",
    _DELIVERED,
    outcome="each receiver gets its own, in order",
    reason="two channels are two",
)
def _interleaved(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    first = bench.channel(tx)
    second = beside(first, first.source, group=bench.channel(tx).group)
    receivers = {bench.open(channel, rx): bench.flows(channel, tx, _FLOWS) for channel in (first, second)}
    for number in range(_TURNS):
        for flows in receivers.values():
            flows.send(f"turn {number}")
    bench.expect_exactly(receivers, rx, ordered=True)


@situation(
    "delivery.own-host",
    "from a sender on the receiver's own host",
    "kernel",
    "ip_mc_output, ip6_finish_output2: IP_MULTICAST_LOOP is on (RFC 1112 section 6.1, RFC 3493 section 5.2)",
    outcome="delivered once",
    reason="a member on the sending host is a member",
)
def _own_host(bench: Bench) -> None:
    (rx,) = bench.lab.hosts(1)
    channel = bench.channel(rx)
    receiver = bench.open(channel, rx)
    neighbour = rx.receiver(channel, timeout=bench.timeout)
    sender = rx.sender(channel)
    for payload in (b"to ourselves", b"and again"):  # the second one shows that the first has come once
        sender.send(payload)
        neighbour.recv()
        delivered = receiver.recv(bench.timeout)
        if delivered.payload != payload:
            raise CoreFailure("wrong", f"{receiver!r} delivered {delivered!r}, not {payload!r}")
    bench.evidence.append("delivered once each, in order")


@situation(
    "delivery.loopback-off",
    "from a sender on the receiver's own host that has switched its loopback off",
    "kernel",
    "ip_mc_output, ip6_finish_output2: IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP (ip(7), RFC 3493 section 5.2)",
    outcome="not delivered; with loopback it is",
    reason="the sender has asked for that, and nothing else brings it back",
)
def _loopback_off(bench: Bench) -> None:
    (rx,) = bench.lab.hosts(1)
    channel = bench.channel(rx)
    receiver = bench.open(channel, rx)
    rx.sender(channel, loopback=False).send(b"not to ourselves")
    fence = b"to ourselves"
    rx.sender(channel).send(fence)
    delivered = receiver.recv(bench.timeout)
    if delivered.payload != fence:
        raise CoreFailure("wrong", f"{receiver!r} delivered {delivered!r}")
    bench.evidence.append("not delivered; what was sent after it was")


@situation(
    "delivery.source-told",
    "one datagram: where it comes from",
    "kernel",
    "udp_recvmsg, udpv6_recvmsg: msg_name (recvfrom(2))",
    outcome="told are the address and the port of its sender",
    reason="an answer is sent to where the datagram came from",
    needs=("source", "source_port"),
)
def _source_told(bench: Bench) -> None:
    metadata.source(bench)


@situation(
    "delivery.destination-told",
    "one datagram: where it was sent to",
    "kernel",
    "ip_cmsg_recv_pktinfo, ip6_datagram_recv_specific_ctl (ip(7) IP_PKTINFO, RFC 3542 section 6.2)",
    outcome="told are the group and the port",
    reason="who receives several groups must know them apart",
    needs=("group", "port"),
)
def _destination_told(bench: Bench) -> None:
    metadata.destination(bench)


@situation(
    "delivery.interface-told",
    "one datagram: on which interface it came in",
    "kernel",
    "ip_cmsg_recv_pktinfo, ip6_datagram_recv_specific_ctl (ip(7) IP_PKTINFO, RFC 3542 section 6.2)",
    outcome="told is the index of the interface",
    reason="a membership is of an interface, and so is what comes of it",
    needs=("interface",),
)
def _interface_told(bench: Bench) -> None:
    metadata.interface(bench)


@situation(
    "delivery.ttl-told",
    "one datagram: its TTL or hop limit",
    "kernel",
    "ip_cmsg_recv_ttl, ip6_datagram_recv_specific_ctl (ip(7) IP_RECVTTL, RFC 3542 section 6.3)",
    outcome="told is what it arrived with",
    reason="whether it was routed can be seen by that",
    needs=("ttl",),
)
def _ttl_told(bench: Bench) -> None:
    metadata.hop_limit(bench)


@situation(
    "delivery.length-told",
    "one datagram of a kilobyte: its length",
    "MUST",
    "RFC 768",
    outcome="told is the number of octets that were sent",
    reason="the length of a datagram is part of it",
    needs=("length",),
)
def _length_told(bench: Bench) -> None:
    metadata.length(bench)


@situation(
    "delivery.payload-told",
    "one datagram with every octet there is",
    "MUST",
    "RFC 768",
    outcome="told are the octets that were sent, as far as it says that it tells them",
    reason="what is in a datagram is nobody's business but the application's",
)
def _payload_told(bench: Bench) -> None:
    metadata.payload(bench)


@situation(
    "delivery.each-ttl",
    f"from one port with a TTL of {', '.join(map(str, _TTLS))}, in turn",
    "kernel",
    "ip_cmsg_recv_ttl, ip6_datagram_recv_specific_ctl",
    outcome="told is that of each",
    reason="it belongs to a datagram, and not to a flow",
    needs=("payload", "ttl"),
)
def _each_ttl(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    receiver = bench.open(bench.channel(tx), rx)
    with prober(bench, receiver, tx, rx) as probe:
        for ttl in _TTLS:
            probe(ttl=ttl).expect(deliver())
    proved(bench, "the TTL of each is told")


def _expect_sources(receiver: CoreReceiver, flows: Flows) -> None:
    """Read what was sent, and expect each with the address and port of its sender."""
    origins = {sender.source[1]: sender.source for sender in flows.senders}
    for payload in flows.payloads:
        delivered = receiver.recv()
        right = origins[flows.ports[payload]]
        if (delivered.payload, delivered.source) != (payload, right):
            raise CoreFailure(
                "wrong", f"{receiver!r} tells {delivered!r} of {payload!r} from {right[0]} port {right[1]}"
            )


@situation(
    "delivery.each-source-port",
    f"from {_FLOWS} ports in turn",
    "kernel",
    "udp_recvmsg, udpv6_recvmsg: msg_name (recvfrom(2))",
    outcome="told is the port of each",
    reason="it belongs to a datagram, and not to a receiver",
    needs=("payload", "source", "source_port"),
)
def _each_source_port(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    channel = bench.channel(tx)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, tx, _FLOWS)
    flows.send("from each port")
    flows.send("again")
    _expect_sources(receiver, flows)
    bench.evidence.append(f"the source of {len(flows.payloads)} datagrams was told")


@situation(
    "delivery.each-source",
    "from two hosts in turn",
    "kernel",
    "udp_recvmsg, udpv6_recvmsg: msg_name (recvfrom(2))",
    outcome="told is the address of each",
    reason="it belongs to a datagram, and not to a receiver",
    modes=("asm",),
    needs=("payload", "source", "source_port"),
)
def _each_source(bench: Bench) -> None:
    rx, one, another = bench.lab.hosts(3)
    channel = bench.channel(one)
    receiver, flows = bench.open(channel, rx), bench.flows(channel, one)
    port = flows.senders[0].source[1]
    second = another.sender(channel)
    while second.source[1] == port:  # or the port would not tell them apart
        second = another.sender(channel)
    flows.senders.append(second)
    for number in range(_ROUNDS):
        flows.send(f"round {number}")
    _expect_sources(receiver, flows)
    bench.evidence.append(f"the source of {len(flows.payloads)} datagrams was told")


@situation(
    "delivery.each-group",
    f"{_TURNS} datagrams from each of {_FLOWS} ports to each of two groups, in turn",
    "kernel",
    "ip_cmsg_recv_pktinfo, ip6_datagram_recv_specific_ctl (ip(7) IP_PKTINFO, RFC 3542 section 6.2)",
    outcome="each receiver tells its own group",
    reason="who receives several groups must know them apart",
    needs=("payload", "group", "port"),
)
def _each_group(bench: Bench) -> None:
    rx, tx = bench.lab.hosts(2)
    first = bench.channel(tx)
    second = beside(first, first.source, group=bench.channel(tx).group)
    receivers = {bench.open(channel, rx): bench.flows(channel, tx, _FLOWS) for channel in (first, second)}
    for number in range(_TURNS):
        for flows in receivers.values():
            flows.send(f"turn {number}")
    for receiver, flows in receivers.items():
        _expect_told(bench, receiver, flows.payloads, "group", flows.channel.group)


@situation(
    "delivery.each-interface",
    f"{_TURNS} datagrams from each of {_FLOWS} ports on each of two interfaces, in turn",
    "kernel",
    "ip_cmsg_recv_pktinfo, ip6_datagram_recv_specific_ctl (ip(7) IP_PKTINFO, RFC 3542 section 6.2)",
    outcome="each receiver tells its own interface",
    reason="a membership is of an interface, and so is what comes of it",
    needs=("payload", "interface"),
)
def _each_interface(bench: Bench) -> None:
    rx, one, two = network(bench)
    first = bench.channel(one, interface="eth0")
    second = seen_from(bench, first, two)
    receivers = {
        bench.open(channel, rx, name): bench.flows(channel, tx, _FLOWS)
        for channel, name, tx in ((first, "eth0", one), (second, "eth1", two))
    }
    for number in range(_TURNS):
        for flows in receivers.values():
            flows.send(f"turn {number}")
    for receiver, flows in receivers.items():
        _expect_told(bench, receiver, flows.payloads, "interface", receiver.interface.index)


def _expect_told(bench: Bench, receiver: CoreReceiver, payloads: Sequence[bytes], what: str, right: object) -> None:
    for payload in payloads:
        try:
            delivered = receiver.recv()
        except NotReceived as error:
            raise CoreFailure("wrong", f"{receiver!r} did not deliver {payload!r}\n{error}") from None
        told = delivered.destination if what == "group" else delivered.interface_index
        if (delivered.payload, told) != (payload, right):
            raise CoreFailure("wrong", f"{receiver!r} tells {delivered!r} of {payload!r}, whose {what} is {right}")
    bench.evidence.append(f"{what} {right} was told each time")
