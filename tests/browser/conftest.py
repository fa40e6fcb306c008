"""One headless Chromium for all tests of pages, and reports of captures to open in it."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from browser_window import Browser
from evidence import capture_path
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from dlmtrace.cli.report import report as write_report

ALONE = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
)
"""The browser does nothing of its own accord."""


@pytest.fixture(scope="session")
def browser(require_tool: Callable[[str], str]) -> Iterator[Browser]:
    """Debian's Chromium, driven by Debian's chromedriver."""
    options = webdriver.ChromeOptions()
    options.binary_location = require_tool("chromium")
    for argument in ALONE:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(require_tool("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`report("rst-3.2-tcp.pcap")`: the page of a capture of the repository."""
    directory = tmp_path_factory.mktemp("reports")

    @lru_cache
    def write(file: str) -> Path:
        page = directory / f"{file}.html"
        assert write_report([str(capture_path(file))], page) == 0
        return page

    return write
