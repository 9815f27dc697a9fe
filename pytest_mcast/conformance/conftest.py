"""What the suite tells pytest: its markers, and which cell of the record each test is."""

from __future__ import annotations

import pytest

from pytest_mcast.catalogue import Case, matching
from pytest_mcast.cores.runner import KINDS
from pytest_mcast.plugin.stash import CORE

__all__ = ["pytest_configure", "pytest_itemcollected"]


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, by which ``-m`` selects."""
    for name, what in {
        "ipv4": "conformance cases of IPv4",
        "ipv6": "conformance cases of IPv6",
        "asm": "conformance cases of any-source multicast",
        "ssm": "conformance cases of source-specific multicast",
        "must": "conformance cases that an RFC demands",
        "should": "conformance cases that an RFC recommends; they fail only with --mcast-strict",
        "kernel": "conformance cases of what the system does where no RFC says",
    }.items():
        config.addinivalue_line("markers", f"{name}: {what}")
    for number in sorted({number for case, _, _ in matching(KINDS) for number in case.rfcs}, key=int):
        config.addinivalue_line("markers", f"rfc{number}: conformance cases that refer to RFC {number}")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Say which cell a test is, and what was tested."""
    case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
    if not isinstance(case, Case):
        return
    core = item.config.stash.get(CORE, None)
    parameters = item.callspec.params  # type: ignore[attr-defined]
    item.mcast_cell = {  # type: ignore[attr-defined]
        "file": "conformance",
        "title": "Conformance of receive cores",
        "sender": "crafted",
        "receiver": "builtin" if core is None else core.name,
        "family": parameters["family"],
        "mode": parameters["mode"],
        "case": case.id,
    }
    reference = f"{case.level}: {case.reference}"
    item.mcast_facts = {"features": {case.id: {"reference": reference, "title": case.title}}}  # type: ignore[attr-defined]
