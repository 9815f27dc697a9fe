"""A buffer that is full, and as large as the host allows: that is made here; the cure would be the machine's."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pytest_mcast import LabView, Sender

from .breaks.plain import plain
from .scene import Scene

_LIMIT = Path("/proc/sys/net/core/rmem_max")
_MOST = 16 << 20  # bytes that are sent in no time


def test_a_buffer_that_may_not_be_larger_is_cured_by_the_limit(mcast_lab: LabView) -> None:
    limit = int(_LIMIT.read_text())
    if limit > _MOST:
        pytest.skip(f"net.core.rmem_max is {limit} here: too much to send")
    scene = Scene(mcast_lab)
    scene.open_receiver = lambda: plain(scene, options=((socket.SOL_SOCKET, socket.SO_RCVBUF, limit),))
    scene.open_sender = lambda: _filled(scene, limit)
    diagnosis = scene.fails()
    certain = [finding for finding in diagnosis.findings if finding.confidence == "certain"]
    assert [finding.check for finding in certain] == ["buffer.capped"]
    assert certain[0].command == f"sysctl -w net.core.rmem_max={4 * limit}"


def _filled(scene: Scene, limit: int) -> Sender:
    """Return a sender that has sent more than twice the limit, which is what the kernel has room for."""
    sender = scene.tx.sender(scene.channel)
    for _ in range(2 * limit // 1200 + 1):
        sender.send_raw(bytes(1200))
    for _ in range(8):  # where the large ones leave room for small ones
        sender.send_raw(bytes(scene.payload_size))
    return sender
