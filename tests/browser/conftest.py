"""A browser for the tests of this directory, one for each process that runs them."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from pytest_mcast.report import Record
from pytest_mcast.report.html import html_page

from ..support.programs import program

_DEADLINE = 20.0  # seconds; nearly all conditions hold at once
# In one go: WebDriver asks for each element, which takes seconds for a large page.
_SHOWN = "return [...document.querySelectorAll(arguments[0])].filter(one => one.checkVisibility())"


class Page:
    """A page of a record in the browser, and what one does with it."""

    def __init__(self, driver: Chrome, path: Path) -> None:
        self.driver = driver
        self.address = path.as_uri()

    def go(self, fragment: str = "") -> None:
        """Load the page at a fragment of its address, such as ``#outcome=fail``."""
        self.driver.get("about:blank")  # a change of the fragment alone would not load it
        self.driver.get(self.address + fragment)

    @property
    def fragment(self) -> str:
        """What the address bar has, from the # on."""
        return self.driver.current_url.removeprefix(self.address)

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements that are displayed."""
        found: list[WebElement] = self.run(_SHOWN, selector)
        return found

    def one(self, selector: str) -> WebElement:
        """Return the only element that is displayed."""
        (element,) = self.all(selector)
        return element

    def texts(self, selector: str) -> list[str]:
        """Return the texts of the elements that are displayed."""
        texts: list[str] = self.run(
            f"return (function () {{ {_SHOWN} }})(...arguments).map(one => one.innerText)", selector
        )
        return texts

    def click(self, selector: str) -> None:
        """Click with the mouse on the first element that is displayed."""
        self.all(selector)[0].click()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        WebDriverWait(self.driver, _DEADLINE, poll_frequency=0.02).until(lambda _: condition())

    def run(self, script: str, *arguments: object) -> Any:
        """Return what a script returns."""
        return self.driver.execute_script(script, *arguments)

    @property
    def focus(self) -> WebElement:
        """The element that has the focus."""
        return self.driver.switch_to.active_element

    def devtools(self, method: str, **parameters: object) -> None:
        """Call a method of the DevTools protocol."""
        self.driver.execute_cdp_cmd(method, parameters)

    def narrow(self) -> None:
        """Have the window of a phone."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)

    def theme(self, name: str) -> None:
        """Have the system ask for light or dark."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])


@pytest.fixture(scope="session")
def browser() -> Iterator[Chrome]:
    """Chromium without a window."""
    driver, chromium = program("chromedriver"), program("chromium", "google-chrome")
    # Not the home directory, which may not be writable.
    with tempfile.TemporaryDirectory(prefix="pytest-mcast-", ignore_cleanup_errors=True) as home:
        options = ChromeOptions()
        options.binary_location = chromium
        for argument in (
            "headless=new",
            "no-sandbox",
            "disable-gpu",
            "disable-dev-shm-usage",
            "no-first-run",
            f"user-data-dir={home}/data",
        ):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = Service(driver, env={**os.environ, "HOME": home, "TMPDIR": home, "SE_OFFLINE": "true"})
        with Chrome(options, service) as chrome:
            chrome.get("about:blank")  # not the page for new tabs, which loads things
            yield chrome


def _log(browser: Chrome, kind: str) -> list[str]:
    """Return what is new in a log of the browser."""
    return [entry["message"] for entry in browser.get_log(kind)]  # type: ignore[no-untyped-call]


@functools.cache
def _written(make: Callable[[], Record], directory: Path) -> Path:
    path = directory / f"{make.__name__}.html"
    path.write_text(html_page(make()), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def _directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture
def show(browser: Chrome, _directory: Path) -> Iterator[Callable[..., Page]]:
    """Open the page of a record; afterwards there must be no message in the console, and no request but for the page."""
    _log(browser, "browser")
    _log(browser, "performance")
    addresses = []

    def opened(make: Callable[[], Record], fragment: str = "") -> Page:
        page = Page(browser, _written(make, _directory))
        addresses.append(page.address)
        page.go(fragment)
        return page

    yield opened
    for method in ("Emulation.clearDeviceMetricsOverride", "Emulation.setEmulatedMedia"):
        browser.execute_cdp_cmd(method, {})
    assert _log(browser, "browser") == []
    events = [json.loads(message)["message"] for message in _log(browser, "performance")]
    requests = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    assert {url for url in requests if not url.startswith("data:image/svg+xml,")} <= set(addresses)


__all__ = ["Keys", "Page"]
