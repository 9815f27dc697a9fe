"""Packet filters: as nft(8) tells them, only when there are any, and said when they may not be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_mcast import LabView, VirtualHost
from pytest_mcast.evidence.firewall import legacy_tables, nftables, table_names

from ..support.programs import needs
from .support import legacy_is_ours, say, tell, without_privilege

pytestmark = needs("nft")


@pytest.fixture
def host(mcast_lab: LabView) -> VirtualHost:
    return mcast_lab.host(interfaces={"eth0": mcast_lab.link("filtered")})


def test_without_tables_nothing_is_run(host: VirtualHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nft").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "nft").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with host.inside():
        assert nftables() == []


def test_rules_are_as_nft_says(host: VirtualHost) -> None:
    say(
        host,
        "nft 'add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; };"
        ' add rule inet filter input ip daddr 239.0.0.0/8 counter drop comment "no groups";'
        " add table netdev guard; add table ip6 six'",
    )
    with host.inside():
        found = nftables()
        assert sorted(table_names()) == ["inet filter", "ip6 six", "netdev guard"]
    assert found == tell(host, "nft -j list ruleset")["nftables"]
    (rule,) = (each["rule"] for each in found if "rule" in each)
    assert rule["comment"] == "no groups"
    json.dumps(found)


def test_dormant_tables_stop_nothing_and_are_not_listed(host: VirtualHost) -> None:
    chain = "{ type filter hook input priority 0; policy drop; }"
    say(host, f"nft 'add table ip awake; add table ip asleep {{ flags dormant; }}; add chain ip asleep c {chain}'")
    with host.inside():
        found = nftables()
        assert sorted(table_names()) == ["ip asleep", "ip awake"]
    assert [each["table"]["name"] for each in found if "table" in each] == ["awake"]
    assert not [each for each in found if "chain" in each]
    say(host, "nft delete table ip awake")
    with host.inside():
        assert nftables() == []


def test_without_privilege_it_is_said(host: VirtualHost) -> None:
    say(host, "nft add table inet filter")
    with pytest.raises(PermissionError, match=r"^nftables are told to nobody without CAP_NET_ADMIN$"):
        without_privilege(host, nftables)


def test_without_the_program_the_tables_are_named(host: VirtualHost, monkeypatch: pytest.MonkeyPatch) -> None:
    say(host, "nft add table inet filter; nft add table ip6 six")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("pytest_mcast.evidence.firewall._MORE_PATH", "/nowhere")
    with host.inside(), pytest.raises(FileNotFoundError) as caught:
        nftables()
    assert str(caught.value) == "the program nft is not installed; there are the tables inet filter, ip6 six"


def test_it_is_found_where_an_ordinary_user_does_not_look(host: VirtualHost, monkeypatch: pytest.MonkeyPatch) -> None:
    say(host, "nft add table inet filter")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with host.inside():
        assert [each["table"]["name"] for each in nftables() if "table" in each] == ["filter"]


def test_what_the_program_complains_of_is_said(
    host: VirtualHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    say(host, "nft add table inet filter")
    (tmp_path / "nft").write_text("#!/bin/sh\necho 'no such thing' >&2\necho more >&2\nexit 1\n")
    (tmp_path / "nft").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with host.inside(), pytest.raises(OSError, match=r"^nft -j list failed: no such thing$"):
        nftables()


def test_legacy_tables_are_those_that_the_kernel_names(host: VirtualHost) -> None:
    if not legacy_is_ours():
        with host.inside(), pytest.raises(PermissionError):
            legacy_tables()
        return
    with host.inside():
        names = legacy_tables()
        named = [
            f"{family} {line}"
            for family, file in (("ip", "ip_tables_names"), ("ip6", "ip6_tables_names"))
            if (path := Path("/proc/thread-self/net", file)).exists()
            for line in path.read_text().split()
        ]
    assert names == named
