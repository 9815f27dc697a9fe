"""Broken scenario files by the hundred: each gives one clear sentence with its place, or loads because nothing is wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_mcast.scenarios import ScenarioError, load

SEED = 20
GOOD = (
    """\
title: Two hosts
hosts:
  one: {virtual: {interfaces: {eth0: quiet}}}
  two: {virtual: {interface: eth1, interfaces: {eth1: quiet}}, notes: x}
links:
  quiet: {snooping: true, igmp_version: 2}
subjects:
  mcrx: {receiver: mcrx_recv, sender: mctx_send}
matrix:
  sender: [one, mcrx@one]
  receiver: [two]
  family: [ipv4]
  size: [1, 1472]
  exclude:
    - {sender: one, mode: asm}
rules:
  - cells: {size: 1472}
    expect: fail
    reason: too large
""",
    """\
hosts:
  here: local
  mac: {remote: "ssh=me@mac.example//python=python3", interface: en0}
  android:
    status: planned
    reason: none yet
steps:
  twice: [join, send, leave, {send: {arrives: false}}, join, {send: {count: 1}}]
matrix:
  sender: [here]
  receiver: [mac, android]
  mode: [asm]
  steps: [deliver, twice]
  include:
    - {sender: mac, receiver: here, family: ipv6, mode: ssm, scope: site-local, marks: [odd]}
requires: [ipv4-asm]
""",
    """\
links: {left: {}, right: {mtu: 1400}}
routers:
  r1: {interfaces: {eth0: left, eth1: right}}
hosts:
  one: {virtual: {interfaces: {eth0: left}}}
  two: {virtual: {interfaces: {eth0: right}}}
matrix:
  sender: [one]
  receiver: [two]
  family: [ipv6]
  scope: [site-local, global]
  ttl: [2, 7]
