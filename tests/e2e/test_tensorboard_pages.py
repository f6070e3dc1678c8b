"""TensorBoard in a browser shows the curves, images, audio, points and settings of a short run.

Its pages nest shadow roots and a frame; the scripts here search all of them. Screenshots are written to the folder in
BEAMTUNE_SCREENSHOTS, or to a temporary one.
"""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from beam_pipelines.common.python_process import python_command
from configs.cli import main

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
SEGMENT_DURATION_S = 3.0
WAIT_S = 600.0  # on a busy machine
# All elements that a selector finds, in whatever shadow root or frame they are.
FIND = """
const found = [];
const visit = root => {
  found.push(...root.querySelectorAll(arguments[0]));
  for (const element of root.querySelectorAll("*")) {
    if (element.shadowRoot) visit(element.shadowRoot);
    if (element.tagName === "IFRAME" && element.contentDocument) visit(element.contentDocument);
  }
};
visit(document);
const shown = found.filter(element => element.getClientRects().length > 0);
"""
TEXTS = FIND + 'return shown.map(element => element.textContent.replace(/\\s+/g, " ").trim());'
LOADED_IMAGE_SIZES = (
    FIND + "return shown.filter(image => image.complete).map(image => [image.naturalWidth, image.naturalHeight]);"
)
LOADED_DURATIONS = (
    FIND
    + """
const done = arguments[arguments.length - 1];
Promise.all(shown.map(audio => new Promise(resolve => {
  const report = () => resolve(audio.error ? audio.error.message : audio.duration);
  if (audio.readyState >= 1 || audio.error) report();
  else { audio.addEventListener("loadedmetadata", report); audio.addEventListener("error", report); audio.load(); }
}))).then(done);
"""
)


@pytest.fixture(scope="module")
def run(make_collection, tmp_path_factory):
    """A short run on two genres; a file of each artist is in the folder of the other genre."""
    directory = tmp_path_factory.mktemp("board")
    music = make_collection(directory / "music", tracks=3, duration_s=2 * SEGMENT_DURATION_S)
    for first in music.glob("genre0/*/0.wav"):
        second = music / "genre1" / first.parent.name.replace("artist0", "artist1", 1) / first.name
        first.rename(directory / "swapped.wav")
        second.rename(first)
        (directory / "swapped.wav").rename(second)
    dataset = ["dataset=folder", f"dataset.root={music}", "features=[log_mel,waveform]"]
    for words in (
        ["prepare", *dataset, f"output_dir={directory}/data"],
        ["train", f"data_dir={directory}/data", f"run_dir={directory}/runs/first", "epochs=12", "global_batch_size=8"],
    ):
        assert main(words) == 0
    return directory / "runs" / "first"


@pytest.fixture(scope="module")
def validation(run):
    """The metrics of the best weights on the validation split."""
    return json.loads((run / "metrics.json").read_text())["validation"]


