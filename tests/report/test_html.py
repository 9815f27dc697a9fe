"""The HTML view, as text: what tests/browser sees in a browser is not repeated here."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

import pytest

from pytest_mcast.report import Cell, Record, Run
from pytest_mcast.report.html import html_page
from pytest_mcast.report.record import EXPECTATIONS, OUTCOMES

from .support import RUN, cell, full


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, tag: str, attribute: str) -> list[str]:
        return [value for name, has in self.elements if name == tag and (value := has.get(attribute)) is not None]


def _page(*cells: Cell, **more: Any) -> str:
    return html_page(Record((RUN,), cells=cells, **more))


def test_everything_in_a_record_is_in_the_page() -> None:
    record = full()
    text = Parsed(html_page(record)).text

    def strings(value: Any) -> set[str]:
        if isinstance(value, str):
            return {value}
        if isinstance(value, (tuple, list)):
            return set().union(*map(strings, value))
        if hasattr(value, "__dict__"):
            return strings(
                [each for name, each in vars(value).items() if name not in ("expectation", "kind", "started")]
            )
        return strings([*value, *value.values()]) if hasattr(value, "values") else set()

    # The names of the members of a key are said in words; what the suite tests is shown where a cell is about it.
    expected = strings(record.runs) | strings(record.files) | strings(record.cells)
    assert (
        expected - {"family", "mode", "sender", "receiver", "ipv4", "asm"} - {each for each in expected if each in text}
        == set()
    )


def test_the_page_allows_its_own_script_and_style_only() -> None:
    page = html_page(full())
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    parsed = Parsed(page)
    assert not parsed.values("script", "src") + parsed.values("img", "src")
    assert [address[:5] for address in parsed.values("link", "href")] == ["data:"]
    assert not [name for _, has in parsed.elements for name in has if name.startswith("on") or name == "style"]


def test_each_cell_has_an_address_that_only_its_key_decides() -> None:
    cells = [
        cell(sender, receiver, "pass")
        for sender in ("one", "a/b", "a%2Fb")
        for receiver in ("x=y&z", "<é>", "mcrx@two")
    ]
    cells.append(replace(cells[0], key={**cells[0].key, "size": "1472", "steps": "re join"}))
    parsed = Parsed(_page(*cells))
    links = [link for link in parsed.values("a", "href") if link.startswith("#cell")]
    assert sorted(unquote(link[1:]) for link in links) == sorted(parsed.values("article", "id"))
    assert len(set(links)) == len(cells)
    assert "#cell=a.mcast.yaml::ipv4/asm/one/mcrx@two" in links
    again = Parsed(_page(*reversed(cells[3:])))  # other cells, another order
    assert set(again.values("article", "id")) < set(parsed.values("article", "id"))
    turned = replace(cells[-1], key=dict(reversed([*cells[-1].key.items()])))
    assert Parsed(_page(turned)).values("article", "id")[0] in parsed.values("article", "id")


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("expectation", EXPECTATIONS)
@pytest.mark.parametrize("sometimes", [False, True])
def test_an_outcome_stays_and_surprises_are_told_apart(outcome: str, expectation: str, sometimes: bool) -> None:
    one = replace(cell("one", "two", outcome), expectation=expectation, sometimes=sometimes)
    expected = outcome
    if outcome == expectation == "fail":
        expected = "expected-fail"
    elif outcome == "pass" and expectation != "pass" and not sometimes:
        expected = "unexpected-pass"
    assert f'<td><a class="{expected}"' in _page(one)


@pytest.mark.parametrize(
    "path",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:x",
        "data:text/html,x",
        "//host/x",
        "/etc/passwd",
        "C:\\x",
        "a\tb:c",
        "\x01java",
        "",
    ],
)
def test_artifacts_that_are_no_relative_paths_are_no_links(path: str) -> None:
    page = _page(replace(cell("one", "two", "fail"), artifacts=(path, "a b/c#d?e%.txt")))
    assert [link for link in Parsed(page).values("a", "href") if not link.startswith("#")] == [
        "./a%20b/c%23d%3Fe%25.txt"
    ]


def test_addresses_in_texts_are_links_if_a_browser_fetches_them() -> None:
    reason = 'see https://example.org/x?a=1&b="2". <http://[::1]/> javascript:alert(1) ftp://x'
    parsed = Parsed(_page(replace(cell("one", "two", "fail"), reason=reason)))
    assert [link for link in parsed.values("a", "href") if not link.startswith("#")] == [
        "https://example.org/x?a=1&b=",
        "http://[::1]/",
    ]
    assert reason in parsed.text


def test_text_that_is_not_seen_is_spelt_out() -> None:
    page = _page(replace(cell("one", "two", "fail"), log=("a\x00\x1b[1m\u202eb\ud800\u200bc\tgrün\u2028",)))
    assert "a\\x00\\x1b[1m\\u202eb\\ud800\\u200bc\tgrün\\u2028" in page
    page.encode()


def test_names_are_sorted_as_people_count_and_what_is_planned_comes_last() -> None:
    cells = [cell("one", receiver, "pass") for receiver in ("mcrx@a", "host10", "host2")]
    page = _page(*cells, cell("one", "android", "planned"))
    heads = re.findall(r'<th scope="col">([a-z0-9]+)(?=<)', page)
    assert heads == ["host2", "host10", "mcrx", "android"]


def test_the_command_that_repeats_a_cell() -> None:
    assert "pytest 'a.mcast.yaml::ipv4-asm[one->two]'" in Parsed(_page(cell("one", "two", "fail"))).text
    nodeid = "somewhere/test_cases.py::test_case[ssm.leave-ipv4-ssm]"
    case = Cell({**cell("crafted", "socat", "pass").key, "case": "ssm.leave"}, "pass", nodeid)
    command = "pytest --pyargs 'pytest_mcast.conformance.test_cases::test_case[ssm.leave-ipv4-ssm]' --mcast-core socat"
    assert command in Parsed(_page(case)).text


def test_the_command_has_the_options_of_its_run() -> None:
    where = ("--mcast-iface", "eth 0", "--mcast-timeout=2", "--mcast-lab", "--mcast-require=all", "--mcast-strict")
    others = ("-n2", "-k", "x", "--mcast-report", "r.json", "--mcast-shard=1/2", "--mcast-capture", "on", "scenarios")
    behind = ("--", "--mcast-lab")
    runs = (replace(RUN, command=("pytest", *others, *where, *behind)), replace(RUN, id="plain"))
    one, other = cell("one", "two", "fail"), replace(cell("one", "three", "fail"), run="plain")
    text = Parsed(html_page(Record(runs, cells=(one, other)))).text
    options = "--mcast-iface 'eth 0' --mcast-timeout=2 --mcast-lab --mcast-require=all --mcast-strict"
    assert f"pytest 'a.mcast.yaml::ipv4-asm[one->two]' {options}\n" in text
    assert "pytest 'a.mcast.yaml::ipv4-asm[one->three]'\n" in text
    case = replace(one, key={**one.key, "case": "ssm.leave"}, nodeid="t.py::test_case[x]")
    mine = replace(RUN, command=("pytest", "--mcast-core", "mine.yaml", "--mcast-lab"))
    command = "pytest --pyargs 'pytest_mcast.conformance.test_cases::test_case[x]' --mcast-core mine.yaml --mcast-lab\n"
    assert command in Parsed(html_page(Record((mine,), cells=(case,)))).text


def test_runs_of_one_job_on_different_machines_are_told_apart() -> None:
    job = {"ci": "GitHub Actions", "job": "matrix / run" + " and more" * 10}
    environments = [{**job, "system": "Linux", "machine": machine, "kernel": "6"} for machine in ("x86_64", "aarch64")]
    environments += [{"system": "Linux", "machine": "x86_64", "kernel": "6.12"}, {}]
    runs = tuple(Run(f"{number}-an-id", RUN.started, 1.0, (), 0, each) for number, each in enumerate(environments))
    labels = re.findall(r"<summary><b>(.*?)</b>", html_page(Record(runs)))
    assert [label[:44] for label in labels] == [
        "Linux x86_64, GitHub Actions, matrix / run a",
        "Linux aarch64, GitHub Actions, matrix / run ",
        "Linux 6.12 x86_64",
        "3-an-id",
    ]


def test_a_record_without_anything() -> None:
    assert "The record has no cells" in html_page(Record(()))


def test_a_run_that_was_killed_and_one_that_is_not_known() -> None:
    killed = Run("an id", "2026-02-03T04:05:06.789Z", 1.0)
    page = html_page(Record((killed,), cells=(replace(cell("one", "two", "pass"), run="another"),)))
    assert "2026-02-03 04:05 UTC" in page
    assert "killed, or not yet at its end" in page


def test_the_same_record_gives_the_same_page() -> None:
    assert html_page(full()) == html_page(full())


def test_counts_are_of_all_cells() -> None:
    cells = [cell("one", str(number), "pass" if number % 3 else "fail") for number in range(10)]
    page = _page(*cells)
    counts = Counter(one.outcome for one in cells)
    for outcome, number in counts.items():
        assert re.search(rf'<button type="button" class="{outcome}"[^>]*><b>{number}</b> {outcome}</button>', page)
