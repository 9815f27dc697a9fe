"""Receivers that are wrong, on real sockets: each kind of proof can fail, and none takes silence for an answer."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pytest_mcast import (
    Channel,
    Datagram,
    Deadline,
    Delivered,
    LabView,
    NotReceived,
    NoVerdict,
    Receiver,
    Verdict,
    VirtualHost,
)
from pytest_mcast.core import system
from pytest_mcast.packets import CASES, Prober, cases


class Broken:
    """A receiver whose socket is not strict: what it delivers is what the kernel gives it."""

    def __init__(self, channel: Channel, host: VirtualHost) -> None:
        self.channel = channel
        ipv6 = channel.family == "ipv6"
        self._selector = selectors.DefaultSelector()
        with host.inside():
            self.sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
            self.sock.setblocking(False)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(("::" if ipv6 else "", channel.port))
            for option in system.metadata_options(channel.family):
                system.set_option(self.sock, option)
            self.join(host)
        self._selector.register(self.sock, selectors.EVENT_READ)

    def join(self, host: VirtualHost) -> None:
        action = "join" if self.channel.source is None else "join-source"
        index, channel = host.interface.index, self.channel
        system.set_option(
            self.sock, system.membership_option(action, channel.family, index, channel.group, channel.source)
        )

    def recv(self, timeout: float | None = None) -> Datagram:
        deadline = Deadline(timeout)
        while True:
            try:
                payload, arrival, truncated, source = system.receive(self.sock, 65535)
            except BlockingIOError:
                if not self._selector.select(deadline.remaining()):
                    raise NotReceived(f"nothing on {self.channel}") from None
                continue
            return Datagram(payload, source, arrival.group, self.channel.port, None, None, None, None, truncated)

    def close(self) -> None:
        self._selector.close()
        self.sock.close()


class IgnoresTheSource(Broken):
    """Joins the group, whatever the source."""

    def join(self, host: VirtualHost) -> None:
        index, channel = host.interface.index, self.channel
        system.set_option(self.sock, system.membership_option("join", channel.family, index, channel.group, None))


class DropsEverything(Broken):
    """Reads its socket, and keeps nothing."""

    def recv(self, timeout: float | None = None) -> Datagram:
        deadline = Deadline(timeout)
        while True:
            super().recv(deadline.remaining())


class DeliversLate(IgnoresTheSource):
    """Keeps what another source has sent until it has delivered something newer."""

    def __init__(self, channel: Channel, host: VirtualHost) -> None:
        super().__init__(channel, host)
        self._late: deque[Datagram] = deque()
        self._ready = False

    def recv(self, timeout: float | None = None) -> Datagram:
        if self._ready and self._late:
            return self._late.popleft()
        deadline = Deadline(timeout)
        while True:
            datagram = super().recv(deadline.remaining())
            if datagram.source[0] == self.channel.source:
                self._ready = bool(self._late)
                return datagram
            self._late.append(datagram)


class IsAlwaysBehind(Broken):
    """Delivers each datagram when the next one is there: in order, but later than the kernel gives it."""

    def __init__(self, channel: Channel, host: VirtualHost) -> None:
        super().__init__(channel, host)
        self._before: Datagram | None = None

    def recv(self, timeout: float | None = None) -> Datagram:
        deadline = Deadline(timeout)
        while True:
            self._before, before = super().recv(deadline.remaining()), self._before
            if before is not None:
                return before


@contextmanager
def probed(lab: LabView, family: str, kind: type[Broken], *, ssm: bool, timeout: float = 5.0) -> Iterator[Prober]:
    rx, tx = lab.hosts(2)
    receiver = kind(lab.channel(family, source=tx if ssm else None), rx)
    try:
        with Prober(receiver, tx, rx, timeout=timeout) as probe:
            yield probe
    finally:
        receiver.close()


families = pytest.mark.parametrize("family", ["ipv4", "ipv6"])


@families
def test_one_that_ignores_the_source_is_found_out(mcast_lab: LabView, family: str) -> None:
    with probed(mcast_lab, family, IgnoresTheSource, ssm=True) as probe:
        probe("legitimate").check()
        with pytest.raises(
            Delivered, match=r"ssm.wrong-source: 64 bytes from [^ ]+ port \d+ to .*\ncontrol: the tap of"
        ):
            probe("ssm.wrong-source").check()


@families
def test_one_that_ignores_the_group_is_found_out(mcast_lab: LabView, family: str) -> None:
    # A socket bound to the wildcard address gets what its neighbours have joined (ip(7): IP_MULTICAST_ALL).
    with probed(mcast_lab, family, Broken, ssm=False) as probe:
        probe("port.other").check()
        with pytest.raises(Delivered, match=r"group\.other"):
            probe("group.other").check()


@families
@pytest.mark.parametrize("case", ["legitimate", "group.other", "checksum.bad"])
def test_one_that_drops_everything_proves_nothing(mcast_lab: LabView, family: str, case: str) -> None:
    with probed(mcast_lab, family, DropsEverything, ssm=False, timeout=0.1) as probe:
        with pytest.raises(NoVerdict) as info:
            probe(case)
        text = str(info.value)
        assert text.startswith("no verdict: the fence did not arrive within 0.1 s\nsent: " + case)
        assert "\ncontrol: the tap of host1 saw it come in on eth0\n" in text  # so it is the receiver that has lost it
        assert "Udp6InDatagrams" in text if family == "ipv6" else "Udp.InDatagrams" in text


@families
def test_one_that_delivers_late_is_found_out_by_the_next_probe(mcast_lab: LabView, family: str) -> None:
    with probed(mcast_lab, family, DeliversLate, ssm=True) as probe:
        assert not probe("ssm.wrong-source").delivered  # by then it was not
        with pytest.raises(Delivered, match=r"delivered late, after the verdict was that it was not: ssm.wrong-source"):
            probe("legitimate")


@families
def test_one_that_delivers_late_is_found_out_at_the_end(mcast_lab: LabView, family: str) -> None:
    with pytest.raises(Delivered, match="delivered late"), probed(mcast_lab, family, DeliversLate, ssm=True) as probe:
        assert not probe("ssm.wrong-source").delivered


@families
def test_one_that_is_always_behind_gets_no_verdict(mcast_lab: LabView, family: str) -> None:
    with (
        probed(mcast_lab, family, IsAlwaysBehind, ssm=False, timeout=0.1) as probe,
        pytest.raises(NoVerdict, match="the fence did not arrive"),
    ):
        probe("checksum.bad")


@pytest.mark.mcast
def test_no_time_out_is_waited_for_where_a_proof_succeeds(
    mcast_kind: tuple[str, str], mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_vain = []
    select = selectors.DefaultSelector.select

    def recording(self: selectors.DefaultSelector, timeout: float | None = None) -> object:
        ready = select(self, timeout)
        if timeout != 0 and not ready:
            in_vain.append(timeout)
        return ready

    monkeypatch.setattr(selectors.DefaultSelector, "select", recording)
    family, mode = mcast_kind
    rx, tx, other = mcast_lab.hosts(3)
    receiver = rx.receiver(mcast_lab.channel(family, source=tx if mode == "ssm" else None))
    with Prober(receiver, tx, rx) as probe:
        verdicts: list[Verdict] = [probe(case).check() for case in cases(family, mode)]
    assert {verdict.delivered for verdict in verdicts} == {True, False}
    if mode == "ssm":
        sent = other.sender(receiver.channel).send(b"spoof")
        verdicts.append(receiver.expect_nothing(sent, fence=tx))
    assert {verdict.waited_for for verdict in verdicts} == {("fence",)}
    assert in_vain == []
    with pytest.raises(NotReceived):  # the recording sees what it is to see
        receiver.recv(0.01)
    assert len(in_vain) == 1


def test_every_case_that_must_not_be_delivered_is_delivered_by_somebody() -> None:
    # So that none of them is a proof of something that cannot happen; checksum.bad is the kernel's to drop.
    assert {case.id for case in CASES if not case.delivered} == {
        "ssm.wrong-source",
        "ssm.wrong-source-with-neighbour",
        "group.other",
        "port.other",
        "checksum.bad",
    }


def test_a_receiver_that_hears_a_group_twice_is_seen_to(mcast_lab: LabView) -> None:
    class Doubles(Broken):
        again: Datagram | None = None

        def recv(self, timeout: float | None = None) -> Datagram:
            if self.again is not None:
                datagram, self.again = self.again, None
                return datagram
            self.again = super().recv(timeout)
            return self.again

    with probed(mcast_lab, "ipv4", Doubles, ssm=False) as probe:
        assert len(probe().datagrams) == 2


def test_a_receiver_of_ours_is_what_it_should_be(mcast_lab: LabView) -> None:
    rx, tx = mcast_lab.hosts(2)
    receiver: Receiver = rx.receiver(mcast_lab.channel(source=tx))
    with Prober(receiver, tx, rx) as probe:
        assert [probe(case).delivered for case in cases("ipv4", "ssm")] == [
            case.delivered for case in cases("ipv4", "ssm")
        ]
