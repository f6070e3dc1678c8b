"""The page of `beamtune explore` in a browser: it is complete, and requests no other file."""

from urllib.parse import urlsplit

import pytest
from chromium import OVERFLOW, SCROLLED_TABLES, TEXT_HEIGHTS, WRAPPED_NUMBERS, open_page, requested_urls
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
# The widths in pixels, each larger than that of a word, at which the comma after a name is on the line below the name.
COMMA_BREAKS = """
const note = document.querySelector("#examples article .note"), [name, rest] = note.childNodes;
name.textContent = "Claudio Monteverdi.mp3";
const comma = document.createRange();
comma.setStart(rest, 0);
comma.setEnd(rest, 1);
return [...Array(100).keys()].map(index => 130 + index).filter(width => {
  note.style.width = `${width}px`;
  return comma.getBoundingClientRect().top !== [...name.getClientRects()].at(-1).top;
});
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


def texts(browser, selector):
    return [element.text for element in browser.find_elements(By.CSS_SELECTOR, selector)]


def test_the_page_is_complete_in_a_browser(browser, explored):
    open_page(browser, explored, scheme="light")

    charts = browser.find_elements(By.CSS_SELECTOR, ".chart")
    assert len(charts) == 9
    assert all(len(chart.get_attribute("aria-label")) > 20 for chart in charts)
    assert [svg.is_displayed() for svg in browser.find_elements(By.CSS_SELECTOR, ".chart svg")].count(True) == 9
    assert browser.execute_async_script(LOADED_DURATIONS) == [2.0, 2.0]

    assert browser.title == "data: a prepared data set"
    assert texts(browser, "h1, h2") == [
        "data",
        "Genres and splits",
        "Durations",
        "Loudness",
        "Artists",
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
    for width in (360, 390, 859, 1280):
        open_page(browser, explored, scheme="dark", width=width)
        assert browser.execute_script(OVERFLOW) == 0
        assert width > 600 or browser.execute_script(SCROLLED_TABLES) == []
        assert browser.execute_script(WRAPPED_NUMBERS) == []
        assert min(browser.execute_script(TEXT_HEIGHTS)) >= 11.99
    assert browser.execute_async_script(BLOCKED_URI) == "http://127.0.0.1:9/tracker.png"


def test_wide_charts_fill_the_page_and_no_line_begins_with_a_comma(browser, explored):
    open_page(browser, explored, scheme="light", width=1280)
    chart = browser.find_element(By.CSS_SELECTOR, "#figure-clips .wide svg")
    assert chart.size["width"] == browser.find_element(By.TAG_NAME, "main").size["width"] == 1112
    assert browser.execute_script(COMMA_BREAKS) == []


def test_charts_follow_light_and_dark(browser, explored):
    colors = """
    const fills = selector => getComputedStyle(document.querySelector(selector)).fill;
    return [fills("#figure-clips .wide text"), fills("#figure-clips .wide path[style*='--train']")];
    """
    found = []
    for scheme in ("light", "dark"):
        open_page(browser, explored, scheme=scheme)
        found.append(browser.execute_script(colors))
    assert found == [
        ["rgb(26, 26, 26)", "rgb(68, 119, 170)"],
        ["rgb(232, 232, 232)", "rgb(119, 170, 221)"],
    ]


def test_names_are_not_broken_inside_a_word_on_a_telephone(browser, explored):
    open_page(browser, explored, scheme="light", width=390)
    words = browser.find_elements(By.CSS_SELECTOR, "#table-groups tbody bdi, nav a")
    assert len(words) >= 8 + 9  # a row for each artist and split
    lines = "return arguments[0].getClientRects().length"
    assert {browser.execute_script(lines, word) for word in words} == {1}


def test_points_have_the_names_of_tracks(browser, explored):
    open_page(browser, explored, scheme="light")
    titles = browser.find_elements(By.CSS_SELECTOR, "#figure-projection .wide title")
    names = [title.get_attribute("textContent") for title in titles]
    assert len(names) == 16
    assert all(track_id.startswith(f"{genre}/") for track_id, genre in (name.rsplit(": ", 1) for name in names))
