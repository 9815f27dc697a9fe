"""Chains at ingress name their interfaces, whichever version of nft it is."""

from __future__ import annotations

import shutil
import subprocess

from pytest_mcast import LabView
from pytest_mcast.evidence.firewall import nftables
from pytest_mcast.evidence.nft_devices import add_devices

from ..support.programs import needs

_NFT = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
_RULES = """
add table netdev t
add chain netdev t one { type filter hook ingress device eth0 priority 0; }
add chain netdev t both { type filter hook ingress devices = { eth0, lo } priority 0; }
add table inet t
add chain inet t one { type filter hook input priority 0; }
"""
_TEXT = """table netdev t {
	chain one {
		type filter hook ingress device "eth0" priority filter; policy accept;
	}
	chain both {
		type filter hook ingress devices = { eth0, v1 } priority filter; policy drop;
	}
	chain out {
		type filter hook egress device "eth1" priority filter; policy drop;
	}
}
"""


@needs("nft")
def test_they_are_named(mcast_lab: LabView) -> None:
    host = mcast_lab.host()
    host.touch()
    with host.inside():
        subprocess.run([str(_NFT), "-f", "-"], input=_RULES, text=True, check=True)
        chains = [each["chain"] for each in nftables() if "chain" in each]
    named = {f"{chain['family']} {chain['name']}": chain.get("dev") for chain in chains}
    assert {name: [dev] if isinstance(dev, str) else sorted(dev or []) for name, dev in named.items()} == {
        "netdev one": ["eth0"],
        "netdev both": ["eth0", "lo"],
        "inet one": [],
    }


def test_the_text_is_read() -> None:
    names = {"one": "ingress", "both": "ingress", "out": "egress", "known": "ingress"}
    chains = [{"family": "netdev", "table": "t", "name": name, "hook": hook} for name, hook in names.items()]
    chains[-1]["dev"] = "eth9"
    add_devices([{"chain": chain} for chain in chains], _TEXT)
    assert [chain.get("dev") for chain in chains] == [["eth0"], ["eth0", "v1"], ["eth1"], "eth9"]
