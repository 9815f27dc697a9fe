"""Why the kernel has dropped a packet, in its own words: what it says of packets that are wrong in one way each."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from pytest_mcast import Channel, Lab, LabView, MissingCapability, VirtualHost
from pytest_mcast.lab.sysctls import write_sysctl
from pytest_mcast.packets import Packet, Template
from pytest_mcast.packets.marks import new_mark
from pytest_mcast.wire import Drop, DropReasons
from pytest_mcast.wire.attach import NOTHING, attach_filter
from pytest_mcast.wire.kallsyms import function_at
from pytest_mcast.wire.perf import TracepointRing
from pytest_mcast.wire.tracefs import Tracepoint, read_tracepoints

from ..conftest import Runner

NO_REASON = "NOT_SPECIFIED"
IPV4, UDP = 14, 34  # where the headers are in a frame

_ids = iter(range(1, 1 << 16))  # fresh identifications: the kernel keeps fragments for a while


@pytest.fixture(scope="module")
def kept() -> Iterator[DropReasons]:
    """What is watched all the time: to close the last one takes 0.1 s."""
    if os.geteuid() != 0:
        pytest.skip("the kernel tells root of the machine only; what others are told has a test of its own")
    with DropReasons() as reasons:
        yield reasons


@dataclass
class Link:
    """A host that sends and one that has joined a group, on one link; and the drops of the second."""

    reasons: DropReasons
    lab: LabView
    tx: VirtualHost = field(init=False)
    rx: VirtualHost = field(init=False)

    def __post_init__(self) -> None:
        self.tx, self.rx = self.lab.hosts(2)
        self.port = self.lab.link("lan").port(self.rx).device

    def packet(self, channel: Channel, **changes: object) -> Packet:
        options = {"source": self.tx.source(channel.family), "group": channel.group, **changes}
        return Packet(source_port=40000, port=channel.port, source_mac=self.tx.injector().mac, **options)  # type: ignore[arg-type]

    def frames(self, channel: Channel, **changes: object) -> list[bytearray]:
        built = Template(self.packet(channel, **changes)).frames(new_mark(1, 1), next(_ids))
        return [bytearray(frame) for frame in built]

    def drops(self, *frames: bytes | bytearray) -> list[Drop]:
        """Send frames; return what the receiver's host has dropped of them."""
        self.reasons.mark()
        self.tx.inject(*map(bytes, frames))
        return self.here()

    def here(self) -> list[Drop]:
        assert self.reasons.lost == 0
        return [drop for drop in self.reasons.drops() if drop.sent_by == self.port]

    def known(self, reason: str) -> str:
        """What this kernel says where a newer one gives that reason."""
        return reason if reason in self.reasons.names else NO_REASON


@pytest.fixture
def link(kept: DropReasons, mcast_lab: LabView) -> Link:
    return Link(kept, mcast_lab)


def _put(frame: bytearray, offset: int, form: str, value: int) -> None:
    """Change a field, and have the checksum of the IPv4 header right again."""
    struct.pack_into(form, frame, offset, value)
    struct.pack_into(">H", frame, IPV4 + 10, 0)
    total = sum(struct.unpack_from(">10H", frame, IPV4))
    total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into(">H", frame, IPV4 + 10, ~(total + (total >> 16)) & 0xFFFF)


def _wrong_ip_checksum(frame: bytearray) -> None:
    frame[IPV4 + 10] ^= 0x55


def _wrong_version(frame: bytearray) -> None:
    _put(frame, IPV4, ">B", 0x55)


def _truncated(frame: bytearray) -> None:
    _put(frame, IPV4 + 2, ">H", 1000)


def _short_udp(frame: bytearray) -> None:
    struct.pack_into(">H", frame, UDP + 4, 7)


def _other_protocol(frame: bytearray) -> None:
    _put(frame, IPV4 + 9, ">B", 253)


def _other_host(frame: bytearray) -> None:
    frame[0:6] = bytes.fromhex("020000ffff01")  # which the switch has not seen yet, and sends everywhere


# What is changed in a good datagram; the reason, and where.
WRONG = [
    ("ip-checksum", _wrong_ip_checksum, "IP_CSUM", "ip_rcv_core"),
    ("ip-version", _wrong_version, "IP_INHDR", "ip_rcv_core"),
    ("truncated", _truncated, "PKT_TOO_SMALL", "ip_rcv_core"),
    ("udp-length", _short_udp, "PKT_TOO_SMALL", "__udp4_lib_rcv"),
    ("protocol", _other_protocol, "IP_NOPROTO", "ip_local_deliver_finish"),
    ("other-host", _other_host, "OTHERHOST", "ip_rcv_core"),
]
# The family, what the packet is; the reason. A source of "own" is the receiver's.
MISPLACED = [
    ("ipv4", {"checksum": "bad"}, "UDP_CSUM"),
    ("ipv6", {"checksum": "bad"}, "UDP_CSUM"),
    ("ipv4", {"source": "own"}, "IP_LOCAL_SOURCE"),
    ("ipv4", {"source": "239.1.2.3"}, "IP_INVALID_SOURCE"),
    ("ipv4", {"source": "127.0.0.1"}, "IP_LOCALNET"),
    ("ipv6", {"source": "ff02::5"}, "IP_INHDR"),
    ("ipv6", {"group": "ff10::1:2:3"}, "IP_INHDR"),
]


