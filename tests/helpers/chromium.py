"""A headless Chromium for tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

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
