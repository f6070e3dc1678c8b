"""The pages of `beamtune report` in a browser: complete, accessible, in light and dark, and on a telephone."""

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import axe_core_python
import pytest
from chromium import OVERFLOW, SCROLLED_TABLES, TEXT_HEIGHTS, WRAPPED_NUMBERS, open_page, requested_urls
from python_script import script_command
from selenium.webdriver.common.by import By

from configs.cli import main
from trainer.report.page import render_page

pytestmark = pytest.mark.slow

AXE = Path(axe_core_python.__file__).with_name("axe.min.js")
RUN_AXE = "const done = arguments[arguments.length - 1]; axe.run().then(found => done(found.violations));"
LOADED_DURATIONS = """
const done = arguments[arguments.length - 1];
Promise.all([...document.querySelectorAll("audio")].map(audio => new Promise(resolve => {
  audio.addEventListener("loadedmetadata", () => resolve(audio.duration));
  audio.addEventListener("error", () => resolve(audio.error.message));
  audio.load();
}))).then(done);
"""
WITHOUT_TENSORFLOW = """
for name in ("tensorflow", "keras", "tensorboard"):
    sys.modules[name] = None
from configs.cli import main
sys.exit(main(sys.argv[1:]))
"""


SMALL_MODEL = ("model.filters=[8]", "model.time_pools=[4]", "model.band_pools=[4]", "model.hidden_units=8")
# For TensorBoard. The report draws its own.
NO_PICTURES = ("board.confusion_matrix=false", "board.num_spectrograms=0", "board.num_embeddings=0")

TRIALS = [
    {"trial_id": name, "score": score, "best_epoch": 1, "stopped_by": None, "values": {"model.dropout": score}}
    for name, score in (("0002", 0.75), ("0001", 0.5))
]
SEARCH = {
    "kind": "search",
    "name": "search",
    "leak": None,
    "contamination": [],
    "sentences": ["The question: which?", "The answer: this.", "What it does not say: more."],
    "cautions": ["The best score is too high."],
    "search": {
        "algorithm": "random",
        "objective": "validation/track/accuracy",
        "direction": "max",
        "end_reason": "over",
        "elapsed_s": 1.0,
        "num_epochs": 2,
        "num_trials": 2,
        "num_scored": 2,
    },
    "best": {**TRIALS[0], "metrics": {"validation/track/accuracy": 0.75}},
    "test_score": None,
    "trials": TRIALS,
    "scores_in_order": TRIALS,
    "space": "search: {}",
    "data": {"path": "data"},
    "provenance": {
        "command": "beamtune tune",
        "settings": "a: 1",
        "prepare_yaml": None,
        "cache_key": None,
        "weights": [],
        "prepared_with": {},
        "trained_with": {},
        "reported_with": {"Python": "3"},
    },
}


@pytest.fixture(scope="module")
def reports(make_collection, tmp_path_factory):
    """A folder with the reports `run`, `crossval`, `search` and `baselines`, of music whose genres are chosen badly."""
    folder = tmp_path_factory.mktemp("reports")
    music = make_collection(folder / "music", genres=3, artists=5, tracks=1)
    for number in range(5):  # the tones of one genre are those of another, so that tracks are wrong
        (music / "genre2" / f"artist2{number}" / "0.wav").write_bytes(
            (music / "genre1" / f"artist1{number}" / "0.wav").read_bytes()
        )
    for words in (
        ["prepare", "dataset=folder", f"dataset.root={music}", "duplicates.mode=off", f"output_dir={folder}/data"],
        ["train", f"data_dir={folder}/data", f"run_dir={folder}/run", "epochs=3", *SMALL_MODEL, *NO_PICTURES],
        ["evaluate", f"run_dir={folder}/run"],
        [
            *("baselines", f"data_dir={folder}/data", f"output_dir={folder}/baselines"),
            *("learners=[naive_bayes]", "feature=log_mel"),
        ],
        [
            *("crossval", f"data_dir={folder}/data", f"output_dir={folder}/folds", "folds=3", "seeds=[0]"),
            *("learner=baselines", "baselines.learners=[naive_bayes]", "baselines.feature=log_mel"),
        ],
        ["report", f"{folder}/run", f"output_dir={folder}/report/run", f"baselines={folder}/baselines"],
        ["report", f"{folder}/baselines", f"output_dir={folder}/report/baselines"],
        ["report", f"{folder}/folds/naive_bayes", f"output_dir={folder}/report/crossval"],
    ):
        assert main(words) == 0
    (folder / "report" / "search").mkdir()
    (folder / "report" / "search" / "index.html").write_text(render_page(SEARCH, excerpts={}))
    return folder / "report"


