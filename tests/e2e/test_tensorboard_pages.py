"""TensorBoard in a browser shows the curves, images, audio, points and settings of a short run, and a search.

Its pages nest shadow roots and a frame; the scripts here search all of them. Screenshots are written to the folder in
BEAMTUNE_SCREENSHOTS, or to a temporary one.
"""

import io
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from beam_pipelines.common.python_process import python_command
from configs.cli import main
from trainer.board.config import TensorboardConfig
from trainer.board.tensorboard_server import start
from trainer.common.drawing import genre_colors
from trainer.common.event_files import EventFile
from trainer.tuner.hparams_events import write_experiment, write_session_start, write_session_success
from trainer.tuner.space.space_file import parse_space
from trainer.tuner.trial import Trial

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
SEGMENT_DURATION_S = 3.0
WAIT_S = 600.0  # on a busy machine
GENRE_COLORS = [tuple(bytes.fromhex(color[1:])) for color in genre_colors(["genre0", "genre1"]).values()]
OBJECTIVE = "validation/track/accuracy"
SPACE = parse_space(
    "search:\n"
    "  width: {choice: [8, 16, 32, 64]}\n"
    "  model.dropout: {float: [0.0, 0.5]}\n"
    "  augment.time_masks: {int: [0, 2]}\n"
    "  augment.time_mask_max_share: {float: [0.05, 0.3], when: {augment.time_masks: [1, 2]}}\n"
    "derive: {model.filters: {first: width, length: 2}}",
    where="space",
)
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
OPEN_PARALLEL_COORDINATES = FIND + "shown.filter(tab => /PARALLEL/i.test(tab.textContent)).forEach(tab => tab.click());"
LINES = FIND.replace("arguments[0]", "'.foreground path'") + "return shown.length;"
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
        ["evaluate", f"run_dir={directory}/runs/first", "split=test"],
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


@pytest.fixture(scope="module")
def search_address(tmp_path_factory):
    """The URL of TensorBoard on a search whose trials do not all have the same parameters."""
    directory = str(tmp_path_factory.mktemp("search"))
    write_experiment(directory, SPACE, objective=OBJECTIVE, created_s=1.0)
    for number, masks in enumerate((0, 1, 0, 2)):
        values = {"width": 8 << number, "model.dropout": 0.1 * number, "augment.time_masks": masks}
        share = {"augment.time_mask_max_share": 0.1} if masks else {}
        name = f"{number:04d}"
        trial = Trial(name, {**values, **share}, f"{directory}/trials/{name}")
        write_session_start(trial, SPACE)
        with EventFile(f"{trial.directory}/validation") as events:
            for tag in ("track/accuracy", "segment/loss"):
                events.scalar(tag, 0.25 * number, step=4)
        write_session_success(trial.directory, objective=OBJECTIVE, score=0.25 * number)
    return start(directory, config=TensorboardConfig(port=0))


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


def test_accuracy_loss_and_f1_are_the_first_charts_and_rates_the_last(open_page):
    def groups_and_tags(browser):
        # Such as "track_f12 cards": no group has ten.
        groups = [re.sub(r"\d cards?$", "", text) for text in texts(browser, "metrics-card-group-toolbar")]
        tags = texts(browser, "scalar-card .tag")
        return (groups, tags) if len(groups) >= 7 and len(tags) >= 3 else None

    groups, tags = open_page("timeseries", groups_and_tags)
    assert groups == [
        "segment",
        "track",
        "track_confusion",
        "track_f1",
        "track_segments",
        "track_vote",
        "training",
    ]
    assert tags[:3] == ["segment/accuracy", "segment/loss", "segment/macro_f1"]


def test_curves_of_both_splits_share_a_chart_and_the_best_weights_have_a_point(open_page, validation):
    def cards(browser):
        shown = texts(browser, "scalar-card")
        return shown if len(shown) == 2 and all("first/validation" in card for card in shown) else None

    loss, accuracy = open_page("timeseries", cards, query="?tagFilter=segment%2Floss%7Ctrack%2Faccuracy")
    assert loss.startswith("segment/loss") and accuracy.startswith("track/accuracy")
    assert "first/train" in loss and "first/train" not in accuracy
    assert "first/test" in loss and "first/test" in accuracy
    # A row of the table below the chart: the run, the smoothed value and the value.
    best = f"{validation['track']['accuracy']:.4g}"
    assert re.search(rf"\bfirst\s*{re.escape(best)}\s*{re.escape(best)}", accuracy)


