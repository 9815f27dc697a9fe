"""Machines that cannot exist here, as evidence: read again by the readers of their systems, and judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast.doctor.machine import Health, judge
from pytest_mcast.doctor.machine_checks import CHECKS
from pytest_mcast.doctor.machine_words import words
from pytest_mcast.evidence import bsd, windows
from pytest_mcast.evidence.snapshot import read_all

# What is found in each, and how sure that is.
FOUND = {
    "docker-bridge": {"container.bridge": "possible"},
    "docker-host": {"machine.bridge-filtered": "possible", "machine.firewall-legacy": "possible"},
    "freebsd14": {},
    "kubernetes-pod": {"container.bridge": "possible"},
    "macos-loopback": {"macos.loopback": "likely"},
    "macos15-runner": {"macos.local-network": "likely"},
    "small-limits": {
        "machine.limit-buffer": "possible",
        "machine.limit-default-buffer": "possible",
        "machine.limit-options": "possible",
        "machine.limit-sources-ipv6": "possible",
    },
    "vpn-laptop": {"machine.other-interface": "likely"},
    "windows11": {"windows.firewall": "likely", "windows.metric": "possible", "windows.public-network": "possible"},
    "wsl1": {"wsl.one": "likely"},
    "wsl2-mirrored": {},
    "wsl2-nat": {"wsl.nat": "likely"},
}
DIRECTORY = Path(__file__).parent / "recorded"
BSD = ["freebsd14", "macos-loopback", "macos15-runner"]


def _document(name: str) -> Any:
    return json.loads((DIRECTORY / f"{name}.json").read_text())


def _readings(name: str) -> dict[str, Any]:
    return {reading: each.get("value") for reading, each in _document(name)["readings"].items()}


def _said(health: Health) -> str:
    return "\n".join(line.text for line in words(health))


@pytest.mark.parametrize("name", FOUND)
def test_the_cause_is_named(name: str) -> None:
    health = judge(_document(name))
    assert {finding.check: finding.confidence for finding in health.findings} == FOUND[name]
    assert set(health.unchecked) <= {"machine.no-querier"}
    said = _said(health)
    assert max(map(len, said.splitlines())) <= 80
    assert ("-InterfaceAlias 'Ethernet' `\n" in said) == (name == "windows11")  # PowerShell's way of going on
    for finding in health.findings:
        assert " ".join(finding.cause.split()) in " ".join(said.split())


def test_every_recording_is_judged() -> None:
    assert sorted(path.stem for path in DIRECTORY.glob("*.json")) == list(FOUND)


def test_every_check_that_is_not_verified_is_seen_in_a_recording() -> None:
    seen = {check for found in FOUND.values() for check in found}
    assert {check.id for check in CHECKS if not check.verified} <= seen


@pytest.mark.parametrize("name", BSD)
def test_ifconfig_and_netstat_are_understood(name: str) -> None:
    readings = _readings(name)
    assert bsd.links(readings["ifconfig"]) == readings["links"]
    assert bsd.addresses(readings["ifconfig"]) == readings["addresses"]
    assert bsd.routes(readings["netstat"]) == readings["routes"]
    assert bsd.memberships(readings["groups"]) == readings["memberships"]
    assert bsd.route_to(readings["route"]) == readings["route_to"]["239.255.77.1"]


def test_what_macos_prints_is_what_is_meant() -> None:
    readings = _readings("macos15-runner")
    links = {link["name"]: link for link in readings["links"]}
    assert list(links) == ["lo0", "gif0", "stf0", "en0", "en1", "bridge0", "utun0"]
    assert links["en0"]["flags"] == ["up", "broadcast", "smart", "running", "simplex", "multicast"]
    assert (links["en0"]["mtu"], links["en0"]["carrier"], links["en0"]["mac"]) == (1500, True, "02:00:5e:10:00:01")
    assert (links["en1"]["carrier"], links["utun0"]["kind"], links["bridge0"]["kind"]) == (False, "tun", "bridge")
    own = [(each["address"], each["prefix"]) for each in readings["addresses"] if each["index"] == 4]
    assert own == [("fe80::1c00:5eff:fe10:1", 64), ("192.0.2.64", 24)]
    routes = {(each["destination"], each["interface"]): each["gateway"] for each in readings["routes"]}
    assert routes["default", "en0"] == "192.0.2.1"
    assert routes["224.0.0.0/4", "en0"] is None
    assert routes["127.0.0.0/8", "lo0"] == "127.0.0.1"
    assert routes["192.0.2.1/32", "en0"] is None  # an Ethernet address
    assert routes["fe80::/64", "en0"] is None
    joined = {(each["interface"], each["group"]) for each in readings["memberships"]}
    assert joined == {
        *((interface, group) for interface in ("lo0", "en0") for group in ("224.0.0.251", "224.0.0.1", "ff02::fb"))
    }
    assert readings["route_to"]["239.255.77.1"]["interface"] == "en0"
    assert readings["route_to"]["ff15::77:1"] == {"error": "ENETUNREACH"}


def test_what_powershell_prints_is_what_is_meant() -> None:
    readings = _readings("windows11")
    understood = windows.understand(readings["powershell"])
    assert understood == {name: readings[name] for name in understood}
    links = {link["name"]: link for link in understood["links"]}
    assert [link["kind"] for link in links.values()] == ["", "", "wireguard"]
    assert links["Loopback Pseudo-Interface 1"]["flags"] == ["up", "loopback"]
    assert (links["Ethernet"]["mtu"], links["Ethernet"]["mac"]) == (1500, "02:00:5e:30:00:01")
    assert [each["address"] for each in understood["addresses"] if each["index"] == 12] == [
        "192.0.2.90",
        "fe80::5eff:fe30:1",
    ]
    assert [each["profile"] for each in understood["firewall_profiles"] if each["active"]] == ["Public"]
    metrics = {
        each["interface"]: each["metric"] for each in understood["routes"] if each["destination"] == "224.0.0.0/4"
    }
    assert metrics == {"Loopback Pseudo-Interface 1": 331, "Ethernet": 281, "Office VPN": 261}


def test_the_command_for_powershell_is_one_line_without_quotes_that_end_it() -> None:
    *options, script = windows.COMMAND
    assert options == ["powershell", "-NoProfile", "-NonInteractive", "-Command"]
    assert "\n" not in script
    assert script.count("{") == script.count("}")
    assert script.count("(") == script.count(")")


def test_programs_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for readers in (bsd.readers(("239.255.77.1",)), windows.readers()):
        for name, reading in read_all(readers).items():
            assert "No such file or directory" in reading["refused"], name


def test_programs_are_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    readings = _readings("macos15-runner")
    answers = {"ifconfig": "ifconfig", "netstat": "netstat", "netstat -gn": "groups", "route": "route"}
    for name, reading in answers.items():
        (tmp_path / f"{name}.txt").write_text(readings[reading])
    shell = f'#!/bin/sh\necho asked >> "{tmp_path}/${{0##*/}}.log"\n'
    for name in ("ifconfig", "netstat", "route"):
        program = tmp_path / name
        program.write_text(
            f'{shell}file="{tmp_path}/{name}.txt"\n[ "$1" = -gn ] && file="{tmp_path}/netstat -gn.txt"\n'
            '[ "$3" = -inet6 ] && { echo "not in table" >&2; exit 1; }\nexec /bin/cat "$file"\n'
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    groups = ("239.255.77.1", "ff15::77:1")
    found = {name: reading["value"] for name, reading in read_all(bsd.readers(groups)).items()}
    assert found == {name: readings[name] for name in found}
    assert (tmp_path / "ifconfig.log").read_text() == "asked\n"
    assert (tmp_path / "netstat.log").read_text() == "asked\nasked\n"
