"""Why the kernel refuses namespaces: the setting that forbids them, and its cure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pytest_mcast.core.errors import MissingCapability

__all__ = ["refusal"]

_DOCKER = (
    "docker run --cap-add NET_ADMIN --cap-add SYS_ADMIN --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined"
)
_NO_ROOT = "run as root (CAP_SYS_ADMIN), or with pytest --mcast-lab, which needs no root"


def refusal(error: OSError, proc: Path = Path("/proc")) -> MissingCapability:
    """Name the setting behind a refused ``unshare``, ``setns`` or write to ``uid_map``, and its cure."""

    def is_set(name: str, value: str) -> bool:
        try:
            return (proc / "sys" / name.replace(".", "/")).read_text().strip() == value
        except OSError:
            return False

    for setting, forbidding, cure in (
        ("user.max_user_namespaces", "0", 15000),
        ("user.max_net_namespaces", "0", 15000),
        ("kernel.unprivileged_userns_clone", "0", 1),  # Debian
    ):
        if is_set(setting, forbidding):
            return _missing(f"{setting}={forbidding} forbids namespaces", f"run: sudo sysctl -w {setting}={cure}")
    if error.errno == errno.ENOSPC:
        limits = "user.max_user_namespaces or user.max_net_namespaces"
        return _missing(f"{limits} is used up", f"raise {limits}, or end what uses them")
    # Before AppArmor: a container on Ubuntu has both, and its own filter comes first.
    if error.errno == errno.EPERM and _seccomp_filters(proc):
        reason = "a seccomp filter, or the lack of CAP_SYS_ADMIN in a container, forbids namespaces"
        return _missing(reason, f"start the container with: {_DOCKER}")
    apparmor = "kernel.apparmor_restrict_unprivileged_userns"  # Ubuntu 23.10 and later; refuses the write to uid_map
    if is_set(apparmor, "1"):
        return _missing(f"{apparmor}=1 forbids namespaces", f"run: sudo sysctl -w {apparmor}=0")
    if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV):
        return _missing(f"this kernel cannot build a virtual network ({error})", "run: sudo modprobe -a bridge veth")
    return _missing(f"the kernel refuses namespaces ({os.strerror(error.errno or 0)})", _NO_ROOT)


def _missing(reason: str, remedy: str) -> MissingCapability:
    return MissingCapability("namespaces", reason, remedy)


def _seccomp_filters(proc: Path) -> bool:
    try:
        status = (proc / "self/status").read_text()
    except OSError:
        return False
    return any(line.split() == ["Seccomp:", "2"] for line in status.splitlines())
