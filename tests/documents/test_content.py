"""YAML as plain data: what it means, where it stands, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pytest_mcast.documents.content import List, Map, Place, read_content


class Refused(Exception):  # noqa: N818 - it is what is asked for
    """The place and the text."""


def read(text: str | bytes) -> Any:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return read_content(data, Refused)


def refused(text: str | bytes) -> tuple[Place, str]:
    with pytest.raises(Refused) as caught:
        read(text)
    place, said = caught.value.args
    assert "\n" not in said
    return place, said


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (text, text)
            for text in ("no", "on", "yes", "y", "2020-01-02", "1:30", "12:30:45", "1_000", "=", "<<", "0b1")
        ),
        *((text, None) for text in ("null", "Null", "NULL", "~", "")),
        *((text, True) for text in ("true", "True", "TRUE")),
        *((text, False) for text in ("false", "False", "FALSE")),
        *(("017", 17), ("-0", 0), ("+12", 12), ("0x1F", 31), ("0o17", 15)),
        *(("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("1.", 1.0), (".inf", math.inf), ("-.Inf", -math.inf)),
        *(
            ('"1"', "1"),
            ("'true'", "true"),
            ("'it''s'", "it's"),
            ('"a\\tb\\u00e9"', "a\tb\u00e9"),
            ("|\n  a\n  b\n", "a\nb\n"),
        ),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    found = read(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(read(".nan"))


def test_keys_are_texts_as_they_are_written() -> None:
    content = read("{1: a, 1.0: b, true: c, null: d, ~: e, no: f, 'x': g}")
    assert content == {"1": "a", "1.0": "b", "true": "c", "null": "d", "~": "e", "no": "f", "x": "g"}


def test_everything_knows_its_place() -> None:
    content = read("a: {b: [1, {c: 2}],\n    'd': x}\ne:\n  - - f\n    - g: h\n  - &k\n    i: j\nl: *k\n")
    assert isinstance(content, Map)
    assert content.keys_at == {"a": (1, 1), "e": (3, 1), "l": (8, 1)}
    assert content.values_at == {"a": (1, 4), "e": (4, 3), "l": (8, 4)}
    assert content["a"].keys_at == {"b": (1, 5), "d": (2, 5)}
    assert content["a"].values_at == {"b": (1, 8), "d": (2, 10)}
    assert isinstance(content["a"]["b"], List)
    assert content["a"]["b"].items_at == [(1, 9), (1, 12)]
    assert content["e"].items_at == [(4, 5), (6, 5)]
    assert content["e"][0][1].values_at == {"g": (5, 10)}
    assert content["l"] is content["e"][1]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_move_nothing(end: str) -> None:
    content = read(("a: 1\nb: {c: \u00e92}\n").replace("\n", end).encode("utf-8-sig"))
    assert content["b"].values_at == {"c": (2, 8)}
    assert content == {"a": 1, "b": {"c": "\u00e92"}}


def test_nothing_at_all_is_none() -> None:
    assert [read(text) for text in ("", "\n# a comment\n", "---\n", "---\n...\n")] == [None] * 4


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("!!python/object/apply:os.system", "!!python/object/apply:os.system"),
        ("!!python/name:os.system", "!!python/name:os.system"),
        ("!!str", "!!str"),
        ("!!binary", "!!binary"),
        ("!<tag:example.org,2000:x>", "tag:example.org,2000:x"),
        ("!local", "!local"),
    ],
)
@pytest.mark.parametrize("value", ["[id]", "{a: id}", "id"])
def test_a_tag_constructs_nothing(tag: str, name: str, value: str) -> None:
    assert refused(f"a:\n  - {tag} {value}\n") == (
        (2, 5),
        f"the tag {name!r} has no meaning here, nor has any; leave it out",
    )


def test_an_alias_repeats_what_has_the_anchor() -> None:
    assert read("a: &x {b: 1}\nc: [*x, *x]\nd: &y e\n*y : f") == {
        "a": {"b": 1},
        "c": [{"b": 1}, {"b": 1}],
        "d": "e",
        "e": "f",
    }


def test_an_alias_needs_an_anchor_before_it() -> None:
    assert refused("a: &left 1\nb: *lift\n") == (
        (2, 4),
        "the alias '*lift': there is no such anchor before it; did you mean 'left'? allowed: left",
    )
    assert refused("a: &self [*self]\n")[0] == (1, 11)


def test_a_bomb_of_aliases_ends_in_an_error() -> None:
    lines = ["a0: &a0 [" + ", ".join(["lol"] * 9) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 30)]
    place, text = refused("\n".join(lines))
    assert place[0] == 6
    assert text == "the alias '*a4': aliases repeat more than 100000 values"


@pytest.mark.parametrize(
    "text", ["[" * 1000, "{a: " * 1000, "- " * 100_000, "".join(f"{' ' * n}a:\n" for n in range(500))]
)
def test_deep_nesting_ends_in_an_error(text: str) -> None:
    assert refused(text)[1].startswith("what is here is nested 41 levels deep; allowed: 40")


@pytest.mark.parametrize(
    ("data", "place", "text"),
    [
        ("a: 1\na: 2", (2, 1), "the key 'a' is there twice; the first is in line 1"),
        ("{a: 1, 'a': 2}", (1, 8), "the key 'a' is there twice; the first is in line 1"),
        ("a: 1\n---\nb: 1", (2, 1), "not one YAML document: a second begins here, after '---'"),
        ("? [a]\n: b", (1, 3), "the key ['a'] is a list, where a text belongs"),
        ("a: b: c", (1, 5), "not YAML: mapping values are not allowed here; the line is 'a: b: c'"),
        ("a:\n\t- b", (2, 1), "not YAML: found character '\\t' that cannot start any token; the line is '- b'"),
        ("a: [1\n", (2, 1), "not YAML: expected ',' or ']', but got '<stream end>'; it is a blank line, or the end"),
        ('a: "\\UFFFFFFFF"', (1, 1), "not YAML: what follows cannot be read; the line is 'a: \"\\\\UFFFFFFFF\"'"),
        ('a: "\\ud800"', (1, 4), "'\\ud800' has half of a surrogate pair, which is no character"),
        ("a: 1\nb: x\x00", (2, 5), "not YAML: the character U+0000 has no place in a text"),
        ("a: 1\r\nb: \ufffe", (2, 4), "not YAML: the character U+FFFE has no place in a text"),
        (b"a: 1\nb: \xc3\xa9\xff", (2, 5), "not YAML in UTF-8: the byte 0xff belongs to no character (invalid start byte); save it as UTF-8"),
        (b"\xef\xbb\xbfa: \xff", (1, 4), "not YAML in UTF-8: the byte 0xff belongs to no character (invalid start byte); save it as UTF-8"),
        ("a: 1".encode("utf-16"), (1, 1), "not YAML in UTF-8: it begins like UTF-16; save it as UTF-8"),
        ("a: " + "1" * 41, (1, 4), f"'{'1' * 41}' is a number of 41 digits"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said_with_its_place(data: str | bytes, place: Place, text: str) -> None:
    assert refused(data) == (place, text)
