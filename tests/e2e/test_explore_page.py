"""The page of `beamtune explore` in a browser: it is complete, and requests no other file."""

import json
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.by import By

from configs.cli import main

pytestmark = pytest.mark.slow

LOADED_DURATIONS = """
const done = arguments[arguments.length - 1];
Promise.all([...document.querySelectorAll("audio")].map(audio => new Promise(resolve => {
  const report = () => resolve(audio.error ? audio.error.message : audio.duration);
  if (audio.readyState >= 1 || audio.error) report();
  else { audio.addEventListener("loadedmetadata", report); audio.addEventListener("error", report); audio.load(); }
}))).then(done);
"""
BLOCKED_URI = """
const done = arguments[arguments.length - 1];
document.addEventListener("securitypolicyviolation", event => done(event.blockedURI));
const image = document.createElement("img");
image.src = "http://127.0.0.1:9/tracker.png";
document.body.append(image);
"""


@pytest.fixture(scope="module")
def explored(make_collection, tmp_path_factory):
    """The page of two genres, split at random, and a file without audio."""
    directory = tmp_path_factory.mktemp("explored")
    music = make_collection(directory / "music")
    (music / "genre0" / "artist00" / "<b>broken.mp3").write_text("no audio")
    dataset = ["dataset=folder", "dataset.name=two_genres", f"dataset.root={music}"]
    for words in (
        ["prepare", *dataset, "split=random", "max_reject_fraction=0.1", f"output_dir={directory}/data"],
        ["explore", f"{directory}/data", "example_duration_s=2", f"output_dir={directory}/page"],
    ):
        assert main(words) == 0
    return directory / "page" / "index.html"


def requested_urls(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


def texts(browser, selector):
    return [element.text for element in browser.find_elements(By.CSS_SELECTOR, selector)]


def test_the_page_is_complete_in_a_browser(browser, explored):
    browser.get(explored.as_uri())

    images = browser.find_elements(By.TAG_NAME, "img")
    assert len(images) == 9
    assert all(browser.execute_script("return arguments[0].naturalWidth", image) > 0 for image in images)
    assert browser.execute_async_script(LOADED_DURATIONS) == [2.0, 2.0]

    assert browser.title == "two_genres: a prepared data set"
    assert texts(browser, "h1, h2") == [
        "two_genres",
        "Genres and splits",
        "Durations",
        "Loudness",
        "Groups",
        "Audio features by genre",
        "Examples",
        "Tracks left out",
        "Duplicates",
        "How it was prepared",
    ]
    assert texts(browser, "#table-genres tfoot td")[-3:] == ["16", "16", "1.1"]
    assert texts(browser, "#table-rejects tbody th") == ["genre0/artist00/<b>broken.mp3"]
    [banner] = browser.find_elements(By.CSS_SELECTOR, "[role=alert]")
    assert banner.is_displayed()
    assert banner.text.startswith("Scores on these splits may be too high:")

    [settings] = browser.find_elements(By.CSS_SELECTOR, "#settings pre")
    assert not settings.is_displayed()
    browser.find_element(By.CSS_SELECTOR, "#settings summary").click()
    assert settings.is_displayed()
    assert "fingerprint:" in settings.text

    assert browser.get_log("browser") == []
    assert {urlsplit(url).scheme for url in requested_urls(browser)} == {"file", "data"}


def test_the_page_fits_its_window_and_blocks_requests(browser, explored):
    for width in (500, 1280):
        browser.set_window_size(width, 1600)
        browser.get(explored.as_uri())
        overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(overflow) == 0
    assert browser.execute_async_script(BLOCKED_URI) == "http://127.0.0.1:9/tracker.png"
