"""The cross-validation and the run that `beamtune quick` writes: other commands read both."""

import io
import json
import sys

import numpy as np
import pytest
import yaml
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from beam_pipelines.audio.config import AudioConfig
from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.config import FolderDatasetConfig
from beam_pipelines.features.config import LogMelConfig, MusicnnConfig, YamnetConfig
from beam_pipelines.runners.config import DirectRunnerConfig
from beam_pipelines.splits.config import SplitConfig
from trainer.compare.compare import compare
from trainer.compare.config import CompareConfig
from trainer.crossval.out_of_fold import read_out_of_fold
from trainer.devices.config import StrategyConfig
from trainer.devices.strategy import make_strategy
from trainer.quick.config import QuickConfig
from trainer.quick.labelled_tracks import artists_text
from trainer.quick.learn import learn
from trainer.quick.quick_dir import QuickDir
from trainer.quick.summary import NO_SCORES, print_summary
from trainer.runs.restored_model import load_best_model
from trainer.runs.run_dir import RunDir


def make_config(output_dir, **changes):
    return QuickConfig(
        **{
            "output_dir": str(output_dir),
            "dataset": FolderDatasetConfig(root="/music"),
            "features": {"musicnn": MusicnnConfig()},
            "runner": DirectRunnerConfig(),
            **changes,
        }
    )


def learn_songs(folder, songs, write_songs, **changes):
    """Learns from songs in a folder; returns its directory and the lines that were logged."""
    directory, lines = QuickDir(str(folder)), []
    write_songs(folder / "prepared", songs)
    learn(directory, make_config(folder, **changes), log=lines.append, check_owner=lambda: None)
    return directory, lines


@pytest.fixture(scope="module")
def learnt(tmp_path_factory, songs, write_songs):
    return learn_songs(tmp_path_factory.mktemp("quick"), songs, write_songs)


def test_each_song_has_the_prediction_of_its_fold(learnt, songs):
    directory, lines = learnt
    found = read_out_of_fold(directory.crossval)
    assert found.track_ids == tuple(sorted(track.track_id for track in songs.tracks))
    assert (found.genres, found.split_leak, found.data_dir) == (("blues", "funk", "waltz"), None, directory.prepared)
    result = json.loads(open(f"{directory.crossval}/crossval.json").read())
    assert (result["finished"], result["folds"], result["command"]) == (True, 4, "quick")
    assert lines[0] == "2/5 cross-validate: 24 songs; artists: 12"
    assert [line.split(":")[0] for line in lines[1:]] == ["fold 0", "fold 1", "fold 2", "fold 3", "3/5 fit"]


def test_compare_reads_the_cross_validation(learnt):
    directory, _ = learnt
    stream = io.StringIO()
    compare([directory.crossval], config=CompareConfig(), stream=stream)
    assert "linear" in stream.getvalue()


def test_the_run_predicts_what_scikit_learn_does_when_it_is_fitted_to_all_songs(learnt, songs):
    directory, _ = learnt
    run = RunDir(directory.run)
    assert run.is_finished()
    model = load_best_model(run, strategy=make_strategy(StrategyConfig()))
    logits = np.array(model({"musicnn": songs.vectors.values[:, np.newaxis].astype(np.float16)}))
    metrics = run.metrics()
    values = StandardScaler().fit_transform(songs.vectors.values)
    by_hand = LogisticRegression(C=metrics.model.hyperparameters["C"], class_weight="balanced", max_iter=1000)
    expected = by_hand.fit(values, songs.vectors.labels).predict_proba(values)
    np.testing.assert_allclose(softmax(logits, axis=1), expected, atol=1e-4)
    assert list(metrics.levels) == ["out_of_fold"]
    pooled = json.loads(open(f"{directory.crossval}/crossval.json").read())["pooled"]
    assert metrics.levels["out_of_fold"]["track"].accuracy == pooled["track"]["accuracy"]


def test_the_card_names_the_command_that_fitted_the_model(learnt):
    directory, _ = learnt
    card = open(f"{directory.run}/model_card.md").read()
    assert "beamtune quick" in card
    assert "beamtune train data_dir" not in card


def test_what_is_finished_is_not_repeated(learnt):
    directory, _lines = learnt
    again = []
    learn(directory, make_config(directory.path), log=again.append, check_owner=lambda: None)
    assert again == ["2/5 cross-validate: finished before", "3/5 fit: finished before"]


def test_the_summary_has_scores_artists_and_commands(learnt):
    directory, _ = learnt
    stream = io.StringIO()
    print_summary(directory, stream=stream)
    text = " ".join(stream.getvalue().split())
    assert "24 songs, 3 genres" in text
    assert "accuracy of songs" in text
    assert "always the largest genre 0.333" in text
    assert "artists 12" in text
    c = RunDir(directory.run).metrics().model.hyperparameters["C"]
    assert f"logistic regression on musicnn, C {c:g} written:" in text
    assert stream.getvalue().splitlines()[-4:] == [
        f"report:  {directory.report}/index.html",
        f"predict: beamtune predict {directory.run} song.mp3",
        f"serve:   beamtune serve {directory.run}",
        f"compare: beamtune compare {directory.crossval} OTHER/crossval   (OTHER: a second output_dir, with other "
        "settings such as 'features=[musicnn,yamnet]')",
    ]


