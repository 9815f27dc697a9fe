"""The hosts of a file: what is said of them, and what is left when one cannot be made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_mcast import Lab
from pytest_mcast.lab import VirtualHost
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


def test_a_host_whose_sysctl_fails_is_made_once_and_not_kept(
    play: Open, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, remove = lab.host, lab.remove
    made, removed = list[VirtualHost](), list[VirtualHost]()

    def host(*arguments: Any, **options: Any) -> VirtualHost:
        made.append(make(*arguments, **options))
        return made[-1]

    def note(host: VirtualHost) -> None:
        remove(host)
        removed.append(host)

    monkeypatch.setattr(lab, "host", host)
    monkeypatch.setattr(lab, "remove", note)
    opened = play("hosts: {one: {virtual: {sysctl: {net.ipv4.no_such_thing: 1}}}}\n")
    for _ in range(3):
        with pytest.raises(Unready, match=r"host one: cannot set net\.ipv4\.no_such_thing to '1': No such file"):
            opened.stage.station("one")
    assert len(made) == 1
    assert removed == made
