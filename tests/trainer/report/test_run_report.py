"""The report of a run: its numbers against those of the run and of scikit-learn, and runs of all shapes."""

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from prepared_data import contaminate
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from beam_pipelines.common.errors import UserError
from beam_pipelines.records.json_lines import DuplicatePair, DuplicateTrack, Reject
from trainer.metrics.calibration import Calibration
from trainer.metrics.level_metrics import LevelMetrics
from trainer.runs.run_metrics import metrics_to_json

CALIBRATION = Calibration(segment=1.5, track=2.0, num_tracks=6)
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></style></pre><b>",
    "\u202eשלום & {{ 7 * 7 }} {% raw %}",
)


def true_and_predicted(tracks):
    return [track.label for track in tracks], [int(np.argmax(track.probabilities)) for track in tracks]


def shown(value, interval=None):
    if value is None:
        return "–"
    return f"{value:.3f}" if interval is None else f"{value:.3f} [{interval.low:.2f}, {interval.high:.2f}]"


def test_the_numbers_are_those_of_metrics_json(make_run, reported):
    run = make_run(calibration=CALIBRATION)
    levels = run.metrics().levels["test"]
    made = reported(run.path)
    assert made.numbers["scores"] == metrics_to_json(levels)
    assert made.numbers["labels"] == ["blues", "funk", "waltz"]
    rows = {row[0]: row[1:] for row in made.page.tables["table-scores"]}
    assert next(iter(rows)) == "Metric"
    assert rows["examples"] == ["12", "6", "6"]
    for title, name in (
        ("accuracy", "accuracy"),
        ("balanced accuracy", "balanced_accuracy"),
        ("macro-F1", "macro_f1"),
        ("top-2 accuracy", "top2_accuracy"),
        ("loss", "loss"),
        ("calibration error", "expected_calibration_error"),
    ):
        expected = [shown(getattr(level, name), (level.intervals or {}).get(name)) for level in levels.values()]
        assert rows[title] == expected, title
    after: LevelMetrics = levels["track"]
    assert rows["temperature"] == ["1.500", "2.000", "–"]
    assert rows["loss after scaling"][1] == shown(after.calibrated.loss)
    assert rows["calibration error after scaling"][1] == shown(after.calibrated.expected_calibration_error)


def test_confusion_precision_and_recall_equal_those_of_scikit_learn(make_run, reported, tracks):
    made = reported(make_run().path)
    true, predicted = true_and_predicted(tracks)
    expected = confusion_matrix(true, predicted, labels=[0, 1, 2])
    assert made.numbers["confusion_matrix"] == expected.tolist()
    shares = expected / expected.sum(axis=1, keepdims=True)
    cells = [
        [f"{count} {100 * share:.0f} %" for count, share in zip(counts, row, strict=True)]
        for counts, row in zip(expected, shares, strict=True)
    ]
    assert [row[1:] for row in made.page.tables["table-confusion"][1:]] == cells
    precision, recall, f1, _ = precision_recall_fscore_support(true, predicted, labels=[0, 1, 2], zero_division=0)
    rows = made.page.tables["table-genres"][1:]
    assert [(row[4], row[5], row[6]) for row in rows] == [
        (f"{p:.3f}", f"{r:.3f}", f"{f:.3f}") for p, r, f in zip(precision, recall, f1, strict=True)
    ]
    assert [row[0:4] for row in rows] == [
        ["blues", "2", "1", "4"],
        ["funk", "2", "1", "1"],
        ["waltz", "2", "2", "1"],
    ]
    assert [row[7:] for row in rows] == [["0", "–"], ["1", "blues (1)"], ["1", "blues (1)"]]


