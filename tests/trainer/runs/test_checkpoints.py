"""The checkpoints that are kept and removed."""

from pathlib import Path

import keras
import numpy as np
import pytest

from beam_pipelines.common.errors import RunFailedError
from trainer.runs.checkpoint_index import BEST, LAST, find_checkpoint
from trainer.runs.checkpoints import Checkpoints, read_progress, restore_model
from trainer.runs.early_stopping import EarlyStopping
from trainer.runs.run_progress import RunProgress


@pytest.fixture
def model() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])


def make_checkpoints(directory: Path | str, model: keras.Model, progress: RunProgress) -> Checkpoints:
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    return Checkpoints(str(directory), model=model, optimizer=optimizer, progress=progress)


def names_in(directory: Path) -> list[str]:
    return sorted({path.name.split(".")[0] for path in directory.iterdir() if path.name != "checkpoints.json"})


def test_the_last_and_the_best_are_kept(tmp_path: Path, model: keras.Model) -> None:
    progress = RunProgress()
    checkpoints = make_checkpoints(tmp_path, model, progress)
    for epoch in (1, 2, 3):
        progress.finish_epoch(EarlyStopping(best_epoch=min(epoch, 2)))
        checkpoints.save(best=checkpoints.write_best() if epoch <= 2 else None)
    assert names_in(tmp_path) == ["best-00002-00000000", "last-00003-00000000"]
    assert find_checkpoint(str(tmp_path), LAST) == str(tmp_path / "last-00003-00000000")
    assert find_checkpoint(str(tmp_path), BEST) == str(tmp_path / "best-00002-00000000")


def test_the_best_is_no_second_copy_of_the_last(tmp_path: Path, model: keras.Model) -> None:
    progress = RunProgress()
    checkpoints = make_checkpoints(tmp_path, model, progress)
    for epoch in (1, 2, 3, 4):
        progress.finish_epoch(EarlyStopping(best_epoch=min(epoch, 2)))
        model.set_weights([np.full_like(weight, epoch) for weight in model.get_weights()])
        checkpoints.save(best=LAST if epoch <= 2 else None)
    assert names_in(tmp_path) == ["last-00002-00000000", "last-00004-00000000"]
    assert find_checkpoint(str(tmp_path), BEST) == str(tmp_path / "last-00002-00000000")
    assert checkpoints.restore_best()
    assert {value for weight in model.get_weights() for value in weight.flat} == {2.0}
    assert checkpoints.restore_last()
    assert {value for weight in model.get_weights() for value in weight.flat} == {4.0}


@pytest.mark.parametrize("kind", [LAST, BEST])
def test_incomplete_files_of_a_killed_process_are_removed(tmp_path: Path, model: keras.Model, kind: str) -> None:
    unfinished = tmp_path / f"{kind}-00001-00000000_temp"
    unfinished.mkdir()
    (unfinished / "part-00000-of-00001.data-00000-of-00001.tempstate1").write_bytes(b"")
    (tmp_path / f"{kind}-00001-00000000.data-00000-of-00001").write_bytes(b"half")
    progress = RunProgress()
    progress.finish_epoch(EarlyStopping(best_epoch=1))
    checkpoints = make_checkpoints(tmp_path, model, progress)
    checkpoints.save(best=checkpoints.write_best())
    assert names_in(tmp_path) == ["best-00001-00000000", "last-00001-00000000"]
    weights = [np.array(weight) for weight in model.get_weights()]
    model.set_weights([np.zeros_like(weight) for weight in weights])
    assert checkpoints.restore_last()
    for restored, saved in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(restored, saved)


def test_an_earlier_checkpoint_that_a_killed_process_has_left_is_removed(tmp_path: Path, model: keras.Model) -> None:
    progress = RunProgress()
    progress.finish_epoch(EarlyStopping(best_epoch=1))
    make_checkpoints(tmp_path, model, progress).save(best=LAST)
    for end in (".index", ".data-00000-of-00001"):
        (tmp_path / f"last-00000-00000004{end}").write_bytes(b"earlier")
    assert make_checkpoints(tmp_path, model, RunProgress()).restore_last()
    assert names_in(tmp_path) == ["last-00001-00000000"]


@pytest.mark.parametrize("name", ["lr [1e-3]", "what?", "all *", "back\\slash", "[1]/[2]"])
@pytest.mark.parametrize("is_remote", [False, True])
def test_the_path_of_a_checkpoint_is_no_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: keras.Model, name: str, is_remote: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = f"ram://checkpoints/{name}" if is_remote else name
    progress = RunProgress()
    progress.finish_epoch(EarlyStopping(best_epoch=1))
    checkpoints = make_checkpoints(directory, model, progress)
    checkpoints.save(best=checkpoints.write_best())
    weights = [np.array(weight) for weight in model.get_weights()]
    best_path = find_checkpoint(directory, BEST)
    assert best_path is not None
    for restore in (checkpoints.restore_last, checkpoints.restore_best, lambda: restore_model(model, best_path)):
        model.set_weights([np.zeros_like(weight) for weight in weights])
        restore()
        for restored, saved in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(restored, saved)
    assert read_progress(directory).epochs_done == 1


@pytest.mark.parametrize("directory", ["ram://missing/[1]", "ram://missing/1", "missing/[1]"])
def test_a_checkpoint_that_is_missing_is_named(directory: str, model: keras.Model) -> None:
    path = f"{directory}/best-00001-00000000"
    with pytest.raises(RunFailedError, match=r"checkpoint .*best-00001-00000000 cannot be restored"):
        restore_model(model, path)
