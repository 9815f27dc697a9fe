"""Remote hosts, as far as no network is needed: another Python on this machine."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from pytest_mcast import (
    Channel,
    ChannelError,
    Datagram,
    HostError,
    InterfaceError,
    MembershipError,
    MissingCapability,
    NotReceived,
    RemoteHost,
    SubscriptionError,
)
from pytest_mcast.core.agent import describe_error, pack, rebuild_error, unpack
from pytest_mcast.hosts import connection

from .support import BARE, Process, lose_patience, oldest, remote, too_old, under_way

GROUP = "239.255.1.2"  # on loopback of a network of our own


@pytest.fixture(scope="module")
def host() -> Iterator[RemoteHost]:
    with remote(f"popen//python={oldest()}") as host:
        yield host


@pytest.fixture
def channel() -> Channel:
    return Channel(GROUP, 0)


@pytest.mark.parametrize("size", [0, 1, 65507])
def test_a_datagram_of_any_size_gets_from_there_to_there(host: RemoteHost, channel: Channel, size: int) -> None:
    payload = os.urandom(size)
    with host.receiver(channel) as receiver, host.sender(receiver.channel) as sender:
        sent = sender.send(payload)
        datagram = receiver.recv()
    assert (sent.payload, sent.channel, sent.source) == (payload, receiver.channel, sender.source)
    assert (datagram.payload, datagram.source, datagram.ttl) == (payload, sender.source, 1)


def test_several_are_expected_at_once_and_in_order(host: RemoteHost, channel: Channel) -> None:
    with host.receiver(channel) as receiver, host.sender(receiver.channel, ttl=7) as sender:
        payloads = [b"%d" % number for number in range(100)]
        for payload in payloads:
            sender.send(payload)
        datagrams = receiver.expect(100)
        assert [datagram.payload for datagram in datagrams] == payloads
        assert {datagram.ttl for datagram in datagrams} == {7}
        assert receiver.statistics().received == 100
        assert (sender.ttl, sender.loopback, sender.dscp) == (7, True, 0)


def test_time_stamps_of_another_clock_are_left_out(host: RemoteHost, channel: Channel) -> None:
    with host.receiver(channel) as receiver, host.sender(receiver.channel) as sender:
        assert sender.send(b"x").timestamp_ns is None
        assert receiver.recv().timestamp_ns is None


def test_what_does_not_come_is_missed_as_on_this_machine(host: RemoteHost, channel: Channel) -> None:
    with host.receiver(channel) as receiver, pytest.raises(NotReceived, match=r"within 0.02 s\njoined on lo"):
        receiver.recv(0.02)


def test_a_membership_comes_and_goes(host: RemoteHost, channel: Channel) -> None:
    with host.receiver(channel) as receiver:
        subscription = receiver.subscription
        assert (subscription.state, len(host.memberships(GROUP))) == ("joined", 1)
        subscription.leave()
        assert (subscription.state, host.memberships(GROUP)) == ("bound", frozenset())
        subscription.join()
        subscription.block("192.0.2.1")
        assert subscription.blocked == {"192.0.2.1"}
        assert next(iter(host.memberships(GROUP))).blocked == {"192.0.2.1"}
        subscription.unblock("192.0.2.1")
    assert (subscription.state, host.memberships(GROUP)) == ("closed", frozenset())


def test_sources_are_joined_one_by_one(host: RemoteHost) -> None:
    with host.receiver(Channel("232.1.2.3", 0, "127.0.0.1")) as receiver:
        receiver.subscription.join_source("127.0.0.2")
        assert receiver.subscription.sources == {"127.0.0.1", "127.0.0.2"}
        receiver.subscription.leave_source("127.0.0.1")
        receiver.subscription.leave_source("127.0.0.2")
        assert receiver.subscription.state == "bound"


def test_that_nothing_arrives_is_proved_as_on_this_machine(host: RemoteHost, channel: Channel) -> None:
    with host.receiver(channel) as receiver, host.receiver(Channel("239.255.1.3", receiver.channel.port)) as other:
        with host.sender(other.channel) as elsewhere:
            verdict = receiver.expect_nothing(elsewhere.send(b"not yours"), fence=host, control=other)
        assert not verdict.delivered
        assert not verdict.strong or other.interface.loopback


def test_after_leaving_the_fence_goes_to_a_witness_beside_it(host: RemoteHost) -> None:
    channel = host.pick("ipv4")
    with host.receiver(channel) as receiver, host.receiver(channel) as other:
        receiver.subscription.leave()
        with host.sender(receiver.channel) as sender:
            assert not receiver.expect_nothing(sender.send(b"too late"), fence=host, control=other).delivered
            receiver.subscription.join()
            sender.send(b"again")
        assert receiver.recv().payload == b"again"


@pytest.mark.parametrize(
    ("error", "text", "act"),
    [
        (InterfaceError, "no interface is named 'no0'", lambda host: host.receiver(Channel(GROUP, 0), interface="no0")),
        (InterfaceError, "no ipv4 address 192.0.2.9", lambda host: host.sender(Channel(GROUP, 9), source="192.0.2.9")),
        (ChannelError, "port 0", lambda host: host.sender(Channel(GROUP, 0))),
        (ValueError, "ttl 256", lambda host: host.sender(Channel(GROUP, 9), ttl=256)),
        (TypeError, "unexpected keyword", lambda host: host.sender(Channel(GROUP, 9), colour=1)),
        (MissingCapability, "an echo responder", lambda host: host.echo(Channel(GROUP, 9))),
        (MissingCapability, "the function 'print'", lambda host: host.run(print)),
    ],
)
def test_errors_are_those_of_this_machine(host: RemoteHost, error: type[Exception], text: str, act: object) -> None:
    with pytest.raises(error, match=text):
        act(host)  # type: ignore[operator]  # a lambda of the table


def test_what_the_kernel_refuses_keeps_its_errno(host: RemoteHost, channel: Channel) -> None:
    with host.receiver(channel) as receiver:
        receiver.subscription.block("192.0.2.1")
        with pytest.raises(MembershipError, match="cannot block") as caught:
            receiver.subscription.block("192.0.2.1")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert caught.value.__notes__ == ["(on host far)"]


def test_what_is_closed_says_so(host: RemoteHost, channel: Channel) -> None:
    receiver = host.receiver(channel)
    sender = host.sender(receiver.channel)
    host.close_endpoints()
    assert (receiver.closed, sender.closed, receiver.fileno(), sender.fileno()) == (True, True, -1, -1)
    with pytest.raises(SubscriptionError, match="is closed"):
        receiver.recv()
    with pytest.raises(OSError, match="is closed"):
        sender.send(b"x")


def test_a_descriptor_is_not_here(host: RemoteHost, channel: Channel) -> None:
    with host.receiver(channel) as receiver, pytest.raises(MissingCapability, match="is on another machine"):
        receiver.fileno()


def test_a_receiver_that_waits_holds_up_nobody(host: RemoteHost, channel: Channel) -> None:
    with host.receiver(channel) as receiver, host.sender(receiver.channel) as sender:
        with under_way(host, lambda: receiver.recv(30)) as waiting:
            sender.send(b"at last")
        datagram = waiting.result(10)
    assert isinstance(datagram, Datagram)
    assert datagram.payload == b"at last"


def test_many_threads_are_served_at_once(host: RemoteHost, channel: Channel) -> None:
    def cell(number: int) -> bool:
        with host.receiver(channel) as receiver, host.sender(receiver.channel) as sender:
            sender.send(b"%d" % number)
            return receiver.recv().payload == b"%d" % number

    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(cell, range(64)))


def test_it_says_what_it_is(host: RemoteHost) -> None:
    facts = host.facts()
    assert facts["system"] == "Linux"
    assert facts["release"] == os.uname().release
    assert host.interface.name == "lo"
    assert host.source("ipv4") == "127.0.0.1"
    assert host.protocol_version("ipv4") in (1, 2, 3)
    assert host.protocol_version("ipv6") in (None, 1, 2)


def test_one_process_serves_all(host: RemoteHost, channel: Channel) -> None:
    before = host.facts()["pid"]
    for _ in range(3):
        with host.receiver(channel):
            assert host.facts()["pid"] == before
    pid = host._connection.call("function", "os:getpid")  # type: ignore[union-attr]
    assert str(pid) == before


@pytest.mark.parametrize("python", [BARE, sys.executable], ids=["bare", "with our package"])
def test_only_python_is_needed_and_what_is_installed_is_not_used(python: str) -> None:
    with remote(f"popen//python={python}") as host:
        where = host._connection.call("function", "pytest_mcast.core.agent:__spec__.origin.__str__")  # type: ignore[union-attr]
        assert where == "<pytest_mcast.core.agent, sent by pytest-mcast>"
        loaded = host._connection.call("function", "sys:flags.dont_write_bytecode.__int__")  # type: ignore[union-attr]
        assert loaded == 1


def test_a_python_that_is_too_old_is_named_with_its_version() -> None:
    with (
        pytest.raises(HostError, match=r"has Python (2|3\.[0-8])\.\S+, and 3\.9 is needed; install it there") as caught,
        remote(f"popen//python={too_old()}"),
    ):
        pass
    assert caught.value.mcast_outcome == "error"


def test_a_python_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(HostError, match=r"cannot start '/nonexistent': .*No such file"),
        remote("popen//python=/nonexistent"),
    ):
        pass


def test_something_else_than_a_python_is_told_with_what_it_says(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho I am no Python >&2; exit 3\n")
    program.chmod(0o755)
    with pytest.raises(HostError, match=r"exit code 3 \(I am no Python\)"), remote(f"popen//python={program}"):
        pass


@pytest.mark.parametrize("how", ["exec", ""])
def test_one_that_never_answers_is_given_up_and_remembered(tmp_path: Path, how: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho started >> {tmp_path}/count\n{how} tail -f /dev/null\n")
    program.chmod(0o755)
    with closing(RemoteHost("far", f"popen//python={program}", connect_timeout=2)) as host:
        for _ in range(3):
            with pytest.raises(HostError, match=r"host far: no connection in 2 s"):
                host.connect()
    assert (tmp_path / "count").read_text() == "started\n"


def test_what_a_shell_says_before_is_passed_over(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho Welcome; echo; exec {sys.executable} "$@"\n')
    program.chmod(0o755)
    with remote(f"popen//python={program}") as host:
        assert host.interface.name == "lo"


def test_one_that_is_killed_is_told_at_once_and_connected_anew_at_the_next_use(channel: Channel) -> None:
    with remote(f"popen//python={BARE}") as host:
        receiver, first = host.receiver(channel), host.facts()["pid"]
        with under_way(host, lambda: receiver.recv(60)) as waiting:
            os.kill(int(first), signal.SIGKILL)
            with pytest.raises(HostError, match=r"the connection was lost: .* ended with exit code -9"):
                waiting.result(10)
        with pytest.raises(HostError, match="the connection was lost"):  # it does not come to life again
            receiver.statistics()
        os.kill(int(first), 0)  # nobody else can have its number, should there be more to end
        receiver.close()
        with host.receiver(channel) as again, host.sender(again.channel) as sender:
            sender.send(b"x")
            assert again.recv().payload == b"x"
        assert host.facts()["pid"] != first


def test_one_that_hangs_is_given_up_after_a_silence(channel: Channel) -> None:
    with (
        remote(f"popen//python={BARE}", silence=4) as host,
        host.receiver(channel) as receiver,
        under_way(host, lambda: receiver.recv(60)) as waiting,
    ):
        os.kill(int(host.facts()["pid"]), signal.SIGSTOP)
        lose_patience(host)
        with pytest.raises(HostError, match=r"no answer for 0\.1 s"):
            waiting.result(10)


def test_one_that_takes_nothing_any_more_is_given_up_too(channel: Channel) -> None:
    with remote(f"popen//python={BARE}", silence=4) as host, host.receiver(channel) as receiver:
        sender = host.sender(receiver.channel)
        os.kill(int(host.facts()["pid"]), signal.SIGSTOP)
        with ThreadPoolExecutor(4) as executor:  # more than a pipe holds
            waiting = [executor.submit(sender.send, bytes(65507)) for _ in range(4)]
            lose_patience(host)
            for sent in waiting:
                with pytest.raises(HostError, match=r"no answer for 0\.1 s|the connection was lost"):
                    sent.result(10)


def lose(item: object) -> None:
    """Send nothing."""


@contextmanager
def signs_of_life(ours: connection.Connection) -> Iterator[list[float]]:
    """Note when something is sent, from now to the end of the block; these are noted as well."""
    send, times = ours._channel.send, [time.monotonic()]

    def noted(item: object) -> None:
        send(item)
        times.append(time.monotonic())

    ours._channel.send = noted  # type: ignore[method-assign]
    yield times
    ours._channel.send = send  # type: ignore[method-assign]
    times.append(time.monotonic())


def test_the_far_end_ends_by_itself_when_nothing_is_heard(channel: Channel) -> None:
    with remote(f"popen//python={BARE}", silence=1.0) as host, closing(Process(host.facts()["pid"])) as process:
        host.receiver(channel)
        ours = host._connection
        assert ours is not None
        with signs_of_life(ours) as signs:
            ended = process.ended(1.3)
        # They keep it, four in a second, unless a busy machine has kept us from giving them.
        assert not ended or max(later - earlier for earlier, later in pairwise(signs)) > 0.9
        ours.kill = lambda: None  # type: ignore[method-assign]  # we give it up, and nothing comes of that
        ours._channel.send = lose  # type: ignore[method-assign]
        assert process.ended()


def test_closing_ends_the_far_end_and_its_memberships(channel: Channel) -> None:
    with remote(f"popen//python={BARE}") as host, closing(Process(host.facts()["pid"])) as process:
        host.receiver(channel)
        host.close()
        assert process.ended(0)


def test_closing_waits_for_nobody(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for one that hangs, nor for those who still write to it."""
    monkeypatch.setattr(connection, "_ENDING", 0.3)
    with remote(f"popen//python={BARE}") as host, host.receiver(channel) as receiver:
        sender = host.sender(receiver.channel)
        os.kill(int(host.facts()["pid"]), signal.SIGSTOP)
        with ThreadPoolExecutor(3) as executor:
            sent = [executor.submit(sender.send, bytes(65507)) for _ in range(3)]
            host._connection.close()  # type: ignore[union-attr]
            for each in sent:
                with pytest.raises(HostError, match="the connection was closed"):
                    each.result(10)


