"""A record for the tests of this directory."""

from __future__ import annotations

from pytest_mcast.report import Cell, Feature, Record, Run

RUN = Run("0123456789abcdef", "2026-02-03T04:05:06Z", 1.5, ("pytest", "scenarios"), 1)


def cell(
    sender: str, receiver: str, outcome: str, *, family: str = "ipv4", mode: str = "asm", file: str = "a.mcast.yaml"
) -> Cell:
    key = {"file": file, "family": family, "mode": mode, "sender": sender, "receiver": receiver}
    reason = "" if outcome == "pass" else f"why {outcome}"
    return Cell(key, outcome, f"{file}::{family}-{mode}[{sender}->{receiver}]", reason=reason, attempts=1)


def full() -> Record:
    """Return a record that has a bit of everything."""
    first = cell("one", "two", "pass")
    return Record(
        RUN,
        environment={"python": "3.11.7", "machine": "x86_64", "colour": "grün"},
        files={"a.mcast.yaml": "Two hosts"},
        subjects={"core": {"version": "0.3", "language": "Rust"}},
        features={"ssm.wrong-source": Feature("RFC 4607 section 4.3", "Another source is not delivered")},
        cells=(
            Cell(first.key, "fail", first.nodeid, "fail", "why", 2, 0.25, ("a/b.pcapng",), ("the wire", "a fence")),
            cell("one", "one", "pass"),
        ),
    )
