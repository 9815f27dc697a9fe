"""The HTML page of a record in Chromium: clicked, typed at, looked at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from selenium.webdriver import Keys
from selenium.webdriver.support.ui import Select

from .conftest import Page
from .records import HOSTILE, conformance, hostile, large, published, wide

Show = Callable[..., Page]

FILE = "scenarios/subjects.mcast.yaml"
FAILED = f"cell={FILE}::ipv4/ssm/win/mac/size=40"


def test_a_click_on_an_outcome_filters_and_the_address_tells(show: Show) -> None:
    page = show(published)
    assert page.one("#count").text == "224 cells"
    page.click(".outcomes .fail")
    page.wait(lambda: page.fragment == "#outcome=fail")
    page.click(".outcomes .error")
    page.wait(lambda: page.fragment == "#outcome=fail&outcome=error")
    assert page.one("#count").text == "6 of 224 cells: fail, error"
    filtered = page.texts(".grid summary")
    assert {re.sub(r"\d+ ", "", text.split("\n")[0]) for text in filtered} == {"fail", "error"}
    assert page.texts(".grid tbody th") == ["mac", "mac", "win", "mac", "mac"]  # rows and columns without are not shown
    page.driver.refresh()
    assert page.texts(".grid summary") == filtered
    page.driver.back()
    page.wait(lambda: page.one("#count").text == "2 of 224 cells: fail")
    assert page.fragment == "#outcome=fail"
    page.click("#clear")
    page.wait(lambda: page.one("#count").text == "224 cells")


def test_parts_of_the_key_are_chosen_from_lists(show: Show) -> None:
    page = show(published)
    for name, value in (("family", "ipv6"), ("sender", "mcrx@linux"), ("size", "40")):
        Select(page.one(f"[name={name}]")).select_by_value(value)
    page.wait(lambda: page.fragment == "#family=ipv6&sender=mcrx@linux&size=40")
    assert page.texts(".grids h3") == ["IPv6 ASM", "IPv6 SSM"]
    assert page.texts(".grid tbody th") == ["mcrx\n@linux"] * 2
    assert page.texts(".grid td:nth-child(2) summary") == ["1 pass", "1 pass"]  # of two sizes
    page.go("#family=ipv6&mode=ssm")
    assert [Select(page.one(f"[name={name}]")).first_selected_option.text for name in ("family", "mode")] == [
        "ipv6",
        "ssm",
    ]


def test_text_is_searched_in_what_the_pages_of_cells_say(show: Show) -> None:
    page = show(published)
    before = page.run("return history.length")
    page.press("/", *"Refused mac")
    page.wait(lambda: page.fragment == "#text=Refused%20mac")
    assert page.one("#count").text == '4 of 224 cells: "refused", "mac"'
    assert page.run("return history.length") == before  # typing leaves nothing to go back to
    page.press(Keys.ESCAPE, "x")
    assert page.one("#text").get_attribute("value") == "Refused mac"


def test_a_cell_opens_and_the_way_back_is_the_same_view(show: Show) -> None:
    page = show(published, "#outcome=fail")
    page.click(".grid summary")
    page.click(".grid li a")
    page.wait(lambda: page.fragment == f"#outcome=fail&{FAILED}")
    assert page.one("article h2").text == "win → mac, IPv4 SSM"
    assert page.one("article .pill").text == "fail"
    assert page.driver.title == "win → mac, IPv4 SSM · Hosts and implementations"
    text = page.one("article").text
    for expected in (
        "NotReceived: no datagram within 5 s at mac",
        "subjects.mcast.yaml, line 31",
        "IGMPv2 cannot name a source",
        "macOS arm64, GitHub Actions, macos, 2026-02-03 04:06 UTC",
        "5.21 s",
        f"pytest '{FILE}::ipv4-ssm[win->mac,size=40]'",
        "mac reported its membership of 239.255.71.18 before anything was sent",
        "E     on the wire: 3",
        "captures/cell.pcapng",
    ):
        assert expected in text
    assert not page.all("main")
    page.driver.back()
    page.wait(lambda: page.all("main"))
    assert page.fragment == "#outcome=fail"
    assert page.driver.title == "Hosts and implementations"
    assert str(page.focus.get_attribute("href")).endswith(FAILED)
    assert not page.all("article")


def test_the_timeline_has_a_lane_for_each_host(show: Show) -> None:
    page = show(published, f"#cell={FILE}::ipv4/asm/linux/win/size=40")
    assert page.texts(".lanes th") == ["time", "linux", "win", "test", "what"]
    lanes = page.run(
        "return [...document.querySelectorAll('article.open .lanes tbody tr')]"
        ".map(row => [row.className, [...row.cells].findIndex((cell, at) => at && cell.textContent)])"
    )
    assert lanes[:5] == [["n", 2], ["s", 2], ["n", 3], ["s", 1], ["r", 2]]
    assert page.texts(".lanes tr td:first-child")[-1] == "1.22 s"


def test_a_link_to_a_cell_works_by_its_key(show: Show) -> None:
    page = show(published)
    page.narrow()  # the page of the cell is longer than the window
    page.go(f"#{FAILED}")
    assert page.one("article h2").text == "win → mac, IPv4 SSM"
    assert page.run("return document.documentElement.scrollHeight > innerHeight")
    assert page.run("return scrollY") == 0  # with the way back, which is above, in sight
    page.go(f"#theme=dark&{FAILED.replace('/', '%2F').replace('::', '%3A%3A')}")
    assert page.one("article h2").text == "win → mac, IPv4 SSM"
    page.go("#cell=nowhere")
    assert "no cell of the address" in page.one("#unknown").text
    assert page.one("#count").text == "224 cells"


def test_the_cells_before_and_after_are_those_of_the_filters(show: Show) -> None:
    page = show(published, f"#outcome=fail&{FAILED}")
    assert page.one("#position").text == "1 of 2"
    assert not page.all("#previous")
    page.click("#next")
    page.wait(lambda: page.one("#position").text == "2 of 2")
    assert page.fragment == f"#outcome=fail&{FAILED.replace('40', '8192')}"
    page.press(Keys.ARROW_LEFT)
    page.wait(lambda: page.one("#position").text == "1 of 2")


def test_the_command_is_copied(show: Show) -> None:
    page = show(published, f"#{FAILED}")
    page.click("#copy")
    page.wait(lambda: page.one("#copy").text == "Copied")
    page.press("/")
    page.wait(lambda: page.focus.get_attribute("id") == "text")
    page.focus.send_keys(Keys.CONTROL, "v")
    assert page.one("#text").get_attribute("value") == f"pytest '{FILE}::ipv4-ssm[win->mac,size=40]'"


def test_the_matrix_is_walked_by_keys(show: Show) -> None:
    def place() -> object:
        script = "const a = document.activeElement.closest('td'); return [a.parentElement.rowIndex, a.cellIndex]"
        return page.run(script)

    page = show(wide)
    page.one("#text").click()
    page.press(*[Keys.TAB] * 4)  # two lists, the legend, the table
    assert place() == [1, 1]
    page.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert place() == [3, 2]
    page.press(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_UP)
    assert place() == [2, 1]
    page.press(Keys.END)
    assert place() == [2, 20]
    outline = page.focus.value_of_css_property("outline-style")
    assert outline == "solid"  # it is seen where the focus is
    page.press(Keys.ENTER)
    page.wait(lambda: page.all("article"))
    assert page.one("article h2").text == "receiver-2 → receiver-20, IPv4 ASM"
    page.press(Keys.ESCAPE)
    page.wait(lambda: page.all("main"))
    assert place() == [2, 20]
    page.press(Keys.HOME)
    assert place() == [2, 1]
    page.press(Keys.TAB)  # one stop in the whole table
    assert page.run("return document.activeElement.closest('.grid')") is None


def test_arrows_go_through_what_a_place_is_made_of_and_to_the_next_table(show: Show) -> None:
    page = show(published, "#sender=linux")
    page.run("document.querySelector('.grid summary').focus()")
    page.press(Keys.ENTER)
    page.wait(lambda: page.texts(".grid li") == ["pass size 40", "pass size 8192"])
    page.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert page.focus.find_element("xpath", "..").text == "pass size 8192"
    page.press(Keys.ARROW_DOWN)
    assert page.run("return document.activeElement.closest('.grid').ariaLabel") == "IPv4 SSM"
    page.press(Keys.ARROW_UP, Keys.ENTER)
    page.wait(lambda: page.all("article"))
    assert page.fragment == f"#sender=linux&cell={FILE}::ipv4/asm/linux/linux/size=8192"


def test_help_lists_the_keys(show: Show) -> None:
    page = show(published)
    page.press("?")
    assert "move in the matrix" in page.one("dialog").text
    page.press(Keys.ESCAPE)
    page.wait(lambda: not page.all("dialog"))
    page.click("#keys")
    page.click("dialog button")
    page.wait(lambda: not page.all("dialog"))


def test_old_versions_of_igmp_stand_out(show: Show) -> None:
    page = show(published)
    (warning,) = page.texts(".warning")
    assert warning.startswith("In 16 cells the receiver's host reported by IGMPv2, 8 of them SSM. IGMPv2 cannot name a")
    page.click(".warning a")
    page.wait(lambda: page.fragment == "#reported=IGMPv2")
    assert page.one("#count").text == "16 of 224 cells: reported IGMPv2"
    assert page.texts(".grid .badge") == page.texts("[aria-label='IPv4 ASM'] .badge") + page.texts(".grid .alarm")
    assert len(page.all(".grid .alarm")) == 4


@pytest.mark.parametrize("asked", ["light", "dark"])
def test_dark_follows_the_system_unless_the_address_says_otherwise(show: Show, asked: str) -> None:
    def dark() -> bool:
        colour = str(page.run("return getComputedStyle(document.body).backgroundColor"))
        return sum(map(int, re.findall(r"\d+", colour)[:3])) < 300

    page = show(published)
    page.theme(asked)
    assert dark() == (asked == "dark")
    for theme, expected in (("dark", True), ("light", False), ("auto", asked == "dark")):
        page.click("#theme")
        page.wait(lambda theme=theme: page.one("#theme").text == f"Theme: {theme}")  # type: ignore[misc]
        assert dark() is expected
    page.go("#theme=dark")
    assert dark()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_has_the_contrast_that_wcag_asks_for(show: Show, theme: str) -> None:
    page = show(published)
    page.theme(theme)
    seen = set()
    for fragment in ("", f"#{FAILED}"):
        page.go(fragment)
        page.run("for (const fold of document.querySelectorAll('main details')) fold.open = true")
        for text, colour, behind in _colours(page):
            seen.add(text)
            assert _contrast(colour, behind) >= 4.5, f"{text!r}: {colour} on {behind}"
    assert {"fail", "not-run", "IGMPv2", "IPv4 ASM", "Previous", "sent 40 bytes", "joined 239.25"} <= {
        text[:13] for text in seen
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_one_operates_is_seen(show: Show, theme: str) -> None:
    """WCAG 2.2, section 1.4.11: 3 to 1, inside and outside."""
    page = show(published)
    page.theme(theme)
    page.run("document.querySelector('#clear').hidden = false")
    fields = page.run("""
        const behind = (element) => {
            while (getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)") element = element.parentElement;
            return getComputedStyle(element).backgroundColor;
        };
        return [...document.querySelectorAll("input, select, button:not(.outcomes *)")].filter(one => one.checkVisibility())
            .map(one => [one.id || one.name, getComputedStyle(one).borderTopColor, behind(one), behind(one.parentElement)]);
    """)
    assert {"text", "family", "theme", "clear"} <= {name for name, *_ in fields}
    for name, border, *grounds in fields:
        for ground in grounds:
            assert _contrast(border, ground) >= 3, f"{name}: {border} on {ground}"


def _colours(page: Page) -> Iterator[tuple[str, str, str]]:
    """Yield what is displayed in different ways: text, its colour, and the one behind it."""
    found = page.run("""
        const result = new Map(), walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const element = walker.currentNode.parentElement, style = getComputedStyle(element);
            const text = walker.currentNode.data.trim();
            if (!text || !element.checkVisibility() || style.fontSize === "0px") continue;
            let behind = element;
            while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
            const colours = [style.color, getComputedStyle(behind).backgroundColor];
            result.set(`${text} ${colours}`, [text, ...colours]);
        }
        return [...result.values()];
    """)
    yield from found


def _contrast(one: str, other: str) -> float:
    """Return the ratio of WCAG 2.2, section 1.4.3, of two colours without transparency."""
    luminances = []
    for colour in (one, other):
        assert colour.startswith("rgb("), colour
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        luminances.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


@pytest.mark.parametrize("make", [published, wide, hostile])
def test_only_tables_scroll_sideways(show: Show, make: Callable[[], object]) -> None:
    page = show(make)
    for narrow in (False, True):
        if narrow:
            page.narrow()
        page.run("for (const fold of document.querySelectorAll('details')) fold.open = true")
        assert page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.run("document.querySelector('.grid td a').click()")
    page.wait(lambda: page.all("article"))
    assert page.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_heads_of_rows_and_columns_stay(show: Show) -> None:
    page = show(wide)
    page.narrow()
    page.run("document.querySelector('.scroll').scrollTo(700, 300)")
    distances = page.run("""
        const edge = document.querySelector(".scroll").getBoundingClientRect();
        const row = document.querySelector("tbody tr:last-child th").getBoundingClientRect();
        const column = document.querySelector("thead th:last-child").getBoundingClientRect();
        return [document.querySelector(".scroll").scrollLeft, row.left - edge.left, column.top - edge.top];
    """)
    assert distances == [700, 0, 0]


def test_it_is_read_without_scripts(show: Show) -> None:
    page = show(published)
    page.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.go()
        assert len(page.texts(".grid summary")) == 4 * 4 * 7
        assert not page.all(".script, .script *, button, input, select")
        assert page.one(".plain").text.startswith("4 error\n2 fail\n")
        page.click(".grid summary")
        page.click(".grid li a")
        page.wait(lambda: page.all("article:target"))
        assert page.one("article h2").text == "linux → linux, IPv4 ASM"
        assert not page.all("main")
        page.click(".bar a")
        page.wait(lambda: page.all("main"))
        assert not page.all("article")
    finally:
        page.devtools("Emulation.setScriptExecutionDisabled", value=False)


def test_paper_has_no_controls(show: Show) -> None:
    page = show(published)
    page.devtools("Emulation.setEmulatedMedia", media="print")
    assert not page.all("input, select, #theme, #keys, dialog")
    assert page.all(".grid summary")


def test_hostile_text_is_text(show: Show) -> None:
    page = show(hostile)
    assert page.one("#count").text == "15 cells"
    assert (
        page.run("return document.querySelectorAll('script, style, img, svg, base, iframe, object, embed').length") == 2
    )
    assert (
        page.run(
            "return [...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => /^on/.test(a.name)))"
        )
        is False
    )
    targets = page.run("return [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))")
    assert isinstance(targets, list)
    assert {re.match(r"#|\./|https?://", target) is not None for target in targets} == {True}
    receivers = Select(page.one("[name=receiver]"))
    assert len(receivers.options) == 2 + len(HOSTILE)
    for number in (1, 7, 9):
        receivers.select_by_index(number)
        page.wait(lambda: page.one("#clear"))
        assert page.one("#count").text.startswith(("1 of 15 cells", "2 of 15 cells"))
    page.go()
    for _ in range(len(HOSTILE)):
        page.run("(document.querySelector('#next:not([hidden])') ?? document.querySelector('.grid a')).click()")
        page.wait(lambda: page.all("article"))
        (text,) = page.texts("article")
        assert text.count("\\u202egnp.exe") > 10
    page.go("#text=<script>alert(8)</script>&sender=\"'><b>&theme=x&cell=%00")
    assert page.one("#count").text.startswith("0 of 15 cells")


def test_a_thousand_cells(show: Show) -> None:
    page = show(large)
    assert page.one("#count").text == "1000 cells"
    page.press("/", *"host7")
    expected = sum("host7" in cell.nodeid for cell in large().cells)
    page.wait(lambda: page.one("#count").text == f'{expected} of 1000 cells: "host7"')
    Select(page.one("[name=size]")).select_by_value("1472")
    page.wait(lambda: page.fragment == "#text=host7&size=1472")
    expected = sum("host7" in cell.nodeid and cell.key["size"] == "1472" for cell in large().cells)
    assert page.one("#count").text == f'{expected} of 1000 cells: size 1472, "host7"'


def test_conformance_cases_are_folded_by_area(show: Show) -> None:
    page = show(conformance)
    assert page.texts(".fold > summary") == [
        "checksums440 pass",
        "fragments352 pass20 expected fail68 fail",
        "header440 pass",
        "ssm352 pass88 fail",
    ]
    assert not page.all(".grid")
    page.press("/", *"ssm.case-127 rfc")
    page.wait(lambda: page.texts(".fold > summary") == ["ssm4 fail"])
    assert page.texts(".grid tbody th") == ["ssm.case-127\nWhat ssm.case-127 says (MUST: RFC 4607 section 4.3)"]
    assert page.texts(".grid thead th") == ["case", "IPv4 ASM", "IPv4 SSM", "IPv6 ASM", "IPv6 SSM"]
    page.click(".grid a")
    page.wait(lambda: page.all("article"))
    assert page.one("article h2").text == "ssm.case-127, mcrx, IPv4 ASM"
