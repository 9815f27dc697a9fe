"""Runs in the PID namespace of a virtual host, as a program of its own: its first process, and starter of the others.

    launch.py init PIDFD              process 1: reaps orphans, ends when the process behind PIDFD has ended
    launch.py exec DIR[,DIR...] FILES -- COMMAND [ARGUMENT...]
                                      gives COMMAND private mounts: its own /proc and /sys, empty DIRs, and the files that
                                      descriptor FILES says (JSON: texts by path; - for none)

Standard library only, and nothing else of this package, because it is started by its file name.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys

_MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 0x4000, 0x40000, 2, 4, 8  # sys/mount.h
_MS_BIND, _MNT_DETACH = 0x1000, 2
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


def _place(files: dict[str, str], directories: list[str]) -> None:
    """Make files in the private directories, and put others in place of those that are there, for this process only."""
    staging = os.path.dirname(os.path.abspath(__file__))
    _mount("tmpfs", staging, "tmpfs", _MS_NOSUID | _MS_NODEV)  # hides a directory that is there for certain
    for number, (path, text) in enumerate(files.items()):
        private = any(path.startswith(f"{directory}/") for directory in directories)
        made = path if private else f"{staging}/{number}"
        os.makedirs(os.path.dirname(made), exist_ok=True)
        with open(made, "w", encoding="utf-8") as file:
            file.write(text)
        if not private:
            _mount(made, path, None, _MS_BIND)
    ctypes.CDLL(None).umount2(staging.encode(), _MNT_DETACH)  # what is bound elsewhere stays there


def _exec(directories: list[str], files: str, command: list[str]) -> None:
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
    if files != "-":
        import json  # most programs need none, and start sooner without it

        with open(int(files), encoding="utf-8") as file:
            _place(json.load(file), directories)
    # Who runs us in the background of a script has it ignored, which is inherited: nobody could end a program by it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp(command[0], command)


def main() -> None:
    """Do what the arguments say; a command that cannot be started gives exit code 127."""
    if sys.argv[1] == "init":
        _init(int(sys.argv[2]))
        return
    try:
        _exec([directory for directory in sys.argv[2].split(",") if directory], sys.argv[3], sys.argv[5:])
    except OSError as error:
        print(f"cannot start {sys.argv[5]}: {error}", file=sys.stderr)
        os._exit(127)


if __name__ == "__main__":
    main()