def test_the_summary_says_what_serve_needs(learnt, monkeypatch):
    directory, _ = learnt
    monkeypatch.setitem(sys.modules, "fastapi", None)
    stream = io.StringIO()
    print_summary(directory, stream=stream)
    assert f"serve:   beamtune serve {directory.run}   (first: pip install 'beamtune[serve]')\n" in stream.getvalue()


def test_scores_on_music_that_the_network_has_heard_have_a_note(tmp_path, songs, write_songs):
    prepare_yaml = write_songs(tmp_path / "prepared", songs) / "prepare.yaml"
    content = yaml.safe_load(prepare_yaml.read_text())
    content["config"]["dataset"]["root"] = "/music/magnatune"
    content["config"]["features"]["musicnn"]["variant"] = "mtt"
    prepare_yaml.write_text(yaml.safe_dump(content))
    directory, stream = QuickDir(str(tmp_path)), io.StringIO()
    learn(directory, make_config(tmp_path), log=lambda line: None, check_owner=lambda: None)
    print_summary(directory, stream=stream)
    assert "features.musicnn: MTT_musicnn learned from MagnaTagATune" in " ".join(stream.getvalue().split())


def test_a_genre_of_one_artist_gives_a_model_without_scores(tmp_path, make_songs, write_songs):
    directory, lines = learn_songs(tmp_path, make_songs(artists=1), write_songs)
    assert lines[1].startswith("no scores: the group 'blues artist 0' holds all tracks of the genre 'blues'")
    assert RunDir(directory.run).is_finished()
    assert not (tmp_path / "crossval").exists()
    stream = io.StringIO()
    print_summary(directory, stream=stream)
    assert NO_SCORES in " ".join(stream.getvalue().split())
    assert "accuracy" not in stream.getvalue()


def test_scores_by_song_say_so(tmp_path, make_songs, write_songs):
    directory, _ = learn_songs(tmp_path, make_songs(without_artist=True), write_songs)
    assert read_out_of_fold(directory.crossval).split_leak.startswith("who made 24 of the 24 tracks is not known")
    stream = io.StringIO()
    print_summary(directory, stream=stream)
    text = " ".join(stream.getvalue().split())
    assert "not known: scores are by song, and an artist may be on both sides" in text
    assert "accuracy of songs (leaky split)" in text
    assert "these scores are too high: who made 24 of the 24 tracks is not known" in text


def test_a_single_genre_is_refused(tmp_path, make_songs, write_songs):
    with pytest.raises(UserError, match=r"are of the genre blues: a classifier needs at least two genres"):
        learn_songs(tmp_path, make_songs(num_genres=1), write_songs)


def test_artists_are_counted_and_songs_without_one_named(songs, make_songs):
    mixed = [*songs.tracks[:4], *make_songs(without_artist=True).tracks[-3:]]
    assert artists_text(list(songs.tracks), "artist") == "12"
    assert artists_text(mixed, "artist") == "2, and 3 songs whose artist is not known"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": {"log_mel": LogMelConfig()}}, r"^features=\['log_mel'\]: expected embeddings: musicnn, yamnet"),
        ({"split": SplitConfig()}, r"^split=.*: expected no split"),
        ({"overwrite": True}, r"^overwrite=true: expected false"),
        ({"folds": 1}, r"^folds=1: expected 2 to 1000 folds"),
        ({"formats": ["nope"]}, r"^formats=nope: expected"),
        (
            {"features": {"yamnet": YamnetConfig(weights_path="/w/net.h5")}},
            r"^features.yamnet.weights_path=/w/net.h5: expected null: .* put them at /.*yamnet\.h5$",
        ),
    ],
)
def test_wrong_settings_are_named(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        make_config(tmp_path, **changes)


def test_the_folder_holds_results_of_one_setting_alone(tmp_path):
    directory = QuickDir(str(tmp_path / "out"))
    directory.start(make_config(tmp_path / "out"))
    (tmp_path / "out" / "prepared").mkdir()
    directory.check(make_config(tmp_path / "out", max_reject_fraction=0.9))
    with pytest.raises(UserError, match=r"has results with other settings \(audio.max_duration_s was 600.0 and is 30"):
        directory.check(make_config(tmp_path / "out", audio=AudioConfig(max_duration_s=30.0)))
    assert not directory.is_finished()
    directory.mark_finished()
    assert directory.is_finished()


def test_settings_that_found_no_music_are_replaced(tmp_path):
    directory = QuickDir(str(tmp_path))
    directory.start(make_config(tmp_path, dataset=FolderDatasetConfig(root="/misspelt")))
    directory.start(make_config(tmp_path))
    assert yaml.safe_load((tmp_path / "quick.yaml").read_text())["dataset"]["root"] == "/music"


@pytest.mark.parametrize("content", [b"dataset: [1", b"\xff", b"- a list"])
def test_damaged_settings_are_named(tmp_path, content):
    (tmp_path / "quick.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"quick.yaml is damaged: choose another output_dir$"):
        QuickDir(str(tmp_path)).check(make_config(tmp_path))


def test_a_folder_of_the_user_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"expected a new or empty folder, or one that beamtune quick has written"):
        QuickDir(str(tmp_path)).start(make_config(tmp_path))