""",
)
WORDS = [
    *("on", "no", "true", "null", "~", "", "1", "-1", "0", "70000", "1e3", "1e999", ".nan", "-.inf", "0x1F", "0o17"),
    *(
        "9" * 400,
        "9" * 5000,
        "2020-01-02",
        "12:30:45",
        "1_000",
        "'",
        '"',
        '"\\UFFFFFFFF"',
        '"\\uD800"',
        '"\\0"',
        "'a\n\n b'",
    ),
    *(
        "!!python/object:os.system x",
        "!!python/object/apply:os.system [id]",
        "!!int '3'",
        "!foo {}",
        "!!binary aGk=",
        "! x",
    ),
    *(
        "*nowhere",
        "&a x",
        "[one",
        "{one: ",
        "[]",
        "{}",
        "[[one]]",
        "{a: {b: c}}",
        "[one, one]",
        "<<: x",
        "? x",
        "|\n  x",
        ">",
    ),
    *(
        "@",
        "`",
        "%",
        "#",
        ", ",
        ": ",
        "- x",
        "---",
        "...",
        "\u2028",
        "\ufeff",
        "\x00",
        "\x07",
        "\x85",
        "\t",
        "\U0001f600",
    ),
    *(
        "one@",
        "@one",
        "a@b@c",
        "mcrx@nowhere",
        "one two",
        "../x.yaml",
        "/dev/zero",
        "x" * 3000,
        "FILE.yaml",
        "os:system",
    ),
]
INSERTS = [
    *(
        "\ttab: 1\n",
        "<<: {a: b}\n",
        "title: again\n",
        "hosts: {three: virtual}\n",
        "---\n",
        "--- {}\n",
        "...\nx\n",
        "\x00\n",
    ),
    *(
        "? [a, b]\n: c\n",
        "- item\n",
        "just text\n",
        "%YAML 3.0\n",
        "!!set {a}\n",
        "include: [nowhere.yaml]\n",
        "include: [a.mcast.yaml]\n",
    ),
    *(
        "matirx: {}\n",
        "Title: x\n",
        "on: x\n",
        "1: x\n",
        "null: x\n",
        "'a\\nb': x\n",
        '"a\\nb": x\n',
        "notes: &n [*n]\n",
        "a: &a {<<: *a}\n",
    ),
    *(
        "steps: {deliver: [join, send]}\n",
        "steps: {x: [send]}\n",
        "steps: {x: [join]}\n",
        "steps: {x: [join, join, send]}\n",
    ),
    *(
        "links: {lan: {igmp_version: 3}}\n",
        "hosts: {}\n",
        "marks: [xfail]\n",
        "marks: [a b]\n",
        "requires: [root]\n",
        "rules: []\n",
    ),
    *(
        "rules: [{cells: {}}]\n",
        "rules: [{cells: {ttl: 1}, marks: [x]}]\n",
        "rules: [{expect: fail}]\n",
        "[" * 5000 + "\n",
    ),
]


def _lines(change: Callable[[random.Random, str], str]) -> Callable[[random.Random, str], str]:
    def changed(choice: random.Random, text: str) -> str:
        lines = text.splitlines(keepends=True)
        number = choice.randrange(len(lines))
        lines[number] = change(choice, lines[number])
        return "".join(lines)

    return changed


def _of_word(change: Callable[[random.Random, str], str]) -> Callable[[random.Random, str], str]:
    def changed(choice: random.Random, text: str) -> str:
        match = choice.choice(list(re.finditer(r"[\w.@>-]+", text)))
        return text[: match.start()] + change(choice, match.group()) + text[match.end() :]

    return changed


def _misspell(choice: random.Random, word: str) -> str:
    at = choice.randrange(len(word))
    return choice.choice([word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], word.swapcase(), word + "s"])


def _at_a_character(choice: random.Random, text: str) -> str:
    at = choice.randrange(len(text))
    return text[:at] + choice.choice("{}[]:,-\n\t &*!|>'\"%@`#?~\x00\u00e9") + text[at + choice.randint(0, 1) :]


MUTATIONS: dict[str, Callable[[random.Random, str], str]] = {
    "word": _of_word(lambda choice, _: choice.choice(WORDS)),
    "spelling": _of_word(_misspell),
    "swap": lambda choice, text: _of_word(lambda _, __: choice.choice(re.findall(r"[\w.@>-]+", text)))(choice, text),
    "delete": _lines(lambda _, __: ""),
    "twice": _lines(lambda _, line: line * 2),
    "indent": _lines(lambda choice, line: choice.choice(["  ", "    ", "\t", " "]) + line),
    "outdent": _lines(lambda _, line: line.lstrip()),
    "insert": _lines(lambda choice, line: choice.choice(INSERTS) + line),
    "end": lambda choice, text: text + choice.choice(INSERTS),
    "cut": lambda choice, text: text[: choice.randrange(len(text))],
    "character": _at_a_character,
}


def _bytes(choice: random.Random, text: str) -> bytes:
    """Encode a text, now and then in another way."""
    data = text.encode("utf-8", "surrogatepass")
    odd = choice.random()
    if odd < 0.03:
        return text.encode(choice.choice(["utf-16", "utf-16-le", "utf-32"]), "surrogatepass")
    if odd < 0.06:
        at = choice.randrange(len(data) + 1)
        return data[:at] + choice.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x80"]) + data[at:]
    if odd < 0.12:
        return b"\xef\xbb\xbf" + data
    return data.replace(b"\n", b"\r\n") if odd < 0.18 else data


def _broken(count: int) -> Iterator[tuple[str, bytes]]:
    choice = random.Random(SEED)  # noqa: S311 - nothing secret
    for number in range(count):
        text = GOOD[number % len(GOOD)]
        names = choice.choices(list(MUTATIONS), k=choice.choice([1, 1, 1, 2]))
        for name in names:
            text = MUTATIONS[name](choice, text or "x")
        yield f"{number} {'+'.join(names)}", _bytes(choice, text)


def _complaint(path: Path, data: bytes) -> str | None:
    """Load bytes; return the text of the error, or None if there is none. Every other exception is passed on."""
    path.write_bytes(data)
    try:
        load(path)
    except ScenarioError as error:
        return str(error)
    return None


def _flaw(path: Path, data: bytes, text: str) -> str | None:
    """Return what is wrong with an error."""
    match = re.fullmatch(rf"{re.escape(str(path))}:(\d+):(\d+): (.+)", text)
    if match is None:
        return "it is not one line that begins with the place"
    line, column = int(match[1]), int(match[2])
    lines = re.split(r"\r\n|\n|\r", data.decode("utf-8-sig", "replace"))
    if not 1 <= line <= len(lines):
        return f"there are {len(lines)} lines"
    if not 1 <= column <= len(lines[line - 1]) + 1:
        return f"the line has {len(lines[line - 1])} characters"
    if len(text) > 600 + len(str(path)):
        return "it is too long"
    if re.search(r"Traceback|Error\b|0x[0-9a-f]{6,}|<.* at ", match[3]):
        return "it is not in words"
    names = r"'.+'|\w\.\d+ |levels|key |[\w.]+(: | is blank| is empty| has none of the keys )|the file (is|lacks) |U\+[0-9A-F]+|the byte|UTF-16|a blank line"
    return None if re.search(names, match[3]) else "it names neither a value nor a key"


def test_the_good_ones_are_good(tmp_path: Path) -> None:
    assert [_complaint(tmp_path / "a.mcast.yaml", text.encode()) for text in GOOD] == [None] * len(GOOD)


def test_broken_files_have_clear_errors(tmp_path: Path) -> None:
    path = tmp_path / "a.mcast.yaml"
    harmless, errors, flaws = 0, set[str](), list[str]()
    for name, data in _broken(320):
        text = _complaint(path, data)
        if text is None:
            harmless += 1
            continue
        errors.add(text)
        flaw = _flaw(path, data, text)
        if flaw is not None:
            flaws.append(f"{name}: {flaw}: {text!r}")
    assert flaws == []
    assert len(errors) >= 200
    assert harmless > 10  # not everything is a mistake


@pytest.mark.parametrize("number", range(len(INSERTS)))
def test_each_insertion_by_itself(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.mcast.yaml"
    data = (GOOD[0] + INSERTS[number]).encode("utf-8")
    text = _complaint(path, data)
    assert text is not None
    assert _flaw(path, data, text) is None, text
