"""The hosts of a file: what is said of them, and what is left when one cannot be made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_mcast import Lab
from pytest_mcast.scenarios import Unready

from .stages import Play

Open = Callable[..., Play]


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def play(lab: Lab, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(text: str) -> Play:
            made = Play(lab, tmp_path, text, (), 5.0)
            stack.callback(made.close)
            return made

        yield opened


def test_facts_of_a_remote_host_are_the_same_in_every_run(play: Open) -> None:
    text = f'hosts: {{one: {{remote: "popen//python={sys.executable}", interface: lo}}}}\n'
    told = []
    for _ in range(2):
        opened = play(text)
        opened.stage.station("one")
        told.append(opened.stage.facts("one"))
        opened.close()
    assert told[0] == told[1]
    assert list(told[0]) == ["kind", "interface", "remote", "system", "release", "python", "machine"]
