"""Existing suites of other projects, unchanged: what they do in a sandbox, and what they do there with ``--mcast-lab``.

The sandbox is a network namespace with nothing but loopback, as packagers and CI containers have it. The suites come from
the package index, at fixed versions. Each is run in the sandbox as it is, and then with the flag: alone and with ``-n 2``,
as we are and as an ordinary user; the numbers are always the same.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_mcast.lab import Namespace, netlink

from ..conftest import AS_USER, Runner

Counts = dict[str, int]


@dataclass(frozen=True)
class Suite:
    """Tests of a project: ``folder`` of its source distribution, or of the installed package when that is None."""

    archive: str | None
    folder: str
    arguments: tuple[str, ...]
    without: Counts
    within: Counts
    ini: str = "[pytest]\n"


SUITES = {
    "zeroconf": Suite(
        "zeroconf-0.154.0.tar.gz",
        "tests",
        (
            "tests/test_core.py",
            "tests/services/test_types.py",
            "tests/test_services.py",
            "tests/test_engine.py",
            "tests/test_interface_update.py",
            "tests/utils/test_net.py",
        ),
        without={"passed": 116, "failed": 5, "skipped": 2},
        within={"passed": 121, "skipped": 2},
        ini="[pytest]\nasyncio_default_fixture_loop_scope = function\n",
    ),
    # It asks for the interface by a variable, which without the flag names loopback; it skips where nobody sets it.
    "aiocoap": Suite(
        "aiocoap-0.4.17.tar.gz",
        "tests",
        ("tests/test_noncoap_client.py",),
        without={"passed": 8, "failed": 2},
        within={"passed": 10},
        ini="[pytest]\nasyncio_default_fixture_loop_scope = function\nmcast_export = AIOCOAP_TEST_MCIF={interface}\n",
    ),
    # Without the test of a timer, which is not about multicast and fails on a busy machine.
    "python-can": Suite(
        "python_can-4.6.1.tar.gz",
        "test",
        ("test/back2back_test.py", "-k", "UdpMulticast and not send_periodic_duration"),
        without={"failed": 26, "skipped": 4},
        within={"passed": 26, "skipped": 4},
    ),
    # Every test skips in the sandbox, which its CI would call success.
    "twisted": Suite(
        None,
        "",
        ("--pyargs", "twisted.test.test_udp", "-k", "Multicast"),
        without={"skipped": 16},
        within={"passed": 15, "skipped": 1},
    ),
}


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Namespace]:
    """Network namespace with loopback only."""
    namespace = Namespace.create()
    with namespace:
        connection = netlink.Netlink()
    connection.run(netlink.link(1, up=True))
    connection.close()
    yield namespace
    namespace.close()


@pytest.fixture(params=SUITES)
def suite(request: pytest.FixtureRequest) -> Suite:
    """Each suite."""
    return SUITES[request.param]


@pytest.fixture
def folder(suite: Suite) -> Iterator[Path]:
    """Directory with the tests of the suite, readable for everybody, and nothing else of its project."""
    with tempfile.TemporaryDirectory(prefix="pytest-mcast-") as name:
        path = Path(name)
        path.chmod(0o777)
        (path / "pytest.ini").write_text(suite.ini)
        if suite.archive is not None:
            with tarfile.open(Path(os.environ["SUITES"], suite.archive)) as archive:
                top = suite.archive.removesuffix(".tar.gz")
                members = [each for each in archive if each.name.startswith(f"{top}/{suite.folder}/")]
                if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and later
                    archive.extraction_filter = tarfile.data_filter
                archive.extractall(path, members)  # noqa: S202 - of the package index, by its version
            (path / top / suite.folder).rename(path / suite.folder)
        if suite is SUITES["aiocoap"]:
            for support in (Path(__file__).parent / "aiocoap").glob("*.py"):
                shutil.copy(support, path / "tests")
        for each in path.rglob("*"):
            each.chmod(0o755 if each.is_dir() else 0o644)
        yield path


@pytest.fixture(autouse=True)
def nobody_knows_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them (python-can) skip tests where this variable is set."""
    monkeypatch.delenv("CI", raising=False)


def _run(runner: Runner, sandbox: Namespace, suite: Suite, *options: str) -> Counts:
    with sandbox:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
        result = runner([*command, *suite.arguments, *options], timeout=300)
    last = result.stdout.strip().splitlines()[-1] if result.stdout.strip() else result.stderr
    counts = {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|skipped|error)", last)}
    assert counts, result.stdout + result.stderr
    print(last)
    if counts != suite.without:
        print(result.stdout[-4000:])  # pytest shows it when the numbers are others than expected
    return counts


def test_without_the_flag_they_fail_or_skip(sandbox: Namespace, suite: Suite, folder: Path) -> None:
    assert _run(Runner(folder), sandbox, suite) == suite.without


@pytest.mark.parametrize("options", [[], ["-n2"]], ids=["alone", "-n2"])
@pytest.mark.parametrize("who", ["as we are", "ordinary user"])
def test_with_the_flag_they_pass(sandbox: Namespace, suite: Suite, folder: Path, who: str, options: list[str]) -> None:
    runner = Runner(folder, [sys.executable, str(AS_USER)] if who == "ordinary user" else [])
    assert _run(runner, sandbox, suite, "--mcast-lab", *options) == suite.within
