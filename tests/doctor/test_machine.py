"""The doctor of a machine: each cause is made in a virtual host, named, and cured by what the doctor says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.core import MODES, Interface
from pytest_mcast.doctor import CAPABILITIES, probe_channel
from pytest_mcast.doctor import queriers as queriers_module
from pytest_mcast.doctor.checks import CHECKS as FLOW_CHECKS
from pytest_mcast.doctor.machine import Health, UnreadableDocument, judge, look_at_machine
from pytest_mcast.doctor.machine_check import MachineFinding
from pytest_mcast.doctor.machine_checks import CHECKS
from pytest_mcast.doctor.machine_checks.asking import GROUPS
from pytest_mcast.doctor.machine_words import words
from pytest_mcast.doctor.queriers import QuerierWatch
from pytest_mcast.evidence import take_machine_snapshot
from pytest_mcast.evidence.container import container
from pytest_mcast.hosts import LocalHost
from tests.conftest import Runner

from .machine_breaks import BREAKS, MachineBreak, can_be_broken
from .shell import sh

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))


def _host(lab: LabView, interfaces: tuple[str, ...] = ("eth0",)) -> VirtualHost:
    """Return a host whose links are its own: they are broken."""
    return lab.host(interfaces={name: lab.link(f"to {name}") for name in interfaces})


def _judged(host: VirtualHost, interface: str = "eth0", queriers: object = None) -> Health:
    """Judge a host without trying anything on it."""
    with host:
        data = take_machine_snapshot(tuple(GROUPS.values()))
    data["readings"]["tried"] = {"value": {"interface": interface, "capabilities": {}}}
    data["readings"]["queriers"] = {"value": queriers or {"waited_s": 0, "proof": False, "interfaces": {}}}
    return judge(data)


def _said(health: Health) -> str:
    return "\n".join(line.text for line in words(health))


def _named(health: Health, check: str) -> list[MachineFinding]:
    return [finding for finding in health.findings if finding.check == check]


@pytest.mark.parametrize("broken", BREAKS, ids=[broken.id for broken in BREAKS])
def test_the_cause_is_named_and_the_cure_works(mcast_lab: LabView, broken: MachineBreak) -> None:
    if not can_be_broken(broken):
        pytest.skip(f"{broken.needs} is not for us")
    host = _host(mcast_lab, tuple(broken.interfaces))
    assert not broken.healthy or not _judged(host).findings
    if isinstance(broken.breaks, str):
        sh(host, broken.breaks)
    else:
        broken.breaks(mcast_lab, host)
    health = _judged(host)
    found = _named(health, broken.check)
    assert found, _said(health)
    assert {finding.confidence for finding in found} == {broken.sure}
    others = [one for one in health.findings if one not in found and (broken.alone or one.confidence == "certain")]
    assert not others, _said(health)
    assert broken.blinds or not health.unchecked
    for finding in found:
        command = finding.command if broken.cure is None else broken.cure
        if not isinstance(command, str):
            command(mcast_lab, host)
        elif command:
            sh(host, command)
    assert not _named(_judged(host), broken.check), _said(_judged(host))


def test_each_check_that_can_be_proved_here_is() -> None:
    elsewhere = {"machine.no-querier", "machine.limit-open-files"}  # below
    assert {check.id for check in CHECKS if check.verified} == {broken.check for broken in BREAKS} | elsewhere


def test_checks_are_complete() -> None:
    ids = [check.id for check in CHECKS] + [check.id for check in FLOW_CHECKS]
    assert len(set(ids)) == len(ids)
    for check in CHECKS:
        assert check.reads, check.id
        assert check.reference, check.id
        assert not check.cure.endswith("."), check.id


@pytest.mark.parametrize(("family", "version"), [("ipv4", 3), ("ipv6", 2), ("ipv6", 1)])
def test_a_querier_is_heard(mcast_lab: LabView, family: str, version: int) -> None:
    link = mcast_lab.link("ours")
    host, other = (mcast_lab.host(name, interfaces={"eth0": link}) for name in ("machine", "querier"))
    with host:
        watch = QuerierWatch(10)
    with watch:
        sent = other.querier(family, version=version).query()
        other.querier("ipv6" if family == "ipv4" else "ipv4").query()  # so that both have been heard
        heard = watch.hear()
    assert heard["waited_s"] < 5
    assert not heard["proof"]
    query = heard["interfaces"]["eth0"][family]
    assert (query["version"], query["source"]) == (version, sent.source)
    old = _named(_judged(host, queriers=heard), "machine.older-querier")
    assert bool(old) == (version == 1)


def test_only_general_queries_tell_of_a_querier(mcast_lab: LabView) -> None:
    link = mcast_lab.link("ours")
    host, other = (mcast_lab.host(name, interfaces={"eth0": link}) for name in ("machine", "querier"))
    with host:
        watch = QuerierWatch(0)
    with watch, host.listen() as wire:
        other.querier("ipv4").query("239.1.2.3")  # a switch may ask so, in the name of nobody
        wire.expect_query(sender=other)
        assert watch.hear()["interfaces"] == {"eth0": {"ipv4": None, "ipv6": None}}


def test_where_there_is_only_loopback_no_privilege_is_missed(mcast_lab: LabView, run_as_user: Runner) -> None:
    program = "from pytest_mcast.doctor.queriers import QuerierWatch; print(repr(QuerierWatch(0).refused))"
    command = [*run_as_user.prefix, sys.executable, "-c", program]
    for interfaces, refused in (((), False), (("eth0",), True)):
        started = _host(mcast_lab, interfaces).popen(command, directory=run_as_user.home)
        assert started.wait() == 0, started.stderr
        assert (started.stdout != ["''"]) == refused, started.stdout


def test_that_there_is_no_querier_takes_long_enough(mcast_lab: LabView, monkeypatch: pytest.MonkeyPatch) -> None:
    host = _host(mcast_lab)
    with host, QuerierWatch(0.02) as watch:
        heard = watch.hear()
    assert not _named(_judged(host, queriers=heard), "machine.no-querier")
    assert (heard["proof"], heard["interfaces"]) == (False, {"eth0": {"ipv4": None, "ipv6": None}})
    monkeypatch.setattr(queriers_module, "PROOF_S", 0.01)  # not two minutes
    with host, QuerierWatch(0.02) as watch:
        found = _named(_judged(host, queriers=watch.hear()), "machine.no-querier")
    assert [finding.confidence for finding in found] == ["possible", "possible"]


def test_nothing_is_waited_for_where_there_is_only_loopback(mcast_lab: LabView) -> None:
    with _host(mcast_lab, ()), QuerierWatch(600) as watch:
        assert watch.hear()["interfaces"] == {}


def test_few_open_files() -> None:
    program = (
        "import json, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256));"
        "from pytest_mcast.evidence.settings import settings; print(json.dumps(settings()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    data = {"system": "linux", "readings": {"settings": {"value": json.loads(done.stdout)}}}
    assert [finding.check for finding in judge(data).findings] == ["machine.limit-open-files"]


@pytest.fixture
def looked(mcast_lab: LabView) -> Iterator[Health]:
    """A healthy virtual host, really tried."""
    with _host(mcast_lab):
        yield look_at_machine(Interface.find("eth0"), wait=0)


def test_a_healthy_machine(looked: Health) -> None:
    assert tuple(looked.verdicts) == CAPABILITIES
    assert looked.verdicts == dict.fromkeys(CAPABILITIES), looked.verdicts
    assert not looked.findings
    assert not looked.unchecked
    assert not looked.ill()
    assert "all capabilities are there; nothing wrong was found" in _said(looked)


def test_a_report_of_elsewhere_is_the_same(looked: Health) -> None:
    document = json.loads(json.dumps(looked.to_json()))
    again = judge(document)
    assert _said(again) == _said(looked)
    assert again.to_json() == document


def test_what_is_missing_is_said_with_its_cure(mcast_lab: LabView) -> None:
    host = _host(mcast_lab, ())
    sh(host, "ip -6 route flush ff00::/8 table local")
    with host:
        health = look_at_machine(Interface.find("lo"), wait=600)
    assert [name for name, missing in health.verdicts.items() if missing] == ["ipv6-asm", "ipv6-ssm"]
    assert health.ill()
    assert health.ill(["all"])
    assert health.ill(["ipv4-asm", "ipv6-ssm"])
    assert not health.ill(["ipv4-asm", "packets"])
    said = _said(health)
    assert "ip -6 route add local ff00::/8 dev lo table local" in " ".join(said.split())
    assert "2 of 7 capabilities are missing; " in said


def test_the_reason_of_a_verdict_is_the_cause(mcast_lab: LabView) -> None:
    host = _host(mcast_lab)
    # What a host hears of itself comes in by the interface that it went out by, not by lo.
    sh(
        host,
        "nft add table ip t; nft add chain ip t c '{ type filter hook input priority 0; policy drop; }';"
        "nft add rule ip t c iif lo accept",
    )
    with host:
        health = look_at_machine(Interface.find("eth0"), wait=0)
    missing = {name: each for name, each in health.verdicts.items() if each is not None}
    assert set(missing) == {"ipv4-asm", "ipv4-ssm"}
    for name, each in missing.items():
        assert each["reason"].startswith(f"{name} multicast does not work on eth0 (the firewall of this machine drops")
        sh(host, each["remedy"].partition(": ")[2])
    with host:
        assert not look_at_machine(Interface.find("eth0"), wait=0).verdicts["ipv4-asm"]


@pytest.mark.parametrize("mode", MODES)
def test_an_interface_that_is_unfit_is_the_reason(mcast_lab: LabView, mode: str) -> None:
    host = _host(mcast_lab)
    sh(host, "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1")
    with host:
        local = LocalHost(Interface.find("eth0"))
        missing = probe_channel(local, local, "ipv6", mode)
    assert missing is not None
    assert missing.reason == f"ipv6-{mode} multicast does not work on eth0 (IPv6 is switched off on eth0)"
    assert missing.remedy == (
        "run pytest with --mcast-lab, or switch it on: sysctl -w net.ipv6.conf.eth0.disable_ipv6=0"
    )


@pytest.mark.parametrize("document", [{"format": 99}, {"readings": {}}, {"system": "linux"}, {"snapshot": 1}])
def test_other_documents_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(UnreadableDocument):
        judge(document)


@pytest.mark.parametrize(
    ("files", "environment", "key", "kind"),
    [
        ({".dockerenv": ""}, {}, "container", "docker"),
        ({"run/.containerenv": ""}, {}, "container", "podman"),
        ({"run/systemd/container": "systemd-nspawn\n"}, {}, "container", "systemd-nspawn"),
        ({"proc/1/cgroup": "4:memory:/docker/0123\n"}, {}, "container", "docker"),
        ({}, {"container": "lxc"}, "container", "lxc"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, "container", "kubernetes"),
        ({"proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n"}, {}, "wsl", "WSL2"),
        ({"proc/sys/kernel/osrelease": "4.4.0-19041-Microsoft\n"}, {}, "wsl", "WSL1"),
        ({"sys/class/dmi/id/sys_vendor": "QEMU\n"}, {}, "vm", "QEMU"),
        ({"proc/cpuinfo": "processor : 0\nflags : fpu hypervisor\n"}, {}, "vm", "of a kind that is not told"),
    ],
)
def test_where_it_runs(tmp_path: Path, files: dict[str, str], environment: dict[str, str], key: str, kind: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = container(tmp_path, environment)
    assert found[key][0] == kind
    assert [name for name in ("container", "wsl", "vm") if found[name]] == [key]


def test_a_command_can_be_copied() -> None:
    command = "nft add rule inet filter input icmpv6 type { mld-listener-query, mld2-listener-report } accept"
    finding = MachineFinding("an.id", "likely", "a cause", ("seen it",), "do it", f"{command}\ntrue", "a reference")
    lines = [line.text for line in words(replace(judge({"system": "linux", "readings": {}}), findings=(finding,)))]
    start = lines.index("    cure: do it") + 1
    assert lines[start:] == [
        "          $ nft add rule inet filter input icmpv6 type { mld-listener-query, \\",
        "              mld2-listener-report } accept",
        "          $ true",
    ]
