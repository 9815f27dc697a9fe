"""``pytest-mcast doctor --to HOST``: the right hop is named, there and back, and what stops datagrams there.

The other host is a real OpenSSH server in a virtual host, with the oldest Python there. What is broken is a second link
between both, so that the connection remains.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_mcast import Lab, LabView, RemoteHost, VirtualHost
from pytest_mcast.cli import main
from pytest_mcast.doctor import Party
from pytest_mcast.doctor.path import Wanted, walk, way
from pytest_mcast.hosts import LocalHost
from pytest_mcast.lab import Link, netlink
from tests.conftest import AS_USER, Runner
from tests.hosts.support import oldest
from tests.support.programs import needs
from tests.support.sshd import Server, serve

needs_sshd = needs("sshd")
# The far end's Python without the right to open packet sockets: as an ordinary user has it.
WITHOUT_RIGHTS = (
    "setpriv --bounding-set=-all --inh-caps=-all" if os.geteuid() == 0 else f"{sys.executable} {AS_USER}"
) + f" {oldest()}"

_FIREWALL = "nft 'table inet t { chain c { type filter hook input priority 0; meta l4proto udp drop; }; }'"


@dataclass
class Pair:
    """A desk at which the doctor is asked, and a server; ``link`` is the second one, on which datagrams go."""

    desk: VirtualHost
    server: Server
    link: Link

    @property
    def far(self) -> VirtualHost:
        return self.server.host

    def command(self, *options: str, python: str | None = None, to: str = "eth1") -> list[str]:
        specification = self.server.specification(python or oldest())
        return ["doctor", "--to", specification, "--iface", "eth1", "--to-iface", to, "--timeout", "0.3", *options]

    def ask(self, capsys: pytest.CaptureFixture[str], *options: str, **more: str) -> tuple[int, str]:
        """Ask at the desk; return the exit code and what was said."""
        with self.desk.inside():
            code = main(self.command(*options, **more))
        said = capsys.readouterr()
        assert "--json" in options or all(len(line) <= 80 for line in said.out.splitlines()), said.out
        return code, said.out + said.err

    def legs(self, capsys: pytest.CaptureFixture[str], *options: str, **more: str) -> list[dict[str, Any]]:
        code, said = self.ask(capsys, "--json", *options, **more)
        found: list[dict[str, Any]] = json.loads(said)["legs"]
        assert code == (not all(leg["delivered"] for leg in found))
        return found

    def sh(self, host: VirtualHost, command: str) -> None:
        with host.inside():
            subprocess.run(["sh", "-ec", command], check=True, timeout=10)
        host.touch()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with Lab() as lab:
        interfaces = {"eth0": "lan", "eth1": "second"}
        desk, far = (lab.host(name, interfaces=interfaces) for name in ("desk", "server"))
        yield Pair(desk, serve(far, tmp_path_factory.mktemp("server")), lab.link("second"))


@pytest.fixture(scope="module")
def ends(pair: Pair) -> Iterator[tuple[Party, Party]]:
    """What the doctor makes of them, with a connection that is kept."""
    with closing(RemoteHost("far", pair.server.specification(oldest()), "eth1")) as far, pair.desk.inside():
        far.connect()
        yield Party(LocalHost("eth1")), Party(far)


@contextmanager
def _firewall(pair: Pair) -> Iterator[None]:
    pair.sh(pair.far, "nft 'table inet t { chain c { type filter hook input priority 0; meta l4proto udp drop; }; }'")
    yield
    pair.sh(pair.far, "nft delete table inet t")


@contextmanager
def _reverse_path(pair: Pair) -> Iterator[None]:
    network = pair.desk.find("eth1").ipv4[0].rpartition(".")[0]
    pair.sh(pair.far, f"sysctl -qw net.ipv4.conf.eth1.rp_filter=1; ip route add {network}.0/24 dev eth0")
    yield
    pair.sh(pair.far, f"sysctl -qw net.ipv4.conf.eth1.rp_filter=0; ip route del {network}.0/24 dev eth0")


@contextmanager
def _no_route(pair: Pair) -> Iterator[None]:
    route = "ff00::/8 dev eth1 table local"
    pair.sh(pair.desk, f"while ip -6 route del {route} 2>/dev/null; do :; done")
    yield
    index = pair.desk.find("eth1").index
    pair.desk.configure(netlink.route("ff00::/8", index=index, kind="multicast", table=255, metric=1024))


@contextmanager
def _isolated(pair: Pair) -> Iterator[None]:
    def isolate(how: str) -> None:
        with pair.link.namespace:
            for port in pair.link.ports:
                subprocess.run(["bridge", "link", "set", "dev", port.device, "isolated", how], check=True, timeout=10)

    isolate("on")
    yield
    isolate("off")


@contextmanager
def _address(pair: Pair) -> Iterator[None]:
    addresses = pair.desk.find("eth1").ipv6
    pair.sh(pair.desk, "ip -6 address flush dev eth1")
    yield
    pair.sh(pair.desk, "; ".join(f"ip address add {address}/64 dev eth1 nodad" for address in addresses))


@contextmanager
def _cable(pair: Pair, host: str) -> Iterator[None]:
    pair.link.down(host)
    yield
    pair.link.up(host)


# What breaks it; the family; the hops that are not reached, from the desk and to it (None: it arrives); evidence.
BREAKS: dict[str, tuple[Callable[[Pair], AbstractContextManager[None]], str, str | None, str | None, str]] = {
    "firewall": (_firewall, "ipv4", "far: IP", None, "delivered to UDP: 0"),
    "reverse path": (_reverse_path, "ipv4", "far: IP", None, "IPReversePathFilter +1"),
    # It is by the same route that IPv6 takes what comes in.
    "no route": (_no_route, "ipv6", "sender's socket", "local: IP", "Network is unreachable"),
    "no address": (_address, "ipv6", "sender's socket", None, "no ipv6 address"),
    "isolated": (_isolated, "ipv6", "far: eth1", "local: eth1", "saw nothing come in"),
    "far cable": (lambda pair: _cable(pair, "server"), "ipv4", "far: eth1", "far: eth1", "saw nothing come in"),
    "own cable": (lambda pair: _cable(pair, "desk"), "ipv4", "local: eth1", "local: eth1", "saw nothing go out"),
}


@needs_sshd
@pytest.mark.parametrize("what", BREAKS)
def test_the_hop_is_named_at_which_datagrams_stop(pair: Pair, ends: tuple[Party, Party], what: str) -> None:
    breaks, family, there, back, evidence = BREAKS[what]
    with breaks(pair), pair.desk.inside():
        legs = list(walk(*ends, [f"{family}-asm"], Wanted(), timeout=0.3))
    stopped = [leg.trace.stopped_at for leg in legs]
    assert [hop and hop.name for hop in stopped] == [there, back], [leg.to_json() for leg in legs]
    assert stopped[0] is not None
    assert evidence in stopped[0].evidence
    assert [leg.delivered for leg in legs] == [there is None, back is None]
    if what == "isolated":
        for leg in legs:
            assert leg.diagnosis is not None
            assert [finding.check for finding in leg.diagnosis.findings] == ["network.loses"]
    assert [leg.diagnosis is None for leg in legs] == [leg.delivered or leg.channel is None for leg in legs]


@needs_sshd
def test_a_network_that_works_is_a_table_and_a_zero(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = pair.ask(capsys)
    far = pair.far.source("ipv4")
    assert code == 0, said
    table = said.split("\n\n")[1].splitlines()
    assert [line.split() for line in table[:6]] == [
        ["local", "->", far, "ipv4-asm", "ipv4-ssm", "ipv6-asm", "ipv6-ssm"],
        ["sender's", "socket", *["yes"] * 4],
        ["local:", "eth1", *["yes"] * 4],
        ["network", *["yes"] * 4],
        [f"{far}:", "eth1", *["yes"] * 4],
        [f"{far}:", "IP", *["yes"] * 4],
    ]
    assert said.endswith("all 8 arrived\n")


@needs_sshd
def test_an_ordinary_user_there_sees_less_and_that_is_said(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    with _firewall(pair):
        there, back = pair.legs(capsys, "--family", "ipv4", "--mode", "asm", python=WITHOUT_RIGHTS)
    far = pair.far.source("ipv4")
    hops = {hop["name"]: hop for hop in there["hops"]}
    assert hops[f"{far}: eth1"]["reached"] is True  # by counters, and these are
    assert "IpExt.InMcastPkts +1; no packet socket: Operation not permitted" in hops[f"{far}: eth1"]["evidence"]
    assert there["stopped_at"] == f"{far}: IP"
    assert back["delivered"]


@needs_sshd
def test_what_does_not_arrive_is_diagnosed(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    with _firewall(pair):
        code, said = pair.ask(capsys, "--family", "ipv4", "--mode", "ssm")
    assert code == 1
    assert "ipv4-ssm from local to" in said
    assert "not to {far}: IP".format(far=pair.far.source("ipv4")) in " ".join(said.split())
    assert said.endswith("1 of 2 did not arrive\n")


@needs_sshd
def test_group_port_and_source_can_be_named(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    source = pair.desk.find("eth1").ipv4[0]
    there, back = pair.legs(capsys, "--group", "232.5.6.7", "--port", "40404", "--source", source)
    assert there["channel"] == f"{source}@232.5.6.7:40404"
    assert back["channel"] == f"{pair.far.find('eth1').ipv4[0]}@232.5.6.7:40404"
    assert there["delivered"]
    assert back["delivered"]


@needs_sshd
def test_a_host_that_cannot_be_reached_is_exit_code_3(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = pair.ask(capsys, python="/nonexistent/python3")
    assert code == 3
    assert "has no program '/nonexistent/python3'" in said
    assert "see that this works" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--to", "nonsense"], "known are ssh=, popen, python= and ssh_config="),
        (["--to", "popen", "--iface", "nonsense"], "no interface is named 'nonsense'"),
        (["--to", "popen", "--to-iface", "nonsense"], "no interface is named 'nonsense'"),
        (["--to", "popen", "--group", "10.1.2.3"], "10.1.2.3 is a unicast address"),
        (["--to", "popen", "--group", "239.1.2.3", "--family", "ipv6"], "leave no kind of multicast over"),
        (["--to", "popen", "--snooping"], "--snooping goes with --to virtual"),
    ],
)
def test_what_cannot_be_is_exit_code_2(capsys: pytest.CaptureFixture[str], options: list[str], said: str) -> None:
    assert main(["doctor", *options]) == 2
    assert said in capsys.readouterr().err


def test_another_python_of_this_machine_is_reached_by_loopback(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--to", f"popen//python={sys.executable}", "--family", "ipv4"])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "between local (lo) and far (lo)" in said


@pytest.mark.parametrize("broken", [False, True])
def test_within_a_machine_nothing_comes_in_by_an_interface(mcast_lab: LabView, broken: bool) -> None:
    """The copy for its own receivers gets from IP to IP: that no packet socket sees it says nothing."""
    host = mcast_lab.host("machine", interfaces={"eth0": "lan"})
    with host, closing(RemoteHost("far", f"popen//python={oldest()}", "eth0")) as far:
        if broken:
            rule = "table inet t { chain c { type filter hook input priority 0; meta l4proto udp drop; }; }"
            subprocess.run(["nft", rule], check=True, timeout=10)
        leg = way(Party(LocalHost("eth0")), Party(far), "ipv4-asm", Wanted(), timeout=0.3 if broken else 5.0)
    assert [hop.name for hop in leg.trace.hops] == ["sender's socket", "far: IP", "far: UDP", "receiver's socket"]
    assert leg.delivered is not broken
    assert (leg.trace.stopped_at and leg.trace.stopped_at.name) == ("far: IP" if broken else None)


def test_another_name_for_a_machine_is_no_other_machine(mcast_lab: LabView) -> None:
    """What comes from ::1 is taken by the host itself: only the firewall is in the way."""
    host = mcast_lab.host("machine")
    with host, closing(RemoteHost("far", f"popen//python={oldest()}", "lo")) as far:
        subprocess.run(["sh", "-ec", _FIREWALL], check=True, timeout=10)
        leg = way(Party(LocalHost("lo")), Party(far), "ipv6-asm", Wanted(), timeout=0.3)
    assert leg.diagnosis is not None
    assert leg.diagnosis.flow.same_host
    certain = [each.check for each in leg.diagnosis.findings if each.confidence == "certain"]
    assert "source.impossible" not in certain
    assert certain, leg.diagnosis.lines()


@pytest.mark.parametrize("snooping", [[], ["--snooping"]])
def test_two_virtual_hosts_show_how_it_looks(run_as_user: Runner, snooping: list[str]) -> None:
    result = run_as_user([sys.executable, "-m", "pytest_mcast", "doctor", "--to", "virtual", *snooping])
    if result.returncode == 4:
        assert "no virtual network: " in result.stderr
        assert not os.environ.get("CI"), result.stderr
        pytest.skip(result.stderr)
    assert result.returncode == 0, result.stderr
    assert "  lan: port of one   yes       yes       yes       yes" in result.stdout
    assert "?" not in result.stdout