def test_references_by_hand(make_run, reported):
    made = reported(make_run().path)
    majority, chance = made.numbers["references"][1:]
    # The train split has two tracks of funk and one of blues; two of six test tracks are of funk.
    assert majority["name"] == "always funk, the largest genre of the train split"
    assert majority["levels"]["track"]["accuracy"] == pytest.approx(2 / 6)
    assert majority["levels"]["track"]["macro_f1"] == pytest.approx(2 * 2 / (2 + 6) / 3)
    # Of two tracks of each genre, guessing finds 2/3, and predicts each genre for two.
    assert chance["levels"]["track"]["accuracy"] == pytest.approx(1 / 3)
    assert chance["levels"]["track"]["macro_f1"] == pytest.approx(1 / 3)
    assert made.page.tables["table-references"][2][1:5:2] == ["0.333", "0.167"]
    assert "The answer: 4 of 6 test tracks of 4 groups (artists, albums) get the right genre, 0.667 [" in made.printed


def test_coverage_by_hand(make_run, reported):
    made = reported(make_run().path)
    # By confidence: a 0.9 right, d 0.8 wrong, c 0.7 right, b 0.6 right, e 0.5 right, f 0.45 wrong.
    expected = [(0.9, 1, 1), (0.8, 2, 1 / 2), (0.7, 3, 2 / 3), (0.6, 4, 3 / 4), (0.5, 5, 4 / 5), (0.45, 6, 4 / 6)]
    curve = made.numbers["coverage"]["curve"]
    assert [(p["num_answered"], pytest.approx(p["accuracy"])) for p in curve] == [(n, a) for _, n, a in expected]
    assert [p["min_confidence"] for p in curve] == pytest.approx([c for c, _, _ in expected])
    assert [p["coverage"] for p in curve] == pytest.approx([n / 6 for _, n, _ in expected])
    assert made.page.tables["table-coverage"][1] == ["0.450", "6", "1.000", "0.667"]
    assert made.page.tables["table-coverage"][-1] == ["0.900", "1", "0.167", "1.000"]


def test_calibration_before_is_what_the_model_predicted(make_run, reported, tracks):
    made = reported(make_run(calibration=CALIBRATION).path).numbers["calibration"]
    assert made["series"] == ["before scaling", "after scaling"]
    before = [(row["low"], row["series"][0]) for row in made["bins"] if row["series"][0]["num_examples"]]
    # Each track is in a bin of its own but e and f, with 0.5 and 0.45, in that from 0.4 to 0.467 and the next.
    confidences = sorted(max(track.probabilities) for track in tracks)
    assert [one["confidence"] for _, one in before] == pytest.approx(confidences)
    assert [one["accuracy"] for _, one in before] == [0, 1, 1, 1, 0, 1]
    assert [low for low, _ in before] == pytest.approx([6 / 15, 7 / 15, 8 / 15, 10 / 15, 11 / 15, 13 / 15])
    weighted = sum(one["num_examples"] * abs(one["confidence"] - one["accuracy"]) for _, one in before) / 6
    assert weighted == pytest.approx(made["error_before"])


def test_a_run_without_calibration_says_so(make_run, reported):
    made = reported(make_run().path)
    assert made.numbers["calibration"]["temperature"] is None
    assert made.numbers["calibration"]["series"] == ["as predicted"]
    assert "The model is not calibrated: calibration error" in made.page.texts["certainty"]
    assert "temperature" not in [row[0] for row in made.page.tables["table-scores"]]


def test_mistakes_and_errors_by_artist(make_run, reported):
    made = reported(make_run().path)
    assert made.page.tables["table-pairs"][1:] == [
        ["funk", "blues", "1 of 2", "50 %"],
        ["waltz", "blues", "1 of 2", "50 %"],
    ]
    assert [pair["example"]["track_id"] for pair in made.numbers["confused_pairs"]] == ["d", "f"]
    assert (made.numbers["confident_mistakes"], made.numbers["uncertain_mistakes"]) == ([], [])
    assert made.page.tables["table-groups"][1:] == [["bob", "2", "1", "50 %"], ["dan", "1", "1", "100 %"]]
    assert "with wrong tracks, those with the most first: 2 of 4.</caption>" in made.text
    assert "Few groups: the intervals rest on 4 groups (artists, albums). Other groups may" in made.text


