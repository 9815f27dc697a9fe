"""Subjects of scenario files: what is asked of them before they are believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_mcast import Lab, MissingCapability
from pytest_mcast.scenarios import Unready

from .stages import Play

Open = Callable[..., Play]

FILE = """
hosts: {one: virtual}
subjects: {it: {sender: it.yaml%s}}
matrix: {sender: [it@one], family: [ipv4], mode: [asm]}
"""
SENDER = """
name: it
kind: sender
install: apt-get install it
version: {command: %s, pattern: 'version (?P<version>\\S+)'}
command: [sh, -c, "exit 3", it, "{group}", "{port}", "{payload}", "{count}", "{ttl}", "{address}"]
"""


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Open]:
    with Lab() as lab, ExitStack() as stack:

        def opened(command: str, more: str = "") -> Play:
            (tmp_path / "it.yaml").write_text(SENDER % command)
            made = Play(lab, tmp_path, FILE % more, (), 5.0)
            stack.callback(made.close)
            return made

        yield opened


def _sender(opened: Play) -> object:
    station = opened.stage.station("one")
    return opened.stage.world.subjects.sender(opened.scenario.subjects["it"], "ipv4", "asm", station)


def test_a_version_that_cannot_be_read_says_nothing_about_what_was_to_be_tested(play: Open) -> None:
    text = "the version of it is not in echo hello: .*, and the subject it is to be >=1"
    with pytest.raises(Unready, match=text):
        play("[echo, hello]", ", version: '>=1'")()


def test_a_version_that_cannot_be_read_is_none_of_the_files_business_if_it_wants_none(play: Open) -> None:
    assert _sender(play("[echo, hello]"))


def test_a_program_that_is_run_by_a_shell_is_missing_when_its_version_command_is(play: Open) -> None:
    with pytest.raises(MissingCapability, match="there is no program 'no_such_program' for it") as error:
        play("[no_such_program, -V]")()
    assert error.value.remedy == "apt-get install it"