def test_the_page_is_complete_and_requests_nothing(browser, reports):
    page = reports / "run" / "index.html"
    numbers = json.loads((page.parent / "report.json").read_text())
    open_page(browser, page, scheme="light")
    durations = browser.execute_async_script(LOADED_DURATIONS)
    assert len(durations) == len(numbers["clips"]) == numbers["num_wrong"] > 0
    assert durations == pytest.approx([4.0] * len(durations), abs=0.2)
    images = browser.find_elements(By.TAG_NAME, "img")
    assert all(browser.execute_script("return arguments[0].naturalWidth", image) > 0 for image in images)
    assert [svg.size["width"] > 300 for svg in browser.find_elements(By.CSS_SELECTOR, ".chart svg")] == [True] * 4
    assert len(numbers["epochs"]) == 3
    assert set(numbers["provenance"]["trained_with"]) == {"beamtune", "tensorflow", "keras", "python"}
    assert numbers["references"][1]["name"] == "naive_bayes"
    assert browser.get_log("browser") == []
    assert {urlsplit(url).scheme for url in requested_urls(browser)} == {"file", "data"}


@pytest.mark.parametrize("kind", ["run", "crossval", "search", "baselines"])
def test_pages_are_accessible_and_fit_their_window(browser, reports, kind):
    page = reports / kind / "index.html"
    for scheme, width in (("light", 1280), ("dark", 390)):
        open_page(browser, page, scheme=scheme, width=width)
        browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
        violations = browser.execute_async_script(RUN_AXE)
        serious = [
            (one["id"], [node["html"][:200] for node in one["nodes"]])
            for one in violations
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], (scheme, width)
        assert browser.execute_script(OVERFLOW) == 0
        assert browser.execute_script(SCROLLED_TABLES) == []
        assert browser.execute_script(WRAPPED_NUMBERS) == []
        assert min(browser.execute_script(TEXT_HEIGHTS)) >= 11.99


def test_charts_follow_light_and_dark(browser, reports):
    color = "return getComputedStyle(document.querySelector('.chart svg text')).fill"
    found = []
    for scheme in ("light", "dark"):
        open_page(browser, reports / "run" / "index.html", scheme=scheme)
        found.append(browser.execute_script(color))
    assert found == ["rgb(26, 26, 26)", "rgb(232, 232, 232)"]


def test_players_are_hidden_and_tables_are_whole_in_print(browser, reports):
    open_page(browser, reports / "run" / "index.html", scheme="light", width=700)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    audio = browser.find_element(By.TAG_NAME, "audio")
    scrolled = browser.find_element(By.CSS_SELECTOR, ".scroll")
    assert not audio.is_displayed()
    assert scrolled.value_of_css_property("overflow-x") == "visible"
    assert browser.execute_script(OVERFLOW) == 0
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_report_needs_no_tensorflow(reports, tmp_path):
    words = ["report", str(reports.parent / "run"), f"output_dir={tmp_path}/page"]
    baselines = f"baselines={reports.parent}/baselines"
    done = subprocess.run(
        [*script_command(WITHOUT_TENSORFLOW), *words, baselines], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page" / "index.html").read_bytes() == (reports / "run" / "index.html").read_bytes()
