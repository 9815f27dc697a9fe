"""Packet sockets: what a tap sees and loses, what an injector refuses."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import sys
import time

import pytest

from pytest_mcast import LabView
from pytest_mcast.wire import Injector, Tap, TappedFrame

from ..conftest import Runner

KIND = b"\x88\xb5"  # EtherType for local experiments (IEEE 802), which nobody else sends


def _frame(payload: bytes, size: int = 60) -> bytes:
    return (b"\xff" * 6 + b"\x02\0\0\0\0\1" + KIND + payload).ljust(size, b"\0")


def _payloads(tap: Tap, size: int = 1) -> list[bytes]:
    return [frame.data[14 : 14 + size] for frame in _frames(tap)]


def _frames(tap: Tap) -> list[TappedFrame]:
    return [frame for frame in tap.frames() if frame.data[12:14] == KIND]


def test_a_tap_sees_what_comes_in_while_it_is_on(mcast_lab: LabView) -> None:
    one, other = mcast_lab.hosts(2)
    with other.inside():
        tap = Tap()
    one.inject(_frame(b"a"))
    assert _payloads(tap) == []
    tap.switch_on()
    one.inject(_frame(b"b"), _frame(b"c"))
    assert _payloads(tap) == [b"b", b"c"]
    assert _payloads(tap) == []
    one.inject(_frame(b"d"))
    tap.switch_off()
    one.inject(_frame(b"e"))
    tap.switch_on()
    one.inject(_frame(b"f"))
    assert _payloads(tap) == [b"f"]
    tap.close()


def test_a_tap_sees_every_interface_and_says_which(mcast_lab: LabView) -> None:
    links = {"nic0": "left", "nic1": "right"}
    one, other = mcast_lab.host(interfaces=links), mcast_lab.host(interfaces=links)
    with other.inside():
        tap = Tap()
    tap.switch_on()
    one.inject(_frame(b"0"), interface="nic0")
    one.inject(_frame(b"1"), interface="nic1")
    other.inject(_frame(b"l"), interface="lo")
    frames = _frames(tap)
    assert [(frame.interface, frame.data[14:15]) for frame in frames] == [("nic0", b"0"), ("nic1", b"1"), ("lo", b"l")]
    assert frames[0].data == _frame(b"0")
    tap.close()


def test_a_tap_sees_what_goes_out_only_when_it_is_asked_to(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    with host.inside():
        tap, both = Tap(), Tap(sees_outgoing=True)
    tap.switch_on()
    both.switch_on()
    host.inject(_frame(b"x"))
    assert _payloads(tap) == []
    assert _payloads(both) == [b"x"]
    tap.close()
    both.close()


def test_a_frame_has_the_time_at_which_it_came_in(mcast_lab: LabView) -> None:
    one, other = mcast_lab.hosts(2)
    with other.inside():
        tap = Tap()
    tap.switch_on()
    before = time.time_ns()
    one.inject(_frame(b"x"))
    after = time.time_ns()
    (frame,) = _frames(tap)
    assert before <= frame.timestamp_ns <= after
    tap.close()


def test_what_nobody_fetched_in_time_is_counted_exactly(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={})  # on its lo there is nobody else
    with host.inside():
        tap, injector = Tap(), Injector("lo")
    tap._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    tap.switch_on()
    for _ in range(500):
        injector.inject(_frame(b"x"))
    kept = len(list(tap.frames()))
    assert 0 < kept < 500
    assert tap.lost == 500 - kept
    injector.inject(_frame(b"y"))
    assert _payloads(tap) == [b"y"]
    assert tap.lost == 500 - kept  # it adds up, though the kernel begins anew each time it is asked
    tap.switch_off()
    for _ in range(500):
        injector.inject(_frame(b"x"))
    tap.switch_on()
    assert tap.lost == 0
    injector.close()
    tap.close()


def test_the_descriptor_of_a_tap_is_readable_when_a_frame_is_there(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={})
    with host.inside(), selectors.DefaultSelector() as selector:
        tap, injector = Tap(), Injector("lo")
        tap.switch_on()
        selector.register(tap, selectors.EVENT_READ)
        assert not selector.select(0)
        injector.inject(_frame(b"x"))
        assert selector.select(5)
    injector.close()
    tap.close()


def test_packet_sockets_leave_no_descriptor(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={})
    before = os.listdir("/proc/self/fd")
    with host.inside():
        Tap().close()
        Injector("lo").close()
        with pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
            Injector("nonsense")
    assert os.listdir("/proc/self/fd") == before


def test_an_injector_knows_the_address_of_its_interface(mcast_lab: LabView) -> None:
    host = mcast_lab.host(interfaces={"nic0": "lan", "nic1": "lan"}, macs={"nic1": "02:00:5e:10:00:01"})
    assert host.injector("nic1").mac == "02:00:5e:10:00:01"
    assert host.injector("lo").mac == "00:00:00:00:00:00"
    assert host.injector() is host.injector("nic0")


def _refused(code: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda error: error.errno == code)


def test_frames_that_do_not_fit_are_refused(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    host.inject(_frame(b"x", 14 + 1500))
    with _refused(errno.EMSGSIZE):
        host.inject(_frame(b"x", 14 + 1501))
    injector = host.injector()
    assert host.popen(["ip", "link", "set", "eth0", "mtu", "2000"]).wait() == 0
    with _refused(errno.ENOBUFS):  # the other end, the switch's, still takes 1500 bytes (and a VLAN tag)
        injector.inject(_frame(b"x", 14 + 1505))


def test_an_interface_that_is_down_takes_no_frame(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    injector = host.injector()
    assert host.popen(["ip", "link", "set", "eth0", "down"]).wait() == 0
    with _refused(errno.ENETDOWN):
        injector.inject(_frame(b"x"))


def test_an_ordinary_user_may_open_none(run_as_user: Runner) -> None:
    run_as_user.write(
        """
        from pytest_mcast import MissingCapability
        from pytest_mcast.wire import with_packet_sockets
        from pytest_mcast.wire import Injector, Tap, TapControl

        for open_it in (Tap, lambda: Injector("lo")):
            try:
                open_it()
            except PermissionError as error:
                print("refused", error.errno)
        try:
            with_packet_sockets(lambda: TapControl("here"))
        except MissingCapability as missing:
            print(missing)
        """,
        "open.py",
    )
    result = run_as_user([sys.executable, "open.py"])
    assert result.stdout.splitlines() == [
        "refused 1",
        "refused 1",
        "packets: this process may not open packet sockets ([Errno 1] Operation not permitted); give it CAP_NET_RAW",
    ], result.stderr


def test_a_virtual_host_without_cap_net_raw_says_so(tmp_path: object) -> None:
    """Everything else works there; ``expect_nothing`` and probes tell what is missing."""
    runner = Runner(tmp_path)  # type: ignore[arg-type]
    runner.write(
        """
        import ctypes, os, struct
        from pytest_mcast import Lab, MissingCapability
        from pytest_mcast.doctor import probe_packets
        from pytest_mcast.packets import Prober

        libc = ctypes.CDLL(None, use_errno=True)
        header, data = struct.pack("=Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
        assert libc.capget(header, data) == 0
        words = list(struct.unpack("=6I", data.raw))
        assert words[0] & 1 << 13
        words[0] &= ~(1 << 13)  # CAP_NET_RAW
        assert libc.capset(header, struct.pack("=6I", *words)) == 0

        with Lab() as lab:
            rx, tx = lab.hosts(2)
            receiver = rx.receiver(lab.channel(source=tx))
            sent = tx.sender(receiver.channel).send(b"x")
            print(receiver.recv().payload)
            for ask in (
                lambda: rx.control,
                lambda: tx.injector(),
                lambda: receiver.expect_nothing(sent, fence=tx),
                lambda: Prober(receiver, tx, rx),
            ):
                try:
                    ask()
                except MissingCapability as missing:
                    print(missing)
        print(probe_packets())
        """,
        "raw.py",
    )
    result = runner([sys.executable, "raw.py"])
    lines = result.stdout.splitlines()
    refusal = (
        "packets: this process may not open packet sockets ([Errno 1] Operation not permitted); give it CAP_NET_RAW"
    )
    assert lines[:3] == ["b'x'", refusal, refusal], result.stdout + result.stderr
    assert lines[3].startswith("packets: "), lines[3]
    assert "CAP_NET_RAW" in lines[3]
    assert lines[4:] == [refusal, refusal]
