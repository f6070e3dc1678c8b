"""A headless Chromium for tests of pages."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,1600",
    # The projector needs WebGL; this renders it without a graphics card.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


@contextmanager
def open_chromium(*more_options: str) -> Iterator[webdriver.Chrome]:
    """Opens a headless Chromium that logs its console and its network traffic; skips the test if none is installed."""
    executable = next((path for path in map(shutil.which, BROWSERS) if path), None)
    driver = shutil.which("chromedriver")
    if executable is None or driver is None:
        pytest.skip(
            f"{'no Chromium' if executable is None else 'no chromedriver'} is installed: apt install chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = executable
    for option in (*OPTIONS, *more_options):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.set_script_timeout(300)
        yield browser
    finally:
        browser.quit()


# The labels of tables that have to be scrolled sideways; of confusion matrices, some have to.
SCROLLED_TABLES = """
return [...document.querySelectorAll(".scroll")].filter(
  part => part.scrollWidth > part.clientWidth && !part.querySelector(".matrix")).map(part => part.ariaLabel);
"""
# The labels of numbers that are not beside their label, in tables whose rows are lists of cells.
WRAPPED_NUMBERS = """
return [...document.querySelectorAll(".stack td.number")].filter(cell => {
  const number = document.createRange();
  number.selectNodeContents(cell);
  return number.getBoundingClientRect().top > cell.getBoundingClientRect().top + 12;
}).map(cell => cell.dataset.label);
"""
OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
# The height of each text in the charts that are displayed, in pixels of the window.
TEXT_HEIGHTS = """
return [...document.querySelectorAll(".chart svg")].flatMap(svg => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  if (scale === 0) return [];
  return [...svg.querySelectorAll("text")].map(text => parseFloat(getComputedStyle(text).fontSize) * scale);
});
"""


def open_page(browser: webdriver.Chrome, page: Path, *, scheme: str, width: int = 1280) -> None:
    """Opens a page in light or dark (`scheme`), in a window of this width; below 500 pixels, as on a telephone."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get(page.as_uri())


def requested_urls(browser: webdriver.Chrome) -> list[str]:
    """Returns the addresses that the browser has requested since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
