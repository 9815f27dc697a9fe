"""A real OpenSSH server in a virtual host, for the user who runs this, and the configuration of a client for it.

``sshd.py DIRECTORY COMMAND...`` is what is started there: it gives the command an /etc/passwd of its own and a /run/sshd. By
that file the user has a shell, which one like nobody has not, and the empty home DIRECTORY/home. All that is mounted is
read-only there, so nothing can leave a file.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_mcast import VirtualHost
    from pytest_mcast.lab.programs import Program

PORT = 2222  # of a host of our own
SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

_SERVER = """\
Port {port}
AddressFamily inet
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
AuthenticationMethods publickey
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
PidFile none
"""
_CLIENT = """\
Port {port}
User {user}
IdentityFile {directory}/user_key
IdentitiesOnly yes
UserKnownHostsFile {directory}/known_hosts
GlobalKnownHostsFile none
StrictHostKeyChecking yes
"""


@dataclass(frozen=True)
class Server:
    """A server that listens; ``directory`` has its files, and ``home`` the user's."""

    host: VirtualHost
    directory: Path
    program: Program

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def specification(self, python: str = sys.executable, config: str = "ssh_config") -> str:
        return f"ssh={self.host.source('ipv4')}//ssh_config={self.directory / config}//python={python}"


def serve(host: VirtualHost, directory: Path) -> Server:
    """Start a server in a host, with keys of its own."""
    assert SSHD is not None
    (directory / "home").mkdir()
    for key in ("host_key", "user_key", "wrong_key"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(directory / key)]
        subprocess.run(make, check=True, timeout=30)
    values = {"directory": directory, "port": PORT, "user": pwd.getpwuid(os.geteuid()).pw_name}
    (directory / "sshd_config").write_text(_SERVER.format_map(values))
    known, client = (directory / "host_key.pub").read_text(), _CLIENT.format_map(values)
    (directory / "known_hosts").write_text(f"[{host.source('ipv4')}]:{PORT} {known}")
    (directory / "ssh_config").write_text(client)
    (directory / "wrong_key_config").write_text(client.replace("user_key", "wrong_key"))
    (directory / "unknown_host_config").write_text(client.replace("known_hosts", "no_known_hosts"))
    command = [SSHD, "-D", "-e", "-f", str(directory / "sshd_config")]
    program = host.popen(
        [sys.executable, __file__, str(directory), *command], ready="Server listening", directory=directory
    )
    return Server(host, directory, program)


def _main(directory: str, *command: str) -> None:
    me = pwd.getpwuid(os.geteuid())
    others = [line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith(f"{me.pw_name}:")]
    mine = f"{me.pw_name}:x:{me.pw_uid}:{me.pw_gid}::{directory}/home:/bin/sh"
    _replace(Path(directory), "passwd", [mine, *others])
    if os.geteuid() == 0:  # nobody else can read it; there an account may be locked, with keys or without
        _replace(Path(directory), "shadow", [f"{me.pw_name}:x:20000::::::"])
    # Not systemd, which says of some users that they are locked.
    _replace(Path(directory), "nsswitch.conf", [f"{what}: files" for what in ("passwd", "group", "shadow")])
    Path("/run/sshd").mkdir()  # sshd(8): in which it has nothing
    _seal()
    os.execv(command[0], command)


def _seal() -> None:
    """Make everything read-only (mount_setattr(2), Linux 5.12), for us and all that we start."""
    attributes = struct.pack("=4Q", 1, 0, 0, 0)  # MOUNT_ATTR_RDONLY
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(442, -1, b"/", 0x8000, attributes, ctypes.c_size_t(len(attributes))) != 0:  # AT_RECURSIVE
        raise OSError(ctypes.get_errno(), f"mount_setattr: {os.strerror(ctypes.get_errno())}")


def _replace(directory: Path, name: str, lines: list[str]) -> None:
    """Have a file of /etc replaced here, where all mounts are ours alone."""
    file = directory / name
    file.write_text("\n".join([*lines, ""]))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(bytes(file), f"/etc/{name}".encode(), None, 0x1000, None) != 0:  # MS_BIND
        raise OSError(ctypes.get_errno(), f"mount /etc/{name}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
