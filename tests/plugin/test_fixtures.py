"""The fixtures, in a pytest of their own."""

from __future__ import annotations

import pytest

from ..support.pytests import run_here

FOUR_WAYS = """
    def test_delivery(mcast_receiver, mcast_sender):
        sent = mcast_sender.send(b"hello")
        datagram = mcast_receiver.recv()
        assert datagram.payload == b"hello"
        assert datagram.source == sent.source
        assert datagram.destination == mcast_receiver.channel.group

    def test_echo(mcast_echo, mcast_sender):
        mcast_sender.send(b"hello")
        assert mcast_sender.recv().payload == b"hello"
        assert mcast_echo.replies == 1
"""


def test_each_test_runs_in_four_kinds(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FOUR_WAYS)
    result = run_here(pytester, "-v", "--mcast-require=all")
    result.assert_outcomes(passed=8)
    for kind in ("ipv4-asm", "ipv4-ssm", "ipv6-asm", "ipv6-ssm"):
        result.stdout.fnmatch_lines([f"*::test_delivery?{kind}? PASSED*"])
    result.stdout.fnmatch_lines(["mcast: the fixtures lived on virtual hosts"])


@pytest.mark.parametrize(
    ("marker", "kinds"),
    [
        ('family="ipv4"', ["ipv4-asm", "ipv4-ssm"]),
        ('mode="ssm"', ["ipv4-ssm", "ipv6-ssm"]),
        ('family="ipv6", mode="asm"', ["ipv6-asm"]),
        ('family=["ipv6", "ipv4"], mode=("asm",)', ["ipv4-asm", "ipv6-asm"]),
    ],
)
def test_the_marker_narrows(pytester: pytest.Pytester, marker: str, kinds: list[str]) -> None:
    pytester.makepyfile(f"""
        import pytest

        @pytest.mark.mcast({marker})
        def test_it(mcast_channel):
            print("kind", f"{{mcast_channel.family}}-{{mcast_channel.mode}}")
    """)
    result = run_here(pytester, "-s", "--mcast-require=all")
    result.assert_outcomes(passed=len(kinds))
    assert [line.split()[-1] for line in result.outlines if "kind " in line] == kinds


def test_closer_markers_win_key_by_key(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        pytestmark = pytest.mark.mcast(family="ipv6", mode="asm")

        @pytest.mark.mcast(mode="ssm")
        def test_it(mcast_channel):
            assert (mcast_channel.family, mcast_channel.mode) == ("ipv6", "ssm")
    """)
    run_here(pytester, "--mcast-require=all").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        ('"ipv4"', "takes no positional arguments, not 'ipv4'"),
        ('famly="ipv4"', "has no argument famly; there are family, mode, scope and timeout"),
        ('family="ipv5"', "family='ipv5' is not one of ipv4, ipv6"),
        ("mode=[]", "mode=[[][]] is not one of asm, ssm"),
        ('scope="local"', "scope='local' is not one of interface-local, link-local,*"),
        ("timeout=0", "timeout=0 is not a number of seconds above 0"),
        ("timeout=True", "timeout=True is not a number"),
    ],
)
def test_wrong_marker_arguments_are_errors(pytester: pytest.Pytester, marker: str, text: str) -> None:
    pytester.makepyfile(f"""
        import pytest

        @pytest.mark.mcast({marker})
        def test_it(mcast_channel):
            pass
    """)
    result = run_here(pytester)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*@pytest.mark.mcast {text}*"])


def test_scope_chooses_the_group(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.mcast(family="ipv6", scope="site-local")
        def test_wider(mcast_channel, mcast_receiver, mcast_sender):
            assert mcast_channel.scope == "site-local"
            assert mcast_channel.source is None or mcast_channel.source.startswith("fd")
            mcast_sender.send(b"x")
            assert mcast_receiver.recv().source[0].startswith("fd")

        @pytest.mark.mcast(family="ipv4", mode="asm", scope="link-local")
        def test_none_is_free(mcast_channel):
            pass
    """)
    result = run_here(pytester, "--mcast-require=all")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ChannelError: IPv4 has no free groups of scope 'link-local', only of realm-local,*"])


def test_factories_open_more_and_close_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        opened = []

        def test_open(mcast_channel, mcast_receiver_factory, mcast_sender_factory, mcast_echo_factory, mcast_lab):
            receivers = [mcast_receiver_factory(receive_buffer=8192), mcast_receiver_factory(mcast_channel)]
            echo = mcast_echo_factory(payload=b"pong")
            sender = mcast_sender_factory(ttl=3, loopback=False)
            sender.send(b"ping")
            assert [receiver.recv().payload for receiver in receivers] == [b"ping", b"ping"]
            assert receivers[0].receive_buffer == 8192
            assert sender.recv().payload == b"pong"
            opened.extend([*receivers, echo, sender])

        def test_closed():
            assert len(opened) == 16
            assert all(endpoint.closed for endpoint in opened)
    """)
    result = run_here(pytester, "--mcast-require=all")
    result.assert_outcomes(passed=5)


def test_an_error_of_the_echo_responder_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.mcast(family="ipv4", mode="asm")
        def test_it(mcast_echo_factory, mcast_sender, mcast_receiver):
            echo = mcast_echo_factory(payload=bytes(70_000))  # no datagram can be that long
            mcast_sender.send(b"x")
            mcast_receiver.recv()
            echo.wait()
    """)
    result = run_here(pytester, "--mcast-require=all")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*EchoError: the responder for * stopped: OSError(90, 'Message too long')"])


