"""`beamtune crossval` from end to end on tiny data."""

import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from checkpoint_values import assert_same_checkpoints
from prepared_data import contaminate

from beam_pipelines.common.errors import RunAgainError, RunFailedError, UserError
from beam_pipelines.common.lease import UPDATE_LEASE_FILE
from trainer.compare.compared_results import read_result
from trainer.crossval.config import CrossvalConfig
from trainer.crossval.crossval import crossval
from trainer.evaluation.config import EvaluateConfig
from trainer.evaluation.evaluate import evaluate
from trainer.runs.run_dir import RunDir
from trainer.training.config import TrainConfig, TrainingConfig
from trainer.training.loop import TrainLoop
from trainer.training.train import train

MakeConfig = Callable[..., CrossvalConfig]
LEVELS = ("segment", "track", "track_vote")


class InterruptedRunError(Exception):
    """Simulates the end of a process."""


def run(config: CrossvalConfig) -> str:
    """Runs the command and returns its output."""
    stream = io.StringIO()
    crossval(config, stream=stream)
    return stream.getvalue()


def result(path: str, *, name: str = "crossval.json") -> dict[str, Any]:
    return json.loads((Path(path) / name).read_text())


def without_durations(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the part of runs that does not depend on how often a cross-validation was interrupted."""
    return [{key: value for key, value in each.items() if key != "train_duration_s"} for each in runs]


def do_in_call(number: int, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls `action` in the given call of the training loop, counted from 1 over all runs."""
    real_run_steps = TrainLoop.run_steps
    calls = iter(range(1, 1_000))

    def run_steps(*args: Any, **options: Any) -> Any:
        if next(calls) == number:
            action()
        return real_run_steps(*args, **options)

    monkeypatch.setattr(TrainLoop, "run_steps", run_steps)


def interrupt() -> None:
    raise InterruptedRunError


@pytest.fixture(scope="module")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("finished")


@pytest.fixture
def finished(
    _finished: Path, tmp_path: Path, write_source: Callable[..., Path], make_config: MakeConfig
) -> CrossvalConfig:
    """A finished cross-validation of three folds and two seeds, run once for all tests of it."""
    config = make_config(seeds=[0, 1])
    if not (_finished / "out").exists():
        write_source()
        run(config)
        shutil.copytree(tmp_path, _finished, dirs_exist_ok=True)
        return config
    shutil.copytree(_finished, tmp_path, dirs_exist_ok=True)
    for path in (*tmp_path.glob("out/crossval.yaml"), *tmp_path.glob("out/runs/*/config.yaml")):
        data_dir = yaml.safe_load(path.read_text())["data_dir"]
        before = data_dir.split("/out/")[0].removesuffix("/data")
        path.write_text(path.read_text().replace(before, str(tmp_path)))
    return config


@pytest.mark.slow
def test_every_run_is_an_ordinary_run_and_the_results_are_computed_from_them(finished: CrossvalConfig) -> None:
    out = Path(finished.output_dir)
    assert {path.name for path in (out / "folds").iterdir()} == {"fold-0", "fold-1", "fold-2"}
    names = {f"fold-{fold}-seed-{seed}" for fold in range(3) for seed in (0, 1)}
    assert {path.name for path in (out / "runs").iterdir()} == names
    content = result(finished.output_dir)
    assert content["finished"] is True
    assert content["split"] == {"source": "folds", "leak": None}
    assert content["model"]["name"] == "cnn2d" and content["model"]["features"] == ["log_mel"]
    accuracies = []
    for entry in content["runs"]:
        run_dir = out / entry["run_dir"]
        metrics = json.loads((run_dir / "metrics.json").read_text())
        assert entry["test"] == metrics["test"]
        config = yaml.safe_load((run_dir / "config.yaml").read_text())
        assert (config["seed"], config["data_dir"]) == (entry["seed"], str(out / "folds" / f"fold-{entry['fold']}"))
        accuracies.append(metrics["test"]["track"]["accuracy"])
    assert content["mean"]["track"]["accuracy"] == pytest.approx(np.mean(accuracies))
    assert content["pooled"]["track"]["num_examples"] == 2 * 16
    for level in LEVELS:
        total = sum(entry["test"][level]["num_examples"] for entry in content["runs"])
        assert content["pooled"][level]["num_examples"] == total


@pytest.mark.slow
def test_a_run_is_the_same_as_one_without_the_others(finished: CrossvalConfig, tmp_path: Path) -> None:
    settings = {field.name: getattr(finished, field.name) for field in fields(TrainingConfig)}
    # The last of six runs of that process.
    in_crossval = f"{finished.output_dir}/runs/fold-2-seed-1"
    alone = str(tmp_path / "alone")
    train(TrainConfig(**settings, data_dir=f"{finished.output_dir}/folds/fold-2", run_dir=alone, seed=1))
    evaluate(EvaluateConfig(run_dir=alone))
    assert_same_checkpoints(in_crossval, alone)
    levels = [json.loads((Path(path) / "metrics.json").read_text())["test"] for path in (in_crossval, alone)]
    assert levels[0] == levels[1]


@pytest.mark.slow
def test_a_finished_cross_validation_is_printed_again_without_training(
    finished: CrossvalConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    do_in_call(1, interrupt, monkeypatch)
    before = (Path(finished.output_dir) / "crossval.json").read_text()
    # Of a command that was killed after the evaluation of a run.
    lease = Path(finished.output_dir) / "runs" / "fold-1-seed-0" / UPDATE_LEASE_FILE
    lease.touch()
    table = run(finished)
    assert not lease.exists()
    assert "kept from earlier: 6 of 6 runs" in capsys.readouterr().err
    # The settings name the folder that the test has moved it to.
    content = json.loads((Path(finished.output_dir) / "crossval.json").read_text())
    assert {**content, "settings": None, "data": None} == {**json.loads(before), "settings": None, "data": None}
    rows = [line.split() for line in table.splitlines()]
    assert table.startswith("test: accuracy of 3 folds × 2 seeds\n")
    assert rows[1] == ["fold", "tracks", *LEVELS, "track", "macro-F1"]
    assert [row[0] for row in rows[2:5]] == ["0", "1", "2"]
    means = content["mean"]
    expected = [*(f"{means[level]['accuracy']:.3f}" for level in LEVELS), f"{means['track']['macro_f1']:.3f}"]
    assert rows[5] == ["mean", *expected]
    assert rows[6][:4] == ["±", "sd", "of", "runs"] and rows[6][5] == f"{content['sd']['track']['accuracy']:.3f}"
    assert rows[7][5] == f"{content['sd_over_seeds']['track']['accuracy']:.3f}"
    pooled = content["pooled"]["track"]
    low, high = (pooled["intervals"]["accuracy"][end] for end in ("low", "high"))
    assert f"pooled over all test tracks: accuracy {pooled['accuracy']:.3f} [{low:.2f}, {high:.2f}]" in table


@pytest.mark.slow
def test_compare_reads_it(finished: CrossvalConfig) -> None:
    content = result(finished.output_dir)
    entry = read_result(finished.output_dir, split="test")
    assert (entry.num_folds, entry.num_seeds, entry.model.name) == (3, 2, "cnn2d")
    assert entry.scores["track"]["accuracy"].value == content["mean"]["track"]["accuracy"]
    assert entry.scores["track"]["accuracy"].sd == content["sd"]["track"]["accuracy"]


def test_seeds_can_be_added(quick: CrossvalConfig, capsys: pytest.CaptureFixture[str]) -> None:
    run(quick)
    first = result(quick.output_dir, name="naive_bayes/crossval.json")
    capsys.readouterr()
    run(replace(quick, seeds=[0, 1, 2]))
    err = capsys.readouterr().err
    assert "kept from earlier: 6 of 9 runs" in err
    second = result(quick.output_dir, name="naive_bayes/crossval.json")
    assert [each for each in second["runs"] if each["seed"] < 2] == first["runs"]
    assert second["seeds"] == [0, 1, 2] and second["finished"] is True
    added = [each["test"]["track"]["accuracy"] for each in second["runs"] if each["seed"] == 2]
    for fold, accuracy in enumerate(added):
        line = f"run {7 + fold}/9, naive_bayes, fold {fold}, seed 2: track accuracy {accuracy:.3f}, segment accuracy "
        assert line in err and f"run {7 + fold}/9 took " in err
    assert "left" not in err.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3}, "output_dir={out} is a cross-validation with other settings (epochs was 2 and is 3)"),
        ({"split_by": "track"}, "(split_by was group and is track)"),
        ({"folds": 4, "split_seed": 1}, "(folds was 3 and is 4; split_seed was 0 and is 1)"),
        ({"learner": "baselines"}, "(learner was network and is baselines)"),
    ],
)
def test_other_settings_are_an_error_that_lists_them(
    finished: CrossvalConfig, changes: dict[str, Any], message: str
) -> None:
    before = result(finished.output_dir)
    with pytest.raises(UserError) as caught:
        run(replace(finished, **changes))
    assert message.format(out=finished.output_dir) in str(caught.value)
    assert result(finished.output_dir) == before


