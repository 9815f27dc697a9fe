"""Captures of hosts and links."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_mcast import LabView, NotReceived
from pytest_mcast.wire import Capture

from ..conftest import Runner
from ..support.wireshark import fields

_UDP_SEGMENT = 103  # linux/udp.h


def _payloads(capture: Capture) -> list[bytes]:
    return [frame.data[42:] for frame in capture]


def test_a_capture_is_live_when_it_is_there_and_sees_both_directions(mcast_lab: LabView) -> None:
    one, two = mcast_lab.hosts(2)
    sender = one.sender(mcast_lab.channel())
    sender.send(b"before")
    with one.capture(sender.channel) as out, two.capture(sender.channel) as into:
        before = time.time_ns()
        sender.send(b"first")
        sender.send(b"second")
        after = time.time_ns()
        assert _payloads(out) == _payloads(into) == [b"first", b"second"]
        assert [frame.outgoing for frame in out] == [True, True]
        assert [frame.outgoing for frame in into] == [False, False]
        assert [frame.number for frame in into] == [1, 2]
        assert {frame.interface for frame in (*out, *into)} == {"eth0"}
        times = [out.frames()[0], into.frames()[0], out.frames()[1], into.frames()[1]]
        assert before <= times[0].timestamp_ns
        assert times == sorted(times, key=lambda frame: frame.timestamp_ns)
        assert times[-1].timestamp_ns <= after
    sender.send(b"after")
    assert (_payloads(out), len(into), into.lost) == ([b"first", b"second"], 2, 0)


def test_what_was_captured_for_others_is_not_mixed_up(mcast_lab: LabView) -> None:
    one, two = mcast_lab.hosts(2)
    sender = one.sender(mcast_lab.channel())
    first = two.capture("udp")
    sender.send(b"1")
    second = two.capture(sender.channel)
    sender.send(b"2")
    first.close()
    sender.send(b"3")
    assert (_payloads(first), _payloads(second)) == ([b"1", b"2"], [b"2", b"3"])


def test_everything_ends_with_the_test_and_the_next_begins_with_nothing(mcast_lab: LabView) -> None:
    one, two = mcast_lab.hosts(2)
    capture = two.capture()
    one.sender(mcast_lab.channel()).send(b"x")
    two.close_endpoints()
    assert two.captures == []
    assert b"x" in _payloads(capture)
    one.sender(mcast_lab.channel()).send(b"y")
    assert two.capture("udp").frames() == []
    assert b"y" not in _payloads(capture)


def test_a_capture_outlives_its_host(mcast_lab: LabView, tmp_path: Path) -> None:
    one, two = mcast_lab.hosts(2)
    capture = two.capture("udp")
    one.sender(mcast_lab.channel()).send(b"x")
    with two:  # which is then thrown away
        pass
    mcast_lab.close()
    assert two.namespace.descriptor == -1
    assert capture.wait_for("udp").interface == "eth0"
    with pytest.raises(NotReceived, match="captured 1 frames, lost 0"):
        capture.wait_for("igmp", timeout=600)
    assert fields(capture.save(tmp_path / "it.pcapng"), "frame.interface_name") == [(f"{two}:eth0",)]


def test_waiting_is_for_the_frame_and_comments_it(mcast_lab: LabView) -> None:
    one, two = mcast_lab.hosts(2)
    capture = two.capture()
    channel = mcast_lab.channel()
    task = one.start(capture.wait_for, channel)
    sender = one.sender(channel)
    sender.send(b"first")
    first = task.result()
    assert first.data.endswith(b"first")
    assert first.comments == [f"waited for: {channel}"]
    assert capture.wait_for(channel) is first  # what has come already counts
    sender.send(b"second")
    second = capture.wait_for(channel, after=first, comment="the second one")
    assert second.data.endswith(b"second")
    assert second.comments == ["the second one"]


def test_a_report_can_be_waited_for(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    capture = host.capture()
    igmp, mld = mcast_lab.channel("ipv4"), mcast_lab.channel("ipv6")
    host.receiver(igmp)
    host.receiver(mld)
    group = socket.inet_pton(socket.AF_INET6, mld.group)
    assert socket.inet_aton(igmp.group) in capture.wait_for("igmp").data
    assert capture.wait_for(lambda frame: group in frame).outgoing


def test_waiting_has_an_end_that_says_what_was_there(mcast_lab: LabView) -> None:
    one, two = mcast_lab.host("one"), mcast_lab.host("two")
    capture = two.capture("udp")
    channel = mcast_lab.channel()
    sender = one.sender(channel)
    sender.send(b"hello")
    with pytest.raises(NotReceived) as missed:
        capture.wait_for("igmp", timeout=0.01)
    source, port = sender.source
    assert str(missed.value).splitlines() == [
        "no frame on two within 0.01 s: igmp",
        "captured 1 frames, lost 0; the last ones:",
        f"  1. in by eth0: {source} port {port} to {channel.group} port {channel.port}: 5 bytes b'hello'",
    ]
    with pytest.raises(NotReceived, match=r"within 0\.01 s after frame 1: "):
        capture.wait_for("udp", timeout=0.01, after=capture.frames()[0])
    task = one.start(capture.wait_for, "igmp")  # closing it is an end as well
    capture.close()
    with pytest.raises(NotReceived, match="igmp"):
        task.result()


def test_who_waits_gets_the_frame_whoever_takes_it_from_the_ring(mcast_lab: LabView) -> None:
    one, two = mcast_lab.hosts(2)
    captures = [two.capture("udp") for _ in range(4)]
    channel = mcast_lab.channel()
    for number in range(20):
        payload = b"%d" % number
        # Longer than result() waits: the frame is found after the time-out as well, which proves nothing.
        tasks = [
            one.start(capture.wait_for, lambda frame, end=payload: frame[42:] == end, 600.0) for capture in captures
        ]
        one.sender(channel).send(payload)
        assert all(task.result().data.endswith(payload) for task in tasks)


def test_an_error_of_a_filter_is_its_owners(mcast_lab: LabView) -> None:
    one, two = mcast_lab.hosts(2)
    bad, good = two.capture(lambda frame: bool(frame[10_000])), two.capture("udp")
    one.sender(mcast_lab.channel()).send(b"x")
    assert len(good) == 1
    with pytest.raises(IndexError):
        bad.frames()


def test_a_wrong_filter_opens_nothing(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    with pytest.raises(ValueError, match="one of 'arp'"):
        host.capture("port 53")
    assert host.captures == []


def test_a_comment_on_a_frame_is_in_all_captures_of_the_host(mcast_lab: LabView, tmp_path: Path) -> None:
    one, two = mcast_lab.hosts(2)
    everything, some = two.capture(), two.capture("udp")
    sender = one.sender(mcast_lab.channel())
    sender.send(b"probe")
    sender.send(b"probe")
    two.mark(sender.channel, "control: seen here")
    some.comment(some.frames()[0], "früher")
    frames = fields(everything.save(tmp_path / "it.pcapng"), "udp.length", "frame.comment")
    # Without reports of others on the link.
    assert [frame for frame in frames if frame[0]] == [("13", "früher"), ("13", "control: seen here")]
    assert some.mark("igmp", "none") is None


def test_scapy_packets_on_demand(mcast_lab: LabView) -> None:
    one, two = mcast_lab.hosts(2)
    sender = one.sender(mcast_lab.channel("ipv6"))
    with two.capture("udp") as capture:
        sender.send(b"hello")
        frame = capture.wait_for("udp")
        (packet,) = capture.packets()
    from scapy.layers.inet import UDP
    from scapy.layers.inet6 import IPv6

    assert (packet[IPv6].dst, packet[UDP].dport) == (sender.channel.group, sender.channel.port)
    assert bytes(packet) == frame.data
    assert int(packet.time * 10**9) == frame.timestamp_ns
    assert packet.sniffed_on == "eth0"


def test_a_vlan_tag_is_there_although_the_kernel_takes_it_out(mcast_lab: LabView) -> None:
    one, two = mcast_lab.hosts(2)
    frame = b"\xff" * 6 + bytes.fromhex("020000000007 8100 2064 0800") + bytes(46)
    with one.capture(frame.__eq__) as out, two.capture(frame.__eq__) as into:
        one.inject(frame)
        assert [one.length for one in (*out, *into)] == [len(frame)] * 2


def test_a_frame_that_has_not_been_segmented_yet_is_whole(mcast_lab: LabView, tmp_path: Path) -> None:
    one, two = mcast_lab.hosts(2)
    channel = mcast_lab.channel()
    receiver = two.receiver(channel)
    payload = bytes(range(256)) * 160
    with one.capture("udp") as out, two.capture("udp") as into:
        with one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 1024)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(one.source("ipv4")))
            sock.sendto(payload, (channel.group, channel.port))
        receiver.expect(40)
        assert _payloads(out) == _payloads(into) == [payload]
        one.sender(channel).send(b"the next one")
        assert _payloads(into)[-1] == b"the next one"
    assert fields(into.save(tmp_path / "it.pcapng"), "frame.len", "frame.cap_len") == [("41002", "41002"), ("54", "54")]


def test_what_a_host_sends_to_itself_is_there_once(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    with host.capture("udp") as capture:
        with host, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 5000))
            sock.sendto(b"hello", ("127.0.0.1", 5000))
        assert [(frame.interface, frame.data[42:]) for frame in capture] == [("lo", b"hello")]


BURST = """
    from pytest_mcast.lab import Lab
    from pytest_mcast.lab.private import enter_private_network

    network = enter_private_network({})
    one, two = network.lab.hosts(2)
    for place in (one, two, network.lab.switch_namespace):  # so that there are no frames but ours
        with place, open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w") as switch:
            switch.write("1")
    captures = [one.capture("udp"), two.capture("udp"), network.lab.link().capture("udp")]
    sender = one.sender(network.lab.channel())
    for number in range(5000):
        sender.send(b"%d" % number)
    expected = [b"%d" % number for number in range(5000)]
    for capture in captures:
        assert [frame.data[42:] for frame in capture] == expected
        assert capture.lost == 0
    for number in range(20_000):
        sender.send(b"%d" % number)
    late = two.capture("udp")
    for capture in captures:
        assert len(capture) + capture.lost == 25_000, capture
        assert capture.lost >= 10_000, capture
    sender.send(b"late")
    assert (len(late), late.lost) == (1, 0)
    network.close()
    assert captures[0].lost >= 10_000
    print("good")
