"""What the tests stand on: programs that are installed for them, and an ordinary user who can run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import AS_USER, Runner
from ..support.programs import program

PROGRAMS = AS_USER.with_name("programs.py")


def _fake(directory: Path, name: str, says: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)


def _install(directory: Path, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAMS, directory],
        env={"PATH": str(home), "HOME": str(home)},
        text=True,
        capture_output=True,
        check=False,
    )


def test_missing_tools_are_named_with_the_version_and_the_remedy(tmp_path: Path) -> None:
    result = _install(tmp_path / "programs", tmp_path)
    assert result.returncode == 1
    rust = "Rust 1.88 or later is needed, and there is no rustc on PATH; install it from https://rustup.rs"
    assert result.stderr.splitlines() == [
        f"mcrx-core 0.3.0: error: {rust}",
        f"mctx-core 0.3.1: error: {rust}",
        "programs in Go: error: Go 1.18 or later is needed, and there is no go on PATH; apt-get install golang-go",
        "programs in Node: error: Node 18.3 or later is needed, and there is no node on PATH; apt-get install nodejs",
        "actionlint 1.7.7: error: Go 1.18 or later is needed, and there is no go on PATH; apt-get install golang-go",
        "SMCRoute: error: there is no smcrouted on PATH, and no apt-get and dpkg to get the package smcroute with",
        "pimd: error: there is no pimd on PATH, and no apt-get and dpkg to get the package pimd with",
    ]


def test_old_tools_are_named_with_their_version(tmp_path: Path) -> None:
    _fake(tmp_path, "rustc", "rustc 1.85.0 x")
    _fake(tmp_path, "node", "v12.22.9")
    _fake(tmp_path, "go", "go version go1.9 linux/amd64")
    result = _install(tmp_path / "programs", tmp_path)
    assert result.returncode == 1
    for text in ("Rust 1.88 or later is needed, and this is 1.85.0", "this is 12.22.9", "this is 1.9;"):
        assert text in result.stderr


def test_what_is_there_in_the_right_version_is_not_installed_again(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("mcrx_recv", "mcrx_recv_meta", "mcrx_tokio_recv"):
        _fake(tmp_path / "bin", name, "nothing")
    record = tmp_path / ".crates.toml"
    record.write_text('[v1]\n"mcrx-core 0.3.0 (registry+https://example.org)" = []\n')
    assert "mcrx-core 0.3.0: is there" in _install(tmp_path, tmp_path).stdout
    record.write_text('[v1]\n"mcrx-core 0.3.01 (registry+https://example.org)" = []\n')
    assert "mcrx-core 0.3.0: error: Rust 1.88" in _install(tmp_path, tmp_path).stderr


def test_a_program_that_is_missing_is_a_skip_but_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is missing"):
        program("no-such-program")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match=r"no-such-program is missing, which \.ci/run installs"):
        program("no-such-program")


def test_an_ordinary_user_reaches_programs_below_a_closed_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    bin_directory = tmp_path / "programs" / "bin"
    bin_directory.mkdir(parents=True)
    _fake(bin_directory, "hello-programs", "$(id -u) $(cat $(dirname $0)/../version)")
    (tmp_path / "programs" / "version").write_text("1.2.3")
    result = subprocess.run(
        [sys.executable, AS_USER, "hello-programs"],
        env={**os.environ, "PATH": f"{bin_directory}:{os.environ['PATH']}"},
        text=True,
        capture_output=True,
        check=False,
    )
    user = os.geteuid() or 65534
    assert (result.stdout, result.stderr) == (f"{user} 1.2.3\n", "")


def test_no_pytest_that_tests_start_loads_anyio(pytester: pytest.Pytester, home: Runner) -> None:
    test = "import sys\n\ndef test_it():\n    assert 'anyio' not in sys.modules"
    pytester.makepyfile(test)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    home.write(test)
    assert home([sys.executable, "-m", "pytest"]).returncode == 0
