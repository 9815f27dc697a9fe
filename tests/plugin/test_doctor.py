"""The section ``mcast doctor`` in the reports of failures, and ``--mcast-doctor``."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET

from ..conftest import Runner
from ..support.programs import needs
from ..support.terminal import Terminal

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # ordinary users often lack these
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-W", "error"]

# Each test fails for the reason in its name, which is the word that its section must have.
SUITE = """
    import socket
    import struct
    import unittest

    import pytest

    pytestmark = pytest.mark.mcast(family="ipv4", mode="asm", timeout=0.05)

    def member(group, port):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", port))
        request = socket.inet_aton(group) + struct.pack("=4xi", 0)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        sock.settimeout(0.05)
        return sock

    def lost(lab, **options):
        a, b = lab.hosts(2)
        channel = lab.channel()
        a.receiver(channel)
        receiver, sender = b.receiver(channel), a.sender(channel, **options)
        sender.send(b"lost")
        return receiver

    def test_ttl(mcast_lab):
        lost(mcast_lab, ttl=0).recv(0.05)

    def test_ttl_of_what_is_closed_by_now(mcast_lab):
        a, b = mcast_lab.hosts(2)
        channel = mcast_lab.channel()
        with a.receiver(channel), b.receiver(channel) as receiver, a.sender(channel, ttl=0) as sender:
            sender.send(b"lost")
            receiver.recv(0.05)

    def test_ttl_in_a_group(mcast_lab):
        try:
            lost(mcast_lab, ttl=0).recv(0.05)
        except Exception as error:
            raise ExceptionGroup("several", [ValueError("another"), error])

    def test_silent(mcast_receiver, mcast_sender):
        mcast_receiver.recv()

    def test_elsewhere(mcast_lab):
        a, b = mcast_lab.hosts(2)
        receiver = b.receiver(mcast_lab.channel())
        a.sender(mcast_lab.channel()).send(b"elsewhere")
        receiver.recv(0.05)

    def test_limit(mcast_lab):
        host = mcast_lab.host()
        with host, open("/proc/sys/net/ipv4/igmp_max_memberships", "w") as file:
            file.write("0")
        host.receiver(mcast_lab.channel())

    def test_healthy(mcast_receiver, mcast_sender):
        mcast_sender.send(b"unread")
        assert 1 == 2

    def test_none_of_ours():
        assert 1 == 2

    def test_fine(mcast_receiver, mcast_sender):
        mcast_sender.send(b"fine")
        mcast_receiver.recv()