"""


def test_a_burst_is_captured_whole_and_what_is_lost_is_counted(run: Runner) -> None:
    run.write(BURST, "it.py")
    result = run([sys.executable, "it.py"])
    assert (result.stdout, result.stderr) == ("good\n", "")


class TestLink:
    def test_every_frame_once_with_where_it_comes_from(self, mcast_lab: LabView, tmp_path: Path) -> None:
        hosts = [mcast_lab.host(name, interfaces={"eth0": "mine"}) for name in ("one", "two", "three", "four")]
        channel = mcast_lab.channel()
        receivers = [host.receiver(channel) for host in hosts]
        with mcast_lab.link("mine").capture(channel) as capture:
            for host in hosts[:2]:
                host.sender(channel).send(host.name.encode())
            assert [(frame.interface, frame.data[42:]) for frame in capture] == [
                ("one:eth0", b"one"),
                ("two:eth0", b"two"),
            ]
        assert all(len(receiver.expect(2)) == 2 for receiver in receivers)
        path = capture.save(tmp_path / "it.pcapng")
        assert fields(path, "frame.interface_name") == [("mine:one:eth0",), ("mine:two:eth0",)]

    def test_also_those_of_a_host_whose_mac_ends_like_the_switchs(self, mcast_lab: LabView) -> None:
        host = mcast_lab.host(interfaces={"eth0": "mine"}, macs={"eth0": "02:00:00:00:ff:fe"})
        channel = mcast_lab.channel()
        with mcast_lab.link("mine").capture(channel) as capture:
            host.sender(channel).send(b"x")
            assert [frame.interface for frame in capture] == [f"{host}:eth0"]

    def test_what_the_gateway_sends_is_there_once(self, mcast_lab: LabView) -> None:
        host, _ = mcast_lab.hosts(2)
        with mcast_lab.link().capture("ipv4") as capture:
            with host, pytest.raises(ConnectionRefusedError):
                socket.create_connection(("192.0.2.1", 80), timeout=5)
            tcp = [frame for frame in capture if frame.data[23] == socket.IPPROTO_TCP]
        assert [(frame.interface, frame.outgoing) for frame in tcp] == [(f"{host}:eth0", False), ("switch", True)]

    def test_another_link_is_another_capture(self, mcast_lab: LabView) -> None:
        gateway = mcast_lab.host(interfaces={"eth0": "left", "eth1": "right"})
        channel = mcast_lab.channel("ipv6")
        with mcast_lab.link("left").capture(channel) as left, mcast_lab.link("right").capture(channel) as right:
            gateway.sender(channel, interface="eth1").send(b"x")
            assert ([frame.interface for frame in left], [frame.interface for frame in right]) == (
                [],
                [f"{gateway}:eth1"],
            )

    def test_queries_of_the_switch_are_there(self, mcast_lab: LabView) -> None:
        mcast_lab.host(interfaces={"eth0": "mine"})
        link = mcast_lab.link("mine")
        with link.capture() as capture:
            with mcast_lab._pool.lab.switch_namespace:
                bridge = ["ip", "link", "set", f"switch{link.number}", "type", "bridge"]
                subprocess.run([*bridge, "mcast_snooping", "1", "mcast_query_response_interval", "10"], check=True)
                subprocess.run([*bridge, "mcast_igmp_version", "3", "mcast_querier", "1"], check=True)
            # A query (RFC 9776 section 4.1), and not the report of the switch's own memberships.
            query = capture.wait_for(lambda frame: frame[23:24] == b"\x02" and frame[38:39] == b"\x11")
            assert query.interface == "switch"

    def test_it_ends_with_the_test(self, request: pytest.FixtureRequest, mcast_lab: LabView) -> None:
        capture = mcast_lab.link().capture()
        mcast_lab.close()
        with pytest.raises(NotReceived, match="on link lan"):  # at once
            capture.wait_for(lambda _: False, timeout=600)


@pytest.fixture
def unreadable(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "missing" / "it.pcapng"
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_there_as_a_whole_or_not_at_all(mcast_lab: LabView, unreadable: Path) -> None:
    with mcast_lab.host().capture() as capture, pytest.raises(FileNotFoundError):
        capture.save(unreadable)
