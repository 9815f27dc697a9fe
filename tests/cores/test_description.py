"""Descriptions of programs: what they mean, and how mistakes in them are reported."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from pathlib import Path

import pytest

from pytest_mcast.catalogue import matching
from pytest_mcast.core.channels import FAMILIES, MODES
from pytest_mcast.cores import FIELDS, Description, DescriptionError, ExpectedFailure, read_description
from pytest_mcast.cores.behaviours import BEHAVIOURS
from pytest_mcast.cores.description import GROUPS, schema
from pytest_mcast.cores.registry import _DESCRIPTIONS
from pytest_mcast.cores.runner import KINDS
from pytest_mcast.cores.sending import SENDING

LEAST = """\
name: small
kind: receiver
command: [small, "{group}"]
datagram: ["got (?P<payload>.*)"]
"""
SENDER = """\
name: small_send
kind: sender
command: [small, "{payload}"]
"""
FULL = r"""
name: small-1.x
kind: receiver
title: A small program
install: apt-get install small
families: [ipv6]
modes: [ssm, asm]
version:
  command: ["{bin}/small", --version]
  pattern: 'small (?P<version>\S+)'
command:
  - "{directory}/small"
  - {when: ssm, words: [-s, "{source}", {when: ipv6, words: ["[{source}]"]}]}
  - "{group}:{port}@{interface}"
environment: {WHERE: "{address} {index} {{}}"}
ready: ^ready
datagram:
  - '^(?P<source>\S+) (?P<source_port>\d+)$'
  - '^(?:(?P<payload>\w+)|0x(?P<payload_hex>.*))$'
payload_limit: 64
error: 'E (?P<error>.*)'
stop: SIGINT
expected_failures:
  - {behaviour: several.groups, reason: It loses flows, versions: ">=0.2.7,<0.4", kinds: [ipv4-asm]}
  - {behaviour: filter.port, reason: It does not look}
