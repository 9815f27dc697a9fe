"""The version of IGMP or MLD that a kernel uses. What other systems print is as public recordings have it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_mcast.core.versions import protocol_version, version_in

IFMCSTAT = """\
em0:
\tinet 192.0.2.101
\tigmpv3 flags=0<> rv 2 qi 125 qri 10 uri 3
\t\tgroup 239.255.255.250 mode exclude
\t\t\tmcast-macaddr 01:00:5e:7f:ff:fa
\tinet6 fe80::2c0:9fff:fe41:c5fa%em0
\tmldv2 flags=0<> rv 2 qi 125 qri 10 uri 3
\t\tgroup ff02::1%em0 mode exclude
\t\t\tmcast-macaddr 33:33:00:00:00:01
lo0:
\tinet 127.0.0.1
\tigmpv3 rv 2 qi 125 qri 10 uri 3
\t\tgroup 224.0.0.1 mode exclude
"""
NETSTAT = """\
IPv4 Multicast Group Memberships
Group               \tLink-layer Address  \tNetif
224.0.0.251         \t1:0:5e:0:0:fb       \ten0

lo0:
\tinet 127.0.0.1
\tigmpv3 flags=2<LOOPBACK> rv 2 qi 125 qri 10 uri 3
\t\tgroup 224.0.0.1 mode exclude
en0:
\tinet 192.0.2.7
\tigmpv2 flags=0<>
\t\tgroup 239.2.11.71 mode exclude
\t\t\tmcast-macaddr 01:00:5e:02:0b:47
\tinet6 fe80::1c2:3ff:fe04:506%en0
\tmldv1 flags=0<>
\t\tgroup ff02::fb%en0 mode exclude
"""


@pytest.mark.parametrize(
    ("output", "interface", "igmp", "mld"),
    [
        (IFMCSTAT, "em0", 3, 2),
        (IFMCSTAT, "lo0", 3, None),
        (IFMCSTAT, "em", None, None),
        (NETSTAT, "en0", 2, 1),
        (NETSTAT.replace("igmpv2", "igmpv?(0)"), "en0", None, 1),
        ("", "en0", None, None),
    ],
)
def test_it_is_read_from_what_the_system_prints(output: str, interface: str, igmp: int | None, mld: int | None) -> None:
    assert (version_in(output, "ipv4", interface), version_in(output, "ipv6", interface)) == (igmp, mld)


@pytest.mark.parametrize(("program", "arguments"), [("ifmcstat", "-i en0"), ("netstat", "-gs")])
def test_macos_is_asked_by_the_program_that_there_is(
    program: str, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").write_text(NETSTAT)
    (tmp_path / program).write_text(f'#!/bin/sh\n[ "$*" = "{arguments}" ] && exec /bin/cat {tmp_path}/out\n')
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert (protocol_version("ipv4", "en0"), protocol_version("ipv6", "en0")) == (2, 1)


@pytest.mark.parametrize("system", ["darwin", "win32", "linux"])
def test_a_system_that_does_not_tell_is_not_guessed(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "platform", system)
    assert protocol_version("ipv4", "no0") is None
    assert protocol_version("ipv6", "no0") is None
