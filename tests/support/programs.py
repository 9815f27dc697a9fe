"""``programs.py DIRECTORY``: install the programs that tests run, in other languages and daemons, into DIRECTORY/bin.

Only what is missing, or there in another version. With that directory on PATH, ``program()`` finds them for a test.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["needs", "program"]

_GO_SOURCES = Path(__file__).resolve().parents[2] / "examples" / "cores" / "go"
_GO_PROGRAMS = ("mcast_go_recv", "mcast_go_send")
_ACTIONLINT = "1.7.7"


class _MissingError(Exception):
    """Something is not there; the text says what, and how to get it."""


@dataclass(frozen=True)
class _Crate:
    name: str
    version: str
    programs: tuple[str, ...]
    features: tuple[str, ...] = ()


_CRATES = (
    _Crate("mcrx-core", "0.3.0", ("mcrx_recv", "mcrx_recv_meta", "mcrx_tokio_recv"), ("tokio",)),
    _Crate("mctx-core", "0.3.1", ("mctx_send",)),
)


def program(name: str, *others: str, places: Sequence[str] = ()) -> str:
    """Return the path of a program, or else of another; skips the test where they are missing, or fails it where ``.ci/run`` installs it.

    ``places``: where it may be as well, beside PATH and where daemons are.
    """
    import pytest

    path = os.pathsep.join([os.environ.get("PATH", ""), *places, "/usr/sbin", "/usr/local/sbin"])
    found = next(filter(None, (shutil.which(one, path=path) for one in (name, *others))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing, which .ci/run installs", pytrace=False)
        pytest.skip(f"{name} is missing; .ci/run installs it")
    return found


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test where one of these programs is not installed, but not in CI, where ``.ci/run`` installs them: there it fails."""
    import pytest

    path = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    missing = [name for name in names if shutil.which(name, path=path) is None]
    return pytest.mark.skipif(bool(missing) and not os.environ.get("CI"), reason=f"missing: {', '.join(missing)}")


def _tool(name: str, command: Sequence[str], pattern: str, lowest: tuple[int, int], remedy: str) -> str:
    """Return the version of a tool; raises ``_MissingError`` when there is none, or one below ``lowest``."""
    needed = f"{name} {lowest[0]}.{lowest[1]} or later is needed"
    if shutil.which(command[0]) is None:
        raise _MissingError(f"{needed}, and there is no {command[0]} on PATH; {remedy}")
    output = subprocess.run(command, text=True, capture_output=True, check=False)
    found = re.search(pattern, output.stdout)
    if found is None:
        raise _MissingError(
            f"{needed}, and {' '.join(command)} does not tell: {output.stdout}{output.stderr}; {remedy}"
        )
    if tuple(map(int, found.group(1).split(".")[:2])) < lowest:
        raise _MissingError(f"{needed}, and this is {found.group(1)}; {remedy}")
    return found.group(1)


def _install(command: Sequence[str], **options: object) -> None:
    """Run a command, whose output is the user's to see; raises ``_MissingError`` when it fails."""
    code = subprocess.run(command, check=False, **options).returncode  # type: ignore[call-overload]
    if code != 0:
        raise _MissingError(f"{' '.join(command[:2])} failed with exit code {code}")


def _crate(crate: _Crate, directory: Path) -> str:
    """Install a crate, unless it is there, and say so."""
    record = directory / ".crates.toml"  # which cargo keeps
    there = record.exists() and f'"{crate.name} {crate.version} (' in record.read_text()
    if there and _all_in(directory, crate.programs):
        return "is there"
    _tool("Rust", ["rustc", "--version"], r"rustc (\d+\.\d+\S*)", (1, 88), "install it from https://rustup.rs")
    options = ["--locked", "--quiet", "--force", "--root", str(directory), "--features", ",".join(crate.features)]
    _install(["cargo", "install", f"{crate.name}@={crate.version}", *options])
    return "installed"


