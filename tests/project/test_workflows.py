"""What GitHub would run, as far as that can be known here; docs/ci.md says what cannot."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ..support.programs import program

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_actionlint_has_nothing_to_say() -> None:
    # It hands what steps run to shellcheck.
    command = [program("actionlint"), "-no-color", "-shellcheck", program("shellcheck"), *map(str, WORKFLOWS)]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(WORKFLOWS) == 2


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
