"""Opens and reads the page of `beamtune serve` in a browser."""

import json
from pathlib import Path
from typing import Any

import axe_core_python
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
_AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
_RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run().then(found => done(found.violations.filter(one => ["serious", "critical"].includes(one.impact))
  .map(one => [one.id, one.nodes.map(node => node.html)])));
"""


def show(browser, url: str, *, scheme: str = "light", width: int = 1280) -> None:
    """Opens the page anew, with an empty log."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(url)


def wait_for(browser, condition) -> None:
    WebDriverWait(browser, 120, poll_frequency=0.05).until(lambda _: condition())


def state(browser) -> str | None:
    return browser.execute_script("return document.querySelector('main').dataset.state ?? null")


def wait_for_state(browser, expected: str) -> None:
    wait_for(browser, lambda: state(browser) == expected)


def find(browser, selector: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, selector)


def text(browser, selector: str) -> str:
    return find(browser, selector).text


def rows(browser, table: str) -> list[list[str]]:
    """The text of a table's cells, also where it is hidden, without that of empty ones."""
    script = """
    return [...document.querySelectorAll(arguments[0] + " tbody tr")].map(
      row => [...row.cells].map(cell => cell.textContent).filter(text => text !== ""))
    """
    return browser.execute_script(script, table)


def canvas(browser) -> Any:
    return find(browser, "#spectrogram")


def choose(browser, path: Path) -> None:
    wait_for(browser, find(browser, "#choice").is_displayed)
    find(browser, "#file").send_keys(str(path))


def wait_for_pictures(browser) -> None:
    wait_for(browser, lambda: find(browser, "#pictures").get_attribute("aria-busy") == "false")


def predict(browser, path: Path) -> None:
    choose(browser, path)
    wait_for_state(browser, "result")
    wait_for_pictures(browser)


def serious_faults(browser) -> list[Any]:
    browser.execute_script(_AXE)
    return browser.execute_async_script(_RUN_AXE)


def requested_urls(browser) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


def computed(browser, file: str, expression: str, *values: Any) -> Any:
    """Returns what an expression of a module of the page is; the expression may use `module` and `values`."""
    script = f"""
    const done = arguments[arguments.length - 1];
    const values = arguments;
    import(location.origin + "/{file}").then(module => {expression}).then(done, error => done(String(error)));
    """
    return browser.execute_async_script(script, *values)