def _go(directory: Path) -> str:
    """Build our programs in Go, unless they have been built from the same sources, and say so."""
    digest = hashlib.sha256()
    for path in sorted(path for path in _GO_SOURCES.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(_GO_SOURCES)} {path.stat().st_size} ".encode() + path.read_bytes())
    record = directory / "go-sources.sha256"
    if record.exists() and record.read_text() == digest.hexdigest() and _all_in(directory, _GO_PROGRAMS):
        return "are there"
    version = _tool("Go", ["go", "version"], r"go(\d+\.\d+\S*)", (1, 18), "apt-get install golang-go")
    settings = {"GOBIN": str(directory / "bin"), "CGO_ENABLED": "0"}  # no C compiler
    _install(
        ["go", "install", "-trimpath", "-buildvcs=false", "./..."], cwd=_GO_SOURCES, env={**os.environ, **settings}
    )
    record.write_text(digest.hexdigest())
    return f"built with Go {version}"


def _actionlint(directory: Path) -> str:
    """Build actionlint, which judges .github/workflows, unless it is there, and say so."""
    program = directory / "bin" / "actionlint"
    if program.exists():
        found = subprocess.run([program, "-version"], text=True, capture_output=True, check=False).stdout
        if found.split("\n")[0].removeprefix("v") == _ACTIONLINT:
            return "is there"
    version = _tool("Go", ["go", "version"], r"go(\d+\.\d+\S*)", (1, 18), "apt-get install golang-go")
    settings = {"GOBIN": str(directory / "bin"), "CGO_ENABLED": "0"}
    package = f"github.com/rhysd/actionlint/cmd/actionlint@v{_ACTIONLINT}"
    _install(["go", "install", "-trimpath", package], env={**os.environ, **settings})
    return f"built with Go {version}"


def _unpacked(package: str, name: str, directory: Path) -> str:
    """Unpack a daemon of Debian, unless there is one, and say so; installed, smcroute and pimd exclude each other."""
    if shutil.which(name) or _all_in(directory, [name]):
        return "is there"
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise _MissingError(f"there is no {name} on PATH, and no apt-get and dpkg to get the package {package} with")
    root = directory / "debian" / package
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as download:
        fetch = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package]  # into a directory of ours
        if subprocess.run(fetch, cwd=download, check=False).returncode != 0:
            _install(["apt-get", "update", "-qq"])  # there are no lists, or old ones
            _install(fetch, cwd=download)
        for archive in Path(download).glob("*.deb"):
            _install(["dpkg", "-x", str(archive), str(root)])
    (directory / "bin").mkdir(exist_ok=True)
    link = directory / "bin" / name
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(root / "usr" / "sbin" / name, link.parent))
    return "unpacked"


def _node() -> str:
    """Say which Node it is that runs our programs, which need no installation."""
    version = _tool("Node", ["node", "--version"], r"v(\d+\.\d+\S*)", (18, 3), "apt-get install nodejs")
    return f"Node {version} runs them"


def _all_in(directory: Path, names: Sequence[str]) -> bool:
    return all((directory / "bin" / name).exists() for name in names)


def main(arguments: Sequence[str]) -> int:
    """Install all that can be, and return the exit code."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    os.umask(0o022)  # ordinary users run them as well
    os.environ["PATH"] += f"{os.pathsep}{Path.home() / '.cargo' / 'bin'}"  # where rustup puts it
    directory = Path(arguments[0]).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    steps: dict[str, Callable[[], str]] = {
        **{f"{crate.name} {crate.version}": partial(_crate, crate, directory) for crate in _CRATES},
        "programs in Go": partial(_go, directory),
        "programs in Node": _node,
        f"actionlint {_ACTIONLINT}": partial(_actionlint, directory),
        "SMCRoute": partial(_unpacked, "smcroute", "smcrouted", directory),
        "pimd": partial(_unpacked, "pimd", "pimd", directory),
    }
    code = 0
    for what, step in steps.items():
        try:
            print(f"{what}: {step()}", flush=True)
        except _MissingError as error:
            print(f"{what}: error: {error}", file=sys.stderr, flush=True)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
