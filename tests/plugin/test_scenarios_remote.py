"""Scenario files with hosts that are reached by ssh, from a virtual host."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_mcast import Lab, VirtualHost
from pytest_mcast.lab.programs import Program
from pytest_mcast.report import Record, Source, merge, read

from ..cores.support import described
from ..support.sshd import SSHD, Server, serve

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
SHARDS_FILE = """
hosts:
  one: {{remote: "{one}", interface: eth0}}
matrix: {{sender: [one], receiver: [one], family: [ipv4]}}
"""
CUT_FILE = """
hosts:
  one: {{remote: "{one}", interface: eth0}}
  two: {{remote: "{two}", interface: eth0}}
subjects:
  cut: {{receiver: small.yaml}}
matrix:
  sender: [one]
  receiver: [cut@two, two]
  family: [ipv4]
  mode: [asm]
"""
# Where there is an sshd above it, it ends that one when the cell waits for datagrams.
CUT = """
def above(pid):
    while pid:
        with open(f"/proc/{pid}/stat") as file:
            name, _, fields = file.read().partition("(")[2].rpartition(")")
        if name.startswith("sshd"):
            yield pid
        pid = int(fields.split()[1])


receiver = listen()
say("ready")
for server in above(os.getppid()):
    os.kill(server, signal.SIGKILL)
    break
while True:
    tell(receiver.recv())
"""


@dataclass(frozen=True)
class Place:
    """A desk at which pytest runs, and the servers ``one`` and ``two``."""

    desk: VirtualHost
    down: VirtualHost
    servers: list[Server]

    def start(self, directory: Path, file: str, *options: str) -> Program:
        """Run a file there; the record is the one that the options name."""
        specifications = [server.specification() for server in self.servers]
        down = specifications[0].replace(self.servers[0].host.source("ipv4"), self.down.source("ipv4"))
        (directory / "a.mcast.yaml").write_text(file.format(one=specifications[0], two=specifications[1], down=down))
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "a.mcast.yaml"]
        return self.desk.popen([*command, *options], directory=directory)

    def run(self, directory: Path, file: str) -> tuple[Record, str]:
        """Run a file there, some of whose cells fail; return the record and what was printed."""
        program = self.start(directory, file, "--mcast-report=out.json")
        assert program.wait(60) == 1, program.transcript()
        return read(directory / "out.json"), "\n".join(program.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Lab() as lab:
        servers = [serve(lab.host(name), tmp_path_factory.mktemp(name)) for name in ("one", "two")]
        yield Place(lab.host("desk"), lab.host("down"), servers)


def test_cells_of_a_host_that_is_down_are_errors_and_the_others_pass(place: Place, tmp_path: Path) -> None:
    record, output = place.run(tmp_path, FILE)
    cells = {cell.key["receiver"]: cell for cell in record.cells}
    assert cells["two"].outcome == "pass", cells["two"]
    assert any("(weaker: plain sockets)" in line for line in cells["two"].evidence)
    assert cells["two"].reported == "IGMPv3 (kernel)"
    assert cells["down"].outcome == "error"
    assert cells["down"].reason.startswith("host down: ")
    assert "Traceback" not in output


def test_a_connection_that_is_cut_is_the_error_of_its_cell_alone(place: Place, tmp_path: Path) -> None:
    described(tmp_path, CUT)
    record, output = place.run(tmp_path, CUT_FILE)
    assert [cell.key["receiver"] for cell in record.cells] == ["cut@two", "two"]
    cut, other = record.cells
    assert cut.outcome == "error", cut
    assert "host two: the connection was lost: ssh ended with exit code 255" in cut.reason
    assert other.outcome == "pass", other  # by a new connection
    assert "Traceback" not in output


def test_shards_with_a_host_that_is_another_machine_are_one_record(place: Place, tmp_path: Path) -> None:
    programs = [place.start(tmp_path, SHARDS_FILE, f"--mcast-shard={n}/2", f"--mcast-report={n}.json") for n in (1, 2)]
    for program in programs:
        assert program.wait(60) == 0, program.transcript()
    merged = merge([Source(name, read(tmp_path / name)) for name in ("1.json", "2.json")])
    assert [cell.outcome for cell in merged.cells] == ["pass", "pass"]
    assert len({cell.run for cell in merged.cells}) == 2
    assert merged.files["a.mcast.yaml"].hosts["one"]["system"] == "Linux"
