"""The version of IGMP or MLD that the kernel uses on an interface, where it tells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from typing import Iterator, Optional

__all__ = ["protocol_version", "version_in"]

# What FreeBSD has, and what macOS has: the same code prints for both. Neither needs root. An ssh may leave out /usr/sbin.
_PROGRAMS = (("ifmcstat", "-i", "{interface}"), ("netstat", "-gs"))
_MORE_PATH = f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"


def protocol_version(family: str, interface: str) -> Optional[int]:
    """Return the version of IGMP or MLD that the kernel uses on an interface; None where it does not tell.

    Linux tells that of IGMP (/proc/net/igmp), and that of MLD only when it was set (``force_mld_version``). macOS and the
    BSDs tell both (netstat(1) ``-gs``, ifmcstat(8)), as long as anything is joined. Windows tells what it may use at the
    most only, which is not the same.
    """
    system: str = sys.platform
    if system.startswith("linux"):
        return _linux(family, interface)
    if system == "win32":
        return None
    found = (version_in(output, family, interface) for output in _outputs(interface))
    return next((version for version in found if version is not None), None)


def version_in(output: str, family: str, interface: str) -> Optional[int]:
    """Return the version that the output of ``ifmcstat`` or ``netstat -gs`` has for an interface, None if there is none."""
    protocol = "mld" if family == "ipv6" else "igmp"
    ours = False
    for line in output.splitlines():
        if not line[:1].isspace():
            ours = line.rstrip() == f"{interface}:"
        found = re.match(rf"\s+{protocol}v([0-9])\b", line)
        if ours and found:
            return int(found[1])
    return None


def _linux(family: str, interface: str) -> Optional[int]:
    with suppress(OSError, ValueError):
        if family == "ipv6":
            with open(f"/proc/sys/net/ipv6/conf/{interface}/force_mld_version", encoding="ascii") as file:
                return int(file.read()) or None
        with open("/proc/thread-self/net/igmp", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                words = line.replace(":", " ").split()
                if not line[:1].isspace() and words[1:2] == [interface]:
                    return int(words[-1].lstrip("V"))
    return None


def _outputs(interface: str) -> Iterator[str]:
    """Run the programs that there are, one after the other, and yield what they print."""
    for name, *arguments in _PROGRAMS:
        program = shutil.which(name, path=os.environ.get("PATH", os.defpath) + _MORE_PATH)
        if program is not None:
            command = [program, *(word.format(interface=interface) for word in arguments)]
            with suppress(OSError, subprocess.SubprocessError):
                yield subprocess.run(
                    command, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False
                ).stdout.decode(errors="replace")