def test_values_survive_the_way() -> None:
    datagram = Datagram(b"\0", ("::1", 9), None, 9, None, None, None, 2**62, truncated=True)
    for value in (datagram, [datagram, None, 1.5], {"a": (True, "\0class")}, frozenset({Channel("ff15::1", 5)}), ()):
        assert unpack(pack(value)) == value
    assert type(unpack(pack((1, [2])))[1]) is list
    for name in ("q\udcff", "br\xe4\ud800"):  # of an interface: whatever bytes it was given
        assert unpack(pack({name: [name]})) == {name: [name]}
        assert isinstance(pack(name)[1], bytes)


def test_nothing_but_our_own_values_is_made() -> None:
    with pytest.raises(ValueError, match="none of our values"):
        unpack(("\0class", "os:system", ("command", "true")))


def test_an_errno_is_sent_by_its_name() -> None:
    described = describe_error(OSError(errno.EADDRINUSE, "in use"))
    described["arguments"][0] = 48  # as on macOS
    assert rebuild_error(described).errno == errno.EADDRINUSE  # type: ignore[attr-defined]


def test_an_error_that_nobody_knows_comes_with_its_traceback() -> None:
    rebuilt = rebuild_error(describe_error(type("Strange", (Exception,), {})("text")))
    assert type(rebuilt) is RuntimeError
    assert "Strange: text" in str(rebuilt)