@pytest.mark.parametrize(
    ("settings", "pairs", "confident", "uncertain"),
    [
        ({"confused_pairs": 1}, ["d"], [], ["f"]),
        ({"confused_pairs": 0}, [], ["d"], ["f"]),
        ({"confused_pairs": 0, "confident_mistakes": 0}, [], [], ["f", "d"]),
        ({"confused_pairs": 0, "confident_mistakes": 0, "uncertain_mistakes": 1}, [], [], ["f"]),
    ],
)
def test_each_wrong_track_is_in_one_list(make_run, reported, settings, pairs, confident, uncertain):
    # Of three genres, a prediction is confident from 2/3 on: d has 0.8 and f 0.45.
    made = reported(make_run().path, **settings).numbers
    assert made["confident_from"] == pytest.approx(2 / 3)
    assert [pair["example"]["track_id"] for pair in made["confused_pairs"]] == pairs
    assert [track["track_id"] for track in made["confident_mistakes"]] == confident
    assert [track["track_id"] for track in made["uncertain_mistakes"]] == uncertain


@pytest.mark.parametrize("name", ["calibration", "coverage"])
def test_legends_are_above_the_axes(make_run, reported, name):
    text = reported(make_run(calibration=CALIBRATION).path).text
    charts = [ElementTree.fromstring(one) for one in re.findall("<svg.*?</svg>", text, re.DOTALL)]  # noqa: S314
    [chart] = [one for one in charts if one.find(f".//g[@id='{name}-legend_1']") is not None]
    [legend] = chart.findall(f".//g[@id='{name}-legend_1']")
    [axes] = chart.findall(f".//g[@id='{name}-axes_1']/g[@id='{name}-patch_2']/path")
    top = min(float(y) for y in re.findall(r"[ML] [0-9.]+ ([0-9.]+)", axes.attrib["d"]))
    rows = [float(text.attrib["y"]) for text in legend.iter("text")]
    assert len(rows) == 2 and max(rows) < top


def test_rows_of_certainty_that_read_the_same_are_one(make_run, reported, make_track):
    rows = [(0.3401, 0.33, 0.3299), (0.3402, 0.33, 0.3298), (0.3496, 0.33, 0.3204)]
    tracks = [make_track(name, label, row) for name, label, row in zip("abc", (0, 1, 0), rows, strict=True)]
    made = reported(make_run("run", tracks).path)
    assert made.page.tables["table-coverage"][1:] == [
        ["0.340", "3", "1.000", "0.667"],
        ["0.350", "1", "0.333", "1.000"],
    ]
    assert made.page.texts["equally-certain"].startswith(
        "The model is about equally certain of all tracks: the predicted genre has 0.340 to 0.350, so that"
    )
    assert "equally-certain" not in reported(make_run("second").path, "other").page.texts


def test_the_page_is_self_contained_and_two_calls_give_the_same_bytes(make_run, reported, make_track, write_audio):
    uri = str(write_audio(Path(make_run("other").path) / "tone.wav", duration_s=3.0, sample_rate_hz=8000))
    tracks = [
        make_track("a", 0, (0.9, 0.05, 0.05), "ann", uri),
        make_track("b", 1, (0.8, 0.1, 0.1), "bob", uri),
        make_track("c", 2, (0.4, 0.3, 0.3), "cat", "/absent/c.mp3"),
    ]
    run = make_run("run", tracks, calibration=CALIBRATION)
    made = reported(run.path, excerpt_duration_s=1.0)
    again = reported(run.path, "again", excerpt_duration_s=1.0)
    assert (made.text, made.numbers) == (again.text, again.numbers)
    assert made.page.policy == POLICY
    assert made.page.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    assert all(target.startswith("#") and target[1:] in made.page.ids for target in made.page.links)
    assert len(made.page.ids) == len(set(made.page.ids))
    [player] = made.page.audio
    assert player["src"].startswith("data:audio/mpeg;base64,")
    [picture] = made.page.images
    assert picture["alt"] == "Spectrogram of b, 1.0 s from 0.0 s"
    assert "There is no audio: /absent/c.mp3; No such file or directory" in made.page.texts["mistakes"]
    assert made.numbers["clips_problem"] is None


