"""Shared by the tests: what must not be left behind, and the ordinary user."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

AS_USER = Path(__file__).parent / "support" / "as_user.py"

RunAsUser = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Fail a test that leaves a thread running."""
    before = set(threading.enumerate())
    yield
    left = [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()]
    assert not left, f"threads left running: {left}"


@pytest.fixture
def run_as_user(tmp_path: Path) -> RunAsUser:
    """Function that runs a command as an ordinary user: ``run([...], **options of subprocess.run)``."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    for directory in tmp_path.parents:
        if directory.stat().st_uid == os.geteuid() and directory != Path(directory.anchor):
            directory.chmod(directory.stat().st_mode | 0o011)

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "XDG_", "COVERAGE"))
        }
        environment.update(HOME=str(home), PYTHONDONTWRITEBYTECODE="1")
        return subprocess.run(  # type: ignore[call-overload,no-any-return]  # its overloads cannot take **options
            [sys.executable, str(AS_USER), *command],
            **{"cwd": home, "env": environment, "text": True, "capture_output": True, "timeout": 60, **options},
        )

    return run