def test_groups_and_ports_are_unique_over_tests_workers_and_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.parametrize("n", range(25))
        def test_it(mcast_channel, n, record_property):
            record_property("channel", str(mcast_channel))
    """)
    channels = []
    for number in range(2):
        pytester.runpytest_subprocess("-n2", f"--junitxml=run{number}.xml", "--mcast-require=all").assert_outcomes(
            passed=100
        )
        text = (pytester.path / f"run{number}.xml").read_text()
        channels += [part.split('"')[0] for part in text.split('name="channel" value="')[1:]]
    assert len(channels) == 200
    assert len(set(channels)) == 200


def test_unittest_gets_what_the_marker_says(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import unittest
        import pytest

        class Base(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _endpoints(self, mcast_receiver, mcast_sender):
                self.receiver, self.sender = mcast_receiver, mcast_sender

            def delivered(self):
                self.sender.send(b"x")
                self.assertEqual(self.receiver.recv().payload, b"x")
                return self.receiver.channel

        class TestDefault(Base):
            def test_it(self):
                channel = self.delivered()
                self.assertEqual((channel.family, channel.mode), ("ipv4", "asm"))

        @pytest.mark.mcast(family="ipv6", mode="ssm")
        class TestMarked(Base):
            def test_it(self):
                channel = self.delivered()
                self.assertEqual((channel.family, channel.mode), ("ipv6", "ssm"))

        @pytest.mark.usefixtures("mcast_echo")
        class TestUsed(unittest.IsolatedAsyncioTestCase):
            async def test_it(self):
                pass
    """)
    run_here(pytester, "--mcast-require=all").assert_outcomes(passed=3)


def test_hosts_can_be_overridden(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
        import pytest
        from pytest_mcast import Lab

        @pytest.fixture(scope="session")
        def my_lab():
            with Lab() as lab:
                yield lab

        @pytest.fixture(scope="session")
        def mcast_sender_host(my_lab):
            return my_lab.host("mine")

        @pytest.fixture(scope="session")
        def mcast_receiver_host(my_lab):
            return my_lab.host("yours", interfaces={"lan7": "lan"})
    """)
    pytester.makepyfile("""
        def test_it(mcast_receiver, mcast_sender, mcast_iface):
            mcast_sender.send(b"x")
            assert mcast_receiver.recv().payload == b"x"
            assert mcast_iface.name == "lan7"
    """)
    run_here(pytester, "--mcast-require=all").assert_outcomes(passed=4)


def test_items_that_use_our_fixtures_get_the_marker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_ours(mcast_channel): pass
        def test_not_ours(tmp_path): pass
    """)
    result = run_here(pytester, "-m", "mcast", "--strict-markers")
    result.assert_outcomes(passed=4, deselected=1)


def test_the_time_out_of_the_marker_beats_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.mcast(family="ipv4", mode="asm", timeout=0.01)
        def test_marked(mcast_receiver):
            mcast_receiver.recv()

        @pytest.mark.mcast(family="ipv4", mode="asm")
        def test_unmarked(mcast_receiver, mcast_sender):
            assert (mcast_receiver.timeout, mcast_sender.timeout) == (0.02, 0.02)
            mcast_receiver.recv()
    """)
    result = run_here(pytester, "--mcast-timeout=0.02", "--mcast-require=all")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*NotReceived: no datagram for 239.255.*:* on mcast0 within 0.01 s",
            "*joined on mcast0 (index *); received 0, rejected none, dropped by the kernel 0",
            "*NotReceived: no datagram for 239.255.*:* on mcast0 within 0.02 s",
        ]
    )


def test_hosts_of_the_lab_are_used_again_or_discarded(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import os
        seen = []

        def namespace(host):
            return os.fstat(host.namespace.descriptor).st_ino

        def test_endpoints_only(mcast_lab):
            one, two = mcast_lab.hosts(2)
            channel = mcast_lab.channel("ipv6", source=one)
            receiver = two.receiver(channel)
            one.sender(channel).send(b"x")
            assert receiver.recv().payload == b"x"
            assert one.name == "host1" and mcast_lab.host("host2") is two
            seen.extend([one, two])

        def test_both_come_back(mcast_lab):
            assert {mcast_lab.host("a"), mcast_lab.host("b")} == set(seen)
            assert mcast_lab.host("a").name == "a"
            with mcast_lab.host("a"):
                pass
            seen.append(mcast_lab.host("a"))

        def test_the_one_that_was_entered_does_not(mcast_lab):
            entered = seen.pop()
            assert entered not in mcast_lab.hosts(3)
            assert entered.namespace.descriptor == -1
    """)
    run_here(pytester, "--mcast-require=all").assert_outcomes(passed=3)
