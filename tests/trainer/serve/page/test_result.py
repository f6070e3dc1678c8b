"""What the page of `beamtune serve` shows of an answer."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import librosa
import numpy as np
import pytest
import soundfile
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from serve_page import (
    canvas,
    choose,
    find,
    predict,
    requested_urls,
    rows,
    serious_faults,
    show,
    text,
    wait_for,
    wait_for_state,
)
from stub_service import HOSTILE, LABELS, PROBABILITIES, TIMELINE, StubService

pytestmark = pytest.mark.slow


def test_the_result_is_shown(service: StubService, browser, song: Path) -> None:
    assert text(browser, "#facts") == "Model\na-model\nSegment\n3 s\nLongest file\n10 min\nLargest file\n64 MiB"
    assert text(browser, "#model-genres").split("\n") == list(LABELS)
    browser.get_log("performance")
    predict(browser, song)

    assert service.bodies == [song.read_bytes()]
    assert service.headers[0]["content-type"] == "application/octet-stream"
    assert HOSTILE not in str(service.headers)
    ranked = sorted(PROBABILITIES.items(), key=lambda item: -item[1])
    assert rows(browser, "#probabilities") == [[genre, f"{probability:.3f}"] for genre, probability in ranked]
    starts = ("0.0", "3.0", "6.0", "9.0")
    assert rows(browser, "#segments") == [
        [start, "3.0", genre, f"{probability:.3f}"]
        for start, (genre, probability) in zip(starts, TIMELINE, strict=True)
    ]
    assert text(browser, "#label") == "blues"
    assert browser.switch_to.active_element == find(browser, "#label")
    assert text(browser, "#result-name") == song.name
    assert text(browser, "#result-note") == "12 s, 4 segments"
    assert text(browser, "#legend").split("\n") == ["blues", "jazz", HOSTILE]
    widths = browser.execute_script("return [...document.querySelectorAll('.bar')].map(bar => bar.style.width)")
    assert [float(width.rstrip("%")) for width in widths] == pytest.approx([100 * value for _, value in ranked])
    assert not find(browser, "#partial").is_displayed()
    assert not find(browser, "#unknown").is_displayed()
    assert not find(browser, "#pictures-note").is_displayed()

    # The brightest row is that of the tone.
    column = browser.execute_script(
        "return [...arguments[0].getContext('2d').getImageData(600, 0, 1, arguments[0].height).data]", canvas(browser)
    )
    brightest = np.reshape(column, (-1, 4))[:, :3].sum(1).argmax()
    mel = librosa.hz_to_mel([30.0, 1000.0, 11_025.0], htk=True)
    assert 1 - brightest / (len(column) / 4) == pytest.approx((mel[1] - mel[0]) / (mel[2] - mel[0]), abs=0.01)

    assert browser.title == "a-model: music genre"
    assert browser.get_log("browser") == []
    urls = [urlsplit(url) for url in requested_urls(browser)]
    assert {url.netloc for url in urls if url.scheme not in ("data", "blob")} == {urlsplit(service.url).netloc}


def test_an_unknown_genre_and_partial_audio_are_stated(service: StubService, browser, song: Path) -> None:
    service.result |= {"label": "unknown", "is_partial": True, "duration_s": 6.0, "expected_duration_s": 75.25}
    service.result["timeline"] = service.result["timeline"][:2]
    predict(browser, song)
    assert text(browser, "#label") == "unknown"
    assert text(browser, "#unknown").startswith("The most probable genre reaches 0.432; ")
    assert "6 s of the 75.3 s that the file states" in text(browser, "#partial")
    # The browser has decoded all of the file.
    seek = find(browser, "#seek")
    assert float(seek.get_attribute("aria-valuemax")) == 12.0
    seek.send_keys(Keys.END)
    assert seek.get_attribute("aria-valuetext") == "0:12 of 0:12"


def test_the_timeline_follows_and_moves_the_player(service: StubService, browser, song: Path) -> None:
    predict(browser, song)
    seek = find(browser, "#seek")
    player_s = "return document.getElementById('player').currentTime"
    assert float(seek.get_attribute("aria-valuemax")) == 12.0
    assert seek.get_attribute("aria-valuetext") == "0:00 of 0:12, blues 0.613"
    for key, expected_s, genre in (
        (Keys.ARROW_RIGHT, 3.0, "blues 0.500"),
        (Keys.ARROW_RIGHT, 6.0, "jazz 0.340"),
        (Keys.ARROW_LEFT, 3.0, "blues 0.500"),
        (Keys.PAGE_DOWN, 9.0, f"{HOSTILE} 0.999"),
        (Keys.HOME, 0.0, "blues 0.613"),
        (Keys.END, 12.0, f"{HOSTILE} 0.999"),
    ):
        seek.send_keys(key)
        assert browser.execute_script(player_s) == pytest.approx(expected_s, abs=0.01)
        assert seek.get_attribute("aria-valuetext") == f"0:{expected_s:02.0f} of 0:12, {genre}"
    # A quarter of the plot, which begins 44 pixels from the left.
    width = seek.size["width"]
    offset = round(44 + (width - 44) / 4 - width / 2)
    for picture in ("#seek", "#spectrogram"):
        seek.send_keys(Keys.HOME)
        ActionChains(browser).move_to_element_with_offset(find(browser, picture), offset, 0).click().perform()
        assert browser.execute_script(player_s) == pytest.approx(3.0, abs=0.05)
    browser.execute_script("document.getElementById('player').muted = true")
    seek.send_keys(Keys.SPACE)
    wait_for(browser, lambda: float(seek.get_attribute("aria-valuenow")) > 3.3)
    seek.send_keys(Keys.SPACE)
    assert browser.execute_script("return document.getElementById('player').paused")


@pytest.mark.parametrize(("scheme", "colour"), [("light", "255,58,0"), ("dark", "255,141,2")])
def test_segments_have_the_colours_of_their_genres(
    served: StubService, browser, song: Path, scheme: str, colour: str
) -> None:
    show(browser, served.url, scheme=scheme)
    predict(browser, song)
    colours = """
    const canvas = document.getElementById("timeline");
    const data = canvas.getContext("2d").getImageData(arguments[0], canvas.height - 40, 20, 20).data;
    return [...new Set(Array.from({length: data.length / 4}, (_, i) => data.slice(4 * i, 4 * i + 3).join()))];
    """
    width = find(browser, "#timeline").size["width"] - 44
    assert browser.execute_script(colours, 44 + round(width * 0.02)) == [colour]
    # Jazz, the tenth genre, has the colour of the second with a pattern.
    of_jazz = browser.execute_script(colours, 44 + round(width * 0.55))
    assert colour in of_jazz
    assert len(of_jazz) > 1
    assert serious_faults(browser) == []


def test_a_phone_does_not_scroll_sideways(served: StubService, browser, song: Path) -> None:
    show(browser, served.url, width=390)
    predict(browser, song)
    find(browser, "summary").click()
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(overflow) == 0
    drawn = browser.execute_script("const {width, height} = arguments[0]; return [width, height]", canvas(browser))
    assert drawn == [canvas(browser).size[side] for side in ("width", "height")]


@pytest.mark.parametrize(
    ("duration_s", "message"),
    [(None, "The browser cannot decode this file"), (901, "The audio is longer than 15 min")],
)
def test_audio_that_is_not_decoded_has_a_result(
    service: StubService, browser, tmp_path: Path, duration_s: int | None, message: str
) -> None:
    path = tmp_path / "song.wav"
    if duration_s is None:
        path.write_bytes(b"no audio that a browser knows")
    else:
        soundfile.write(path, np.zeros(duration_s * 4000), 4000, subtype="PCM_U8")
    predict(browser, path)
    assert text(browser, "#pictures-note").startswith(message)
    assert find(browser, "#player").is_displayed() == (duration_s is not None)
    assert not find(browser, "#spectrogram").is_displayed()
    assert find(browser, "#timeline").size["height"] < 60
    find(browser, "#seek").send_keys(Keys.ARROW_RIGHT)
    assert "blues 0.500" in find(browser, "#seek").get_attribute("aria-valuetext")


def test_print_shows_results_in_light_colours(served: StubService, browser, song: Path) -> None:
    show(browser, served.url, scheme="dark")
    predict(browser, song)
    fill = "return getComputedStyle(document.querySelector('.bar.genre-1')).backgroundColor"
    assert browser.execute_script(fill) == "rgb(255, 141, 2)"
    # Chromium sends it before the medium is print; canvases are then drawn anew.
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(fill) == "rgb(255, 58, 0)"
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(fill) == "rgb(255, 141, 2)"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        shown = {name: find(browser, name).is_displayed() for name in ("#choice", "#player", "#probabilities", "#seek")}
        assert shown == {"#choice": False, "#player": False, "#probabilities": True, "#seek": True}
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_real_service_is_used(make_service, serving, browser, song: Path) -> None:
    with serving(make_service()) as port:
        url = f"http://127.0.0.1:{port}/"
        headers = {"Content-Type": "application/octet-stream"}
        answer = httpx.post(f"{url}v1/predict", content=song.read_bytes(), headers=headers, timeout=120).json()
        show(browser, url)
        wait_for_state(browser, "empty")
        browser.get_log("performance")
        predict(browser, song)
        assert text(browser, "#label") == answer["label"]
        assert rows(browser, "#probabilities") == [
            [one["genre"], f"{one['probability']:.3f}"] for one in answer["genres"]
        ]
        assert len(answer["timeline"]) == 24
        assert rows(browser, "#segments") == [
            [f"{one['start_s']:.1f}", "0.5", one["genre"], f"{one['probability']:.3f}"] for one in answer["timeline"]
        ]
        assert not find(browser, "#pictures-note").is_displayed()
        assert serious_faults(browser) == []
        assert browser.get_log("browser") == []
        urls = [urlsplit(one) for one in requested_urls(browser)]
        assert {one.netloc for one in urls if one.scheme not in ("data", "blob")} == {f"127.0.0.1:{port}"}
        browser.find_element("id", "record").click()
        wait_for(browser, lambda: text(browser, "#elapsed") == "0:01")
        browser.find_element("id", "record").click()
        wait_for_state(browser, "result")
        assert text(browser, "#result-name") == "recording.wav"
        not_audio = song.with_name("text.mp3")
        not_audio.write_text("no audio")
        choose(browser, not_audio)
        wait_for_state(browser, "error")
        refused = httpx.post(f"{url}v1/predict", content=b"no audio", headers=headers, timeout=120)
        assert refused.status_code == 422
        assert text(browser, "[role=alert]") == refused.json()["error"]["message"]
