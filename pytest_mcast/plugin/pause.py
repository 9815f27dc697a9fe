"""``--mcast-pause-on-failure``: a look into the hosts of a test that has failed, while they are there."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .watch import Watch

__all__ = ["Pause", "check_terminal"]

_TERMINAL = "/dev/tty"  # of this process; standard input and output may be captured, or be pipes
_LOOK = 500  # milliseconds until it is looked again whether there was a signal


def check_terminal(config: pytest.Config, origin: str) -> None:
    """Refuse where nobody could press Enter."""
    if config.getoption("dist", "no") != "no":
        raise pytest.UsageError(f"{origin} and -n exclude each other: workers have no terminal; use -n0")
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR))
    except OSError as error:
        raise pytest.UsageError(
            f"{origin}: there is no terminal to wait for Enter on ({error.strerror}); run pytest in one, or drop it"
        ) from None


class Pause:
    """A plugin that waits at each failure of a test that has virtual hosts, before they are let go."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    # Last, when pytest-timeout has stopped its clock, which it does here; a debugger comes before us.
    @pytest.hookimpl(trylast=True)
    def pytest_exception_interact(self, node: pytest.Item | pytest.Collector, report: pytest.TestReport) -> None:
        """Print how to enter the hosts, and wait for Enter."""
        hosts = [host for host in self._watch.hosts if host.namespace.descriptor >= 0]  # and not closed
        if not isinstance(node, pytest.Item) or report.when == "teardown" or not hosts:
            return
        from pytest_mcast.lab.entering import directions

        crash = getattr(report.longrepr, "reprcrash", None)
        reason = (report.longreprtext if crash is None else crash.message).partition("\n")[0]
        lines = ["", f"mcast: paused, because {report.nodeid} has failed: {reason}"]
        lines += [line for host in hosts for line in directions(host)]
        _ask("\n".join([*lines, "mcast: press Enter to go on: "]))


def _ask(text: str) -> None:
    if sys.platform != "win32":
        import select
        import termios

        terminal = os.open(_TERMINAL, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            termios.tcflush(terminal, termios.TCIFLUSH)  # an Enter of before is not meant for us
            data = text.encode(errors="replace")
            while data:
                data = data[os.write(terminal, data) :]
            # Not for ever at once: Ctrl-C ends no wait that begins just after it, or that is another thread's.
            poll = select.poll()
            poll.register(terminal, select.POLLIN)
            while not poll.poll(_LOOK):
                pass
            os.read(terminal, 4096)
        finally:
            os.close(terminal)
