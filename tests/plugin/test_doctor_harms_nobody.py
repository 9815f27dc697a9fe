"""What the doctor must not do to tests: replace their errors, change their sockets, send to others, or take long."""

from __future__ import annotations

import re
import sys

from ..conftest import Runner

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "error", "--tb=short"]
PYTEST += ["--mcast-lab"]

COMMON = """
    import errno
    import os
    import resource
    import signal
    import socket
    import struct
    import sys
    import time

    import pytest

    from pytest_mcast.lab import netlink
    from pytest_mcast import Channel, Lab, NotReceived, RemoteHost

    CHANNEL = Channel("239.1.2.3", 5000)

    def member(group="239.1.2.3", port=5000):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", port))
        request = socket.inet_aton(group) + struct.pack("=4xi", 0)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        sock.settimeout(0.05)
        return sock
"""

# All of them pass.
PASSING = """
    def lose(lab):
        with lab.host("waiting").receiver(CHANNEL) as receiver, pytest.raises(NotReceived):
            receiver.recv(0.02)

    def test_a_host_is_gone(mcast_lab):
        mcast_lab.host("a").close()
        lose(mcast_lab)

    def test_that_host_is_not_used_again(mcast_lab):
        for _ in range(3):
            assert mcast_lab.host().interface.ipv4
        lose(mcast_lab)

    @pytest.fixture
    def far():
        return RemoteHost("far", f"popen//python={sys.executable}", "lo")

    @pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGSTOP])
    def test_a_remote_host_does_not_answer(mcast_lab, far, signal_):
        try:
            far.receiver(CHANNEL)
            far.sender(CHANNEL)
            pid = int(far.facts()["pid"])
            os.kill(pid, signal_)
            began = time.monotonic()
            lose(mcast_lab)
            assert time.monotonic() - began < 5
        finally:
            if signal_ == signal.SIGSTOP:
                os.kill(pid, signal.SIGCONT)
            far.close()

    def test_the_modes_of_sockets_remain(mcast_lab):
        mine, (one, other) = member(port=0), socket.socketpair()
        mine.setblocking(True)
        with mcast_lab.host("a"):
            there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        socket.setdefaulttimeout(5)
        try:
            lose(mcast_lab)
            with pytest.raises(ValueError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
                raise ValueError
        finally:
            socket.setdefaulttimeout(None)
        for sock in (mine, one, other, there):
            assert os.get_blocking(sock.fileno())
            sock.close()

    @pytest.mark.parametrize("other", [object(), lambda *_, **__: None])
    def test_socket_is_something_else(monkeypatch, other):
        monkeypatch.setattr(socket, "socket", other)

    def test_exit_is_something_else(monkeypatch):
        left = []
        leave = socket.socket.__exit__
        monkeypatch.setattr(socket.socket, "__exit__", lambda *arguments: (left.append(1), leave(*arguments)) and None)
        with socket.socket():
            pass
        assert left == [1]

    def test_hundreds_of_sockets(mcast_lab):
        "Each look costs a little, whatever there is; so many of them cost no more than their share."
        opened = [member(port=0) for _ in range(600)]
        began = time.process_time()  # not the clock, which goes on when others have the processors
        for _ in range(200):
            with pytest.raises(ValueError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
                raise ValueError
        assert time.process_time() - began < 1
        for sock in opened:
            sock.close()
"""
CONFTEST = """
    import socket

    import pytest

    REAL, LEAVE = socket.socket, socket.socket.__exit__

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(item, nextitem):
        yield
        assert "monkeypatch" in item.fixturenames or REAL.__exit__ is LEAVE
"""

