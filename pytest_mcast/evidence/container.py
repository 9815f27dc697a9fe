"""In what this runs: a container, WSL, a virtual machine; and how that was seen. Linux."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

__all__ = ["container"]

_Found = List[str]
# Words in /proc/1/cgroup, which old (v1) cgroups show in containers.
_CGROUPS = {"docker": "docker", "kubepods": "kubernetes", "libpod": "podman", "lxc": "lxc", "containerd": "containerd"}
# Words in the vendor and product that the firmware tells (dmi), lower case.
_MACHINES = {
    "qemu": "QEMU",
    "kvm": "KVM",
    "vmware": "VMware",
    "virtualbox": "VirtualBox",
    "innotek": "VirtualBox",
    "microsoft corporation virtual": "Hyper-V",
    "xen": "Xen",
    "parallels": "Parallels",
    "amazon ec2": "Amazon EC2",
    "google": "Google Compute Engine",
    "bochs": "Bochs",
}


def container(root: Path = Path("/"), environment: Optional[Mapping[str, str]] = None) -> Dict[str, Any]:
    """Return ``container``, ``wsl`` and ``vm``: each the kind and how it was seen, or None; and what this process may do.

    ``network_of_init``: this is the network of process 1, as far as can be seen, and none that was made inside.
    ``user`` is the effective user id, ``user_namespace`` whether it is one of a namespace that is not the machine's,
    ``capabilities`` the effective ones as a number (capabilities(7)), ``seccomp`` whether a filter is in force.
    """
    environment = os.environ if environment is None else environment
    status = _fields(_text(root / "proc/self/status"))
    return {
        "container": next(_containers(root, environment), None),
        "wsl": next(_subsystems(root, environment), None),
        "vm": next(_machines(root), None),
        "network_of_init": _same_network(root),
        "user": os.geteuid(),
        "user_namespace": _text(root / "proc/self/uid_map").split() not in ([], ["0", "0", "4294967295"]),
        "capabilities": int(status.get("CapEff", "0"), 16),
        "seccomp": status.get("Seccomp") == "2",
    }


def _containers(root: Path, environment: Mapping[str, str]) -> Iterator[_Found]:
    if "KUBERNETES_SERVICE_HOST" in environment:
        yield ["kubernetes", "the environment has KUBERNETES_SERVICE_HOST"]
    if (root / ".dockerenv").exists():
        yield ["docker", "/.dockerenv is there"]
    if (root / "run/.containerenv").exists():
        yield ["podman", "/run/.containerenv is there"]
    told = _text(root / "run/systemd/container").strip()  # what systemd was told by who started it
    if told:
        yield [told, "/run/systemd/container names it"]
    if environment.get("container"):
        yield [environment["container"], "the environment has container="]
    groups = _text(root / "proc/1/cgroup")
    for word, kind in _CGROUPS.items():
        if f"/{word}" in groups:
            yield [kind, f"/proc/1/cgroup has {word}"]


def _subsystems(root: Path, environment: Mapping[str, str]) -> Iterator[_Found]:
    release = _text(root / "proc/sys/kernel/osrelease").strip()
    if "microsoft" in release.lower():  # WSL 1 writes it with a capital, and has no kernel of its own
        yield ["WSL2" if "WSL2" in release or release.islower() else "WSL1", f"the kernel is {release}"]
    elif "WSL_DISTRO_NAME" in environment:  # a kernel that somebody has built himself
        yield ["WSL2", "the environment has WSL_DISTRO_NAME"]


def _machines(root: Path) -> Iterator[_Found]:
    names = [_text(root / "sys/class/dmi/id" / name).strip() for name in ("sys_vendor", "product_name")]
    said = " ".join(name for name in names if name)
    for word, kind in _MACHINES.items():
        if word in said.lower():
            yield [kind, f"the firmware says {said}"]
    kind = _text(root / "sys/hypervisor/type").strip()
    if kind:
        yield [kind, "/sys/hypervisor/type names it"]
    flags = next((line for line in _text(root / "proc/cpuinfo").splitlines() if line.startswith("flags")), "")
    if "hypervisor" in flags.split():
        yield ["of a kind that is not told", "the processor has the flag hypervisor"]


def _same_network(root: Path) -> bool:
    try:
        own, first = (os.stat(root / "proc" / each / "ns/net").st_ino for each in ("thread-self", "1"))
    except OSError:
        # Not for us to see. Virtual hosts of this package have no duplicate address detection anywhere; others do.
        return _text(root / "proc/sys/net/ipv6/conf/all/accept_dad").strip() != "0"
    return own == first


def _fields(text: str) -> Dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:  # not there, or not for us to read: then it says nothing
        return ""