"""
# As users have it: sockets of their own, which are closed before the test is over for pytest.
PLAIN = """
    class TestPlain(unittest.TestCase):
        def setUp(self):
            self.receiver = member("239.1.1.1", 5000)
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)

        def tearDown(self):
            self.receiver.close()
            self.sender.close()

        def test_loopback(self):
            self.sender.sendto(b"to nobody", ("239.1.1.1", 5000))
            self.receiver.recv(100)

    def test_loopback_in_with():
        with member("239.1.1.1", 5001) as receiver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            sender.sendto(b"to nobody", ("239.1.1.1", 5001))
            receiver.recv(100)

    def plain(port=0):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", port))
        sock.settimeout(0.05)
        return sock

    def test_unjoined():
        receiver = plain(5002)
        with plain() as sender:
            sender.sendto(b"to nobody", ("239.1.1.3", 5002))
        receiver.recv(100)

    def test_port():
        with member("239.1.1.4", 5003) as receiver, plain() as sender:
            sender.sendto(b"elsewhere", ("239.1.1.4", 5004))
            receiver.recv(100)

    def test_lo():
        receiver, sender = plain(5005), plain()
        request = socket.inet_aton("239.1.1.5") + socket.inet_aton("127.0.0.1")
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        sender.sendto(b"by eth0", ("239.1.1.5", 5005))
        receiver.recv(100)

    def test_source():
        receiver, sender = plain(5006), plain()
        request = b"".join(map(socket.inet_aton, ("232.1.1.6", "0.0.0.0", "10.9.9.9")))
        receiver.setsockopt(socket.IPPROTO_IP, 39, request)  # IP_ADD_SOURCE_MEMBERSHIP
        sender.sendto(b"from another", ("232.1.1.6", 5006))
        receiver.recv(100)

    def test_taken():
        with plain(5007), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
            second.bind(("", 5007))

    def test_twenty():
        with plain() as receiver:
            for number in range(21):
                request = socket.inet_aton(f"239.1.2.{number}") + struct.pack("=4xi", 0)
                receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)

    def test_twice():
        receiver = member("239.1.1.7", 5012)
        group = "239.1.1.7"
        receiver.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton("0.0.0.0")
        )

    def test_zone():
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("fe80::1%eth0", 5008))

    def test_interface(mcast_lab):
        one, two = mcast_lab.link("one"), mcast_lab.link("two")
        tx = mcast_lab.host("tx", interfaces={"eth0": one})
        with mcast_lab.host("rx", interfaces={"eth0": one, "eth1": two}):
            receiver = plain(5009)
            index = socket.if_nametoindex("eth1")
        request = socket.inet_aton("239.1.1.9") + struct.pack("=4xi", index)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        with tx:
            sender = plain()
        sender.sendto(b"by the other link", ("239.1.1.9", 5009))
        receiver.recv(100)

    def test_healthy_groups():
        with member("239.1.1.10", 5010) as receiver, plain() as sender:
            for number in (10, 11):
                sender.sendto(b"one of two", (f"239.1.1.{number}", 5010))
            assert receiver.recv(100)
            assert 1 == 2

    def test_healthy_who_sends_from_the_same_port(mcast_lab):
        tx, rx, other = mcast_lab.hosts(3)
        with tx:
            sender = plain(5011)
        with rx:
            receiver = member("239.1.1.12", 5011)
        with other:
            control = plain(5011)
        sender.sendto(b"for one", ("239.1.1.12", 5011))
        assert receiver.recv(100)
        with pytest.raises(TimeoutError):
            control.recv(100)
        assert 1 == 2

    def test_healthy_who_waits_for_an_answer(mcast_lab):
        tx, rx = mcast_lab.hosts(2)
        with tx:
            sender = plain(5013)
        with rx:
            receiver = member("239.1.1.13", 5013)
        sender.sendto(b"a question", ("239.1.1.13", 5013))
        assert receiver.recv(100)
        sender.recv(100)

    def test_joined(mcast_channel, mcast_sender):
        receiver = member("239.1.1.2", mcast_channel.port)
        mcast_sender.send(b"to another group")
        receiver.recv(100)
