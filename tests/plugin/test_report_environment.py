"""What a run says of where it happened: commit, and job of CI."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_mcast.plugin.ci import describe_ci
from pytest_mcast.plugin.environment import describe_environment, find_commit

GITHUB = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_SHA": "abc",
    "GITHUB_WORKFLOW": "tests",
    "GITHUB_JOB": "matrix",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "o/r",
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "2",
}


@pytest.mark.parametrize(
    ("variables", "ci", "job", "url"),
    [
        (GITHUB, "GitHub Actions", "tests / matrix", "https://github.com/o/r/actions/runs/7/attempts/2"),
        (
            {"GITLAB_CI": "true", "CI_COMMIT_SHA": "abc", "CI_JOB_NAME": "j", "CI_JOB_URL": "https://u"},
            "GitLab CI", "j", "https://u",
        ),
        (
            {"JENKINS_URL": "x", "GIT_COMMIT": "abc", "JOB_NAME": "j", "BUILD_URL": "https://u"},
            "Jenkins", "j", "https://u",
        ),
        (
            {"TF_BUILD": "True", "BUILD_SOURCEVERSION": "abc", "AGENT_JOBNAME": "j", "SYSTEM_COLLECTIONURI": "https://u/",
             "SYSTEM_TEAMPROJECT": "p", "BUILD_BUILDID": "1"},
            "Azure Pipelines", "j", "https://u/p/_build/results?buildId=1",
        ),
        (
            {"CIRCLECI": "true", "CIRCLE_SHA1": "abc", "CIRCLE_JOB": "j", "CIRCLE_BUILD_URL": "https://u"},
            "CircleCI", "j", "https://u",
        ),
        (
            {"BUILDKITE": "true", "BUILDKITE_COMMIT": "abc", "BUILDKITE_LABEL": "j", "BUILDKITE_BUILD_URL": "https://u",
             "BUILDKITE_JOB_ID": "1"},
            "Buildkite", "j", "https://u#1",
        ),
    ],
)  # fmt: skip
def test_the_job_of_ci(variables: dict[str, str], ci: str, job: str, url: str) -> None:
    assert describe_ci(variables) == {"ci": ci, "commit": "abc", "job": job, "job_url": url}


def test_what_ci_does_not_say_is_not_there() -> None:
    assert describe_ci({}) == {}
    assert describe_ci({"GITHUB_ACTIONS": "true", "GITHUB_JOB": "matrix"}) == {"ci": "GitHub Actions", "job": "matrix"}


def _git(path: Path, *arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is missing")
    command = [git, "-c", "user.name=n", "-c", "user.email=e", "-C", str(path), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_the_commit_that_is_checked_out(tmp_path: Path) -> None:
    main, below, tree = tmp_path / "main", tmp_path / "main" / "below", tmp_path / "tree"
    below.mkdir(parents=True)
    _git(main, "init", "-q")
    assert find_commit(main) == ""
    _git(main, "commit", "-q", "--allow-empty", "-m", "one")
    first = _git(main, "rev-parse", "HEAD")
    assert (find_commit(main), find_commit(below)) == (first, first)
    _git(main, "worktree", "add", "-q", "-b", "other", str(tree))
    _git(tree, "commit", "-q", "--allow-empty", "-m", "two")
    assert find_commit(tree) == _git(tree, "rev-parse", "HEAD") != first
    _git(main, "pack-refs", "--all")
    assert find_commit(main) == first
    assert find_commit(tree) == _git(tree, "rev-parse", "HEAD")
    _git(main, "checkout", "-q", "--detach")
    assert find_commit(main) == first


@pytest.mark.parametrize("content", [b"", b"\xff", b"gitdir: /none", b"ref: x"])
def test_an_unusual_repository_has_no_commit(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".git").write_bytes(content)
    assert find_commit(tmp_path) == ""


def test_ci_knows_the_commit_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GITHUB.items():
        monkeypatch.setenv(name, value)
    facts = describe_environment(tmp_path)
    assert (facts["commit"], facts["ci"], facts["job"]) == ("abc", "GitHub Actions", "tests / matrix")
    assert facts["pytest-mcast"]
    assert facts["scapy"]
    assert "" not in facts.values()