@pytest.fixture(scope="module")
def address(run):
    """The URL of `beamtune tensorboard` on the folder of the run."""
    process = subprocess.Popen(
        python_command("configs.cli:run", "tensorboard", str(run.parent), "port=0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    line = process.stdout.readline()
    yield re.search(r"http://127\.0\.0\.1:\d+/", line).group()
    process.send_signal(signal.SIGINT)
    assert process.wait(WAIT_S) == 0


@pytest.fixture
def open_page(browser, address, tmp_path):
    """Opens a page of TensorBoard, waits until it is complete, and writes a screenshot of it either way."""
    folder = Path(os.environ.get("BEAMTUNE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def open_and_wait(name, until, *, query=""):
        """until: returns a true value when the page is complete."""
        browser.get(f"{address}{query}#{name}")
        browser.refresh()  # get() does not reload another part of the same page
        deadline_s = time.monotonic() + WAIT_S
        try:
            while not (seen := until(browser)):
                assert time.monotonic() < deadline_s, f"{name} is not complete: {folder}/{name}.png"
                time.sleep(0.5)
            return seen
        finally:
            time.sleep(1.0)  # charts draw their lines last
            browser.save_screenshot(str(folder / f"{name}.png"))

    return open_and_wait


def texts(browser, selector):
    return browser.execute_script(TEXTS, selector)


def test_curves_of_both_splits_share_a_chart_and_the_best_weights_have_a_point(open_page, validation):
    def cards(browser):
        shown = texts(browser, "scalar-card")
        return shown if len(shown) == 2 and all("first/validation" in card for card in shown) else None

    loss, accuracy = open_page("timeseries", cards, query="?tagFilter=segment%2Floss%7Ctrack%2Faccuracy")
    assert loss.startswith("segment/loss") and accuracy.startswith("track/accuracy")
    assert "first/train" in loss and "first/train" not in accuracy
    # A row of the table below the chart: the run, the smoothed value and the value.
    best = f"{validation['track']['accuracy']:.4g}"
    assert re.search(rf"\bfirst\s*{re.escape(best)}\s*{re.escape(best)}", accuracy)


def test_every_scalar_has_its_tag_among_the_scalars(open_page):
    groups = {"examples_per_s", "gradient_norm", "learning_rate", "per_class_f1", "segment", "step_time_ms", "track"}

    def categories(browser):
        return groups <= set(texts(browser, ".category-name"))

    open_page("scalars", categories)


def test_the_confusion_matrix_and_spectrograms_are_images(open_page):
    tags = {"confusion/track", "spectrograms/genre0", "spectrograms/genre1"}

    def sizes(browser):
        if not tags <= set(texts(browser, "span")):
            return None
        loaded = browser.execute_script(LOADED_IMAGE_SIZES, "img")
        return loaded if len([size for size in loaded if min(size) > 100]) >= 3 else None

    widths = sorted(width for width, _ in open_page("images", sizes) if width > 100)
    assert len(widths) == 3
    assert widths[0] < widths[1] == widths[2]  # a confusion matrix, and two pictures of four spectrograms


def test_mistakes_are_audio_with_titles(open_page, browser, validation):
    matrix = validation["track"]["confusion_matrix"]
    num_wrong = matrix[0][1] + matrix[1][0]
    assert num_wrong > 0

    def titles(browser):
        found = [text for text in texts(browser, ".heading-label") if re.match(r"\d+\. labelled", text)]
        return sorted(set(found)) if len(set(found)) == num_wrong else None

    shown = open_page("audio", titles)
    for title in shown:
        assert re.fullmatch(
            r"\d+\. labelled (genre0, predicted as genre1|genre1, predicted as genre0), p=[01]\.\d\d", title
        )
    assert browser.execute_async_script(LOADED_DURATIONS, "audio") == [SEGMENT_DURATION_S] * num_wrong


def test_the_projector_has_a_point_for_each_segment(open_page, validation):
    def points(browser):
        counts = [re.search(r"Points: (\d+)", text) for text in texts(browser, "span, div")]
        return next((int(count.group(1)) for count in counts if count), None)

    assert open_page("projector", points) == validation["segment"]["num_examples"]


def test_the_table_of_settings_has_the_run_with_its_accuracy(open_page, validation):
    def cells(browser):
        found = texts(browser, "vaadin-grid-cell-content")
        return found if "first" in found else None

    row = open_page("hparams", cells)
    assert {"folder", "cnn2d", "log_mel"} <= set(row)
    assert "track/accuracy" in row
    accuracies = [float(cell) for cell in row if re.fullmatch(r"[01]\.\d+", cell)]
    assert any(abs(value - validation["track"]["accuracy"]) < 1e-4 for value in accuracies)


def test_the_data_set_is_described(open_page):
    def cells(browser):
        found = texts(browser, "td")
        return found if "all genres" in found else None

    assert {"genre0", "genre1", "audio in segments"} <= set(open_page("text", cells))
