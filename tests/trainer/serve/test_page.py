"""The page of `beamtune serve` in a browser, with a service that answers as each test says."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import axe_core_python
import librosa
import numpy as np
import pytest
import soundfile
from chromium import open_chromium
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from stub_service import StubService, error, make_result, serving

pytestmark = pytest.mark.slow

# More than there are colours, and one that would run if it were HTML.
HOSTILE = "<img src=x onerror=document.title='run'>"
LABELS = (
    "ambient",
    "blues",
    "country",
    "disco",
    "electronic",
    "folk",
    "grunge",
    "house",
    "industrial",
    "jazz",
    HOSTILE,
)
TIMELINE = (("blues", 0.61251), ("blues", 0.5), ("jazz", 0.34), (HOSTILE, 0.999))
PROBABILITIES = {label: 0.01 * index for index, label in enumerate(LABELS)} | {"blues": 0.4321}
FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
TOKEN = "0123" * 4
# An upload of this size does not fit into the buffers of a connection.
LARGE_BYTES = 40 * 2**20
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run().then(found => done(found.violations.filter(one => ["serious", "critical"].includes(one.impact))
  .map(one => [one.id, one.nodes.map(node => node.html)])));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_chromium(*FAKE_MICROPHONE) as browser:
        yield browser


@pytest.fixture(scope="module")
def served() -> Iterator[StubService]:
    with serving(StubService(LABELS, make_result(PROBABILITIES, TIMELINE))) as service:
        yield service


@pytest.fixture(scope="module")
def song(write_audio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of a tone, in a file whose name would run if it were HTML."""
    return write_audio(tmp_path_factory.mktemp("song") / f"{HOSTILE}.wav", frequency_hz=1000.0, duration_s=12.0)


@pytest.fixture
def service(served: StubService, browser) -> StubService:
    """The service, with its page open."""
    served.reset()
    show(browser, served)
    return served


