"""Scenario files that include others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mcast.scenarios import Scenario, ScenarioError, load


def _load(directory: Path, **files: str) -> Scenario:
    for name, text in files.items():
        path = directory / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return load(directory / "main.yaml")


def _error(directory: Path, **files: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        _load(directory, **files)
    text = str(caught.value)
    assert text.startswith(f"{directory}/")
    assert "\n" not in text
    return text.replace(f"{directory}/", "")


def test_what_others_declare_can_be_used(tmp_path: Path) -> None:
    scenario = _load(
        tmp_path,
        main="include: [shared/hosts.yaml]\nhosts: {b: {virtual: {interface: eth1, interfaces: {eth0: lan, eth1: quiet}}}}\n"
        "matrix: {sender: [naive@a], receiver: [naive@b], steps: [two]}\n",
        shared__hosts="include: [subjects.yaml]\nhosts: {a: {virtual: {interfaces: {eth0: quiet}}}}\nlinks: {quiet: {snooping: true}}\n",
        shared__subjects="subjects: {naive: {receiver: naive, sender: socat_send}}\nsteps: {two: [join, send, {send: {from: b, arrives: false}}]}\n",
    )
    assert list(scenario.hosts) == ["a", "b"]
    assert list(scenario.links) == ["lan", "quiet"]
    assert list(scenario.subjects) == ["naive"]
    assert scenario.cells[0].id == "ipv4-asm[naive@a->naive@b,steps=two]"
    assert {cell.path for cell in scenario.cells} == {tmp_path / "main.yaml"}


def test_only_declarations_are_taken(tmp_path: Path) -> None:
    other = (
        "title: Other\nnotes: Other\nrequires: [packets]\nmarks: [other]\nhosts: {a: virtual}\n"
        "matrix: {family: [ipv6], include: [{sender: a, receiver: a, family: ipv4, mode: asm}]}\n"
        "rules: [{cells: {family: ipv6}, expect: fail, reason: x}]\n"
    )
    scenario = _load(tmp_path, main="include: [other.yaml]\nmatrix: {family: [ipv4]}\n", other=other)
    assert (scenario.title, scenario.notes) == ("", "")
    assert [cell.id for cell in scenario.cells] == ["ipv4-asm[a->a]", "ipv4-ssm[a->a]"]
    assert {(cell.requires, cell.marks, cell.expectation.outcome) for cell in scenario.cells} == {((), (), "pass")}


def test_the_cells_of_included_hosts_without_a_matrix_begin_the_file(tmp_path: Path) -> None:
    scenario = _load(tmp_path, main="# nothing else\ninclude: [other.yaml]\n", other="hosts: {a: virtual}\n")
    assert {(cell.line, cell.column) for cell in scenario.cells} == {(1, 1)}


def test_a_file_that_two_others_include_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes
    names = []

    def note(path: Path) -> bytes:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", note)
    scenario = _load(
        tmp_path,
        main="include: [left.yaml, right.yaml]\n",
        left="include: [base.yaml]\nhosts: {l: virtual}\n",
        right=f"include: [../{tmp_path.name}/base.yaml]\nhosts: {{r: virtual}}\n",
        base="hosts: {b: virtual}\n",
    )
    assert list(scenario.hosts) == ["b", "l", "r"]
    assert names == ["main.yaml", "left.yaml", "base.yaml", "right.yaml"]


def test_descriptions_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    scenario = _load(
        tmp_path,
        main="include: [shared/subjects.yaml]\nhosts: {a: virtual}\n",
        shared__subjects="subjects: {mine: {receiver: mine.yaml}}\n",
        shared__mine="{name: mine, kind: receiver, command: [mine], datagram: ['.*']}",
    )
    assert scenario.subjects["mine"].receiver == str(tmp_path / "shared" / "mine.yaml")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"main": "hosts: {a: virtual}\ninclude:\n  - othr.yaml\n", "other": ""},
            "main.yaml:3:5: include.0: there is no file 'othr.yaml'; did you mean 'other.yaml'?",
        ),
        ({"main": "include: [.]\n"}, "main.yaml:1:11: include.0: there is no file '.' beside this one"),
        ({"main": 'include: ["a\\0b"]\n'}, "main.yaml:1:11: include.0: there is no file 'a\\x00b' beside this one"),
        (
            {"main": "include: [main.yaml]\n"},
            "main.yaml:1:11: include.0: 'main.yaml' ends in itself: main.yaml includes main.yaml",
        ),
        (
            {"main": "include: [a.yaml]\n", "a": "include: [b.yaml]\n", "b": "title: x\ninclude: [./a.yaml]\n"},
            "b.yaml:2:11: include.0: './a.yaml' ends in itself: main.yaml includes a.yaml includes b.yaml includes a.yaml",
        ),
        (
            {"main": "include: [a.yaml, a.yaml]\n", "a": "hosts: {x: local}\n"},
            "main.yaml:1:19: include.1: 'a.yaml' is there twice",
        ),
        (
            {"main": "include: [a.yaml]\nhosts:\n  x: local\n", "a": "title: A\nhosts: {x: local}\n"},
            "main.yaml:3:3: hosts: the name 'x' is in a.yaml, line 2, already; choose another one",
        ),
        (
            {"main": "include: [a.yaml]\nhosts: {x: local}\n", "a": "hosts: {y: locall}\n"},
            "a.yaml:1:12: hosts.y: 'locall' is not allowed; did you mean 'local'? allowed: virtual, local",
        ),
        (
            {"main": "include: [a.yaml]\nhosts: {x: local}\n", "a": "steps: {s: [join, send: {from: z}]}\n"},
            "a.yaml:1:32: steps.s.1.send.from: there is no host 'z'; allowed: x",
        ),
        (
            {"main": "include: [a.yaml]\n", "a": ""},
            "a.yaml:1:1: the file is empty; it must be a mapping that has some of t",
        ),
        (
            {"main": "include: [a.yaml]\n", "a": "links: {l: {}}\n"},
            "main.yaml:1:1: the file lacks the key 'hosts', and so do those that it includes",
        ),
        (
            {"main": "hosts: {x: local}\nsubjects: {m: {receiver: mine.yaml}}", "mine": "name: mine\nkin: receiver\n"},
            "mine.yaml:1:1: the file lacks the key 'kind'",
        ),
        (
            {
                "main": "hosts: {x: local}\nsubjects: {m: {sender: mine.yaml}}",
                "mine": "{name: mine, kind: receiver, command: [mine], datagram: ['.*']}",
            },
            "main.yaml:2:24: subjects.m.sender: 'mine.yaml' describes a receiver, no sender",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_file(tmp_path: Path, files: dict[str, str], message: str) -> None:
    text = _error(tmp_path, **files)
    assert text.startswith(message), text


def test_a_long_chain_ends_in_an_error(tmp_path: Path) -> None:
    files = {f"f{n}": f"include: [f{n + 1}.yaml]\n" for n in range(200)}
    assert "is included through 20 other files" in _error(tmp_path, main="include: [f0.yaml]\n", **files)


def test_a_file_that_cannot_be_read_is_an_error_of_the_include(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "a.yaml":
            raise PermissionError(13, "Permission denied")  # which root never sees
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    text = _error(tmp_path, main="include: [a.yaml]\n", a="hosts: {x: local}\n")
    assert text == "main.yaml:1:11: include.0: cannot read 'a.yaml': Permission denied"
    with pytest.raises(PermissionError):
        load(tmp_path / "a.yaml")
