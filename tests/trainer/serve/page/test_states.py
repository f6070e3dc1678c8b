"""The states of the page of `beamtune serve`: uploads, errors, tokens, recordings."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from selenium.webdriver.common.keys import Keys
from serve_page import choose, find, predict, serious_faults, show, text, wait_for, wait_for_pictures, wait_for_state
from stub_service import HOSTILE, StubService, error, serving

pytestmark = pytest.mark.slow

TOKEN = "0123" * 4
# An upload of this size does not fit into the buffers of a connection.
LARGE_BYTES = 40 * 2**20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault_in_any_state(served: StubService, browser, song: Path, tmp_path: Path, scheme: str) -> None:
    show(browser, served.url, scheme=scheme)
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
    served.token = TOKEN
    show(browser, served.url, scheme=scheme)
    wait_for(browser, lambda: find(browser, "#token").is_displayed())
    assert serious_faults(browser) == []


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


def test_errors_of_the_service_are_shown(service: StubService, browser, song: Path) -> None:
    alert = find(browser, "[role=alert]")
    for status, body, message in (
        (422, json.dumps(error("silent", f"The audio is silent: {HOSTILE}")), f"The audio is silent: {HOSTILE}"),
        (502, "<h1>Bad gateway</h1>", "The service answered with the status 502 and no reason."),
        (503, json.dumps({"error": {"message": 5}}), "The service answered with the status 503 and no reason."),
        (200, "nothing", "The service's answer is not JSON."),
        (200, "{}", "The page cannot show the answer: "),
    ):
        service.failure = (status, body)
        choose(browser, song)
        wait_for_state(browser, "error")
        assert alert.text.startswith(message)
        assert alert.is_displayed()
        assert not find(browser, "#result").is_displayed()
        service.failure = None
        choose(browser, song)
        wait_for_state(browser, "result")
        assert alert.text == ""


def test_a_file_above_the_limit_is_not_uploaded(served: StubService, browser, tmp_path: Path) -> None:
    served.limits |= {"max_upload_bytes": 1000}
    show(browser, served.url)
    for name, num_bytes in (("large.wav", 1001), ("largest.wav", 1000)):
        (tmp_path / name).write_bytes(bytes(num_bytes))
    choose(browser, tmp_path / "large.wav")
    wait_for_state(browser, "error")
    assert text(browser, "[role=alert]") == "The file has 1001 bytes: the service takes at most 1000 bytes."
    assert served.headers == []
    choose(browser, tmp_path / "largest.wav")
    wait_for_state(browser, "result")
    assert len(served.bodies[0]) == 1000


def test_a_service_that_is_gone_is_an_error(browser, song: Path) -> None:
    with serving(StubService()) as service:
        show(browser, service.url)
        wait_for_state(browser, "empty")
    choose(browser, song)
    wait_for_state(browser, "error")
    assert text(browser, "[role=alert]").startswith("The connection to the service broke off")


def test_a_token_is_asked_for_and_sent(served: StubService, browser, song: Path) -> None:
    served.token = TOKEN
    show(browser, served.url)
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
    served.model_status = 503
    show(browser, served.url)
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


def test_a_recording_ends_at_the_longest_duration(served: StubService, browser) -> None:
    served.limits |= {"max_duration_s": 1.5}
    show(browser, served.url)
    wait_for_state(browser, "empty")
    find(browser, "#record").click()
    wait_for_state(browser, "result")
    info = soundfile.info(io.BytesIO(served.bodies[0]))
    assert info.frames == 1.5 * info.samplerate


def test_a_file_is_dropped(service: StubService, browser) -> None:
    drop = """
    const data = new DataTransfer();
    arguments[0].forEach(name => data.items.add(new File(["dropped"], name)));
    for (const type of ["dragover", "drop"]) {
      document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
    }
    """
    browser.execute_script(drop, ["one.mp3", "two.mp3"])
    wait_for_state(browser, "error")
    assert text(browser, "[role=alert]") == "2 files were dropped: expected one."
    browser.execute_script(drop, ["one.mp3"])
    wait_for_state(browser, "result")
    assert service.bodies == [b"dropped"]
    assert text(browser, "#result-name") == "one.mp3"