"""
SAID = {
    "ttl": "certain: datagrams with TTL (hop limit) 0 do not leave",
    "silent": "certain: nothing was sent to 239.255.",
    "elsewhere": "likely: nobody sends to 239.255.",
    "limit": "certain: a socket may join 0 IPv4 groups",
    "loopback": "certain: with loopback off, receivers on the sender's own host get nothing",
    "unjoined": "certain: nobody has joined 239.1.1.3 on eth0",
    "port": "likely: nobody sends to 239.1.1.4:5003: the senders of this test are for",
    "lo": "certain: the group was joined on lo, but the datagrams come in on eth0",
    "source": "likely: the group was joined for other sources (10.9.9.9) than the datagrams",
    "taken": "certain: port 5007 belongs to another socket",
    "twenty": "certain: a socket may join 20 IPv4 groups",
    "twice": "certain: this socket has joined 239.1.1.7 on eth0 already",
    "zone": "certain: fe80::1 is an address of one link, and the call does not say of which",
    "interface": "certain: the group was joined on eth1, but the datagrams come in on eth0",
    "joined": "certain: the socket has joined 239.1.1.2, but the datagrams go to",
}


def _sections(output: str) -> dict[str, list[str]]:
    """Return the lines of the section of each test that has failed, by its name; an empty list for none."""
    found: dict[str, list[str]] = {}
    name, inside = "", False
    for line in output.splitlines():
        if line.startswith("____") and line.endswith("____"):
            name, inside = line.strip("_ ").partition("[")[0].rpartition(".")[2], False
            found[name] = []
        elif line.startswith(("===", "---", "mcast: ")):
            inside = " mcast doctor " in line
        elif inside and name:
            found[name].append(line)
    return found


def _check(sections: dict[str, list[str]]) -> None:
    for name, lines in sections.items():
        word = name.removeprefix("test_").partition("_")[0]
        if word in SAID:
            assert lines[0].startswith(SAID[word]), (name, lines)
            assert 3 < len(lines) <= 25
            assert max(map(len, lines)) <= 80
        else:
            assert lines == [], name


def test_each_failure_says_why(run: Runner) -> None:
    run.write(SUITE + PLAIN)
    workers = ["-n1"] if run.ordinary else []  # either with everything else
    result = run([*PYTEST, "--mcast-require=all", "--junit-xml=junit.xml", "--tb=short", "--mcast-lab", *workers])
    assert "23 failed, 1 passed" in result.stdout, result.stdout
    sections = _sections(result.stdout)
    assert len(sections) == 23
    _check(sections)
    assert any(line.startswith("sent once more: it got to sender's socket; not to") for line in sections["test_ttl"])
    cases = ET.parse(run.home / "junit.xml").iter("testcase")  # noqa: S314 - it is ours
    failures = {case.get("name"): failure.text or "" for case in cases for failure in case.iter("failure")}
    assert SAID["ttl"] in failures["test_ttl"]
    assert "mcast doctor" not in failures["test_healthy[ipv4-asm]"]


def test_off_and_brief(home: Runner) -> None:
    home.write(SUITE)
    command = [*PYTEST, "--mcast-lab", "-k", "silent or fine"]
    assert "mcast doctor" not in home([*command, "--mcast-doctor=off"]).stdout
    brief = home([*command, "-o", "mcast_doctor=brief"])
    assert "mcast: lab on (--mcast-lab), doctor brief (mcast_doctor in -o)" in brief.stdout
    lines = _sections(brief.stdout)["test_silent"]
    assert lines[0].startswith(SAID["silent"])
    assert lines[1:] == ["  cure: send before you receive"]
    wrong = home([*command, "--mcast-doctor=always"])
    assert wrong.returncode == 4
    assert "--mcast-doctor: 'always' is not one of on, brief, off" in wrong.stderr


def test_a_doctor_that_fails_is_a_line_and_what_passes_says_nothing(home: Runner) -> None:
    home.write(SUITE)
    home.write(
        """
        import pytest_mcast.doctor

        def broken(*_, **__):
            raise ValueError("no idea")

        def pytest_runtest_setup(item):
            pytest_mcast.doctor.explain = broken
        """,
        "conftest.py",
    )
    result = home([*PYTEST, "--mcast-lab", "-k", "silent or fine"], doctor_fails=True)
    assert _sections(result.stdout)["test_silent"] == ["the doctor has failed: ValueError: no idea"]
    assert "1 failed, 1 passed" in result.stdout
    passing = home([*PYTEST, "--mcast-lab", "-k", "fine"])
    assert "mcast doctor" not in passing.stdout + passing.stderr


@needs("nft")
def test_the_firewall_of_a_receiver_is_named_with_the_command_that_cures(home: Runner) -> None:
    home.write(
        """
        import pytest

        @pytest.mark.mcast(family="ipv6", mode="ssm", timeout=0.05)
        def test_firewall(mcast_receiver, mcast_sender, mcast_receiver_host):
            rules = "add table inet f; add chain inet f c { type filter hook input priority 0; }; "
            rules += f"add rule inet f c udp dport {mcast_receiver.channel.port} drop"
            assert mcast_receiver_host.popen(["nft", rules]).wait() == 0
            mcast_sender.send(b"dropped")
            mcast_receiver.recv()
        """
    )
    lines = _sections(home([*PYTEST, "--mcast-lab"]).stdout)["test_firewall"]
    assert lines[0].startswith("certain: a rule of the firewall of session drops the datagrams"), lines
    assert any(line.startswith("        $ nft insert rule inet f c ") for line in lines)
    assert any(line.startswith("sent once more: it got to session: eth0; not to session: IP") for line in lines)


def test_on_a_terminal_of_80_columns(home: Runner) -> None:
    home.write(SUITE)
    with Terminal([*PYTEST, "--mcast-lab", "--color=yes", "-k", "elsewhere"], home.home) as terminal:
        shown = terminal.expect(None)
    assert "- mcast doctor -" in shown
    assert all(len(line) <= 80 for line in shown.split("mcast doctor")[1].splitlines()[1:6])
