"""Scenario files: what they mean, and how mistakes in them are reported."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from pytest_mcast.scenarios import Scenario, ScenarioError, load


def _load(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "a.mcast.yaml"
    path.write_text(textwrap.dedent(text))
    return load(path)


def test_everything_with_everything_is_the_default(tmp_path: Path) -> None:
    scenario = _load(tmp_path, "hosts: {a: virtual, b: virtual}")
    assert len(scenario.cells) == 16
    assert [cell.id for cell in scenario.cells][:3] == ["ipv4-asm[a->a]", "ipv4-ssm[a->a]", "ipv6-asm[a->a]"]


def test_axes_exclude_and_include(tmp_path: Path) -> None:
    scenario = _load(
        tmp_path,
        """
        title: A title
        hosts:
          a: virtual
          b: {virtual: {interface: lo}}
          c: local
        matrix:
          sender: [a, c]
          receiver: [b]
          family: [ipv4]
          exclude:
            - {sender: c, mode: ssm}
          include:
            - {sender: b, receiver: b, family: ipv6, mode: asm}
        """,
    )
    assert [cell.id for cell in scenario.cells] == [
        "ipv4-asm[a->b]",
        "ipv4-ssm[a->b]",
        "ipv4-asm[c->b]",
        "ipv6-asm[b->b]",
    ]
    assert scenario.title == "A title"
    assert [(host.kind, host.interface) for host in scenario.hosts.values()] == [
        ("virtual", "eth0"),
        ("virtual", "lo"),
        ("local", None),
    ]
    assert [cell.line for cell in scenario.cells] == [7, 7, 7, 14]


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "1:1", "the file is empty; it must be a mapping that has some of title, notes"),
        ("- a\n- b\n", "1:1", "the file is a list; it must be a mapping"),
        ("hosts: [\n", "2:1", "not YAML: expected the node content, but found '<stream end>'"),
        ("hosts: {a: virtual}\nhosts: {b: virtual}\n", "2:1", "the key 'hosts' is there twice; the first is in line 1"),
        ("title: x\n", "1:1", "the file lacks the key 'hosts'"),
        ("hosts: {}\n", "1:1", "hosts is empty"),
        ("hosts: {a: virtual}\nmatirx: {}\n", "2:1", "the file has no key 'matirx'; did you mean 'matrix'?"),
        (
            "hosts: {a: virtul}\n",
            "1:12",
            "hosts.a: 'virtul' is not allowed; did you mean 'virtual'? allowed: virtual, l",
        ),
        (
            "hosts: {a: {virtual: {interface: eth1}}}\n",
            "1:34",
            "hosts.a.virtual.interface: there is no interface 'eth1'",
        ),
        ("hosts: {a b: virtual}\n", "1:9", "hosts: the name 'a b' is not made of 1 to 40 letters, digits"),
        ("hosts: {a: virtual}\ntitle: 7\n", "2:8", "title: 7 is a number, where a text belongs"),
        (
            "hosts: {a: virtual}\nmatrix:\n  family: [ipv4, ip6]\n",
            "3:18",
            "matrix.family.1: 'ip6' is not allowed; did you m",
        ),
        ("hosts: {a: virtual}\nmatrix:\n  family: ipv4\n", "3:11", "matrix.family: 'ipv4' is a text, where a list"),
        ("hosts: {a: virtual}\nmatrix:\n  mode: []\n", "3:3", "matrix.mode is empty"),
        (
            "hosts: {alpha: virtual}\nmatrix:\n  sender: [alfa]\n",
            "3:12",
            "matrix.sender.0: there is no host 'alfa'; did you",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  exclude:\n    - {sender: b}\n",
            "4:16",
            "matrix.exclude.0.sender: there is no host 'b'; allowed: a",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  mode: [asm]\n  exclude:\n    - {mode: ssm}\n",
            "5:14",
            "matrix.exclude.0.mode: mode 'ssm' matches no cell; did you mean 'asm'? allowed: asm",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  include:\n    - {sender: a, receiver: a, family: ipv4, mode: asm}\n",
            "4:7",
            "matrix.include.0: ipv4-asm[a->a] is a cell already, of line 2",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  exclude:\n    - {sender: a}\n",
            "2:1",
            "no cell is left: everything is excluded",
        ),
        (
            "hosts: {a: virtual}\nmatrix:\n  include:\n    - {sender: a}\n",
            "4:7",
            "matrix.include.0 lacks the key 'receiver'",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_place(tmp_path: Path, text: str, where: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        _load(tmp_path, text)
    report = str(caught.value)
    assert report.startswith(f"{tmp_path / 'a.mcast.yaml'}:{where}: {message}"), report
    assert "\n" not in report


def test_bytes_that_are_no_text_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.mcast.yaml"
    path.write_bytes(b"hosts: \xff\xfe")
    with pytest.raises(ScenarioError, match="not YAML"):
        load(path)
