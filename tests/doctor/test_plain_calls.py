"""A call of a plain socket that was refused is found by the line of its source, and nothing of the user's is run for that."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from pytest_mcast import LabView
from pytest_mcast.doctor import Observation, explain

GROUP = "10.1.2.3"  # which is none: EINVAL
REST = bytes(4)


class Holder:
    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.asked = 0

    @property
    def socket(self) -> socket.socket:
        self.asked += 1
        return self.sock


def _by_names(holder: Holder) -> None:
    dé = holder.sock  # noqa: PLC2401 - columns are counted in bytes
    request = socket.inet_aton(GROUP) + REST
    dé.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)


def _on_several_lines(holder: Holder) -> None:
    holder.sock.setsockopt(
        socket.IPPROTO_IP,
        socket.IP_ADD_MEMBERSHIP,
        socket.inet_aton(GROUP) + REST,
    )


def _by_a_property(holder: Holder) -> None:
    holder.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + REST)


def _without_source(holder: Holder) -> None:
    exec("holder.sock.setsockopt(0, 35, request)", {"holder": holder, "request": socket.inet_aton(GROUP) + REST})  # noqa: S102 - that is tried


@pytest.mark.parametrize(
    ("call", "found"), [(_by_names, True), (_on_several_lines, True), (_by_a_property, False), (_without_source, False)]
)
def test_a_refused_join(mcast_lab: LabView, call: Callable[[Holder], None], *, found: bool) -> None:
    host = mcast_lab.host()
    with host:
        holder = Holder()
    with Observation(host) as observation, holder.sock:
        with pytest.raises(OSError, match="Invalid argument") as caught:
            call(holder)
        asked = holder.asked
        diagnoses = explain(caught.value, observation, [host])
    assert [finding.check for each in diagnoses for finding in each.findings] == ["group.unicast"] * found
    assert holder.asked == asked


@pytest.mark.parametrize(
    ("left", "who"), [(False, "this process, user"), (True, "left by a test that has failed, user")]
)
def test_a_port_that_is_taken(mcast_lab: LabView, who: str, *, left: bool) -> None:
    host = mcast_lab.host()
    with host:
        holder, other = Holder().sock, Holder().sock
    with Observation(host) as observation, holder, other:
        observation.sends.start()
        holder.bind(("", 5000))
        with pytest.raises(OSError, match="Address already in use") as caught:
            other.bind(("", 5000))
        stale = [os.fstat(holder.fileno()).st_ino] * left
        (diagnosis,) = explain(caught.value, observation, [host], stale=stale)
    assert [finding.check for finding in diagnosis.findings] == ["port.taken"]
    assert who in diagnosis.findings[0].cause
