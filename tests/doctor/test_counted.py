"""Counters are of a whole host: what they have counted of others is no certain cause."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from pytest_mcast import Channel, LabView
from pytest_mcast.doctor import Changes, Hop, Trace, diagnose, facts_of
from pytest_mcast.doctor.check import Check, Match
from pytest_mcast.doctor.flow import End, Flow
from pytest_mcast.doctor.tally import lost, surely

from ..support.programs import needs
from .breaks.plain import MULTICAST_ALL, plain
from .breaks.receiving import ipv6
from .scene import PlainReceiver, PlainSender, Scene


class _Unread(PlainReceiver):
    def recv(self, timeout: float | None = None) -> bytes:
        raise TimeoutError


class _Silent(PlainSender):
    """What it sends is lost, and nobody knows where."""

    count = 1

    def send(self, payload: bytes) -> object:
        return len(payload)


def _drop(scene: Scene) -> None:
    chain = "{ type filter hook input priority 0; }"
    rule = f"udp dport {scene.channel.port} drop"
    scene.sh(scene.rx, f"nft 'add table inet t; add chain inet t c {chain}; add rule inet t c {rule}'")


def _certain(scene: Scene) -> list[str]:
    return [each.check for each in scene.fails().findings if each.confidence == "certain"]


@needs("nft")
def test_what_a_third_host_sends_explains_nothing(mcast_lab: LabView) -> None:
    """See that a datagram with a bad checksum, and a lone fragment, are no causes beside the firewall."""
    scene = Scene(mcast_lab)
    third = mcast_lab.host("third", interfaces={"eth0": scene.switch})
    _drop(scene)
    open_sender = scene.open_sender
    there, here = scene.rx.source("ipv4"), third.source("ipv4")

    def disturbed() -> object:
        with third.inside(), ExitStack() as stack:
            raw = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP))
            raw.sendto(struct.pack("!4H", 1, 7777, 12, 0x1234) + b"abcd", (there, 0))
            whole = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
            addresses = socket.inet_aton(here), socket.inet_aton(there)
            header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 44, 77, 0x2000, 9, 17, 0, *addresses)  # more fragments
            whole.sendto(header + struct.pack("!4H", 1, 7777, 40, 0) + bytes(16), (there, 0))
        return open_sender()

    with scene.rx.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 7777))
        scene.open_sender = disturbed  # type: ignore[assignment]
        assert _certain(scene) == ["firewall.drop"]


@needs("nft")
@pytest.mark.parametrize("make", [Scene, ipv6])
def test_what_was_in_the_socket_before_explains_nothing(mcast_lab: LabView, make: Callable[[LabView], Scene]) -> None:
    scene = make(mcast_lab)
    open_sender = scene.open_sender

    def disturbed() -> object:
        sender = open_sender()
        sender.send(b"earlier, and nobody reads it")
        _drop(scene)
        return sender

    scene.open_sender = disturbed  # type: ignore[assignment]
    receiver = plain(scene)
    scene.open_receiver = lambda: _Unread(receiver.socket)
    assert _certain(scene) == ["firewall.drop"]


def test_what_is_of_another_group_is_not_this_one_unread(mcast_lab: LabView) -> None:
    """See that a socket that takes all groups of its host may have something else in its buffer."""
    scene = Scene(mcast_lab)
    other = Channel(mcast_lab.channel().group, scene.channel.port)

    def both() -> object:
        receiver = plain(scene, options=((*MULTICAST_ALL["ipv4"], 1),))
        with scene.rx.inside():
            index = socket.if_nametoindex("eth0")
            request = struct.pack("=4s4si", socket.inet_aton(other.group), bytes(4), index)
            receiver.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        with scene.tx.sender(other) as sender:
            sender.send(b"of another group")
        return _Unread(receiver.socket)

    scene.open_receiver = both  # type: ignore[assignment]
    sender = scene.open_sender()
    scene.open_sender = lambda: _Silent(sender.socket, sender.source)  # type: ignore[attr-defined]
    findings = scene.fails().findings
    assert [(each.check, each.confidence) for each in findings] == [("socket.unread", "likely")]


def _flow(scene: Scene, *, sent: int | None = 2, received: int | None = 0, trace: Trace | None = None) -> Flow:
    end = End("rx", facts_of(scene.rx), Changes({"Udp.InCsumErrors": 2}), "eth0")
    return Flow(scene.channel, receiver=end, sent=sent, received=received, trace=trace)


def _trace(*, delivered: bool, **counted: int) -> Trace:
    changes = Changes({name.replace("_", "."): count for name, count in counted.items()})
    return Trace((Hop("receiver", delivered, ""),), Changes({}), changes)


def test_a_counter_is_certain_if_it_has_counted_what_is_missing(mcast_lab: LabView) -> None:
    scene, name = Scene(mcast_lab), "Udp.InCsumErrors"
    assert lost(_flow(scene)) == 2
    assert lost(_flow(scene, sent=None)) is None
    assert surely(_flow(scene), "receiver", name) == "certain"
    for other in ({"received": 1}, {"sent": 5}, {"sent": None}):
        flow = _flow(scene, **other)
        assert surely(flow, "receiver", name) == "likely"
    again = _trace(delivered=False, Udp_InCsumErrors=1)
    assert surely(_flow(scene, sent=5, trace=again), "receiver", name) == "certain"
    for trace in (_trace(delivered=False), _trace(delivered=True, Udp_InCsumErrors=1)):
        assert surely(_flow(scene, sent=5, trace=trace), "receiver", name) == "likely"


def _check(name: str, *, shared: bool = False, passing: bool = False) -> Check:
    return Check(
        id=name,
        stage="receiver",
        condition=lambda _: [Match("certain", (), shared=shared)],
        sentence="",
        cure="",
        reads=(),
        reference="",
        place="code",
        passing=passing,
    )


@pytest.mark.parametrize(
    ("checks", "certain"),
    [
        ([_check("a", shared=True)], ["a"]),
        ([_check("a", shared=True), _check("b")], ["b"]),
        ([_check("a", shared=True), _check("b", shared=True)], []),
        ([_check("a"), _check("b")], ["a", "b"]),
    ],
)
def test_shared_evidence_is_certain_only_alone(mcast_lab: LabView, checks: list[Check], certain: list[str]) -> None:
    findings = diagnose(_flow(Scene(mcast_lab)), checks).findings
    assert [each.check for each in findings if each.confidence == "certain"] == certain
    assert len(findings) == len(checks)


def test_what_lasts_is_not_certain_when_the_next_one_arrives(mcast_lab: LabView) -> None:
    checks = [_check("setting"), _check("a full buffer", passing=True)]
    findings = diagnose(_flow(Scene(mcast_lab), trace=_trace(delivered=True)), checks).findings
    assert [(each.check, each.confidence) for each in findings] == [("a full buffer", "certain"), ("setting", "likely")]
