"""A headless browser for tests of pages."""

import shutil

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


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that logs its console and its network traffic."""
    executable = next((path for path in map(shutil.which, BROWSERS) if path), None)
    driver = shutil.which("chromedriver")
    if executable is None or driver is None:
        pytest.skip(
            f"{'no Chromium' if executable is None else 'no chromedriver'} is installed: apt install chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = executable
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_script_timeout(300)
    yield browser
    browser.quit()
