"""The version of IGMP or MLD that a kernel uses. What other systems print is as public recordings have it."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

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


class VersionsTest(unittest.TestCase):
    def test_it_is_read_from_what_the_system_prints(self) -> None:
        for output, interface, igmp, mld in (
            (IFMCSTAT, "em0", 3, 2),
            (IFMCSTAT, "lo0", 3, None),
            (IFMCSTAT, "em", None, None),
            (NETSTAT, "en0", 2, 1),
            (NETSTAT.replace("igmpv2", "igmpv?(0)"), "en0", None, 1),
            ("", "en0", None, None),
        ):
            with self.subTest(output=output, interface=interface):
                found = (version_in(output, "ipv4", interface), version_in(output, "ipv6", interface))
                self.assertEqual(found, (igmp, mld))

    @unittest.skipIf(sys.platform == "win32", "there is no sh")
    def test_macos_is_asked_by_the_program_that_there_is(self) -> None:
        for program, arguments in (("ifmcstat", "-i en0"), ("netstat", "-gs")):
            with self.subTest(program), tempfile.TemporaryDirectory() as directory:
                Path(directory, "out").write_text(NETSTAT)
                path = Path(directory, program)
                path.write_text(f'#!/bin/sh\n[ "$*" = "{arguments}" ] && exec /bin/cat {directory}/out\n')
                path.chmod(0o755)
                with mock.patch.dict(os.environ, PATH=directory), mock.patch.object(sys, "platform", "darwin"):
                    self.assertEqual((protocol_version("ipv4", "en0"), protocol_version("ipv6", "en0")), (2, 1))

    def test_a_system_that_does_not_tell_is_not_guessed(self) -> None:
        for system in ("darwin", "win32", "linux"):
            with self.subTest(system), mock.patch.object(sys, "platform", system):
                with mock.patch.dict(os.environ, PATH="/nonexistent"):
                    answers = protocol_version("ipv4", "no0"), protocol_version("ipv6", "no0")
                self.assertEqual(answers, (None, None))
