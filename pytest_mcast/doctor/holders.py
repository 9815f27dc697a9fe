"""Which programs hold a port: looked up in the moment when a call was refused because of it, and never else."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace

from pytest_mcast.evidence import Reading, Snapshot
from pytest_mcast.evidence.programs import program_of

from .facts import Facts, NotRead
from .flow import End

__all__ = ["with_holders"]


def with_holders(end: End, port: int, own: Collection[int] = (), stale: Collection[int] = ()) -> End:
    """Return the end, which is on this machine, with the reading ``holders``: programs by the inodes of their sockets.

    ``own`` are the inodes that were this process's when the call was refused, some of which may be closed by now; ``stale``
    those of tests that have failed, whose sockets stay open with their tracebacks.
    """
    holders = {}
    try:
        inodes = {sock["inode"] for sock in end.facts.sockets(port)}
    except NotRead:
        return end
    for inode in inodes:
        try:
            program = program_of(inode)
        except (OSError, LookupError):  # not for us to see: then the user that it runs as must do
            if inode in own:  # closed by now
                holders[str(inode)] = "this process"
            continue
        ours = "this process: left by a test that has failed" if inode in stale else "this process"
        mine = ours if program["pid"] == os.getpid() else f"PID {program['pid']}"
        holders[str(inode)] = f"{program['name']}, {mine}"
    snapshot = end.facts.snapshot
    readings = {**snapshot.readings, "holders": Reading(holders)}
    return replace(end, facts=Facts(Snapshot(snapshot.system, readings)))
