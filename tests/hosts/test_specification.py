"""How a remote host is named, and how its Python is started."""

from __future__ import annotations

import sys

import pytest

from pytest_mcast import RemoteHost
from pytest_mcast.hosts.specification import Specification


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "''"),
        ("python=python3", "neither ssh= nor popen"),
        ("ssh=a//popen", "both ssh= and popen"),
        ("ssh", "ssh takes a value"),
        ("ssh=", "ssh takes a value"),
        ("popen=1", "popen takes no value"),
        ("popen//ssh_config=x", "goes with ssh="),
        ("ssh=a//ssh=b", "'ssh' twice"),
        ("socket=mac.local:8888", "'socket'; known are ssh=, popen, python= and ssh_config="),
        ("ssh=a//chdir=/tmp", "'chdir'"),
        ("me@mac.local", "'me@mac.local'"),
    ],
)
def test_another_specification_is_refused_with_what_is_known(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        RemoteHost("mac", text)
    assert repr(text) in str(caught.value)


def test_ssh_asks_nobody_and_its_waits_are_bounded() -> None:
    command = Specification.parse("ssh=-p 2022 me@mac.local//ssh_config=/etc/mine").command(7.0, 12.0)
    assert command[:4] == ["ssh", "-C", "-F", "/etc/mine"]
    assert command[-4:-1] == ["-p", "2022", "me@mac.local"]
    assert {"BatchMode=yes", "ConnectTimeout=7", "ServerAliveInterval=4", "ControlMaster=no"} < set(command)
    assert command[-1].startswith("python3 -B -c ")


def test_popen_is_this_python_unless_another_is_named() -> None:
    assert Specification.parse("popen").command(1, 1)[0] == sys.executable
    assert Specification.parse("popen//python=python3.9 -X utf8").command(1, 1)[:3] == ["python3.9", "-X", "utf8"]


def test_nothing_is_started_before_it_is_used() -> None:
    RemoteHost("mac", "popen//python=/nonexistent/python").close()
