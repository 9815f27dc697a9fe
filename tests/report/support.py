"""A record for the tests of this directory."""

from __future__ import annotations

from dataclasses import replace

from pytest_mcast.report import Cell, Event, Feature, File, Record, Run

RUN = Run("0123456789abcdef", "2026-02-03T04:05:06Z", 1.5, ("pytest", "scenarios"), 1)


def cell(
    sender: str, receiver: str, outcome: str, *, family: str = "ipv4", mode: str = "asm", file: str = "a.mcast.yaml"
) -> Cell:
    key = {"file": file, "family": family, "mode": mode, "sender": sender, "receiver": receiver}
    reason = "" if outcome == "pass" else f"why {outcome}"
    return Cell(key, outcome, f"{file}::{family}-{mode}[{sender}->{receiver}]", RUN.id, reason=reason, attempts=1)


def full() -> Record:
    """Return a record that has a bit of everything."""
    first = replace(
        cell("one", "two", "fail"),
        expectation="fail",
        sometimes=True,
        expected_reason="it never did",
        reason="why",
        attempts=2,
        duration_s=0.25,
        reported="IGMPv2",
        notes="two at a time",
        line=7,
        artifacts=("a/b.pcapng",),
        evidence=("the wire", "a fence"),
        timeline=(Event(0.0, "two", "IGMPv2 report of 239.1.2.3", "packet"), Event(0.5, "", "gave up")),
        log=("NotReceived: why", "  and how"),
    )
    hosts = {"two": {"kind": "virtual", "system": "Linux"}}
    return Record(
        (replace(RUN, environment={"python": "3.11.7", "machine": "x86_64", "colour": "grün"}),),
        files={"a.mcast.yaml": File("Two hosts", "Notes of the file", hosts, {"mcrx": {"version": "0.2.6"}})},
        subjects={"core": {"version": "0.3", "language": "Rust"}},
        features={"ssm.wrong-source": Feature("RFC 4607 section 4.3", "Another source is not delivered")},
        cells=(first, cell("one", "one", "pass")),
    )
