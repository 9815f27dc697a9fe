"""A network of this process's own: for a whole test session, or for any program."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Mapping
from pathlib import Path

from pytest_mcast.core.errors import MissingCapability

from .lab import Lab
from .namespace import CLONE_NEWNET, CLONE_NEWUSER, Namespace, setns, unshare

__all__ = ["SESSION", "PrivateNetwork", "enter_private_network", "refusal"]

#: The name of this process's own host in its private network.
SESSION = "session"

# linux/capability.h: what a test of multicast may need, and nothing else.
_CAP_NET_BIND_SERVICE, _CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_ADMIN = 10, 12, 13, 21
_KEPT = (_CAP_NET_BIND_SERVICE, _CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_ADMIN)
_RUN = "start it from a process of one thread: pytest-mcast run -- pytest ..."


class PrivateNetwork:
    """The network that this process is in: the host ``session`` of ``lab``."""

    def __init__(self, lab: Lab, before: Namespace) -> None:
        self.lab = lab
        self._before = before

    def close(self) -> None:
        """Let go of it, and take the calling thread back to where it was, unless that belongs to another user."""
        self.lab.close()
        with contextlib.suppress(PermissionError):
            setns(self._before.descriptor, CLONE_NEWNET)
        self._before.close()


def enter_private_network(interfaces: Mapping[str, str | None]) -> PrivateNetwork:
    """Move the calling thread, and all threads and programs it starts later, into a new network.

    It has these interfaces (name to MAC address or None), all on the link ``lan``. Where this process may not make
    network namespaces it gets a user namespace first, in which it keeps its user id, and which the kernel grants to a
    process of one thread only.

    Raises ``MissingCapability`` that names the setting which forbids it, and its cure; nothing has happened then.
    """
    before = Namespace.current()
    try:
        try:
            unshare(CLONE_NEWNET)
        except PermissionError:
            _enter_user_namespace()
        except OSError as error:
            raise refusal(error) from error
    except MissingCapability:
        before.close()
        raise
    lab = Lab()
    lab.host(
        SESSION,
        interfaces=dict.fromkeys(interfaces, "lan"),
        macs={name: mac for name, mac in interfaces.items() if mac is not None},
        namespace=Namespace.current(),
    )
    return PrivateNetwork(lab, before)


def _enter_user_namespace() -> None:
    """Get a user namespace and, in the same step, the network namespace that is its own and can be returned to."""
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise MissingCapability(
            "namespaces", f"the kernel grants a user namespace to one thread only, and this process has {threads}", _RUN
        )
    user, group = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except OSError as error:
        raise refusal(error) from error
    # user_namespaces(7). The ids stay what they are: programs that see root behave in other ways.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _keep_capabilities()


def _keep_capabilities() -> None:
    """Hand our capabilities on to the programs we start: exec drops all that are not ambient (capabilities(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: the low halves, then the high ones
    if libc.capget(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capget failed")
    for capability in _KEPT:
        data[2] |= 1 << capability
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")
    for capability in _KEPT:
        if libc.prctl(47, 2, capability, 0, 0) != 0:  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE
            raise OSError(ctypes.get_errno(), "prctl(PR_CAP_AMBIENT) failed")


def refusal(error: OSError, proc: Path = Path("/proc")) -> MissingCapability:
    """Name the setting that forbids namespaces, and its cure."""

    def sysctl(name: str) -> str | None:
        try:
            return (proc / "sys" / name.replace(".", "/")).read_text().strip()
        except OSError:
            return None

    for setting, forbidding, cure in (
        ("user.max_user_namespaces", "0", 15000),
        ("user.max_net_namespaces", "0", 15000),
        ("kernel.unprivileged_userns_clone", "0", 1),  # Debian
        ("kernel.apparmor_restrict_unprivileged_userns", "1", 0),  # Ubuntu 23.10 and later
    ):
        if sysctl(setting) == forbidding:
            return MissingCapability(
                "namespaces", f"{setting}={forbidding} forbids namespaces", f"run: sudo sysctl -w {setting}={cure}"
            )
    if error.errno == errno.ENOSPC:
        limits = "user.max_user_namespaces or user.max_net_namespaces"
        return MissingCapability("namespaces", f"{limits} is used up", f"raise {limits}, or end what uses them")
    if _seccomp_filters(proc):
        flags = "--cap-add NET_ADMIN --cap-add SYS_ADMIN --security-opt seccomp=unconfined"
        return MissingCapability(
            "namespaces",
            "a seccomp filter, or the lack of CAP_SYS_ADMIN in a container, forbids namespaces",
            f"start the container with: docker run {flags} --security-opt apparmor=unconfined",
        )
    reason = os.strerror(error.errno or 0)
    return MissingCapability("namespaces", f"the kernel refuses namespaces ({reason})", "run as root (CAP_SYS_ADMIN)")


def _seccomp_filters(proc: Path) -> bool:
    try:
        status = (proc / "self/status").read_text()
    except OSError:
        return False
    return any(line.split() == ["Seccomp:", "2"] for line in status.splitlines())
