"""`beamtune review` on tones with swapped genres: what it ranks first, and its page in a browser."""

import csv
import io
import shutil
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from configs.cli import main

pytestmark = pytest.mark.slow

GENRES = ("low", "middle", "high")
PREPARE = ("prepare", "dataset=csv", "segment.duration_s=1", "segment.hop_s=1", "duplicates.mode=off")
CROSSVAL = (
    *("crossval", "folds=3", "seeds=[0]", "learner=baselines"),
    *("baselines.learners=[logistic_regression]", "baselines.feature=log_mel"),
)


@pytest.fixture(scope="module")
def reviewed(write_audio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 tones of three genres and eight artists in each, every tenth with the genre of another one; their review."""
    directory = tmp_path_factory.mktemp("reviewed")
    rows = []
    for index in range(48):
        number, artist, track = index % 3, index // 3 % 8, index // 24
        path = directory / "music" / GENRES[number] / f"{artist}-{track}.wav"
        write_audio(path, frequency_hz=300.0 * 2**number + 5 * artist + track, duration_s=4.0, pulse_hz=1.0)
        stated = GENRES[(number + 1) % 3] if index % 10 == 5 else GENRES[number]
        rows.append((str(path), stated, f"{GENRES[number]} {artist}"))
    with (directory / "songs.csv").open("w", newline="") as sink:
        csv.writer(sink).writerows([("path", "genre", "artist"), *sorted(rows)])
    for words in (
        [*PREPARE, f"dataset.path={directory}/songs.csv", f"output_dir={directory}/data"],
        [*CROSSVAL, f"data_dir={directory}/data", f"output_dir={directory}/crossval"],
        ["review", f"{directory}/crossval/logistic_regression", f"output_dir={directory}/review", "uncertain=3"],
    ):
        assert main(words) == 0
    return directory


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as source:
        return list(csv.DictReader(source))


def true_genre(reviewed: Path, path: str) -> str:
    return Path(path).relative_to(reviewed / "music").parts[0]


def test_swapped_genres_are_ranked_first(reviewed: Path) -> None:
    ranking = read(reviewed / "review" / "ranking.csv")
    assert [int(row["rank"]) for row in ranking] == list(range(1, 49))
    for row in ranking[:5]:
        assert row["genre"] != true_genre(reviewed, row["path"]) == row["suggested"]
        assert row["suspected"] == "1"
    assert all(row["genre"] == true_genre(reviewed, row["path"]) for row in ranking[5:])


def test_the_table_is_the_data_set(reviewed: Path) -> None:
    table = sorted(read(reviewed / "review" / "tracks.csv"), key=lambda row: row["path"])
    assert table == read(reviewed / "songs.csv")


def test_genres_are_corrected_in_the_page(reviewed: Path, browser) -> None:
    browser.get((reviewed / "review" / "index.html").as_uri())
    articles = browser.find_elements(By.CSS_SELECTOR, "#suspects article")
    assert len(articles) >= 5
    assert len(browser.find_elements(By.CSS_SELECTOR, "#uncertain article")) == 3
    durations = browser.execute_async_script(
        "const done = arguments[0]; const audio = document.querySelector('audio');"
        "audio.addEventListener('loadedmetadata', () => done(audio.duration));"
        "audio.addEventListener('error', () => done(audio.error.message)); audio.load();"
    )
    assert durations == pytest.approx(4, abs=0.2)
    changed = {}
    for article in articles:
        name = article.find_element(By.TAG_NAME, "h3").text
        choice = Select(article.find_element(By.TAG_NAME, "select"))
        right = true_genre(reviewed, name)
        if choice.first_selected_option.text != right:
            choice.select_by_visible_text(right)
            changed[name] = right
    assert browser.find_element(By.ID, "count").text == f"{len(changed)} tracks corrected"
    text = browser.execute_script("return correctedTable()")
    corrected = {row["path"]: row["genre"] for row in csv.DictReader(io.StringIO(text))}
    stated = {row["path"]: row["genre"] for row in read(reviewed / "songs.csv")}
    assert {path for path in stated if corrected[path] != stated[path]} == set(changed)
    assert all(corrected[path] == true_genre(reviewed, path) for path in changed)
    assert browser.get_log("browser") == []
    (reviewed / "corrected.csv").write_text(text)
    words = ["prepare", "dataset=csv", f"dataset.path={reviewed}/corrected.csv", f"output_dir={reviewed}/again"]
    assert main([*words, "--dry-run"]) == 0


def test_data_that_have_moved_are_named(reviewed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["review", f"{reviewed}/crossval/logistic_regression", f"output_dir={reviewed}/second"]
    moved = shutil.move(reviewed / "data", reviewed / "moved")
    try:
        assert main(words) == 2
        assert main([*words, f"data_dir={moved}", "suspects=1", "uncertain=0"]) == 0
    finally:
        shutil.move(moved, reviewed / "data")
    assert main([*words[:-1], f"output_dir={reviewed}/music"]) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err


def test_audio_that_is_gone_is_noted(reviewed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = shutil.move(reviewed / "music", reviewed / "gone")
    words = ["review", f"{reviewed}/crossval/logistic_regression", f"output_dir={reviewed}/third"]
    try:
        assert main([*words, "suspects=2", "uncertain=1"]) == 0
    finally:
        shutil.move(moved, reviewed / "music")
    assert "note: 3 of 3 excerpts cannot be read, the first one because: " in capsys.readouterr().out
    assert (reviewed / "third" / "index.html").read_text().count("No such file or directory") == 3


def test_learners_of_a_cross_validation_are_named(reviewed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", f"{reviewed}/crossval", f"output_dir={reviewed}/fourth"]) == 2
    line = f"has no crossval.json: expected one learner of it: {reviewed}/crossval/logistic_regression\n"
    assert capsys.readouterr().err.endswith(line)


@pytest.mark.parametrize("content", [None, "{", '{"data": {}}'])
def test_what_is_no_cross_validation_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    if content is not None:
        (tmp_path / "crossval.json").write_text(content)
    assert main(["review", str(tmp_path), f"output_dir={tmp_path}/out"]) == 2
    assert ("has no crossval.json" if content is None else "is damaged") in capsys.readouterr().err
