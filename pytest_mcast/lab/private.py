"""A network of this process's own: for a whole test session, or for any program."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pytest_mcast.core.errors import MissingCapability
from pytest_mcast.core.system import LINUX

from .lab import Lab
from .namespace import CLONE_NEWNET, CLONE_NEWUSER, Namespace, setns, unshare
from .refusal import refusal

__all__ = ["SESSION", "PrivateNetwork", "enter_private_network"]

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
    if not LINUX:
        raise MissingCapability("namespaces", f"{sys.platform} has no network namespaces", "run the tests on Linux")
    before = Namespace.current()
    try:
        try:
            setns(before.descriptor, CLONE_NEWNET)  # moves nothing, and is refused where there would be no way back
            unshare(CLONE_NEWNET)
        except PermissionError:
            _rehearse(interfaces)
            _enter_user_namespace()
            return PrivateNetwork(_build(interfaces), before)
        try:
            return PrivateNetwork(_build(interfaces), before)
        except BaseException:  # whatever it is: let go, and pass it on
            setns(before.descriptor, CLONE_NEWNET)
            raise
    except OSError as error:
        before.close()
        raise refusal(error) from error
    except BaseException:  # whatever it is: let go, and pass it on
        before.close()
        raise


def _build(interfaces: Mapping[str, str | None]) -> Lab:
    lab = Lab()
    lab.host(
        SESSION,
        interfaces=dict.fromkeys(interfaces, "lan"),
        macs={name: mac for name, mac in interfaces.items() if mac is not None},
        namespace=Namespace.current(),
    )
    return lab


def _rehearse(interfaces: Mapping[str, str | None]) -> None:
    """Do it all in a child first: once in a user namespace there is no way back, and much can be refused later."""
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        reason = f"the kernel grants a user namespace to one thread only, and this process has {threads}"
        raise MissingCapability("namespaces", reason, _RUN)
    result, report = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _enter_user_namespace()
            _build(interfaces)
            os.write(report, b"[]")
        except OSError as error:
            os.write(report, json.dumps([error.errno, str(error.args[-1])]).encode())
        except MissingCapability as missing:
            os.write(report, json.dumps([missing.capability, missing.reason, missing.remedy]).encode())
        finally:
            os._exit(0)
    os.close(report)
    with os.fdopen(result) as file:
        answer = json.loads(file.read() or '[5, "the rehearsal in a child process died"]')
    os.waitpid(child, 0)
    if len(answer) == 3:
        raise MissingCapability(*answer)
    if answer:
        raise OSError(*answer)


def _enter_user_namespace() -> None:
    """Get a user namespace and, in the same step, the network namespace that is its own and can be returned to."""
    user, group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET)
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