def test_a_missing_data_set_is_said_and_the_rest_is_there(make_run, reported):
    run = make_run()
    shutil.move(f"{run.path}-data", f"{run.path}-moved")
    made = reported(run.path)
    assert f"{run.path}-data does not exist" in made.page.texts["missing-data"]
    assert f"{run.path}-data does not exist" in made.page.texts["no-audio"]
    assert made.page.audio == []
    assert made.page.tables["table-data"][1] == ["blues", "0 (2)", "0 (4)"]
    assert "note: the page has no audio" in made.printed
    found = reported(run.path, "found", data_dir=f"{run.path}-moved")
    assert found.numbers["data"]["problem"] is None
    with pytest.raises(UserError, match="data_dir=.*other content"):
        reported(run.path, "third", data_dir=f"{make_run('second', cache_key='xyz').path}-data")


def test_the_data_card(make_run, reported):
    one = DuplicateTrack(track_id="x", uri="/x", label="blues", group="g", split="train")
    run = make_run(
        rejects=[Reject("r", "/r", "blues", "train", "decode", "silent", "m")],
        duplicates=[DuplicatePair("exact", one, one, 0.0, 2.0, 0.0, "joined")],
    )
    made = reported(run.path)
    data = made.page.texts["data"]
    assert "Source: name=tiny, path=/music/tiny.csv. Licence: the data set names none" in data
    duplicates = "Duplicates: 1 (same audio, groups were moved to one split)."
    assert f"Tracks left out: 1 (silent). {duplicates} Groups (artists, albums) in more than one split: 0." in data
    assert made.page.tables["table-data"][-1] == ["groups (artists, albums)", "3", "4"]
    assert made.numbers["provenance"]["cache_key"] == "abc"
    assert "beamtune train" in made.page.texts["reproduce"]


def test_leaks_are_warnings_at_the_top(make_run, reported):
    made = reported(make_run(leak="tracks were split at random").path)
    assert made.page.texts["leak"] == "The scores are too high: tracks were split at random."
    assert made.text.index('id="leak"') < made.text.index("<main>")
    assert made.printed.startswith("note: scores are too high: tracks were split at random\n")
    assert "groups (artists, albums) that it was not trained on" not in made.printed


def test_a_network_that_has_heard_the_music_is_a_warning_at_the_top(make_run, reported):
    run = make_run()
    note = contaminate(Path(run.dataset_dir), feature="log_mel")
    made = reported(run.path)
    assert made.numbers["contamination"] == [note]
    warning = f"A pretrained network has heard this music:</strong> {note}."
    assert made.text.index(warning) < made.text.index("<main>")
    assert made.printed.startswith(f"note: {note}\n")


def test_the_train_split_is_what_the_model_was_trained_on(make_run, reported):
    made = reported(make_run(splits=("train",)).path, split="train")
    assert made.numbers["sentences"][0].endswith(" apart in the tracks that it was trained on?")
    assert "These are scores of the train split: the model has seen the tracks." in made.numbers["cautions"]


def test_tracks_without_groups(make_run, reported, make_track):
    tracks = [make_track(name, label, (0.5, 0.3, 0.2)) for name, label in (("a", 0), ("b", 1), ("c", 2))]
    made = reported(make_run("run", tracks).path)
    assert made.numbers["groups"] is None
    assert made.numbers["num_groups"] is None
    assert "each is a group of its own" in made.page.texts["groups"]
    assert made.numbers["data"]["num_groups"] is None
    assert made.page.tables["table-data"][-1][0] == "hours of audio"
    assert "in more than one split" not in made.page.texts["data"]
    assert any("intervals take tracks as independent" in caution for caution in made.numbers["cautions"])


def test_a_genre_without_test_tracks(make_run, reported, make_track):
    tracks = [make_track("a", 0, (0.5, 0.3, 0.2), "x"), make_track("b", 1, (0.5, 0.3, 0.2), "y")]
    made = reported(make_run("run", tracks).path)
    assert made.page.tables["table-genres"][3][1:7] == ["0", "0", "0", "–", "–", "–"]
    assert made.page.tables["table-confusion"][3] == ["waltz", "0 –", "0 –", "0 –"]
    assert "No track of the test split is of waltz" in " ".join(made.numbers["cautions"])