class TestReasons:
    @pytest.mark.parametrize(
        ("change", "reason", "function"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
    )
    def test_a_frame_that_is_wrong(
        self, link: Link, change: Callable[[bytearray], None], reason: str, function: str
    ) -> None:
        channel = link.rx.receiver(link.lab.channel()).channel
        (frame,) = link.frames(channel)
        change(frame)
        found = [(drop.reason, drop.function) for drop in link.drops(frame)]
        assert found.count((link.known(reason), function)) == 1, found

    @pytest.mark.parametrize(("family", "changes", "reason"), MISPLACED)
    def test_a_datagram_that_must_not_be(
        self, link: Link, family: str, changes: dict[str, object], reason: str
    ) -> None:
        channel = link.rx.receiver(link.lab.channel(family)).channel
        own = {"source": link.rx.source(family)} if changes.get("source") == "own" else {}
        found = link.drops(*link.frames(channel, **{**changes, **own}))
        assert [drop.reason for drop in found].count(link.known(reason)) == 1, found
        assert {drop.protocol for drop in found if drop.reason == reason} == {0x0800 if family == "ipv4" else 0x86DD}

    @pytest.mark.parametrize(("family", "function"), [("ipv4", "ip_rcv_finish_core"), ("ipv6", "ip6_mc_input")])
    def test_a_group_that_nobody_has_joined_has_none(self, link: Link, family: str, function: str) -> None:
        found = link.drops(*link.frames(link.lab.channel(family)))
        assert (NO_REASON, function) in [(drop.reason, drop.function) for drop in found]

    def test_no_socket(self, link: Link) -> None:
        (frame,) = link.frames(link.lab.channel())
        _put(frame, IPV4 + 16, ">I", int.from_bytes(socket.inet_aton(link.rx.source("ipv4")), "big"))
        frame[0:6] = bytes.fromhex(link.rx.injector().mac.replace(":", ""))
        struct.pack_into(">H", frame, UDP + 6, 0)  # no checksum
        assert [drop.reason for drop in link.drops(frame)].count(link.known("NO_SOCKET")) == 1

    def test_reverse_path(self, link: Link) -> None:
        neighbour = link.lab.host(interfaces={"eth0": "side"})
        host = link.lab.host(interfaces={"eth0": "lan", "eth1": "side"})
        host.touch()  # it is not used again
        with host.inside():
            write_sysctl("ipv4/conf/eth0/rp_filter", "1", required=True)
        channel = host.receiver(link.lab.channel()).channel
        link.port = link.lab.link("lan").port(host).device
        found = link.drops(*link.frames(channel, source=neighbour.source("ipv4")))
        assert [drop.reason for drop in found].count(link.known("IP_RPFILTER")) == 1, found

    def test_a_full_buffer(self, link: Link) -> None:
        receiver = link.rx.receiver(link.lab.channel(), receive_buffer=4096)
        frames = link.frames(receiver.channel, size=1000) * 40
        reasons = [drop.reason for drop in link.drops(*frames)]
        assert 0 < reasons.count(link.known("SOCKET_RCVBUFF")) < 40

    def test_a_filter_of_the_socket(self, link: Link) -> None:
        receiver = link.rx.receiver(link.lab.channel())
        attach_filter(receiver.subscription.socket, NOTHING)
        assert [drop.reason for drop in link.drops(*link.frames(receiver.channel))].count("SOCKET_FILTER") == 1

    @pytest.mark.parametrize("family", ["ipv4", "ipv6"])
    def test_a_fragment_that_comes_twice(self, link: Link, family: str) -> None:
        receiver = link.rx.receiver(link.lab.channel(family))
        first, middle, *rest = link.frames(receiver.channel, size=3000, fragment=800)
        assert [drop.reason for drop in link.drops(first, middle, middle, *rest)].count(link.known("DUP_FRAG")) == 1
        assert len(receiver.recv().payload) == 3000

    def test_a_datagram_is_dropped_when_its_last_fragment_comes(self, link: Link) -> None:
        channel = link.rx.receiver(link.lab.channel()).channel
        *others, last = link.frames(channel, size=3000, fragment=800)
        struct.pack_into(">H", others[0], UDP + 4, 4000)  # the length of the datagram, beyond its end
        assert "PKT_TOO_SMALL" not in [drop.reason for drop in link.drops(*others)]
        assert [drop.reason for drop in link.drops(last)].count("PKT_TOO_SMALL") == 1

    def test_who_reads_a_large_datagram_drops_it(self, link: Link) -> None:
        """Its checksum is verified in the thread that reads, which may be another one; then there is no statement."""
        receiver = link.rx.receiver(link.lab.channel())
        assert "UDP_CSUM" not in [
            drop.reason for drop in link.drops(*link.frames(receiver.channel, checksum="bad", size=500))
        ]
        with pytest.raises(BlockingIOError):
            receiver.subscription.socket.recv(1000)
        assert [drop.reason for drop in link.reasons.drops()].count("UDP_CSUM") == 1


class TestWhoHasDroppedIt:
    def test_the_interfaces_say_which_host_it_was(self, kept: DropReasons) -> None:
        """The switch and every host have no use for a group that one host has joined, and say so too."""
        with Lab() as lab:  # of its own: no reports of others, whom rx has no use for either
            tx, rx, bystander = lab.hosts(3)
            receiver = rx.receiver(lab.channel())
            tx.sender(receiver.channel).send(b"x")
            receiver.recv()
            kept.mark()
            tx.sender(receiver.channel).send(b"x")
            drops = [drop for drop in kept.drops() if drop.function == "ip_rcv_finish_core"]
            device = lab.link("lan").port(bystander).device
            assert [drop.received_by for drop in drops if drop.sent_by == device] == ["eth0"]
            assert lab.link("lan").port(rx).device not in {drop.sent_by for drop in drops}

    def test_loopback(self, kept: DropReasons, mcast_lab: LabView) -> None:
        host = mcast_lab.host(interfaces={})
        with host.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            kept.mark()
            sock.sendto(b"x", ("127.0.0.1", 9))
            (drop,) = (drop for drop in kept.drops() if drop.reason == "NO_SOCKET")
        assert (drop.sent_by, drop.received_by, drop.function) == ("lo", "lo", "__udp4_lib_rcv")
        assert str(drop) == "NO_SOCKET in __udp4_lib_rcv, from lo to lo"

    def test_what_is_delivered_is_not_dropped(self, kept: DropReasons, mcast_lab: LabView) -> None:
        host = mcast_lab.host(interfaces={})
        with host.inside():
            receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        with receiver, sender:
            receiver.bind(("127.0.0.1", 0))
            kept.mark()
            sender.sendto(b"x", receiver.getsockname())
            assert receiver.recv(1) == b"x"
            assert [drop for drop in kept.drops() if drop.received_by == "lo"] == []

    def test_what_another_thread_sends_is_not_told(self, kept: DropReasons, mcast_lab: LabView) -> None:
        host = mcast_lab.host(interfaces={})
        with host.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        seen: list[list[Drop]] = []

        def send() -> None:
            with DropReasons() as own:
                sock.sendto(b"x", ("127.0.0.1", 9))
                seen.append(own.drops())

        with sock:
            kept.mark()
            thread = threading.Thread(target=send)
            thread.start()
            thread.join()
            assert "NO_SOCKET" in [drop.reason for drop in seen[0]]
            assert "NO_SOCKET" not in [drop.reason for drop in kept.drops()]


class TestMemory:
    def test_a_mark_forgets_what_was_before(self, link: Link) -> None:
        (frame,) = link.frames(link.rx.receiver(link.lab.channel()).channel, checksum="bad")
        before = time.time_ns()
        (drop,) = (drop for drop in link.drops(frame) if drop.reason == "UDP_CSUM")
        assert abs(drop.timestamp_ns - before) < 10 * 1_000_000_000  # of two clocks, which are read one after the other
        assert drop in link.here()  # as often as it is asked
        link.reasons.mark()
        assert drop.reason not in [drop.reason for drop in link.here()]

    def test_what_does_not_fit_is_counted(self, kept: DropReasons, mcast_lab: LabView) -> None:
        host = mcast_lab.host(interfaces={})
        with host.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            kept.mark()
            for _ in range(5000):
                sock.sendto(b"x", ("127.0.0.1", 9))
            told = sum(drop.reason == "NO_SOCKET" for drop in kept.drops())
            assert 0 < told < 5000
            assert kept.lost >= 3 * (5000 - told) - 3  # two hops and a drop each; the last may be there in part
            kept.mark()
            assert kept.lost == 0
            sock.sendto(b"x", ("127.0.0.1", 9))
            assert "NO_SOCKET" in [drop.reason for drop in kept.drops()]

    def test_it_is_read_around_the_end(self, kept: DropReasons, mcast_lab: LabView) -> None:
        host = mcast_lab.host(interfaces={})
        with host.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            for _ in range(3000):
                kept.mark()
                sock.sendto(b"x", ("127.0.0.1", 9))
                assert "NO_SOCKET" in [drop.reason for drop in kept.drops()]

    def test_a_child_that_was_forked_is_refused(self, kept: DropReasons) -> None:
        child = os.fork()
        if child == 0:
            try:
                kept.mark()
            except ValueError as error:
                os._exit(7 if "forked" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def _mounts(process: int | str = "self") -> list[str]:
    with open(f"/proc/{process}/mountinfo") as file:
        return [line for line in file if "tracefs" in line]


def _mounts_and_descriptors() -> tuple[list[str], list[str]]:
    return _mounts(), os.listdir("/proc/self/fd")


class TestNothingIsLeft:
    def test_closing_leaves_no_descriptor_and_no_mount(self, kept: DropReasons) -> None:
        before = _mounts_and_descriptors()
        read_tracepoints("skb/kfree_skb")
        reasons = DropReasons()
        assert _mounts_and_descriptors() != before
        reasons.close()
        reasons.close()
        assert _mounts_and_descriptors() == before
        with pytest.raises(ValueError, match="closed"):
            reasons.drops()

    def test_what_cannot_be_opened_leaves_none(self, kept: DropReasons) -> None:
        good = read_tracepoints("skb/kfree_skb")
        before = _mounts_and_descriptors()
        with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
            TracepointRing([*good, Tracepoint("none", 0xFFFFFF, {}, {})])
        with pytest.raises(FileNotFoundError):
            read_tracepoints("skb/nonsense")
        assert _mounts_and_descriptors() == before

    def test_killing_leaves_no_mount(self, kept: DropReasons) -> None:
        before = _mounts()
        program = "from pytest_mcast.wire import DropReasons; kept = DropReasons(); print('open', flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            assert _mounts(process.pid) == before
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert _mounts() == before


OLD_FORMAT = """\
name: kfree_skb
ID: 1501
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;

\tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] name;\toffset:24;\tsize:4;\tsigned:1;

print fmt: "skbaddr=%p reason: %s", REC->skbaddr, __print_symbolic(REC->reason, { 1, "NOT_SPECIFIED" }, { 0x12, "SOME" })
"""


def test_formats_are_read_as_the_kernel_writes_them() -> None:
    point = Tracepoint.parse("skb/kfree_skb", OLD_FORMAT)
    assert (point.number, point.fields["skbaddr"], point.symbols) == (1501, (8, 8), {1: NO_REASON, 0x12: "SOME"})
    data = struct.pack("=HxxxxxxQQI4s", 1501, 0xFFFF888012345678, 0, 28 | 4 << 16, b"lo\0x")
    assert point.number_in(data, "skbaddr") == 0xFFFF888012345678
    assert point.text_in(data, "name") == "lo"
    with pytest.raises(ValueError, match="the format of skb/none has no ID: 'rubbish'"):
        Tracepoint.parse("skb/none", "rubbish")


def test_an_address_before_all_functions_is_in_none() -> None:
    assert function_at(0) is None


TELL = """
    import os
    from pytest_mcast import Lab, MissingCapability
    from pytest_mcast.wire import DropReasons

    before = os.listdir("/proc/self/fd")
    for _ in range(2):
        try:
            DropReasons()
        except MissingCapability as missing:
            print(missing)
    assert os.listdir("/proc/self/fd") == before
"""


@pytest.mark.parametrize("prefix", [[], ["-m", "pytest_mcast", "run", "--", sys.executable]], ids=["plain", "in a lab"])
def test_an_ordinary_user_is_told_what_is_missing(run_as_user: Runner, prefix: list[str]) -> None:
    run_as_user.write(TELL, "tell.py")
    result = run_as_user([sys.executable, *prefix, "tell.py"])
    lines = result.stdout.splitlines()
    assert len(lines) == 2, result.stdout + result.stderr
    assert lines[0] == lines[1]
    assert lines[0].startswith("drop-reasons: this process may not read tracefs ([Errno 1] Operation not permitted; ")
    assert "kernel.perf_event_paranoid is " in lines[0]
    assert "CAP_PERFMON" in lines[0]


def test_what_is_missing_is_reported_as_such() -> None:
    """Whoever we are: either it is opened, or it says why not."""
    try:
        DropReasons().close()
    except MissingCapability as missing:
        assert missing.capability == "drop-reasons"  # noqa: PT017 - both are right
