"""Shared by the tests: what must not be left behind, and the ordinary user."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest

# What the pytests inside of tests do is not for the summary of the job in which these tests run.
for _name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
    os.environ.pop(_name, None)

# Who is started in the background of a script has SIGINT ignored, as has all that he starts: programs that tests end by it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

AS_USER = Path(__file__).parent / "support" / "as_user.py"
#: The plugin of anyio imports trio, which doubles the time that pytest takes to start; no run that we start uses it.
WITHOUT_ANYIO = "-p no:anyio"
os.environ["PYTEST_ADDOPTS"] = f"{os.environ.get('PYTEST_ADDOPTS', '')} {WITHOUT_ANYIO}".strip()
# Where scapy keeps what it has made of its tables, which takes it a third of its start: runs have homes of their own.
os.environ.setdefault("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))

# What the doctor itself dies of is a line in the report of a failure, which nobody would miss here; see below.
_DOCTOR = re.compile(r"the doctor has failed|the check failed")


class Runner:
    """Runs commands in a directory ``home``, behind ``prefix``."""

    def __init__(self, home: Path, prefix: Sequence[str] = ()) -> None:
        self.home = home
        self.prefix = prefix
        #: Whether this is another user than we are.
        self.ordinary = bool(prefix)

    def __call__(
        self, command: Sequence[str], typed: str | None = None, timeout: float = 60, *, doctor_fails: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, ``timeout`` seconds at the most; that the doctor fails there must be said before."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
        environment.update(HOME=str(self.home), PYTHONDONTWRITEBYTECODE="1", PYTEST_ADDOPTS=WITHOUT_ANYIO)
        if self.ordinary:  # who may not go there
            environment.pop("XDG_CACHE_HOME", None)
        result = subprocess.run(
            [*self.prefix, *command],
            cwd=self.home,
            env=environment,
            input=typed,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        assert doctor_fails or not _DOCTOR.search(result.stdout), result.stdout
        return result

    def write(self, source: str, name: str = "test_it.py") -> None:
        """Write a file, without the indentation of the source."""
        (self.home / name).write_text(textwrap.dedent(source))


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test in which the doctor has failed: in its own report, or in the output of a pytest inside (pytester)."""
    report = yield
    said = [report.longreprtext, *(content for _, content in report.sections)]
    if report.when == "call" and any(map(_DOCTOR.search, said)):
        report.outcome = "failed"
        report.longrepr = report.longrepr or "the doctor has failed; see the captured output"
    return report


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Fail a test that leaves a thread running."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()]
    assert not left, f"threads left running: {left}"


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The same without anyio: it takes PYTEST_ADDOPTS away."""
    monkeypatch.setenv("PYTEST_ADDOPTS", WITHOUT_ANYIO)
    return pytester


@pytest.fixture
def run_as_user() -> Iterator[Runner]:
    """Runner that is an ordinary user, with a home of its own."""
    # Not tmp_path, whose parents are for the owner only.
    with tempfile.TemporaryDirectory(prefix="pytest-mcast-") as home:
        os.chmod(home, 0o777)  # noqa: S103 - nobody's files go there
        yield Runner(Path(home), [sys.executable, str(AS_USER)])


@pytest.fixture
def home(tmp_path: Path) -> Runner:
    """Runner that is who we are, for what cannot depend on that."""
    return Runner(tmp_path)


# Who is an ordinary user already is both.
@pytest.fixture(params=["as-we-are", "ordinary-user"] if os.geteuid() == 0 else ["as-we-are"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    """Runner for both kinds of user, one after the other."""
    if request.param == "ordinary-user":
        ordinary: Runner = request.getfixturevalue("run_as_user")
        return ordinary
    return Runner(tmp_path)