@pytest.mark.slow
def test_other_data_are_an_error(finished: CrossvalConfig, write_source: Callable[..., Path]) -> None:
    shutil.rmtree(finished.data_dir)
    write_source(cache_key="prepared again")
    with pytest.raises(UserError, match=r"data has changed since output_dir=.*/out was started"):
        run(finished)


def test_a_folder_with_other_files_is_an_error(write_source: Callable[..., Path], make_config: MakeConfig) -> None:
    config = make_config(data_dir=str(write_source()))
    Path(config.output_dir).mkdir()
    (Path(config.output_dir) / "thesis.txt").write_text("")
    refused = r"out is not empty and is not a cross-validation: choose another output_dir"
    with pytest.raises(UserError, match=refused):
        run(config)
    shutil.rmtree(config.output_dir)
    Path(config.output_dir).write_text("")
    with pytest.raises(UserError, match=refused):
        run(config)


def test_data_that_cannot_be_divided_are_an_error_that_writes_nothing(
    write_source: Callable[..., Path], make_config: MakeConfig
) -> None:
    config = make_config(data_dir=str(write_source()), folds=5)
    with pytest.raises(UserError, match=r"the genre 'blues' has 4 groups"):
        run(config)
    assert not Path(config.output_dir).exists()


# Runs have 4 and 6 steps.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "num_finished"),
    [
        pytest.param(4, 0, id="in the first run", marks=pytest.mark.exhaustive),
        pytest.param(8, 1, id="in the second run"),
    ],
)
def test_an_interrupted_cross_validation_resumes_with_the_same_results(
    finished: CrossvalConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    call: int,
    num_finished: int,
) -> None:
    broken = replace(finished, output_dir=str(tmp_path / "broken"), seeds=[1], checkpoint_interval_s=0.0)
    with monkeypatch.context() as patch, pytest.raises(InterruptedRunError):
        do_in_call(call, interrupt, patch)
        run(broken)
    left = result(broken.output_dir)
    assert (left["finished"], len(left["runs"])) == (False, num_finished)
    capsys.readouterr()
    run(broken)
    err = capsys.readouterr().err
    assert err.count("resuming") == 1
    assert ("kept from earlier: 1 of 3 runs" in err) == (num_finished == 1)
    content = result(broken.output_dir)
    assert content["finished"] is True
    expected = [each for each in result(finished.output_dir)["runs"] if each["seed"] == 1]
    assert without_durations(content["runs"]) == without_durations(expected)
    for entry in expected:
        assert_same_checkpoints(f"{finished.output_dir}/{entry['run_dir']}", f"{broken.output_dir}/{entry['run_dir']}")
    for path in Path(finished.output_dir, "folds").rglob("*"):
        if path.is_file():
            assert (Path(broken.output_dir) / path.relative_to(finished.output_dir)).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_sigterm_in_a_run_stops_the_command(
    finished: CrossvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(finished, output_dir=str(tmp_path / "stopped"))
    do_in_call(2, lambda: os.kill(os.getpid(), signal.SIGTERM), monkeypatch)
    with pytest.raises(RunAgainError, match=r"stopped by SIGTERM after epoch 0 and 2 steps; the state is saved"):
        run(config)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.slow
def test_sigterm_at_the_end_of_a_run_stops_the_command(
    finished: CrossvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(finished, output_dir=str(tmp_path / "stopped"))
    real_finish = RunDir.mark_finished

    def mark_finished(run_dir: RunDir) -> None:
        real_finish(run_dir)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunDir, "mark_finished", mark_finished)
    with pytest.raises(RunAgainError, match=r"stopped by SIGTERM; the state is saved: the same command resumes"):
        run(config)
    # The run that was finishing is evaluated first.
    assert len(result(config.output_dir)["runs"]) == 1


@pytest.mark.slow
def test_a_run_that_is_trained_and_not_evaluated_is_evaluated(
    finished: CrossvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = result(finished.output_dir)
    run_dir = Path(finished.output_dir) / "runs" / "fold-1-seed-0"
    (run_dir / "predictions-test.csv").unlink()
    do_in_call(1, interrupt, monkeypatch)
    run(finished)
    assert {**result(finished.output_dir), "settings": None, "data": None} == {
        **before,
        "settings": None,
        "data": None,
    }


@pytest.mark.slow
def test_a_failed_run_is_an_error_and_the_others_are_kept(
    finished: CrossvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RunFailedError("the loss is not a finite number")

    config = replace(finished, output_dir=str(tmp_path / "failed"))
    do_in_call(5, fail, monkeypatch)
    with pytest.raises(RunFailedError, match=r"the loss is not a finite number"):
        run(config)
    assert len(result(config.output_dir)["runs"]) == 1


@pytest.mark.parametrize("split_by", ["track", "segment"])
def test_a_leak_is_reported_with_all_scores(quick: CrossvalConfig, split_by: str) -> None:
    config = replace(quick, split_by=split_by)
    table = run(config)
    leak = f"{split_by}s were split at random"
    assert "test (leaky split)" in table and f"these scores are too high: {leak}" in table
    folder = Path(config.output_dir) / "naive_bayes"
    content = result(str(folder))
    assert leak in content["split"]["leak"]
    for entry in content["runs"]:
        metrics = json.loads((folder / entry["run_dir"] / "metrics.json").read_text())
        assert metrics["split"] == content["split"]
    entry_leak = read_result(str(folder), split="test").split_leak
    assert entry_leak is not None and leak in entry_leak


def test_a_network_that_has_heard_the_music_is_named_before_and_after(
    quick: CrossvalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    note = contaminate(Path(quick.data_dir), feature="log_mel")
    table = run(quick)
    assert table.replace("\n", " ").strip().endswith(note)
    assert capsys.readouterr().err.startswith(f"note: {note}\n")
    folder = f"{quick.output_dir}/naive_bayes"
    assert result(folder)["contamination"] == [note]
    assert read_result(folder, split="test").contamination == (note,)


def test_a_feature_that_the_data_lack_is_refused_before_folds_are_written(quick: CrossvalConfig) -> None:
    config = replace(quick, baselines=replace(quick.baselines, feature="yamnet"))
    with pytest.raises(UserError, match=r"^baselines\.feature=yamnet: .* has no such feature, it has log_mel"):
        run(config)
    assert not Path(config.output_dir).exists()


def test_classical_learners_have_a_result_each(quick: CrossvalConfig) -> None:
    config = replace(quick, baselines=replace(quick.baselines, learners=["naive_bayes", "knn"]))
    table = run(config)
    for name in ("naive_bayes", "knn"):
        content = result(config.output_dir, name=f"{name}/crossval.json")
        assert content["finished"] is True and content["model"]["name"] == name
        run_dir = Path(config.output_dir, name, content["runs"][3]["run_dir"])
        assert content["runs"][3]["test"] == json.loads((run_dir / "metrics.json").read_text())["test"]
        assert read_result(f"{config.output_dir}/{name}", split="test").num_folds == 3
        means, sds = content["mean"]["track"], content["sd"]["track"]
        [row] = [line for line in table.splitlines() if line.split()[:1] == [name]]
        assert f"{means['accuracy']:.3f} ± {sds['accuracy']:.3f}" in row
    assert not (Path(config.output_dir) / "crossval.json").exists()
    before = {path: path.stat().st_mtime_ns for path in Path(config.output_dir, "runs").rglob("*")}
    assert run(config) == table
    assert {path: path.stat().st_mtime_ns for path in Path(config.output_dir, "runs").rglob("*")} == before
