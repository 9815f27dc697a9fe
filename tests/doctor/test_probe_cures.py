"""The cure of a probe is for all groups: its own was made up."""

from __future__ import annotations

import subprocess

import pytest

from pytest_mcast import LabView
from pytest_mcast.doctor import probe_channel
from pytest_mcast.hosts import LocalHost

from ..support.programs import needs

_FIREWALL = (
    "nft 'table inet t { chain c { type filter hook input priority 0; policy accept; meta l4proto udp drop; }; }'"
)


@needs("ip", "nft")
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize(
    ("breaks", "program"),
    [("ip xfrm policy add dir in src {all} dst {all} priority 100 action block", "ip"), (_FIREWALL, "nft")],
)
def test_the_command_is_one_that_a_shell_runs(mcast_lab: LabView, family: str, breaks: str, program: str) -> None:
    host = mcast_lab.host("machine")
    everything = "0.0.0.0/0" if family == "ipv4" else "::/0"
    with host:
        here = LocalHost("eth0")
        subprocess.run(["sh", "-ec", breaks.replace("{all}", everything)], check=True, timeout=10)
        missing = probe_channel(here, here, family, "asm", timeout=0.2)
        assert missing is not None
        _, _, command = missing.remedy.rpartition(f": {program} ")
        assert command, missing.remedy
        assert "the group" not in command
        assert ("224.0.0.0/4" if family == "ipv4" else "ff00::/8") in command
        subprocess.run(["sh", "-ec", f"{program} {command}"], check=True, timeout=10)
        assert probe_channel(here, here, family, "asm") is None
