"""Records to be looked at in a browser: one as people publish it, a wide one, a large one, one of the conformance suite, a hostile one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from typing import Any

from pytest_mcast.report import Cell, Event, Feature, File, Record, Run

__all__ = ["HOSTILE", "conformance", "hostile", "large", "published", "wide"]

_URL = "https://ci.example.org/pytest-mcast/runs/4711"
_RUNS = tuple(
    Run(
        f"{number:016x}",
        f"2026-02-03T04:{number + 5:02}:06Z",
        92.4 + 7 * number,
        ("pytest", "--mcast-report", f"{system.lower()}.json", "scenarios"),
        1,
        {
            "python": "3.13.1",
            "pytest": "9.0.1",
            "system": system,
            "kernel": kernel,
            "machine": machine,
            "commit": "8f14e45fceea167a5a36dedd4bea2543ce9f3a1d",
            "ci": "GitHub Actions",
            "job": system.lower(),
            "job_url": f"{_URL}/jobs/{number}",
        },
    )
    for number, (system, kernel, machine) in enumerate(
        [("Linux", "6.12.0", "x86_64"), ("macOS", "24.1.0", "arm64"), ("Windows", "10.0.26100", "AMD64")]
    )
)
_HOSTS = {
    "linux": {"kind": "local", "system": "Linux", "release": "6.12.0", "machine": "x86_64", "python": "3.13.1"},
    "mac": {"kind": "remote", "system": "macOS", "release": "15.1", "machine": "arm64", "python": "3.9.6"},
    "win": {"kind": "remote", "system": "Windows", "release": "11 24H2", "machine": "AMD64", "python": "3.12.8"},
    "android": {"kind": "planned", "reason": "no device in the laboratory yet"},
}
_SUBJECTS = {
    "mcrx": {"version": "mcrx-core 0.3.0", "receiver": "mcrx_recv", "sender": "mctx_send", "language": "Rust"},
    "socat": {"version": "socat 1.7.4.4", "receiver": "socat", "sender": "socat_send", "language": "C"},
}
_PARTIES = ("linux", "mac", "win", "mcrx@linux", "mcrx@mac", "socat@linux", "android")


def published() -> Record:
    """Return three merged runs of a file with four hosts, two subjects and two sizes."""
    cells = tuple(
        _published(dict(zip(("sender", "receiver", "family", "mode", "size"), key, strict=True)))
        for key in product(_PARTIES[:4], _PARTIES, ("ipv4", "ipv6"), ("asm", "ssm"), ("40", "8192"))
    )
    notes = (
        "Each sender with each receiver on the laboratory's switch, which listens to IGMP and MLD.\n"
        "Set-up: https://example.org/laboratory."
    )
    file = File("Hosts and implementations", notes, _HOSTS, _SUBJECTS)
    return Record(_RUNS, {"scenarios/subjects.mcast.yaml": file}, cells=cells)


def wide(receivers: int = 20) -> Record:
    """Return a matrix with many receivers."""
    names = [f"receiver-{number}" for number in range(1, receivers + 1)]
    cells = tuple(
        _passed({"sender": s, "receiver": r, "family": "ipv4", "mode": "asm"}) for s, r in product(names, names)
    )
    return Record(_RUNS[:1], {"scenarios/subjects.mcast.yaml": File("A wide matrix")}, cells=cells)


def large(number: int = 1000) -> Record:
    """Return a matrix of this many cells, each with evidence, a timeline and a log."""
    sides = [f"host{one}" for one in range(10)]
    keys = product(sides, sides, ("ipv4", "ipv6"), ("asm", "ssm"), ("1", "1472", "8192"))
    names = ("sender", "receiver", "family", "mode", "size")
    cells = tuple(_passed(dict(zip(names, key, strict=True))) for key, _ in zip(keys, range(number), strict=False))
    return Record(_RUNS[:1], {"scenarios/subjects.mcast.yaml": File("A large matrix")}, cells=cells)


def conformance(cases: int = 440) -> Record:
    """Return what the conformance suite records: a cell for each case and kind of channel."""
    areas = ("checksums", "fragments", "header", "ssm")
    names = [f"{areas[number % 4]}.case-{number}" for number in range(cases)]
    cells = tuple(
        _conformance(name, family, mode) for name in names for family in ("ipv4", "ipv6") for mode in ("asm", "ssm")
    )
    features = {name: Feature("MUST: RFC 4607 section 4.3", f"What {name} says") for name in names}
    return Record(_RUNS[:1], subjects={"mcrx": {"version": "0.3.0"}}, features=features, cells=cells)


#: Text that breaks pages.
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</style><img src=x onerror=alert(3)>",
    "\"'><svg onload=alert(4)>",
    "--><!--<b>",
    "javascript:alert(5)",
    "\u2028\u2029\0\x1b[31m\x7f\x85",
    "\u202egnp.exe\u2066\u200b",
    "\ud800 half",
    "x" * 1000,
    "a\u0300\u0301\u0302" * 50,
    "{{ 7 * 7 }}{% raw %}&amp;%00%ud800",
    "http://example.org/\"onmouseover='alert(6)'<b> https://[::1]/?a=1&b=2",
)


def hostile() -> Record:
    """Return a record in which every text is all of those, in every field."""
    text = " ".join(HOSTILE)
    many = {text: text, "version": text}

    def filled(kind: type, **known: Any) -> Any:
        """Return a value whose fields of text have it."""
        return kind(**{each.name: text for each in fields(kind) if each.type == "str"} | known)

    run = filled(Run, id=text, started="2026-02-03T04:05:06Z", duration_s=1.0, command=(text,), environment=many)
    run = replace(run, environment={**many, **dict.fromkeys(("commit", "ci", "job", "system", "kernel"), text)})
    runs = (replace(run, environment={**run.environment, "job_url": "javascript:alert(7)"}), replace(run, id="two"))
    lists = {"artifacts": HOSTILE, "evidence": HOSTILE, "log": HOSTILE}
    timeline = (Event(0.0, text, text, "packet"), Event(0.1, "", text), Event(0.2, "two", f"received {text}", "packet"))
    key = dict.fromkeys(("file", "sender", "receiver", "family", "mode", "size"), text)
    keys = [key, *({**key, "receiver": each, "size": each} for each in HOSTILE), {**key, "case": text}]
    cells = tuple(
        filled(Cell, key=each, outcome="fail", expectation="pass", duration_s=1.0, timeline=timeline, run=text, **lists)
        for each in keys
    )
    file = File(text, text, {text: many}, {text: many})
    return Record(runs, {text: file}, {text: many}, {text: Feature(text, text)}, cells)


def _published(key: dict[str, str]) -> Cell:
    cell = _passed(key)
    receiver, sender, large_one = key["receiver"], key["sender"], key["size"] == "8192"
    if "android" in receiver:
        return _without(cell, outcome="planned", reason="no device in the laboratory yet")
    if receiver == "socat@linux" and key["mode"] == "ssm":
        why = "it joins no source"
        return _without(cell, outcome="unsupported", expectation="unsupported", reason=why, expected_reason=why)
    if receiver.startswith("mcrx") and large_one:
        why = "it takes 2048 bytes at the most (https://example.org/mcrx/issues/3)"
        if receiver == "mcrx@mac" and sender == "linux" and key["family"] == "ipv6":
            return replace(cell, expectation="fail", expected_reason=why)
        return _failed(cell, expectation="fail", expected_reason=why)
    if receiver == "mac" and key["family"] == "ipv4":
        report = Event(0.0007, "mac", "IGMPv2 report of 239.255.71.18", "packet")
        timeline = (cell.timeline[0], report, *cell.timeline[2:])
        cell = replace(cell, reported="IGMPv2", timeline=timeline, run=_RUNS[1].id)
        return _failed(cell) if key["mode"] == "ssm" and sender == "win" else cell
    if receiver == "win" and sender == "mac" and large_one:
        return _without(
            cell, outcome="error", reason="the host mac is not reachable: connection refused", run=_RUNS[2].id
        )
    if receiver == "win" and key["family"] == "ipv6" and sender == "mcrx@linux":
        return _without(cell, outcome="not-run", reason="the run ended before")
    if receiver == "win" and large_one and key["mode"] == "ssm":
        return _without(cell, outcome="skipped", reason="large datagrams: the MTU of Ethernet is 1280; set it to 1500")
    if receiver == "win" and sender == "linux" and key["mode"] == "asm":
        return replace(
            cell, attempts=2, reason="earlier attempts: NotReceived: no datagram within 5 s", run=_RUNS[2].id
        )
    return cell


def _passed(key: dict[str, str]) -> Cell:
    file = "scenarios/subjects.mcast.yaml"
    sender, receiver = (key[name].rpartition("@")[2] for name in ("sender", "receiver"))
    size = key.get("size", "40")
    group = "239.255.71.18" if key["family"] == "ipv4" else "ff15::4d43:7118"
    more = f",size={key['size']}" if "size" in key else ""
    return Cell(
        {"file": file, **key},
        "pass",
        f"{file}::{key['family']}-{key['mode']}[{key['sender']}->{key['receiver']}{more}]",
        run=_RUNS[0].id,
        attempts=1,
        duration_s=0.184,
        reported="IGMPv3" if key["family"] == "ipv4" else "MLDv2",
        line=31,
        evidence=(
            f"{receiver} reported its membership of {group} before anything was sent",
            "3 of 3 datagrams arrived, in order, with the payload, source and destination that were sent",
            "nothing arrived before joining and after leaving; control and fence did",
        ),
        timeline=tuple(_events(sender, receiver, group, size, key)),
        log=(f"{key['receiver']}: ready {group} port 5000 on eth0", f"{key['receiver']}: packet {size} bytes"),
    )


def _events(sender: str, receiver: str, group: str, size: str, key: dict[str, str]) -> Iterator[Event]:
    source, report = ("10.77.0.1", "IGMPv3") if key["family"] == "ipv4" else ("fd77::1", "MLDv2")
    change = f"ALLOW_NEW_SOURCES ({source})" if key["mode"] == "ssm" else "CHANGE_TO_EXCLUDE ()"
    yield Event(0.0, receiver, f"joined {group} on eth0")
    yield Event(0.0007, receiver, f"{report} report: {change} of {group}", "packet")
    yield Event(0.0031, "", "the switch forwards the group to the port")
    for number in range(3):
        what = f"{size} bytes to {group} port 5000 from {source} port 40117"
        yield Event(0.005 + number / 100, sender, f"sent {what}", "packet")
        yield Event(0.0056 + number / 100, receiver, f"received {what}", "packet")
    yield Event(0.0461, receiver, f"left {group}")
    yield Event(0.0468, receiver, f"{report} report: CHANGE_TO_INCLUDE () of {group}", "packet")
    yield Event(1.2172, "", "3 of 3 datagrams, none after leaving")


def _without(cell: Cell, **changes: Any) -> Cell:
    return replace(cell, evidence=(), timeline=(), log=(), reported="", duration_s=0.002, **changes)


def _failed(cell: Cell, **changes: Any) -> Cell:
    reason = f"NotReceived: no datagram within 5 s at {cell.key['receiver']}; 3 were sent, 3 were seen on the wire"
    log = ("E   pytest_mcast.core.errors.NotReceived: no datagram within 5 s", "E     sent: 3", "E     on the wire: 3")
    timeline = (*cell.timeline[:4], Event(5.0052, "", "gave up: nothing was received"))
    return replace(
        cell, outcome="fail", reason=reason, log=(*cell.log, *log), timeline=timeline, evidence=cell.evidence[:1],
        artifacts=("captures/cell.pcapng", "captures/cell.txt"), duration_s=5.21, **changes,
    )  # fmt: skip


def _conformance(name: str, family: str, mode: str) -> Cell:
    key = {"file": "conformance", "sender": "crafted", "receiver": "mcrx", "family": family, "mode": mode, "case": name}
    failed = name.endswith("7")
    return Cell(
        key,
        "fail" if failed else "pass",
        f"conformance/test_cases.py::test_case[{name}-{family}-{mode}]",
        run=_RUNS[0].id,
        expectation="fail" if name.endswith("17") else "pass",
        reason="Failed: it was delivered" if failed else "",
        attempts=1,
        evidence=("control and fence arrived",),
    )