def show(browser, service: StubService, *, scheme: str = "light", width: int = 1280) -> None:
    """Opens the page anew."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(service.url)
    if service.model_status == 200 and service.token is None:
        wait_for_state(browser, "empty")


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
    find(browser, "#file").send_keys(str(path))


def wait_for_pictures(browser) -> None:
    wait_for(browser, lambda: find(browser, "#pictures").get_attribute("aria-busy") == "false")


def predict(browser, path: Path) -> None:
    choose(browser, path)
    wait_for_state(browser, "result")
    wait_for_pictures(browser)


def serious_faults(browser) -> list[Any]:
    browser.execute_script(AXE)
    return browser.execute_async_script(RUN_AXE)


def requested_urls(browser) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


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
    complete = service.result
    service.result = complete | {"label": "unknown", "is_partial": True, "expected_duration_s": 75.25}
    try:
        predict(browser, song)
    finally:
        service.result = complete
    assert text(browser, "#label") == "unknown"
    assert text(browser, "#unknown").startswith("The most probable genre reaches 0.432; ")
    assert "12 s of the 75.3 s that the file states" in text(browser, "#partial")


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


@pytest.mark.parametrize(
    ("scheme", "first", "jazz"), [("light", [255, 58, 0], [255, 58, 0]), ("dark", [255, 141, 2], [255, 141, 2])]
)
def test_segments_have_the_colours_of_their_genres(
    served: StubService, browser, song: Path, scheme: str, first: list[int], jazz: list[int]
) -> None:
    served.reset()
    show(browser, served, scheme=scheme)
    predict(browser, song)
    colours = """
    const canvas = document.getElementById("timeline");
    const data = canvas.getContext("2d").getImageData(arguments[0], canvas.height - 40, arguments[1], 20).data;
    return [...new Set(Array.from({length: data.length / 4}, (_, i) => [...data.slice(4 * i, 4 * i + 3)].join()))];
    """
    width = find(browser, "#timeline").size["width"] - 44
    joined = ",".join(map(str, first))
    assert browser.execute_script(colours, 44 + round(width * 0.02), 20) == [joined]
    # Jazz, the tenth, has the colour of the second with a pattern.
    of_jazz = browser.execute_script(colours, 44 + round(width * 0.55), 20)
    assert ",".join(map(str, jazz)) in of_jazz
    assert len(of_jazz) > 1
    assert serious_faults(browser) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault_in_any_state(served: StubService, browser, song: Path, tmp_path: Path, scheme: str) -> None:
    served.reset()
    show(browser, served, scheme=scheme)
    assert serious_faults(browser) == []
    large = tmp_path / "large.mp3"
    large.write_bytes(bytes(LARGE_BYTES))
    served.reads.clear()
    choose(browser, large)
    wait_for_state(browser, "uploading")
    assert serious_faults(browser) == []
    find(browser, "#cancel").click()
    wait_for_state(browser, "empty")
    served.reads.set()
    served.answers.clear()
    choose(browser, song)
    wait_for_state(browser, "computing")
    assert serious_faults(browser) == []
    served.failure = (422, json.dumps(error("silent", "The audio is silent.")))
    served.answers.set()
    wait_for_state(browser, "error")
    assert serious_faults(browser) == []
    served.reset()
    served.token = TOKEN
    show(browser, served, scheme=scheme)
    wait_for(browser, lambda: find(browser, "#token").is_displayed())
    assert serious_faults(browser) == []


def test_a_phone_does_not_scroll_sideways(served: StubService, browser, song: Path) -> None:
    served.reset()
    show(browser, served, width=390)
    predict(browser, song)
    find(browser, "summary").click()
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(overflow) == 0
    drawn = browser.execute_script("const {width, height} = arguments[0]; return [width, height]", canvas(browser))
    assert drawn == [canvas(browser).size[side] for side in ("width", "height")]


def test_an_upload_is_cancelled(service: StubService, browser, tmp_path: Path) -> None:
    large = tmp_path / "large.mp3"
    large.write_bytes(bytes(LARGE_BYTES))
    service.reads.clear()
    choose(browser, large)
    wait_for_state(browser, "uploading")
    assert text(browser, "#status") == "Uploading large.mp3"
    wait_for(browser, lambda: len(service.headers) == 1)
    percent = int(text(browser, "#percent").removesuffix(" %"))
    assert 0 <= percent < 100
    find(browser, "#cancel").send_keys(Keys.ENTER)
    wait_for_state(browser, "empty")
    assert text(browser, "#status") == "Cancelled."
    assert browser.switch_to.active_element == find(browser, "#file")
    before = service.num_disconnected
    service.reads.set()
    wait_for(browser, lambda: service.num_disconnected == before + 1)
    assert service.bodies == []


def test_a_second_file_cancels_the_first(service: StubService, browser, song: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.wav"
    first.write_bytes(b"first")
    service.answers.clear()
    choose(browser, first)
    wait_for_state(browser, "computing")
    assert text(browser, "#status") == "Computing the genres of first.wav"
    choose(browser, song)
    wait_for(browser, lambda: len(service.bodies) == 2)
    service.answers.set()
    wait_for_state(browser, "result")
    assert text(browser, "#result-name") == song.name
    wait_for_pictures(browser)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (422, json.dumps(error("silent", f"The audio is silent: {HOSTILE}")), f"The audio is silent: {HOSTILE}"),
        (502, "<h1>Bad gateway</h1>", "The service answered with the status 502 and no reason."),
        (503, json.dumps({"error": {"message": 5}}), "The service answered with the status 503 and no reason."),
        (200, "nothing", "The service's answer is not JSON."),
        (200, "{}", "The page cannot show the answer: "),
    ],
)
def test_errors_of_the_service_are_shown(
    service: StubService, browser, song: Path, status: int, body: str, message: str
) -> None:
    service.failure = (status, body)
    choose(browser, song)
    wait_for_state(browser, "error")
    alert = find(browser, "[role=alert]")
    assert alert.text.startswith(message)
    assert alert.is_displayed()
    assert not find(browser, "#result").is_displayed()
    service.failure = None
    choose(browser, song)
    wait_for_state(browser, "result")
    assert alert.text == ""


def test_a_file_above_the_limit_is_not_uploaded(service: StubService, browser, tmp_path: Path) -> None:
    limits = service.limits
    service.limits = limits | {"max_upload_bytes": 1000}
    show(browser, service)
    service.limits = limits
    for name, num_bytes in (("large.wav", 1001), ("largest.wav", 1000)):
        (tmp_path / name).write_bytes(bytes(num_bytes))
    choose(browser, tmp_path / "large.wav")
    wait_for_state(browser, "error")
    assert text(browser, "[role=alert]") == "The file has 1001 bytes: the service takes at most 1000 bytes."
    assert service.headers == []
    choose(browser, tmp_path / "largest.wav")
    wait_for_state(browser, "result")
    assert len(service.bodies[0]) == 1000


def test_a_service_that_is_gone_is_an_error(browser, song: Path) -> None:
    with serving(StubService(LABELS, make_result(PROBABILITIES, TIMELINE))) as service:
        show(browser, service)
    choose(browser, song)
    wait_for_state(browser, "error")
    assert text(browser, "[role=alert]").startswith("The connection to the service broke off")


def test_a_token_is_asked_for_and_sent(served: StubService, browser, song: Path) -> None:
    served.reset()
    served.token = TOKEN
    show(browser, served)
    field = find(browser, "#token")
    wait_for(browser, field.is_displayed)
    assert field.get_attribute("type") == "password"
    assert not find(browser, "#choice").is_displayed()
    for wrong, message in (("wrong", "The token is missing or wrong."), ("schlüssel", "A token has letters, digits")):
        field.send_keys(wrong, Keys.ENTER)
        wait_for(browser, lambda message=message: text(browser, "[role=alert]").startswith(message))
    field.send_keys(TOKEN, Keys.ENTER)
    wait_for_state(browser, "empty")
    assert not field.is_displayed()
    predict(browser, song)
    assert served.headers[0]["authorization"] == f"Bearer {TOKEN}"
    assert browser.execute_script("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    served.token = TOKEN[::-1]
    choose(browser, song)
    wait_for(browser, field.is_displayed)
    assert text(browser, "[role=alert]") == "The token is missing or wrong."


def test_a_model_that_loads_is_waited_for(served: StubService, browser) -> None:
    served.reset()
    served.model_status = 503
    show(browser, served)
    wait_for(browser, lambda: text(browser, "#model-note") == "The model is being loaded.")
    assert not find(browser, "#choice").is_displayed()
    served.model_status = 200
    wait_for_state(browser, "empty")
    assert find(browser, "#choice").is_displayed()


def test_a_recording_is_sent_as_wav(service: StubService, browser) -> None:
    record = find(browser, "#record")
    record.send_keys(Keys.ENTER)
    wait_for(browser, lambda: record.text == "Stop")
    wait_for(browser, lambda: text(browser, "#elapsed") == "0:02")
    assert serious_faults(browser) == []
    record.send_keys(Keys.ENTER)
    wait_for_state(browser, "result")
    wait_for_pictures(browser)
    assert record.text == "Record"
    assert text(browser, "#result-name") == "recording.wav"
    [body] = service.bodies
    with soundfile.SoundFile(io.BytesIO(body)) as file:
        assert (file.format, file.subtype, file.channels) == ("WAV", "PCM_16", 1)
        samples = file.read()
        assert 1.9 <= len(samples) / file.samplerate <= 60
    # The fake microphone of Chromium beeps each second.
    assert np.abs(samples).max() > 0.1
    assert browser.get_log("browser") == []


def test_a_recording_ends_at_the_longest_duration(service: StubService, browser) -> None:
    limits = service.limits
    service.limits = limits | {"max_duration_s": 1.5}
    show(browser, service)
    service.limits = limits
    find(browser, "#record").click()
    wait_for_state(browser, "result")
    info = soundfile.info(io.BytesIO(service.bodies[0]))
    assert info.frames == 1.5 * info.samplerate


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
    served.reset()
    show(browser, served, scheme="dark")
    predict(browser, song)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        shown = {name: find(browser, name).is_displayed() for name in ("#choice", "#player", "#probabilities", "#seek")}
        assert shown == {"#choice": False, "#player": False, "#probabilities": True, "#seek": True}
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def computed(browser, file: str, expression: str, *values: Any) -> Any:
    """Returns what an expression of a module of the page is; the expression may use `module` and `values`."""
    script = f"""
    const done = arguments[arguments.length - 1];
    const values = arguments;
    import(location.origin + "/{file}")
