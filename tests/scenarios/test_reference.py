"""The reference of the language: its examples load, and it has every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_mcast.scenarios import ScenarioError, load

from .test_schema import PROPERTIES

REFERENCE = (Path(__file__).parents[2] / "docs" / "scenario-language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", REFERENCE, re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# (\S+\.yaml)\n")


def test_every_example_loads(tmp_path: Path) -> None:
    examples = [text for kind, text in BLOCKS if kind == "yaml"]
    assert len(examples) == 10
    paths = []
    for number, text in enumerate(examples):
        name = NAME.match(text)
        paths.append(tmp_path / (name[1] if name else f"example{number}.mcast.yaml"))
        paths[-1].parent.mkdir(exist_ok=True)
        paths[-1].write_text(text)
    assert [len(load(path).cells) > 0 for path in paths] == [True] * len(paths)


@pytest.mark.parametrize("key", sorted({pointer.rpartition("/")[2] for pointer in PROPERTIES}))
def test_every_key_is_explained(key: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", REFERENCE, flags=re.MULTILINE | re.DOTALL)
    assert re.search(rf"`{key}`", prose)


def test_the_errors_look_like_that(tmp_path: Path) -> None:
    good = "hosts:\n  one: virtual\n  two: virtual\nmatrix:\n  sender: [one]\n  receiver: [two]\n"
    good += "  exclude:\n    - {family: ipv4, mode: asm}\n"
    path = tmp_path / "ours.mcast.yaml"
    changes = (("two: virtual", "two: virtul"), ("sender: [one]", "sender: [oen]"), ("mode: asm", "mode: asn"))
    said = []
    for old, new in changes:
        path.write_text(good.replace(old, new))
        with pytest.raises(ScenarioError) as caught:
            load(path)
        said.append(str(caught.value).removeprefix(f"{tmp_path}/"))
    (shown,) = (text for kind, text in BLOCKS if kind == "text")
    assert shown.splitlines() == said