@pytest.mark.parametrize("label", [0, 1])
def test_a_single_track(make_run, reported, make_track, label):
    made = reported(make_run("run", [make_track("only", label, (0.9, 0.05, 0.05), "ann")]).path)
    assert made.numbers["num_wrong"] == label
    assert made.page.tables["table-coverage"][1:] == [["0.900", "1", "1.000", f"{1 - label:.3f}"]]
    assert made.page.tables["table-scores"][2][1] == f"{1 - label:.3f}"
    assert ("table-groups" in made.page.tables) == (label == 1)
    if label == 0:
        assert "No track is wrong." in made.page.texts["mistakes"]
        assert "No track is wrong." in made.page.texts["groups"]


def test_hostile_names_are_escaped(make_run, reported, make_track):
    names = [f"{index}{name}" for index, name in enumerate(HOSTILE)]
    tracks = [
        make_track(name, index, np.roll([0.7, 0.1, 0.1, 0.1], index + 1), f"by {name}", f"/absent/{name}")
        for index, name in enumerate(names)
    ]
    made = reported(make_run("run", tracks, labels=HOSTILE, leak=HOSTILE[0]).path)
    assert made.page.tags.isdisjoint({"script", "b"})
    assert made.page.images == []
    assert [row[0] for row in made.page.tables["table-genres"][1:]] == list(HOSTILE)
    assert made.page.tables["table-confusion"][0][1:] == list(HOSTILE)
    assert {row[0] for row in made.page.tables["table-groups"][1:]} == {f"by {name}" for name in names}
    assert made.page.texts["leak"].endswith(f"{HOSTILE[0]}.")
    for name in names:
        assert name in made.page.texts["mistakes"]
    # A sentence has no <bdi>: what turns the direction of a name would turn the words after it.
    assert "\\u202eשלום" in made.page.texts["sentences"] and "\u202e" not in made.page.texts["sentences"]
    assert "\u202e" not in made.printed.split("note: the page has no audio")[0].split("\n", 1)[1]


def test_many_genres_have_no_matrix_on_the_page(make_run, reported, make_track):
    labels = [f"genre {index}" for index in range(25)]
    row = np.full(25, 0.5 / 24)
    row[0] = 0.5
    tracks = [make_track(f"{index:02d}", index, row, "x") for index in range(25)]
    made = reported(make_run("run", tracks, labels=labels).path)
    assert "table-confusion" not in made.page.tables
    assert len(made.page.tables["table-confusions"]) == 21
    assert len(made.numbers["confusion_matrix"]) == 25


def test_what_cannot_be_reported_is_one_line(make_run, reported, tmp_path):
    unfinished, without, mixed = (
        make_run("unfinished", is_finished=False),
        make_run("without", splits=("validation",)),
        make_run("mixed"),
    )
    text = (Path(mixed.path) / "predictions-test.csv").read_text()
    (Path(mixed.path) / "predictions-test.csv").write_text("\n".join(text.splitlines()[:-1]) + "\n")
    (tmp_path / "empty").mkdir()
    for path, message in (
        (unfinished.path, "has no _SUCCESS and so is not finished"),
        (without.path, "has no metrics of split test: run beamtune evaluate run_dir="),
        (mixed.path, "are not those of its metrics"),
        (str(tmp_path / "empty"), "is no run: expected a finished directory of beamtune train"),
        (str(tmp_path / "absent"), "does not exist: expected"),
    ):
        with pytest.raises(UserError, match=message):
            reported(path)
    assert not (tmp_path / "report").exists()
    validation = reported(without.path, split="validation")
    assert any("validation split, on which the epoch was chosen" in one for one in validation.numbers["cautions"])


def test_a_folder_that_holds_something_else_is_left_alone(make_run, reported, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("my page")
    with pytest.raises(UserError, match="expected a new or empty folder, or one that beamtune report has written"):
        reported(make_run().path)
    assert (tmp_path / "report" / "index.html").read_text() == "my page"
