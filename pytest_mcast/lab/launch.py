"""Runs in the PID namespace of a virtual host, as a program of its own: its first process, and starter of the others.

    launch.py init PIDFD              process 1: reaps orphans, ends when the process behind PIDFD has ended
    launch.py exec DIR[,DIR...] -- COMMAND [ARGUMENT...]
                                      gives COMMAND private mounts: its own /proc and /sys, empty DIRs

Standard library only, and nothing else of this package, because it is started by its file name.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys

_MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x4000, 0x40000, 2, 4, 8  # sys/mount.h
_CLONE_NEWNS = 0x00020000


def _init(pidfd: int) -> None:
    """Wait for the end of the process behind the descriptor; the kernel then kills all that is left with us."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # those of the terminal are not meant for us
        signal.signal(ignored, signal.SIG_IGN)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while not any(descriptor == pidfd for descriptor, _ in poll.poll()):
        os.read(woken, 4096)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            continue


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind and kind.encode(), flags, None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {target}: {os.strerror(code)}")


def _exec(directories: list[str], command: list[str]) -> None:
    """Replace this process by the command, in a mount namespace of its own (mount_namespaces(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNS) failed")
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    safe = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    for kind, target in (("proc", "/proc"), ("sysfs", "/sys")):
        try:
            _mount(kind, target, kind, safe)
        except OSError:  # a container may forbid it; the old one shows another network's processes and devices
            continue
    for directory in directories:
        _mount("tmpfs", directory, "tmpfs", _MS_NOSUID | _MS_NODEV)
    os.execvp(command[0], command)


def main() -> None:
    """Do what the arguments say; a command that cannot be started gives exit code 127."""
    if sys.argv[1] == "init":
        _init(int(sys.argv[2]))
        return
    try:
        _exec([directory for directory in sys.argv[2].split(",") if directory], sys.argv[4:])
    except OSError as error:
        print(f"cannot start {sys.argv[4]}: {error}", file=sys.stderr)
        os._exit(127)


if __name__ == "__main__":
    main()
