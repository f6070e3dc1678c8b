"""`beamtune baselines`: its files, its table, and its errors."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from baseline_runs import QUICK, files_of, metrics_of, run
from prepared_data import contaminate
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.records.schema import TEST, TRAIN, VALIDATION
from configs.cli import main
from trainer.baselines.config import LEARNERS, BaselinesConfig
from trainer.data.prepared import open_prepared
from trainer.runs.prediction_files import read_predictions
from trainer.runs.run_dir import RunDir


def segments_by_hand(tracks, name="spectral_stats"):
    values = np.concatenate([track.features[name] for track in tracks])
    return values, np.repeat([track.label for track in tracks], [track.num_segments for track in tracks])


def test_scores_are_those_of_scikit_learn_at_all_levels(make_config, make_tracks):
    config = make_config(learners=["logistic_regression"])
    run(config)
    splits = {
        split: make_tracks(split, num_tracks=count) for split, count in ((TRAIN, 24), (VALIDATION, 9), (TEST, 12))
    }
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
    model.fit(*segments_by_hand(splits[TRAIN]))
    for split in (VALIDATION, TEST):
        values, labels = segments_by_hand(splits[split])
        probabilities = model.predict_proba(values)
        of_tracks = probabilities.reshape(-1, 3, 3).mean(axis=1)
        track_labels = labels[::3]
        found = metrics_of(config, "logistic_regression")[split]
        assert found["segment"]["accuracy"] == pytest.approx(accuracy_score(labels, probabilities.argmax(axis=1)))
        for name, expected in (
            ("accuracy", accuracy_score(track_labels, of_tracks.argmax(axis=1))),
            ("balanced_accuracy", balanced_accuracy_score(track_labels, of_tracks.argmax(axis=1))),
            ("macro_f1", f1_score(track_labels, of_tracks.argmax(axis=1), average="macro")),
        ):
            assert found["track"][name] == pytest.approx(expected)
            assert found["track"]["intervals"][name]["low"] <= expected <= found["track"]["intervals"][name]["high"]
        assert found["track_vote"]["num_examples"] == len(splits[split])

        predictions, genres = read_predictions(RunDir(f"{config.output_dir}/logistic_regression"), split)
        assert genres == ("blues", "funk", "waltz")
        order = np.argsort([track.track_id for track in splits[split]])
        assert predictions.track_ids == tuple(splits[split][index].track_id for index in order)
        assert predictions.groups == tuple(splits[split][index].group for index in order)
        np.testing.assert_allclose(predictions.probabilities, of_tracks[order], rtol=1e-3)


def test_a_run_directory_is_that_of_a_network_without_weights(make_config, data_dir):
    config = make_config(learners=["naive_bayes"], feature="yamnet", pca=3, seed=4)
    run(config)
    directory = Path(config.output_dir) / "naive_bayes"
    assert {path.name for path in directory.iterdir()} == {
        "_SUCCESS",
        "config.yaml",
        "dataset",
        "metrics.json",
        "predictions-test.csv",
        "predictions-validation.csv",
    }
    assert yaml.safe_load((directory / "config.yaml").read_text()) == {
        "data_dir": str(data_dir),
        "feature": "yamnet",
        "pooling": "mean_std",
        "unit": "segment",
        "pca": 3.0,
        "whiten": False,
        "class_weighting": "balanced",
        "tune": False,
        "seed": 4,
        "run_dir": str(directory),
        "learner": "naive_bayes",
    }
    assert open_prepared(str(directory / "dataset")).cache_key == "abc"
    found = metrics_of(config, "naive_bayes")
    assert found["labels"] == ["blues", "funk", "waltz"]
    assert found["split"] == {"source": "group", "leak": None}
    assert found["model"].pop("train_duration_s") > 0
    assert found["model"] == {
        "name": "naive_bayes",
        "features": ["yamnet"],
        "num_parameters": 2 * 3 * 3,
        "hyperparameters": {"var_smoothing": 0.01},
    }


def test_several_features_are_named_in_the_settings_the_metrics_and_the_table(make_config):
    config = make_config(learners=["naive_bayes"], feature=["spectral_stats", "yamnet"])
    table = run(config)
    assert table.splitlines()[0] == "test, spectral_stats + yamnet: accuracy, and macro-F1 of tracks"
    saved = yaml.safe_load((Path(config.output_dir) / "naive_bayes" / "config.yaml").read_text())
    assert saved["feature"] == ["spectral_stats", "yamnet"]
    model = metrics_of(config, "naive_bayes")["model"]
    assert model["features"] == ["spectral_stats", "yamnet"]
    assert model["num_parameters"] == 2 * 3 * (6 + 2 * 5)
    assert run(config) == table
    with pytest.raises(UserError, match=r"feature was \['spectral_stats', 'yamnet'\] and is spectral_stats"):
        run(replace(config, feature="spectral_stats"))


def test_learners_of_a_version_without_whitening_stay_readable(make_config):
    config = make_config(learners=["naive_bayes"])
    table = run(config)
    path = Path(config.output_dir) / "naive_bayes" / "config.yaml"
    saved = yaml.safe_load(path.read_text())
    del saved["whiten"]
    path.write_text(yaml.safe_dump(saved))
    assert run(replace(config, feature=["spectral_stats"])) == table


def test_the_table_has_a_row_for_every_learner(make_config):
    config = make_config()
    lines = run(config).splitlines()
    assert lines[0] == "test, spectral_stats: accuracy, and macro-F1 of tracks"
    assert lines[1].split("  ")[0].strip() == "learner"
    rows = [line.split() for line in lines[2:8]]
    assert [row[0] for row in rows] == list(LEARNERS)
    for learner, row in zip(LEARNERS, rows, strict=True):
        levels = metrics_of(config, learner)[TEST]
        shown = [float(cell) for cell in row if re.fullmatch(r"[01]\.\d{3}", cell)]
        assert shown == [
            round(levels[level][name], 3)
            for level, name in (
                ("segment", "accuracy"),
                ("track", "accuracy"),
                ("track_vote", "accuracy"),
                ("track", "macro_f1"),
            )
        ]
        low, high = (levels["track"]["intervals"]["accuracy"][end] for end in ("low", "high"))
        assert f"{levels['track']['accuracy']:.3f} [{low:.2f}, {high:.2f}]*" in " ".join(row)
    assert rows[1][1:3] == ["n_neighbors", "15"]
    assert lines[8:] == [
        "12 tracks, 36 segments, 3 genres",
        "* over fewer than 10 groups (artists, albums): such an interval is rough",
    ]


@pytest.mark.slow
def test_the_same_settings_give_the_same_bytes(make_config, tmp_path):
    first, second = (make_config(output_dir=str(tmp_path / name), tune=True) for name in ("a", "b"))
    tables = [re.sub(r"\d+\.\d$", "", run(config), flags=re.MULTILINE) for config in (first, second)]
    assert tables[0] == tables[1]
    found, expected = files_of(second.output_dir), files_of(first.output_dir)
    assert len(expected) == 6 * 11 and found.keys() == expected.keys()
    assert all(found[name] == expected[name] for name in expected if not name.endswith("config.yaml"))


@pytest.mark.slow
def test_tuning_uses_the_validation_split_and_reports_its_choice(write_data_set, make_tracks, tmp_path):
    def hyperparameters(directory):
        config = BaselinesConfig(
            data_dir=str(directory), output_dir=f"{directory}-out", learners=["knn", "logistic_regression"], tune=True
        )
        table = run(config)
        chosen = [metrics_of(config, learner)["model"]["hyperparameters"] for learner in config.learners]
        assert f"n_neighbors {chosen[0]['n_neighbors']}" in table
        assert f"C {chosen[1]['C']:g}" in table
        return chosen

    first = hyperparameters(write_data_set(directory_name="first"))
    other_test = hyperparameters(
        write_data_set({TEST: make_tracks(TEST, num_tracks=30, seed=7)}, directory_name="other_test")
    )
    assert other_test == first
    others = [
        hyperparameters(
            write_data_set({VALIDATION: make_tracks(VALIDATION, num_tracks=9, seed=seed)}, directory_name=f"{seed}")
        )
        for seed in (1, 2, 3)
    ]
    assert any(other != first for other in others)


def test_the_examples_can_be_tracks(make_config, make_tracks):
    config = make_config(learners=["logistic_regression"], unit="track")
    run(config)
    train, test = make_tracks(TRAIN, num_tracks=24), make_tracks(TEST, num_tracks=12)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
    model.fit([track.features["spectral_stats"].mean(axis=0) for track in train], [track.label for track in train])
    values, labels = segments_by_hand(test)
    found = metrics_of(config, "logistic_regression")[TEST]
    assert found["segment"]["num_examples"] == 36
    assert found["segment"]["accuracy"] == pytest.approx(model.score(values, labels))
    of_tracks = model.predict_proba(values).reshape(-1, 3, 3).mean(axis=1)
    assert found["track"]["accuracy"] == pytest.approx(np.mean(of_tracks.argmax(axis=1) == labels[::3]))


def test_a_genre_of_the_test_split_only_is_misclassified(write_data_set, make_tracks, tmp_path):
    directory = write_data_set({TRAIN: make_tracks(TRAIN, num_tracks=24, labels=(0, 1))})
    config = BaselinesConfig(data_dir=str(directory), output_dir=str(tmp_path / "out"))
    run(config)
    for learner in LEARNERS:
        per_class = metrics_of(config, learner)[TEST]["track"]["per_class"]
        assert (per_class[2]["num_true"], per_class[2]["num_predicted"]) == (4, 0)
        assert per_class[2]["recall"] == 0


def test_a_leak_is_reported(write_data_set, tmp_path):
    directory = write_data_set(split_leak="artists are on both sides")
    config = BaselinesConfig(data_dir=str(directory), output_dir=str(tmp_path / "out"), learners=QUICK)
    lines = run(config).splitlines()
    assert lines[0].startswith("test (leaky split), spectral_stats")
    assert lines[-1] == "these scores are too high: artists are on both sides"
    assert metrics_of(config, QUICK[0])["split"]["leak"] == "artists are on both sides"


def test_a_network_that_has_heard_the_music_is_named(write_data_set, tmp_path):
    directory = write_data_set()
    note = contaminate(directory, feature="spectral_stats")
    config = BaselinesConfig(data_dir=str(directory), output_dir=str(tmp_path / "out"), learners=QUICK)
    assert run(config).replace("\n", " ").strip().endswith(note)


def test_unsuitable_data_are_errors_that_write_nothing(make_config, write_data_set, make_tracks, tmp_path):
    for changes, message in (
        ({"feature": "mfcc"}, "feature=mfcc: "),
        ({"data_dir": str(tmp_path / "absent")}, "does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            run(make_config(**changes))
    one_genre = write_data_set({TRAIN: make_tracks(TRAIN, num_tracks=6, labels=(1,))}, directory_name="one")
    with pytest.raises(UserError, match="has examples of funk only"):
        run(make_config(data_dir=str(one_genre)))
    tracks = make_tracks(TEST, num_tracks=3)
    tracks[0].features["spectral_stats"][0, 0] = np.nan
    broken = write_data_set({TEST: tracks}, directory_name="broken")
    with pytest.raises(RunFailedError, match=r"a segment of test0.mp3 in the test split"):
        run(make_config(data_dir=str(broken)))
    no_test = write_data_set({TEST: []}, directory_name="no_test")
    with pytest.raises(UserError, match="split test of .* has no examples"):
        run(make_config(data_dir=str(no_test)))
    assert not (tmp_path / "out").exists()


def test_hostile_names_and_values_are_kept(make_config, write_data_set, make_tracks, tmp_path):
    tracks = [
        replace(track, track_id=f'"../[b]{index},\n.mp3', group="=cmd()|\u2028")
        for index, track in enumerate(make_tracks(TEST, num_tracks=6))
    ]
    tracks[0].features["spectral_stats"][:] = 3e38
    directory = write_data_set({TEST: tracks}, directory_name="hostile [data]")
    config = BaselinesConfig(data_dir=str(directory), output_dir=str(tmp_path / "out"))
    assert "nan" not in run(config)
    for learner in LEARNERS:
        predictions, _ = read_predictions(RunDir(f"{config.output_dir}/{learner}"), TEST)
        assert set(predictions.track_ids) == {track.track_id for track in tracks}
        assert set(predictions.groups) == {"=cmd()|\u2028"}
        assert metrics_of(config, learner)[TEST]["track"]["intervals"] is None


def test_the_command_line(data_dir, tmp_path, capsys):
    output_dir = tmp_path / "out"
    words = ["baselines", f"data_dir={data_dir}", f"output_dir={output_dir}", "learners=[knn]", "pca=0.9"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[2].split()[0] == "knn"
    assert "knn: n_neighbors 15, " in captured.err

    assert main(["evaluate", f"run_dir={output_dir}/knn"]) == 2
    assert "is a run of beamtune baselines, which saves metrics but no weights" in capsys.readouterr().err
