"""Cores by name, in modules, in files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_mcast import MissingCapability
from pytest_mcast.cores import (
    BuiltInCore,
    CoreError,
    DescriptionError,
    ExpectedFailure,
    ExternalCore,
    ExternalSender,
    NaiveCore,
    ReceiveCore,
    find_any,
    find_core,
    shipped_cores,
    shipped_senders,
)
from pytest_mcast.cores.registry import _DESCRIPTIONS

from ..support.broken_cores import BROKEN
from .support import described

IN_PROCESS = ["builtin", "builtin-asyncio", "naive"]
MODULE = """
from pytest_mcast import MissingCapability
from pytest_mcast.cores import BuiltInCore, NaiveCore

class Mine(BuiltInCore):
    name = "mine"

class Absent(Mine):
    @property
    def version(self):
        raise MissingCapability("programs", "there is none", "install it")

class Half:
    name = "half"
    version = "1"

class Needs:
    def __init__(self, what):
        pass

class Holder:
    core = Mine()

def make():
    return NaiveCore()

ready_made = Mine()
_private = 1
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module with cores in it, that nobody else uses."""
    name = f"cores_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def refusal(what: str, *more: ReceiveCore) -> str:
    with pytest.raises(CoreError) as info:
        find_core(what, more)
    return str(info.value)


def test_those_of_the_package_are_found_by_name() -> None:
    assert list(shipped_cores())[:3] == IN_PROCESS
    assert isinstance(find_core("builtin"), BuiltInCore)
    assert isinstance(find_core("naive"), NaiveCore)


def test_each_that_is_shipped_has_the_name_it_is_found_by() -> None:
    assert {name: make().name for name, make in shipped_cores().items()} == {name: name for name in shipped_cores()}
    assert {name: make().name for name, make in shipped_senders().items()} == {name: name for name in shipped_senders()}
    files = {path.stem for path in _DESCRIPTIONS.glob("*")}
    assert files == {*shipped_cores(), *shipped_senders()} - set(IN_PROCESS)


def test_an_unknown_name_is_named_with_the_nearest() -> None:
    text = refusal("bultin")
    assert text.startswith(
        "there is no receive core 'bultin'; did you mean 'builtin'? there are builtin, builtin-asyncio, naive"
    )
    assert text.endswith(", module:attribute, and FILE.yaml")
    assert refusal("quite another").startswith(
        "there is no receive core 'quite another'; there are builtin, builtin-asyncio, naive"
    )


def test_those_of_plugins_are_found_too_and_first() -> None:
    mine, other = BROKEN["late"](), dataclasses.replace(BROKEN["late"](), name="naive")
    assert find_core("late", [mine, other]) is mine
    assert find_core("naive", [mine, other]) is other
    text = refusal("lat", mine)
    assert "did you mean 'late'?" in text
    assert ", late, module:attribute" in text


@pytest.mark.parametrize(
    ("attribute", "name"),
    [("Mine", "mine"), ("ready_made", "mine"), ("make", "naive"), ("Holder.core", "mine"), ("Absent", "mine")],
)
def test_an_attribute_is_a_core_or_makes_one(module: str, attribute: str, name: str) -> None:
    core = find_core(f"{module}:{attribute}")
    assert core.name == name
    assert core is not find_core(f"{module}:{attribute}") or attribute in ("ready_made", "Holder.core")


def test_its_version_is_not_asked_for_yet(module: str) -> None:
    try:
        core = find_core(f"{module}:Absent")
    except MissingCapability as missing:  # which would be a skip
        pytest.fail(str(missing))
    with pytest.raises(MissingCapability):
        _ = core.version


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        ("Mien", "there is no 'Mien' in it; there is Absent, BuiltInCore, Half, Holder, Mine, "),
        ("", "there is no '' in it; there is Absent"),
        ("Holder.cor", "there is no 'cor' in it; there is core"),
        ("Needs", "cannot be made without arguments: TypeError: "),
    ],
)
def test_an_attribute_that_is_none_is_named(module: str, attribute: str, text: str) -> None:
    assert refusal(f"{module}:{attribute}").startswith(f"receive core '{module}:{attribute}': {text}")


def test_versions_of_a_finding_that_are_none_are_refused() -> None:
    known = ExpectedFailure("filter.group", "a reason", "below 2")
    text = refusal("mine", dataclasses.replace(BROKEN["late"](), name="mine", expected_failures=(known,)))
    assert text.endswith("of filter.group: versions='below 2' does not say which versions, as '>=0.2.7,<0.4' does")


def test_what_is_no_core_is_named_with_what_it_lacks(module: str) -> None:
    text = refusal(f"{module}:Half")
    assert text.startswith(f"receive core '{module}:Half' is <{module}.Half object at ")
    assert text.endswith(", which has no capabilities, expected_failures, open; see pytest_mcast.cores.ReceiveCore")
    assert "is 1, which has no name, version, capabilities, " in refusal(f"{module}:_private")


@pytest.mark.parametrize(
    ("name", "source", "text"),
    [
        ("no_such_module_4711", None, "ModuleNotFoundError: No module named 'no_such_module_4711'"),
        ("", None, "ValueError: Empty module name"),
        (".relative", None, "TypeError: "),
        ("wrong_4711", "1 +", "SyntaxError: invalid syntax"),
        ("raising_4711", "raise RuntimeError('not today')", "RuntimeError: not today"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str | None, text: str
) -> None:
    if source is not None:
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert refusal(f"{name}:Core").startswith(f"receive core '{name}:Core': cannot import {name!r}: {text}")


@pytest.mark.parametrize("suffix", [".yaml", ".yml"])
def test_a_file_describes_one(tmp_path: Path, suffix: str) -> None:
    described(tmp_path)
    path = (tmp_path / "small.yaml").rename(tmp_path / f"small{suffix}")
    core = find_core(str(path))
    assert isinstance(core, ExternalCore)
    assert core.name == "small"


def test_a_relative_file_is_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert find_core("small.yaml").name == "small"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_core("~/small.yaml").name == "small"


def test_a_file_that_is_no_good_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    assert refusal(str(path)) == f"cannot read the description {path}: No such file or directory"
    path.mkdir()
    assert refusal(str(path)) == f"cannot read the description {path}: Is a directory"
    path.rmdir()
    path.write_text("")
    with pytest.raises(DescriptionError, match="the file is empty"):
        find_core(str(path))


def test_senders_are_found_by_those_who_want_either(tmp_path: Path) -> None:
    described(tmp_path, kind="sender", name="small_send", ready=None, datagram=None)
    path = str(tmp_path / "small.yaml")
    assert isinstance(find_any(path), ExternalSender)
    assert refusal(path) == f"{path} describes a sender, small_send, where a receiver belongs"
    assert isinstance(find_any("builtin"), BuiltInCore)
    assert all(isinstance(find_any(name), ExternalSender) for name in shipped_senders())
    with pytest.raises(CoreError, match="there is no receive core 'nobody'"):
        find_any("nobody")
