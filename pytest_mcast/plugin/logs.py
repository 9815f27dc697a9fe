"""What routing daemons have written, in the report of a test that failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from pytest_mcast.lab import VirtualHost

__all__ = ["add_logs"]


def add_logs(report: pytest.TestReport, hosts: Iterable[VirtualHost]) -> None:
    """Add a section for each daemon in these hosts: its command and the end of its log."""
    for host in hosts:
        for daemon in getattr(host, "daemons", ()):  # only routers have them
            report.sections.append((f"mcast log of a daemon in {host}", daemon.program.transcript()))
