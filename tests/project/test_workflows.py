"""What GitHub would run, as far as that can be known here; docs/ci.md says what cannot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast.report import read

from ..conftest import WITHOUT_ANYIO
from ..support.programs import program

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_actionlint_has_nothing_to_say() -> None:
    # It hands what steps run to shellcheck.
    command = [program("actionlint"), "-no-color", "-shellcheck", program("shellcheck"), *map(str, WORKFLOWS)]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(WORKFLOWS) == 2


@pytest.mark.parametrize("name", ["ci", "platforms"])
def test_actionlint_has_nothing_to_say_about_the_examples(tmp_path: Path, name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text()
    (example,) = re.findall(r"^```yaml\n(jobs:\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "example.yml").write_text(f"on: push\n{example}")
    result = subprocess.run(
        [program("actionlint"), tmp_path / "example.yml"], text=True, capture_output=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_shellcheck_has_nothing_to_say_about_what_ci_runs() -> None:
    result = subprocess.run(
        [program("shellcheck"), str(ROOT / ".ci" / "run")], text=True, capture_output=True, check=False
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_and_may_only_read(path: Path) -> None:
    text = path.read_text()
    actions = re.findall(r"uses: (.*)", text)
    assert actions
    for action in actions:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert "\npermissions:\n  contents: read\n" in text
    assert ": write" not in text


# Steps that a sandbox cannot do: they set up a new machine.
SET_UP = {"Let ordinary users have network namespaces", "Programs in other languages", "Install"}
GH = """\
#!/bin/sh
# Instead of GitHub's: there is one run, or none, and its report is a directory.
case "$1 $2" in
"api repos/"*) test ! -e published-before || echo 4711 ;;
"run download") cp -r published-before published ;;
esac
"""


def _steps(job: str) -> list[dict[str, Any]]:
    from ruamel.yaml import YAML

    jobs: dict[str, Any] = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "matrix.yml")["jobs"]
    steps: list[dict[str, Any]] = jobs[job]["steps"]
    machines = {one["machine"]: one for one in jobs["run"]["strategy"]["matrix"]["include"]}
    for step in steps:
        for key, value in machines["linux"].items():
            step["run"] = step.get("run", "").replace(f"${{{{ matrix.{key} }}}}", value)
    return [step for step in steps if step["run"] and step["name"] not in SET_UP]


class Sandbox:
    """A checkout with a smaller matrix, in which steps run like on GitHub's runners."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "scenarios").mkdir()
        shutil.copy(ROOT / "pyproject.toml", path)
        for name in ("machines", "loopback"):
            shutil.copy(ROOT / "scenarios" / f"{name}.mcast.yaml", path / "scenarios")
        (path / "bin").mkdir()
        (path / "bin" / "gh").write_text(GH)
        (path / "bin" / "gh").chmod(0o755)
        self.summary = path / "summary.md"

    def run(self, job: str) -> subprocess.CompletedProcess[str]:
        """Run the steps of a job, in one shell each, until one fails; return the last."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))},
            "PATH": os.pathsep.join([str(self.path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTEST_ADDOPTS": WITHOUT_ANYIO,
            "GITHUB_REPOSITORY": "owner/name",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "BRANCH": "main",
        }
        for step in _steps(job):
            result = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.path,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=60,
                check=False,
            )
            if result.returncode != 0:
                break
        return result

    def upload(self, name: str, *files: str) -> None:
        """Put files where the other job, or the next run, finds them."""
        (self.path / name).mkdir(parents=True)
        for file in files:
            (self.path / file).rename(self.path / name / file)

    def outcomes(self, path: str) -> Counter[tuple[str, str]]:
        """Count the cells of a record by receiver and outcome."""
        return Counter((cell.key["receiver"], cell.outcome) for cell in read(self.path / path).cells)


def test_the_jobs_of_the_matrix_do_what_they_are_to(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    result = sandbox.run("run")
    assert result.returncode == 0, result.stdout
    here = {("linux", "pass"): 4, ("solo", "pass"): 4, ("macos", "not-run"): 4, ("windows", "not-run"): 4}
    assert sandbox.outcomes("record.json") == here

    # The records of macOS and Windows are missing, and nothing has been published yet.
    sandbox.upload("records", "record.json")  # as of a single artifact, which gets no folder
    result = sandbox.run("report")
    assert result.returncode == 0, result.stdout
    assert sandbox.outcomes("record.json") == here
    assert "machines.mcast.yaml" in sandbox.summary.read_text()
    assert "<html" in (tmp_path / "matrix.html").read_text()

    # The next run, to which the record of Linux is missing too, is compared with this one.
    sandbox.upload("published-before", "record.json")
    shutil.rmtree(tmp_path / "records")
    result = sandbox.run("report")
    assert sandbox.outcomes("record.json") == {(name, "not-run"): 4 for name in ("linux", "solo", "macos", "windows")}
    assert result.returncode == 1, result.stdout
    assert "8 regressions" in result.stdout
