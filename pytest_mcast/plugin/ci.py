"""Which job of a CI system this is, by the variables that these systems document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["describe_ci"]


@dataclass(frozen=True)
class _System:
    """A CI system: the variable that tells it, and templates of its variables; the first that is whole counts."""

    name: str
    sign: str
    commit: str
    job: tuple[str, ...]
    url: tuple[str, ...]


_ACTIONS_URL = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}"
_SYSTEMS = (
    # https://docs.github.com/en/actions/reference/workflows-and-actions/variables
    _System("GitHub Actions", "GITHUB_ACTIONS", "{GITHUB_SHA}", ("{GITHUB_WORKFLOW} / {GITHUB_JOB}", "{GITHUB_JOB}"),
            (_ACTIONS_URL + "/attempts/{GITHUB_RUN_ATTEMPT}", _ACTIONS_URL)),
    # https://docs.gitlab.com/ci/variables/predefined_variables/
    _System("GitLab CI", "GITLAB_CI", "{CI_COMMIT_SHA}", ("{CI_JOB_NAME}",), ("{CI_JOB_URL}",)),
    # https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables
    _System("Jenkins", "JENKINS_URL", "{GIT_COMMIT}", ("{JOB_NAME}",), ("{BUILD_URL}",)),
    # https://learn.microsoft.com/en-us/azure/devops/pipelines/build/variables
    _System("Azure Pipelines", "TF_BUILD", "{BUILD_SOURCEVERSION}", ("{SYSTEM_JOBDISPLAYNAME}", "{AGENT_JOBNAME}"),
            ("{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",)),
    # https://circleci.com/docs/variables/
    _System("CircleCI", "CIRCLECI", "{CIRCLE_SHA1}", ("{CIRCLE_JOB}",), ("{CIRCLE_BUILD_URL}",)),
    # https://buildkite.com/docs/pipelines/configure/environment-variables
    _System("Buildkite", "BUILDKITE", "{BUILDKITE_COMMIT}", ("{BUILDKITE_LABEL}",),
            ("{BUILDKITE_BUILD_URL}#{BUILDKITE_JOB_ID}", "{BUILDKITE_BUILD_URL}")),
)  # fmt: skip


def describe_ci(environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``ci``, ``commit``, ``job`` and ``job_url``, as far as they are known; nothing outside of CI."""
    system = next((system for system in _SYSTEMS if environ.get(system.sign)), None)
    if system is None:
        return {}
    templates = {"ci": (system.name,), "commit": (system.commit,), "job": system.job, "job_url": system.url}
    facts = {name: _first(choices, environ) for name, choices in templates.items()}
    return {name: value for name, value in facts.items() if value}


def _first(templates: tuple[str, ...], environ: Mapping[str, str]) -> str:
    present = {name: value for name, value in environ.items() if value}
    for template in templates:
        try:
            return template.format_map(present)
        except KeyError:
            continue
    return ""
