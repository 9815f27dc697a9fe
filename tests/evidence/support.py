"""What the programs of the system say, to compare readings with; and how it is without privileges."""

from __future__ import annotations

import ctypes
import json
import operator
import os
import struct
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pytest_mcast import VirtualHost
from pytest_mcast.core.deadline import Deadline
from pytest_mcast.lab.namespace import CLONE_NEWNET, setns

_Result = TypeVar("_Result")
_Other = TypeVar("_Other")
_CAPABILITY_VERSION = 0x20080522  # linux/capability.h, _LINUX_CAPABILITY_VERSION_3


def say(host: VirtualHost, command: str) -> str:
    """Return what a command says on a host; it must succeed."""
    with host:  # what a command changes stays: no other test gets this host
        return said(command)


def said(command: str) -> str:
    """Return what a command says in the calling thread's network namespace; it must succeed."""
    done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command!r}: {done.stdout} {done.stderr}"
    return done.stdout


def tell(host: VirtualHost, command: str) -> Any:
    """Return the JSON that a command says on a host."""
    return json.loads(say(host, command) or "[]")


def of_one_moment(
    ours: Callable[[], _Result],
    theirs: Callable[[], _Other],
    same: Callable[[_Result, _Result], bool] = operator.eq,
) -> tuple[_Result, _Other]:
    """Read twice what we say, and between what they say, until nothing has happened meanwhile: hosts report by themselves."""
    deadline = Deadline(10)
    while True:
        before, between, after = ours(), theirs(), ours()
        if same(before, after):
            return before, between
        assert not deadline.passed(), f"never the same twice: {before}, {after}"


def without_privilege(host: VirtualHost, read: Callable[[], _Result]) -> _Result:
    """Call something on a host in a thread without capabilities, as an ordinary user has none."""

    def work() -> _Result:
        setns(host.namespace.descriptor, CLONE_NEWNET)  # takes privileges itself; the thread ends there
        header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
        assert ctypes.CDLL(None).capset(header, bytes(24)) == 0
        return read()

    with ThreadPoolExecutor(1) as executor:
        return executor.submit(work).result()


def legacy_is_ours() -> bool:
    """Return whether we may read which legacy tables there are: the files are for root, whatever the capabilities."""
    files = [Path("/proc/thread-self/net", name) for name in ("ip_tables_names", "ip6_tables_names")]
    return all(os.access(file, os.R_OK) for file in files if file.exists())