def test_every_scalar_has_its_tag_among_the_scalars(open_page):
    groups = {"segment", "track", "track_f1", "track_vote", "training"}

    def categories(browser):
        return groups <= set(texts(browser, ".category-name"))

    open_page("scalars", categories)


def test_the_confusion_matrix_and_spectrograms_are_images(open_page):
    tags = {"track_confusion/best_weights", "track_segments/genre0", "track_segments/genre1"}

    def sizes(browser):
        if not tags <= set(texts(browser, "span")):
            return None
        loaded = browser.execute_script(LOADED_IMAGE_SIZES, "img")
        return loaded if len([size for size in loaded if min(size) > 100]) >= 5 else None

    widths = sorted(width for width, _ in open_page("images", sizes) if width > 100)
    assert len(widths) == 5
    # Confusion matrices of each epoch, of the best weights and of the test split; two pictures of four spectrograms.
    assert widths[0] == widths[2] < widths[3] == widths[4]


def test_mistakes_are_audio_with_titles(open_page, browser, validation):
    matrix = validation["track"]["confusion_matrix"]
    num_wrong = matrix[0][1] + matrix[1][0]
    assert num_wrong > 0

    def titles(browser):
        found = [text for text in texts(browser, ".heading-label") if re.match(r"\d+\. genre", text)]
        return sorted(set(found)) if len(set(found)) == num_wrong else None

    shown = open_page("audio", titles)
    for title in shown:
        assert re.fullmatch(
            r"\d+\. genre\d/artist\d+/\d\.wav: "
            r"labelled (genre0, predicted as genre1|genre1, predicted as genre0), p=[01]\.\d\d",
            title,
        )
    assert browser.execute_async_script(LOADED_DURATIONS, "audio") == [SEGMENT_DURATION_S] * num_wrong


def test_the_projector_has_a_colored_point_for_each_segment(open_page, validation):
    def points(browser):
        pixels = np.asarray(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB"))
        if not all((pixels == color).all(axis=-1).any() for color in GENRE_COLORS):
            return None
        counts = [re.search(r"Points: (\d+)", text) for text in texts(browser, "span, div")]
        return next((int(count.group(1)) for count in counts if count), None)

    assert open_page("projector", points) == validation["segment"]["num_examples"]


def test_the_table_of_settings_has_the_run_with_its_accuracy(open_page, validation):
    def cells(browser):
        found = texts(browser, "vaadin-grid-cell-content")
        return found if "first" in found else None

    row = open_page("hparams", cells)
    assert {"folder", "cnn2d", "log_mel", "0"} <= set(row)  # the last is the seed, not 0.0000
    assert "track/accuracy" in row
    accuracies = [float(cell) for cell in row if re.fullmatch(r"[01]\.\d+", cell)]
    assert any(abs(value - validation["track"]["accuracy"]) < 1e-4 for value in accuracies)


def test_a_search_has_a_line_for_each_trial_with_the_columns_that_are_shown_first(browser, search_address):
    browser.get(f"{search_address}#hparams")
    deadline_s = time.monotonic() + WAIT_S
    while not browser.execute_script(LINES):
        assert time.monotonic() < deadline_s, "no line is drawn"
        time.sleep(0.5)
        browser.execute_script(OPEN_PARALLEL_COORDINATES, "paper-tab")
    assert browser.execute_script(LINES) == 4
    axes = texts(browser, ".axis-title")
    # All four parameters, also the conditional one, then the scores.
    assert axes[:4] == ["augment.time_masks", "model.dropout", "width", "augment.time_mask_max_share"]
    places = [text for text in texts(browser, "g.tick") if text in ("8", "16", "32", "64", "off")]
    assert sorted(places) == sorted(["8", "16", "32", "64", "off"])


def test_the_data_set_is_described(open_page):
    def cells(browser):
        found = texts(browser, "td")
        return found if "all genres" in found else None

    assert {"genre0", "genre1", "audio in segments"} <= set(open_page("text", cells))
