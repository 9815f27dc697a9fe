"""What is broken at a socket that has joined and is bound as it should."""

from __future__ import annotations

import ctypes
import socket
import struct

from pytest_mcast import Sender
from tests.doctor.scene import Break, PlainReceiver, Receives, Scene

from .plain import MULTICAST_ALL, beside, ipv6, opens, plain, right, unknown_socket

_SO_REUSEPORT, _SO_ATTACH_FILTER = 15, 26  # asm-generic/socket.h
_RETURN = 0x06  # BPF_RET | BPF_K, linux/bpf_common.h


def _drops_all(scene: Scene) -> PlainReceiver:
    receiver = plain(scene)
    program = ctypes.create_string_buffer(struct.pack("=HBBI", _RETURN, 0, 0, 0))  # take 0 bytes
    attached = struct.pack("@HP", 1, ctypes.addressof(program))
    receiver.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
    return receiver


def _small_buffer(scene: Scene) -> None:
    """The sender has sent before the receiver reads, more than there is room for."""
    small = ((socket.SOL_SOCKET, socket.SO_RCVBUF, 4096),)
    scene.open_receiver = lambda: plain(scene, options=small)
    scene.open_sender = lambda: _after_others(scene)


def _small_buffer_of_ours(scene: Scene) -> None:
    scene.receiver_options["receive_buffer"] = 4096
    scene.open_sender = lambda: _after_others(scene)


def _larger_buffer_of_ours(scene: Scene) -> None:
    scene.receiver_options["receive_buffer"] = 100_000


def _after_others(scene: Scene) -> Sender:
    sender = scene.tx.sender(scene.channel)
    for _ in range(40):
        sender.send(bytes(scene.payload_size))
    return sender


class _Elsewhere(PlainReceiver):
    """Reads from another socket than is meant."""

    def __init__(self, meant: PlainReceiver, read: PlainReceiver) -> None:
        super().__init__(meant.socket)
        self._read = read

    def recv(self, timeout: float | None = None) -> bytes:
        """Return what comes to the other one."""
        return self._read.recv(timeout)

    def close(self) -> None:
        """Close both."""
        super().close()
        self._read.close()


class _Shared(PlainReceiver):
    """Its socket is read by somebody else as well, who has a copy of it."""

    def recv(self, timeout: float | None = None) -> bytes:
        """Return what the other one leaves: nothing."""
        with self.socket.dup() as other:
            PlainReceiver(other).recv(timeout)
        return super().recv(timeout)


def _shares_its_socket(scene: Scene) -> Receives:
    return _Shared(plain(scene).socket)


def _reads_another(scene: Scene) -> Receives:
    return _Elsewhere(plain(scene), plain(scene, port=0))


def _shares_its_port(scene: Scene) -> Receives:
    """Two receivers, each of a group of its own, on one port."""
    options = (MULTICAST_ALL["ipv4"] + (0,), (socket.SOL_SOCKET, _SO_REUSEPORT, 1))
    other = plain(scene, group=scene.lab.channel().group, options=options)
    return beside(scene, plain(scene, options=options), other)


def _misroutes(scene: Scene) -> None:
    """Send by a flow that gets to the other one; which do is up to the kernel, about half of them."""
    scene.open_receiver = lambda: _shares_its_port(scene)
    scene.open_sender = lambda: _misrouted_flow(scene)


def _misrouted_flow(scene: Scene) -> Sender:
    assert isinstance(scene.receiver, PlainReceiver)
    for _ in range(64):
        sender = scene.tx.sender(scene.channel)
        sender.send(b"which way")
        try:
            scene.receiver.recv(0)  # in a lab it is there when send() returns
        except BlockingIOError:
            return sender
        sender.close()
    raise AssertionError("none of 64 flows was misrouted")


def _shares_its_port_properly(scene: Scene) -> None:
    options = (MULTICAST_ALL["ipv4"] + (0,), (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1))
    scene.open_sender = lambda: scene.tx.sender(scene.channel)
    scene.open_receiver = lambda: beside(
        scene, plain(scene, options=options), plain(scene, group=scene.lab.channel().group, options=options)
    )


BREAKS = (
    Break("a filter on the socket", "filter.drops", opens(_drops_all), right),
    Break("a filter on the socket, IPv6", "filter.drops", opens(_drops_all), right, ipv6),
    Break("a small buffer", "buffer.full", _small_buffer, right),
    Break("a small buffer, IPv6", "buffer.full", _small_buffer, right, ipv6),
    Break("a small buffer of a Receiver", "buffer.full", _small_buffer_of_ours, _larger_buffer_of_ours),
    Break("another socket is read", "socket.unread", opens(_reads_another), right),
    Break("another socket is read, IPv6", "socket.unread", opens(_reads_another), right, ipv6),
    Break(
        "another socket shares the port by SO_REUSEPORT",
        "reuse-port.misrouted",
        _misroutes,
        _shares_its_port_properly,
        healthy=False,
    ),
    Break("another has read it", "socket.read-already", opens(_shares_its_socket), right, certain=False),
    Break("another has read it, IPv6", "socket.read-already", opens(_shares_its_socket), right, ipv6, certain=False),
    Break("a small buffer, not known", "buffer.full", _small_buffer, right, unknown_socket, certain=False),
    Break(
        "another socket is read, not known",
        "socket.unread",
        opens(_reads_another),
        right,
        unknown_socket,
        certain=False,
    ),
)