.then(module => {expression}).then(done, error => done(String(error)));
    """
    return browser.execute_async_script(script, *values)


def test_the_spectrogram_is_that_of_numpy_and_librosa(service: StubService, browser) -> None:
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.normal(size=9000)).astype(np.float32)
    bands = """module.melBands({numBands: 128, fftSize: 2048, sampleRateHz: 22050, minHz: 30})
      .map(({first, weights}) => [first, Array.from(weights)])"""
    filters = np.zeros((128, 1025))
    for band, (first, weights) in enumerate(computed(browser, "spectrogram.js", bands)):
        filters[band, first : first + len(weights)] = weights
    expected = librosa.filters.mel(sr=22050, n_fft=2048, n_mels=128, fmin=30, htk=True, norm=None)
    np.testing.assert_allclose(filters, expected, atol=1e-6)

    found = computed(
        browser,
        "spectrogram.js",
        """module.melSpectrogram(Float32Array.from(values[0]), {signal: new AbortController().signal})
          .then(({numColumns, values}) => [numColumns, Array.from(values)])""",
        samples.tolist(),
    )
    num_columns, values = found
    assert num_columns == 18  # 4 * 9000 / 2048, rounded up
    hop = 9000 / 18
    padded = np.pad(samples.astype(np.float64), 1024)
    window = np.hanning(2049)[:-1]
    powers = [
        np.abs(np.fft.rfft(window * padded[centre : centre + 2048])) ** 2
        for centre in (int((column + 0.5) * hop) for column in range(18))
    ]
    mel = np.stack(powers) @ expected.T
    decibels = np.maximum(-80, 10 * np.log10(mel / mel.max()))
    np.testing.assert_allclose(np.reshape(values, (18, 128)), decibels, atol=2e-3)


def test_peaks_are_those_of_each_column(service: StubService, browser) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, 1000).astype(np.float32)
    low, high = computed(
        browser,
        "spectrogram.js",
        """module.peaks(Float32Array.from(values[0]), {numColumns: 40, signal: new AbortController().signal})
          .then(({low, high}) => [Array.from(low), Array.from(high)])""",
        samples.tolist(),
    )
    columns = samples.reshape(40, 25)
    np.testing.assert_array_equal(np.float32(low), columns.min(1))
    np.testing.assert_array_equal(np.float32(high), columns.max(1))


def test_wav_files_are_those_of_libsndfile(service: StubService, browser) -> None:
    samples = [0.0, 1.0, -1.0, 0.5, -0.25, 3.0, -3.0, 1 / 32767]
    encoded = computed(
        browser,
        "recording.js",
        """module.wavFile([module.toInt16(values[0]), new Int16Array([7])], 44100).arrayBuffer()
          .then(buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))))""",
        samples,
    )
    expected = io.BytesIO()
    values = np.array([0, 32767, -32767, 16384, -8192, 32767, -32767, 1, 7], np.int16)
    soundfile.write(expected, values, 44100, format="WAV", subtype="PCM_16")
    assert base64.b64decode(encoded) == expected.getvalue()


def test_recordings_fit_the_limits(service: StubService, browser) -> None:
    longest = "module.maxSamples({max_duration_s: values[0], max_upload_bytes: values[1]}, 48000)"
    assert computed(browser, "recording.js", longest, 2, 10**9) == 96_000
    assert computed(browser, "recording.js", longest, 3600, 1044) == 500
    assert computed(browser, "recording.js", longest, 3600, 10) == 0