"""


def read(directory: Path, text: str) -> Description:
    path = directory / "small.yaml"
    path.write_text(text)
    return read_description(path)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    found = read(tmp_path, FULL)
    assert (found.name, found.kind, found.title) == ("small-1.x", "receiver", "A small program")
    assert (found.install, found.families, found.modes) == ("apt-get install small", ("ipv6",), ("ssm", "asm"))
    assert found.version is not None
    assert (found.version.command, found.version.file) == (("{bin}/small", "--version"), None)
    assert (found.program, found.directory) == ("{directory}/small", tmp_path)
    assert list(found.words({"ipv6", "ssm"}))[1:] == ["-s", "{source}", "[{source}]", "{group}:{port}@{interface}"]
    assert list(found.words({"ipv4", "ssm"}))[1:] == ["-s", "{source}", "{group}:{port}@{interface}"]
    assert list(found.words({"ipv4", "asm"}))[1:] == ["{group}:{port}@{interface}"]
    assert found.environment == {"WHERE": "{address} {index} {{}}"}
    assert found.ready == re.compile("^ready")
    assert [pattern.groups for pattern in found.datagram] == [2, 2]
    assert found.fields == {"source", "source_port", "payload"}  # no length: of a long one it tells a part
    assert (found.payload_limit, found.stop) == (64, "SIGINT")
    assert found.error == re.compile("E (?P<error>.*)")
    assert found.expected_failures == (
        ExpectedFailure("several.groups", "It loses flows", ">=0.2.7,<0.4", ("ipv4-asm",)),
        ExpectedFailure("filter.port", "It does not look"),
    )


def test_the_least_that_must_be_said(tmp_path: Path) -> None:
    found = read(tmp_path, LEAST)
    assert (found.families, found.modes, found.stop) == (FAMILIES, MODES, "SIGTERM")
    assert (found.version, found.ready, found.error, found.payload_limit) == (None, None, None, None)
    assert (found.title, found.install, found.environment, found.expected_failures) == ("", "", {}, ())
    assert found.fields == {"payload", "length"}


def test_a_sender(tmp_path: Path) -> None:
    found = read(tmp_path, SENDER + 'environment: {N: "{count} {ttl}"}\n')
    assert (found.kind, found.datagram, found.environment["N"]) == ("sender", (), "{count} {ttl}")
    known = read(tmp_path, SENDER + "expected_failures: [{behaviour: send.ttl, reason: It is always 1}]\n")
    assert known.expected_failures == (ExpectedFailure("send.ttl", "It is always 1"),)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "1:1", "the file is empty; it must be a mapping that has at least name, kind, command"),
        ("- a\n", "1:1", "the file is a list; it must be a mapping that has at least name, kind, command"),
        ("just text\n", "1:1", "the file is a text; it must be a mapping that has at least name, kind, command"),
        ("name: [\n", "2:1", "not YAML: expected the node content, but found '<stream end>'"),
        (LEAST + "name: again\n", "5:1", "the key 'name' is there twice; the first is in line 1"),
        (LEAST + "---\n", "5:1", "not one YAML document: a second begins here"),
        ("kind: receiver\ncommand: [a]\n", "1:1", "the file lacks the key 'name'"),
        ("name: a\nkind: receiver\ncommand: [a]\n", "1:1", "a receiver lacks the key 'datagram'"),
        (LEAST + "datagrams: []\n", "5:1", "the file has no key 'datagrams'; did you mean 'datagram'? allowed: comm"),
        (LEAST + "7: x\n", "5:1", "the file has no key '7'; allowed: command, datagram, "),
        (LEAST.replace("receiver", "reciever"), "2:7", "kind: 'reciever' is not allowed; did you mean 'receiver'?"),
        (
            LEAST.replace("small\n", "1small\n"),
            "1:7",
            "name: '1small' is not made of letters, digits, '_', '.' and '-', ",
        ),
        (LEAST + "title: 7\n", "5:8", "title: 7 is a number, where a text belongs"),
        (LEAST + "title:\n", "5:1", "title is blank, where a text belongs"),
        (LEAST + "ready: [a]\n", "5:1", "ready: ['a'] is a list, where a text belongs"),
        (LEAST + "families: [ipv4, ip6]\n", "5:18", "families.1: 'ip6' is not allowed; did you mean 'ipv6'?"),
        (LEAST + "modes: []\n", "5:1", "modes is empty"),
        (LEAST + "modes: [asm, asm]\n", "5:14", "modes.1: 'asm' is there twice"),
        (LEAST + "payload_limit: 0\n", "5:16", "payload_limit: 0 is not allowed; allowed: 1 to more"),
        (LEAST + "payload_limit: yes\n", "5:16", "payload_limit: 'yes' is a text, where a whole number belongs"),
        (LEAST + "payload_limit: true\n", "5:16", "payload_limit: true is a truth value, where a whole number belongs"),
        (
            LEAST + "stop: SIGKILL\n",
            "5:7",
            "stop: 'SIGKILL' is not allowed; did you mean 'SIGINT'? allowed: SIGTERM, SIGINT, SIGHUP",
        ),
        (LEAST + "environment: {A: 1}\n", "5:18", "environment.A: 1 is a number, where a text belongs"),
        # The command.
        (LEAST.replace('[small, "{group}"]', "small"), "3:10", "command: 'small' is a text, where a list belongs"),
        (LEAST.replace('[small, "{group}"]', "[]"), "3:1", "command is empty"),
        (LEAST.replace("[small,", '["",'), "3:11", "command.0 is empty"),
        (
            LEAST.replace("[small,", "[{when: asm, words: [small]},"),
            "3:11",
            "command.0: {'when': 'asm', 'words': ['small']} is a mapping, where a text belongs",
        ),
        (LEAST.replace("[small,", "[small, 7,"), "3:18", "command.1: 7 is a number, where a text belongs"),
        (
            LEAST.replace("[small,", "[small, {when: ssn, words: [a]},"),
            "3:25",
            "command.1.when: 'ssn' is not allowed; did you mean 'ssm'? allowed: ipv4, ipv6, asm, ssm",
        ),
        (LEAST.replace("[small,", "[small, {when: ssm},"), "3:18", "command.1 lacks the key 'words'"),
        (
            LEAST.replace("[small,", "[small, {when: ssm, word: [a], words: [a]},"),
            "3:30",
            "command.1 has no key 'word'; did you mean 'words'? allowed: when, words",
        ),
        (LEAST.replace("[small,", "[small, {when: ssm, words: []},"), "3:30", "command.1.words is empty"),
        # Placeholders.
        (LEAST.replace("{group}", "{grup}"), "3:18", "'{grup}': there is no {grup}; did you mean 'group'? allowed: gr"),
        (LEAST.replace("{group}", "{}"), "3:18", "'{}': there is no {}; allowed: group, port, "),
        (LEAST.replace("{group}", "{group"), "3:18", "'{group': expected '}' before end of string; a brace itself is "),
        (LEAST.replace("{group}", "a}"), "3:18", "'a}': Single '}' encountered in format string; a brace itself is wr"),
        (LEAST.replace("{group}", "{group.x}"), "3:18", "'{group.x}': there is no {group.x}; did you mean 'group'?"),
        (LEAST.replace("{group}", "{port:5}"), "3:18", "'{port:5}': a placeholder is a name alone, {port}"),
        (LEAST.replace("{group}", "{port!r}"), "3:18", "'{port!r}': a placeholder is a name alone, {port}"),
        (LEAST.replace("{group}", "{count}"), "3:18", "'{count}': there is no {count}; "),  # that is a sender's
        (LEAST.replace("[small,", '["{group}",'), "3:11", "'{group}': there is no {group}; allowed: directory"),
        (
            LEAST.replace("[small,", '[small, {when: ssm, words: [a, "{sauce}"]},'),
            "3:41",
            "'{sauce}': there is no {sauce}; did you mean 'source'?",
        ),
        (LEAST + 'environment: {A: "{x}"}\n', "5:18", "'{x}': there is no {x}; allowed: group, port, source, "),
        # Patterns.
        (LEAST + "ready: '('\n", "5:8", "ready: '(' is not a regular expression: missing ), unterminated subpattern"),
        (LEAST + "ready: '(?P<source>.)'\n", "5:8", "ready: there is no group 'source'; allowed: none"),
        (
            LEAST + "error: '(?P<eror>.)'\n",
            "5:8",
            "error: there is no group 'eror'; did you mean 'error'? allowed: err",
        ),
        (
            LEAST.replace("?P<payload>", "?P<payloads>"),
            "4:12",
            "datagram.0: there is no group 'payloads'; did you mean 'payload'? allowed: source, source_port, ",
        ),
        (LEAST.replace('["got (?P<payload>.*)"]', '[a, "*"]'), "4:15", "datagram.1: '*' is not a regular expression: "),
        (LEAST.replace('["got (?P<payload>.*)"]', "[]"), "4:1", "datagram is empty"),
        # The version.
        (LEAST + "version: {file: a}\n", "5:1", "version lacks the key 'pattern'"),
        (LEAST + "version: {pattern: '(?P<version>.)'}\n", "5:1", "version has either a file or a command"),
        (
            LEAST + "version: {pattern: '(?P<version>.)', file: a, command: [a]}\n",
            "5:1",
            "version has either a file or a command",
        ),
        (LEAST + "version: {file: a, pattern: a}\n", "5:29", "version.pattern lacks the group (?P<version>...)"),
        (
            LEAST + "version: {file: a, pattern: '(?P<v>.)'}\n",
            "5:29",
            "version.pattern: there is no group 'v'; allowed: version",
        ),
        (
            LEAST + 'version: {file: "{group}", pattern: a}\n',
            "5:17",
            "'{group}': there is no {group}; allowed: bin, directory",
        ),
        (
            LEAST + 'version: {command: [a, "{x}"], pattern: a}\n',
            "5:24",
            "'{x}': there is no {x}; allowed: bin, direct",
        ),
        # Senders.
        (SENDER + "datagram: [a]\n", "4:1", "a sender has no datagram"),
        (SENDER + "ready: a\n", "4:1", "a sender has no ready"),
        (SENDER + "payload_limit: 7\n", "4:1", "a sender has no payload_limit"),
        # Known findings.
        (
            LEAST + "expected_failures: [{behaviour: filter.port}]\n",
            "5:21",
            "expected_failures.0 lacks the key 'reason'",
        ),
        (
            LEAST + "expected_failures: [{behaviour: groups, reason: a}]\n",
            "5:33",
            "expected_failures.0.behaviour: 'groups' is not made of an area, a dot and a name, as several.groups is",
        ),
        (
            LEAST + "expected_failures: [{behaviour: filter.port, reason: a, versions: old}]\n",
            "5:67",
            "expected_failures.0.versions: 'old' does not say which versions, as >=0.2.7,<0.4 does",
        ),
        (
            LEAST + "expected_failures: [{behaviour: filter.port, reason: a, kinds: [ipv4]}]\n",
            "5:65",
            "expected_failures.0.kinds.0: 'ipv4' is not allowed; ",
        ),
    ],
)
def test_mistakes_are_named_with_line_and_column(tmp_path: Path, text: str, where: str, message: str) -> None:
    with pytest.raises(DescriptionError) as info:
        read(tmp_path, text)
    assert str(info.value).startswith(f"{tmp_path / 'small.yaml'}:{where}: {message}")


def test_what_is_not_utf_8_is_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(DescriptionError, match=r"small\.yaml:1:7: not YAML in UTF-8: the byte 0xff"):
        read_description(path)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_description(tmp_path / "none.yaml")


SHIPPED = sorted(_DESCRIPTIONS.glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_those_that_are_shipped_are_good(path: Path) -> None:
    found = read_description(path)
    assert found.name == path.stem
    assert (found.kind == "sender") == path.stem.endswith("_send")  # so the registry need not read them
    assert found.title
    assert found.install
    assert found.version
    known = [one.id for one in BEHAVIOURS] + list(SENDING) + [case.id for case, _, _ in matching(KINDS)]
    assert {one.behaviour for one in found.expected_failures} <= set(known)


def test_a_finding_may_be_of_several_behaviours_and_of_chance(tmp_path: Path) -> None:
    item = "{behaviour: [filter.group, several.groups], reason: a, kinds: [ipv6-asm], sometimes: true}"
    found = read(tmp_path, f"{LEAST}expected_failures: [{item}]\n")
    assert found.expected_failures == tuple(
        ExpectedFailure(name, "a", kinds=("ipv6-asm",), sometimes=True) for name in ("filter.group", "several.groups")
    )
    with pytest.raises(
        DescriptionError, match=r"expected_failures\.0\.behaviour: 7 is a number, where a text or a list belongs"
    ):
        read(tmp_path, LEAST + "expected_failures: [{behaviour: 7, reason: a}]\n")


def test_schema_and_loader_know_the_same_keys() -> None:
    keys = set(schema()["properties"])
    assert keys == {one.name for one in dataclasses.fields(Description)} - {"directory"}
    assert set(schema()["required"]) <= keys


def test_the_schema_knows_the_kinds_of_channel() -> None:
    properties = schema()["properties"]
    assert properties["families"]["items"]["enum"] == list(FAMILIES)
    assert properties["modes"]["items"]["enum"] == list(MODES)
    conditions = schema()["$defs"]["words"]["items"]["oneOf"][1]["properties"]["when"]["enum"]
    assert conditions == [*FAMILIES, *MODES]
    kinds = properties["expected_failures"]["items"]["properties"]["kinds"]["items"]["enum"]
    assert kinds == ["-".join(kind) for kind in KINDS]


def test_groups_of_records_tell_all_fields() -> None:
    assert set(GROUPS.values()) == set(FIELDS)


def test_the_loader_takes_what_the_schema_gives_an_editor(tmp_path: Path) -> None:
    """Every key of the schema, with a value that it allows, is in what is loaded."""
    text = textwrap.dedent(FULL)
    found = read(tmp_path, text)
    default = read(tmp_path, LEAST)
    for key in schema()["properties"]:
        if key != "kind":
            assert getattr(found, key) != getattr(default, key), key


def test_every_behaviour_can_be_a_known_finding(tmp_path: Path) -> None:
    items = "".join(f"  - {{behaviour: {one.id}, reason: a}}\n" for one in BEHAVIOURS)
    found = read(tmp_path, f"{LEAST}expected_failures:\n{items}")
    assert [one.behaviour for one in found.expected_failures] == [one.id for one in BEHAVIOURS]
