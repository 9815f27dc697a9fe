"""The table of behaviour by core."""

from __future__ import annotations

import platform

from pytest_mcast import __version__
from pytest_mcast.cores import ExpectedFailure
from pytest_mcast.cores.runner import KINDS, SELF_CHECK, Result
from pytest_mcast.report.cores import core_document, core_table

TITLES = {"a.one": "the first", "b.two": "the second", "send.x": "sent"}
KNOWN = ExpectedFailure("a.one", "it is | known", "<2")


def result(core: str, behaviour: str, outcome: str, kind: tuple[str, str] = KINDS[0], **more: object) -> Result:
    version = "" if outcome == "skipped" else "1.0"
    return Result(core, version, behaviour, *kind, outcome, **more)  # type: ignore[arg-type]


def cells(*results: Result) -> list[list[str]]:
    lines = [line for line in core_table(results, TITLES) if line.startswith("|")]
    return [[cell.strip() for cell in line.replace("\\|", "!").split("|")[1:-1]] for line in lines if "|--" not in line]


def notes(*results: Result) -> list[str]:
    return [line for line in core_table(results, TITLES) if line[:1].isdigit()]


def test_rows_are_in_the_order_of_the_titles_and_columns_in_that_of_the_cores() -> None:
    assert cells(
        result("y", "b.two", "pass"),
        result("y", "a.one", "pass"),
        result("x", SELF_CHECK, "pass"),
        result("x", "b.two", "unsupported", reason="why not"),
    ) == [["", "y 1.0", "x 1.0"], [SELF_CHECK, "", "yes"], ["a.one", "yes", ""], ["b.two", "yes", "n/a"]]


def test_kinds_are_named_where_they_differ() -> None:
    def outcomes(*words: str) -> str:
        found = [result("x", "a.one", word, kind) for word, kind in zip(words, KINDS, strict=True)]
        return cells(*found)[1][1]

    assert outcomes("pass", "pass", "pass", "pass") == "yes"
    assert outcomes("pass", "pass", "unsupported", "unsupported") == "yes for IPv4; n/a for IPv6"
    assert outcomes("pass", "unsupported", "pass", "unsupported") == "yes for ASM; n/a for SSM"
    assert outcomes("unsupported", "pass", "pass", "pass") == "n/a for IPv4 ASM; yes for IPv4 SSM, IPv6 ASM, IPv6 SSM"


def test_a_failure_has_a_note_with_what_was_measured() -> None:
    new = result("x", "a.one", "fail", reason="it lost <2> of them\nand more")
    assert cells(new)[1] == ["a.one", "no (1)"]
    assert notes(new) == ["1. x, a.one, new: it lost \\<2> of them"]


def test_a_known_failure_says_since_when_and_why() -> None:
    known = result("x", "a.one", "fail", reason="it lost 2", expected=KNOWN)
    (note,) = notes(known)
    assert note.replace("\\", "") == "1. x, a.one, known, versions <2: it is | known. Measured: it lost 2"


def test_a_new_failure_is_not_hidden_by_a_known_one_of_another_kind() -> None:
    both = [
        result("x", "a.one", "fail", KINDS[0], reason="as ever", expected=KNOWN),
        result("x", "a.one", "fail", KINDS[1], reason="this is new"),
    ]
    assert cells(*both)[1][1] == "no for IPv4 ASM (1); no for IPv4 SSM (2)"
    assert notes(*both)[1] == "2. x, a.one, new: this is new"


def test_a_pass_where_a_failure_is_known_has_a_note() -> None:
    passed = result("x", "a.one", "pass", expected=KNOWN)
    assert cells(passed)[1][1] == "yes (1)"
    (note,) = notes(passed)
    expected = "1. x, a.one: it passed, where a finding is known, versions <2: it is | known"
    assert note.replace("\\", "") == expected


def test_one_that_is_absent_has_one_note() -> None:
    absent = [result("x", name, "skipped", reason="programs: none; get one") for name in TITLES]
    assert [row[1] for row in cells(*absent)] == ["x", "absent (1)", "absent (1)", "absent (1)"]
    assert notes(*absent) == ["1. x: programs: none; get one"]


def test_an_error_says_what() -> None:
    error = result("x", "a.one", "error", reason="it did not pass its self-check")
    assert cells(error)[1][1] == "error (1)"
    assert notes(error) == ["1. x, a.one, new: it did not pass its self-check"]


def test_the_document_says_what_was_measured_and_how() -> None:
    text = "\n".join(
        core_document("pytest-mcast cores x", [result("x", "a.one", "pass")], [result("y", "send.x", "pass")], TITLES)
    )
    assert text.startswith("# What receive cores do\n")
    assert "| a.one     | the first  |" in text
    assert "the second" not in text  # it was not looked at
    parts = ["## Receivers", "| a.one | yes", "## Senders", "| send.x | yes"]
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert text.endswith(
        f"Measured with pytest-mcast {__version__}, CPython {platform.python_version()}, Linux {platform.release()}, by\n"
        "`pytest-mcast cores x`."
    )