# All of them fail, for the reason that they raise.
FAILING = """
    @pytest.fixture
    def afterwards():
        yield
        raise TimeoutError("afterwards")

    def test_teardown(afterwards, mcast_lab):
        a = mcast_lab.host("a")
        a.receiver(CHANNEL)
        with a:
            pass

    def test_refused_in_a_lab_that_is_gone():
        with Lab() as lab:
            lab.host("x").sender(CHANNEL).send(bytes(70000))

    def test_lost_in_a_lab_that_is_gone(mcast_lab):
        a = mcast_lab.host("a")
        a.configure(netlink.link(a.interface.index, up=False))
        with Lab() as lab:
            lab.host("x").receiver(CHANNEL).recv(0.02)

    def test_taken(mcast_lab):
        a = mcast_lab.host("a")
        with a:
            holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        holder.bind(("", CHANNEL.port))
        try:
            a.receiver(CHANNEL)
        finally:
            holder.close()

    def test_joined_in_a_host(mcast_lab):
        a, b = mcast_lab.hosts(2)
        with b:
            receiver = member("239.1.1.2", CHANNEL.port)
        a.sender(CHANNEL).send(b"to another group")
        with receiver:
            receiver.recv(100)
"""
DESCRIPTORS = """
    kept = []

    def test_descriptors(mcast_lab):
        mcast_lab.host("a").receiver(CHANNEL)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, hard))
        try:
            while True:
                kept.append(os.dup(0))
        except OSError as error:
            assert error.errno == errno.EMFILE
        raise AssertionError("none left")

    def test_after_that():
        while kept:
            os.close(kept.pop())
"""
# What the first one of each pair sends once more must not be what the second one gets.
OVERHEARD = """
    @pytest.fixture(scope="module")
    def lab():
        with Lab() as lab:
            yield lab

    @pytest.fixture(scope="module")
    def a(lab):
        return lab.host("a")

    @pytest.fixture(scope="module")
    def b(lab):
        return lab.host("b")

    @pytest.fixture(scope="module")
    def c(lab):
        return lab.host("c")

    @pytest.fixture(scope="module")
    def ours(b):
        return b.receiver(CHANNEL)

    @pytest.fixture(scope="module")
    def sender(a):
        return a.sender(CHANNEL)

    def test_ours_1(a, b, c, ours, sender):
        receiver = c.receiver(CHANNEL)
        receiver.subscription.leave()
        sender.send(b"one")
        assert ours.recv().payload == b"one"
        receiver.recv(0.02)

    def test_ours_2(a, b, ours, sender):
        sender.send(b"two")
        assert ours.recv().payload == b"two"

    @pytest.fixture(scope="module")
    def plain(b, ours):
        ours.close()
        with b:
            sock = member()
        yield sock
        sock.close()

    def test_plain_1(a, b, c, plain, sender):
        receiver = c.receiver(CHANNEL)
        receiver.subscription.leave()
        sender.send(b"one")
        assert plain.recv(100) == b"one"
        receiver.recv(0.02)

    def test_plain_2(a, b, plain, sender):
        sender.send(b"two")
        assert plain.recv(100) == b"two"
"""


def _section(output: str, name: str) -> str:
    """Return the report of a test that has failed, on one line."""
    found = re.search(rf"^_+ (?:ERROR at teardown of )?{name} _+$(.*?)^(?:____|====)", output, re.DOTALL | re.MULTILINE)
    assert found is not None, output
    return " ".join(found[1].split())


def test_what_passes_goes_on_to_pass(run: Runner) -> None:
    run.write(COMMON + PASSING)
    run.write(CONFTEST, "conftest.py")
    result = run(PYTEST)
    assert "9 passed" in result.stdout, result.stdout
    assert "failed" not in result.stdout


def test_what_fails_fails_for_its_own_reason_and_is_explained_by_nothing_else(home: Runner) -> None:
    home.write(COMMON + FAILING)
    result = home(PYTEST)
    assert "4 failed, 1 passed, 1 error" in result.stdout, result.stdout
    assert "E TimeoutError: afterwards" in _section(result.stdout, "test_teardown")
    assert "mcast doctor" not in _section(result.stdout, "test_refused_in_a_lab_that_is_gone")
    assert "mcast doctor" not in _section(result.stdout, "test_lost_in_a_lab_that_is_gone")
    taken = "certain: port 5000 belongs to another socket (this process, user"
    assert taken in _section(result.stdout, "test_taken")
    joined = "certain: the socket has joined 239.1.1.2, but the datagrams go to 239.1.2.3"
    assert joined in _section(result.stdout, "test_joined_in_a_host")


def test_a_users_socket_in_a_host_is_looked_at_without_a_private_network(home: Runner) -> None:
    home.write(COMMON + FAILING)
    result = home([*PYTEST[:-1], "-k", "joined"])
    assert "certain: the socket has joined 239.1.1.2" in _section(result.stdout, "test_joined_in_a_host")


def test_without_descriptors_a_test_fails_for_that(home: Runner) -> None:
    home.write(COMMON + DESCRIPTORS)
    result = home(PYTEST, doctor_fails=True)
    assert "1 failed, 1 passed" in result.stdout, result.stdout
    assert "E AssertionError: none left" in _section(result.stdout, "test_descriptors")


def test_what_is_sent_once_more_reaches_nobody_else(home: Runner) -> None:
    home.write(COMMON + OVERHEARD)
    result = home(PYTEST)
    assert "2 failed, 2 passed" in result.stdout, result.stdout
    assert "sent once more" in _section(result.stdout, "test_ours_1")
    assert "sent once more" not in _section(result.stdout, "test_plain_1")
