"""The rules of delivery are the kernel's: for sockets of all kinds, there is an obstacle exactly if nothing arrives."""

from __future__ import annotations

import itertools
import random
import secrets
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from pytest_mcast import LabView, Sender
from pytest_mcast.doctor import Changes, End, Facts, Flow
from pytest_mcast.doctor.describing import Joinable, describe_socket
from pytest_mcast.doctor.obstacles import found, obstacle
from pytest_mcast.evidence import Reading, Snapshot, socket_options
from pytest_mcast.evidence.linux import readers

from .breaks.plain import MULTICAST_ALL, act, plain
from .scene import Scene

_READ = ("links", "memberships", "namespace", "route_to", "sockets")
_SOCKETS = 40  # at the least


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_there_is_an_obstacle_exactly_if_nothing_arrives(mcast_lab: LabView, family: str) -> None:
    seed = secrets.randbits(32)
    pick = random.Random(seed)  # noqa: S311 - no secrets
    scene = Scene(mcast_lab, family, more_interfaces={"eth9": "beside"})
    delivered = set()
    with scene.tx.sender(scene.channel) as sender:
        # One in eight gets it: of so many none does in every hundredth run.
        for number in itertools.count(1):
            with ExitStack() as stack:
                sock, how = _some_socket(scene, sender, pick, stack)
                arrives, obstacles = _arrives(sender, sock), found(_flow(scene, sender, sock))
                delivered.add(arrives)
                assert arrives == (not obstacles), f"seed {seed}: {how}: {obstacles}"
            if number >= _SOCKETS and delivered == {True, False}:
                break
            assert number < 10 * _SOCKETS, f"seed {seed}: all of them alike: {delivered}"


def _some_socket(
    scene: Scene, sender: Sender, pick: random.Random, stack: ExitStack
) -> tuple[socket.socket, dict[str, Any]]:
    """Open a socket that is mostly right."""
    group, family = scene.channel.group, scene.family
    source, other = scene.tx.source(family), scene.rx.source(family)
    how: dict[str, Any] = {
        "address": pick.choice(["", "", group, group, other, scene.lab.channel(family).group]),
        "port": pick.choice([None] * 5 + [0]),
        "device": pick.choice(["", "", "eth0", "eth9"]),
        "joins": pick.choice([True, True, True, False]),
        "group": pick.choice([None] * 4 + [scene.lab.channel(family).group]),
        "interface": pick.choice(["eth0", "eth0", "eth0", "eth9"]),
        "source": pick.choice([None, None, None, source, other]),
        "options": ((*MULTICAST_ALL[family], pick.choice([0, 1])),),
    }
    blocked = pick.choice([None, None, None, source, other])
    peer = pick.choice([None] * 5 + [sender.source, (other, 9)])
    beside = pick.choice([None, None, "eth0", "eth9"])
    receiver = plain(scene, scope="eth0", **how)
    stack.callback(receiver.close)
    if beside is not None:  # after the receiver, whose port it does not get
        how["of beside"] = pick.choice([None, source, other])
        stack.callback(plain(scene, port=0, interface=beside, source=how["of beside"]).close)
    with scene.rx.inside():
        if blocked is not None and how["joins"] and how["source"] is None:
            act(receiver.socket, "block", how["group"] or group, how["interface"], blocked)
        zone = (0, socket.if_nametoindex("eth0")) if family == "ipv6" else ()
        if peer is not None and how["device"] != "eth9":
            receiver.socket.connect((peer[0].partition("%")[0], peer[1], *zone))
    receiver.socket.setblocking(False)
    return receiver.socket, {**how, "blocked": blocked, "peer": peer, "beside": beside}


def _arrives(sender: Sender, sock: socket.socket) -> bool:
    payload = secrets.token_bytes(16)
    sender.send(payload)
    try:
        return sock.recv(64) == payload  # on a flat link it is there when send() returns
    except BlockingIOError:
        return False


def _flow(scene: Scene, sender: Sender, *socks: socket.socket) -> Flow:
    read = readers([scene.channel.group])
    with scene.rx.inside():
        readings = {name: Reading(read[name]()) for name in _READ}
        joinable = Joinable(readings)
        described = tuple(describe_socket(each, joinable, scene.channel.group) for each in socks)
    facts = Facts(Snapshot("linux", readings))
    return Flow(
        scene.channel,
        sender=End("tx", facts, Changes({}), "eth0", (socket_options(sender.socket),)),
        receiver=End("rx", facts, Changes({}), "eth0", described),
        source=scene.tx.source(scene.family),
    )


_REUSE = ((socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),)


def test_where_one_socket_gets_it_the_others_are_no_cause(mcast_lab: LabView) -> None:
    scene = Scene(mcast_lab)
    with ExitStack() as stack:
        sender = stack.enter_context(scene.tx.sender(scene.channel))
        deaf = plain(scene, address=scene.lab.channel().group, options=_REUSE)
        stack.callback(deaf.close)
        assert set(found(_flow(scene, sender, deaf.socket))) == {"bind.other-group"}
        hears = plain(scene, options=_REUSE)
        stack.callback(hears.close)
        assert not found(_flow(scene, sender, deaf.socket, hears.socket))
        assert not found(_flow(scene, sender))  # by what the kernel lists


def test_what_is_so_for_some_sockets_only_is_not_certain(mcast_lab: LabView) -> None:
    scene = Scene(mcast_lab)
    with ExitStack() as stack:
        sender = stack.enter_context(scene.tx.sender(scene.channel))
        first = plain(scene, address=scene.lab.channel().group, options=_REUSE)
        stack.callback(first.close)
        second = plain(scene, address=scene.rx.source("ipv4"), options=_REUSE)
        stack.callback(second.close)
        for sockets in ((first.socket, second.socket), ()):
            flow = _flow(scene, sender, *sockets)
            assert set(found(flow)) == {"bind.other-group", "bind.unicast"}
            assert {each.confidence for name in found(flow) for each in obstacle(name)(flow)} == {"likely"}
