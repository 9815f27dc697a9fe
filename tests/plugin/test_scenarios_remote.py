"""Scenario files with hosts that are reached by ssh, from a virtual host."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from pytest_mcast import Lab

from ..support.sshd import SSHD, serve

pytestmark = pytest.mark.skipif(
    SSHD is None and not os.environ.get("CI"), reason="there is no sshd: install openssh-server"
)

FILE = """
hosts:
  one: {{remote: "{one}", interface: eth0}}
  two: {{remote: "{two}", interface: eth0}}
  down: {{remote: "{down}"}}
matrix:
  sender: [one]
  receiver: [two, down]
  family: [ipv4]
  mode: [ssm]
"""


def test_cells_of_a_host_that_is_down_are_errors_and_the_others_pass(tmp_path: Path) -> None:
    with Lab() as lab:
        servers = []
        for name in ("one", "two"):
            directory = tmp_path / name
            directory.mkdir()
            servers.append(serve(lab.host(name), directory))
        specifications = [server.specification() for server in servers]
        down = specifications[0].replace(servers[0].host.source("ipv4"), lab.host("down").source("ipv4"))
        (tmp_path / "a.mcast.yaml").write_text(FILE.format(one=specifications[0], two=specifications[1], down=down))
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--mcast-report=out.json", "a.mcast.yaml"]
        program = lab.host("desk").popen(command, directory=tmp_path)
        assert program.wait(60) == 1, program.transcript()
    cells = {cell["key"]["receiver"]: cell for cell in json.loads((tmp_path / "out.json").read_text())["cells"]}
    assert cells["two"]["outcome"] == "pass", cells["two"]
    assert any("(weaker: plain sockets)" in line for line in cells["two"]["evidence"])
    assert cells["two"]["reported"] == "IGMPv3 (kernel)"
    assert cells["down"]["outcome"] == "error"
    assert cells["down"]["reason"].startswith("host down: ")
    assert "Traceback" not in "\n".join(program.stdout)
